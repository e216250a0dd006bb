"""S9: profilers, debuggers and coverage as they are used; subinterpreters."""

from __future__ import annotations

import bdb
import cProfile
import os
import pstats
import sys
import threading

import pytest
from coexistence_parts import HERE, work
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from support import expect_script, in_thread, run_python, run_script

# Tools as they are used. --------------------------------------------------------------------------


def test_cprofile():  # S9
    def body():
        profile = cProfile.Profile()
        profile.enable()
        try:
            with allow_interruption:
                for _ in range(10):
                    work()
                interrupt(threading.get_ident())
                while True:
                    work()
        except ThreadExit:
            clear_interrupt()
        work()
        profile.disable()
        stats = pstats.Stats(profile).stats
        return {key[2]: value[1] for key, value in stats.items() if key[0] == HERE}

    counts = in_thread(body)
    assert counts["work"] == 11


def test_bdb():  # S9
    """A debugger in the thread steps through code where a request waits, and to its delivery."""
    lines = []

    class Debugger(bdb.Bdb):
        def user_line(self, frame):
            if frame.f_code is body.__code__:
                lines.append(frame.f_lineno - body.__code__.co_firstlineno)
            self.set_step()

        def user_exception(self, frame, exc_info):
            if frame.f_code is body.__code__:
                lines.append(exc_info[0].__name__)

    def body():
        lock = threading.Lock()
        try:
            with allow_interruption:
                lock.acquire()
                interrupt(threading.get_ident())
                total = 1
                lock.release()
                total = 2
        except ThreadExit:
            total += 5
        return total

    def run():
        debugger = Debugger()
        return debugger.runcall(body)

    assert in_thread(run) == 6
    assert sys.gettrace() is None
    assert [line for line in lines if line != 8] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        "ThreadExit",
        3,
        9,
        10,
        11,
    ] or (lines)[-4:] == [3, 9, 10, 11]


COVERED = """\
import sys, threading, time
import coverage
from interruption import *

def helper(number):
    if number % 2:
        return 1
    return 2

def spin(counts, index):
    try:
        with allow_interruption:
            while True:
                counts[index] += helper(counts[index])
                if counts[index] < 0:
                    return "never"  # not run
                counts[index] += 1
            counts[index] = 0  # not run
    except ThreadExit:
        total = helper(0)
    total += helper(1)
    clear_interrupt()
    return total

def main():
    counts = [1] * 4
    for again in range(3):
        threads = [threading.Thread(target=spin, args=(counts, i)) for i in range(3)]
        for thread in threads:
            thread.start()
        while True:
            time.sleep(0.001)
            if min(counts[:3]) >= 1000 * (again + 1):
                break
        for thread in threads:
            interrupt(thread)
        for thread in threads:
            thread.join()
        me = threading.get_ident()
        timer = threading.Timer(0.05, interrupt, (me,))
        timer.start()
        spin(counts, 3)
        timer.join()
    return helper(3)
"""


COVERING = """
    import os, sys
    import coverage
    sys.path.insert(0, sys.argv[1])
    measure = coverage.Coverage(data_file=None, config_file=False, include=[sys.argv[1] + "/*"])
    measure.start()
    import covered
    covered.main()
    measure.stop()
    print(measure._collector.tracer_name())
    print(measure.analysis2(sys.argv[1] + "/covered.py")[3])
"""


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage(core, tmp_path, monkeypatch):  # S9
    """Threads are interrupted while they are measured: the lines are exactly those that ran."""
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is of 3.12")
    monkeypatch.setenv("COVERAGE_CORE", core)
    (tmp_path / "covered.py").write_text(COVERED, encoding="utf-8")
    never = [n for n, line in enumerate(COVERED.splitlines(), 1) if line.endswith("# not run")]
    # The compiler leaves out what cannot be reached.
    reachable = never[:1]
    tracer = {"ctrace": "CTracer", "pytrace": "PyTracer", "sysmon": "SysMonitor"}[core]
    result = run_script(COVERING, str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    name, missing = result.stdout.splitlines()
    if name != tracer:
        pytest.skip(f"coverage has no {core} here: {name}")
    assert missing in {str(reachable), str(never)}


PDB_SCRIPT = """\
import threading
from interruption import *

def work():
    with allow_interruption:
        first = 1
        interrupt(threading.get_ident())
        never = 2
        return "not stopped"

def run():
    try:
        result = work()
    except ThreadExit:
        result = "stopped"
    return result

def later():
    total = 0
    for i in range(3):
        total += i
    return total

result = run()
print("the result:", result)
print("later:", later())
"""


@pytest.mark.parametrize("step", ["next", "step", "continue"])
def test_pdb(tmp_path, step):  # S9
    script = tmp_path / "script.py"
    script.write_text(PDB_SCRIPT, encoding="utf-8")
    steps = [step] * 12 if step == "step" else [step] * 4
    commands = ["break 6", "break 16", "break 22", "continue", "p ('first', 'first' in locals())"]
    commands += [*steps, "continue", "continue", "p ('total', total)", "clear 22", "continue"]
    commands += ["continue"] * 3 + ["quit"] * 3
    result = run_python(
        "-m",
        "pdb",
        script,
        input="\n".join(commands) + "\n",
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1", "PYTHON_COLORS": "0"},
    )
    output = result.stdout + result.stderr
    assert "the result: stopped" in output, output
    assert "('first', False)" in output, output
    assert "later: 3" in output, output
    assert "Traceback" not in output, output


# Subinterpreters ----------------------------------------------------------------------------------


def test_what_a_region_runs_in_a_subinterpreter_is_left_alone():
    """Its locks are not noted, its calls wait in the originals; back from there, it raises."""
    expect_script(
        """
        import os, threading, time
        try:
            import _interpreters as interpreters
            run = interpreters.exec
        except ImportError:
            import _xxsubinterpreters as interpreters
            run = interpreters.run_string
        from interruption import Thread, ThreadExit, allow_interruption

        USE_ALL = '''if True:
            import os, queue, threading, time
            for _ in range(20):
                kept, again, changed = threading.Lock(), threading.RLock(), threading.Condition()
                with kept, again, changed:
                    changed.wait(0.001)
                    time.sleep(0.001)
                kept.acquire()
                items = queue.SimpleQueue()
                items.put(1)
                assert items.get() == 1
                try:
                    items.get(timeout=0.001)
                except queue.Empty:
                    pass
                os.listdir(".")
        '''
        there, back = os.pipe(), os.pipe()
        MEET = f"import os; os.write({there[1]}, b'1'); os.read({back[0]}, 1)"
        END = f"os.write({there[1]}, b'2')"
        within, log = interpreters.create(), []
        run(within, "import threading")  # up to 3.12 by the thread that destroys it, or that hangs

        def work():
            try:
                with allow_interruption:
                    run(within, chr(10).join([USE_ALL, MEET, USE_ALL, END]))
                    time.sleep(3600)
            except ThreadExit:
                log.append("stopped")

        worker = Thread(target=work)
        worker.start()
        assert os.read(there[0], 1) == b"1"
        worker.interrupt()
        os.write(back[1], b"1")
        assert os.read(there[0], 1) == b"2"
        worker.join()
        assert log == ["stopped"], log
        interpreters.destroy(within)
        print("done", flush=True)
        os._exit(0)  # plain 3.12.1 crashes later, at its end
        """,
        stdout="done\n",
    )

"""S10: run_in_process, for what nothing else can stop."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from interruption import (
    ThreadExit,
    allow_interruption,
    blocking,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interruption_requested,
    run_in_process,
)
from process_parts import (
    add,
    end,
    fail,
    fail_awkwardly,
    kill_itself,
    large,
    linger,
    nest,
    stuck,
    unpicklable,
    where_it_runs,
)
from support import PATIENCE, Started, in_thread, run_python, run_script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def descriptors():
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


def is_there(pid):
    """Whether it still runs after a while; a zombie does not, which is init's to reap."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state in "ZX":
            return False
        time.sleep(0.01)
    return True


def written(path):
    """The process id that is in there as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


# What it returns ----------------------------------------------------------------------------------


def test_it_returns_what_the_function_returns():
    assert run_in_process(add) == 0
    assert run_in_process(add, 1, 2, three=3) == 6
    assert run_in_process(len, "four") == 4
    here, parent = run_in_process(where_it_runs)
    assert here != parent == os.getpid()


def test_a_large_result_arrives_whole():
    assert run_in_process(large, 10_000_000) == b"x" * 10_000_000


def test_it_raises_what_the_function_raises_with_the_traceback_of_over_there():
    with pytest.raises(KeyError, match="what") as caught:
        run_in_process(fail, KeyError("what"))
    assert "in fail" in str(caught.value.__cause__)
    assert "Traceback (most recent call last)" in str(caught.value.__cause__)
    with pytest.raises(SystemExit):
        run_in_process(fail, SystemExit(3))


class Unprintable:
    def __repr__(self):
        raise LookupError


@pytest.mark.parametrize("what", [3, None, Unprintable()], ids=["int", "None", "unprintable"])
def test_what_cannot_be_called_is_an_error_in_words(what):
    """No process is needed to find that out."""
    with pytest.raises(TypeError, match=f"give a function to call, not {type(what).__name__}"):
        run_in_process(what)


def test_what_cannot_be_sent_is_an_error():
    for wrong in ((lambda: None,), (add, lambda: None), (add, threading.Lock())):
        with pytest.raises(TypeError, match="must be picklable"):
            run_in_process(*wrong)
    with pytest.raises(RuntimeError, match="unpicklable returned, cannot be sent back"):
        run_in_process(unpicklable)
    with pytest.raises(RuntimeError, match="raised Awkward: ab, cannot be sent back") as caught:
        run_in_process(fail_awkwardly)
    assert "in fail_awkwardly" in str(caught.value.__cause__)


@pytest.mark.parametrize(("how", "code"), [((end, 0), 0), ((end, 7), 7), ((kill_itself,), -9)])
def test_a_process_that_ends_without_an_answer_is_an_error_with_its_exit_code(how, code):
    with pytest.raises(ChildProcessError, match=f"without an answer, with exit code {code}$"):
        run_in_process(*how)


# Interrupting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False], ids=["interposed", "not interposed"])
def test_the_process_is_killed_and_reaped_when_the_thread_is_interrupted(tmp_path, enabled):
    path = tmp_path / "pid"
    if not enabled:
        blocking.disable()

    def body(_):
        with allow_interruption:
            run_in_process(stuck, str(path))

    try:
        other = Started(body)
        pid = written(path)
        interrupt(other.thread, reason="enough")
        with pytest.raises(ThreadExit, match="enough"):
            other.finish()
    finally:
        blocking.enable()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # reaped: not even a zombie
    assert multiprocessing.active_children() == []


def test_a_request_that_was_there_before_raises_before_anything_is_done(tmp_path):  # S10b
    path = tmp_path / "pid"

    def body():
        with allow_interruption:
            with defer_interruption:
                interrupt(threading.get_ident())
                ready.append(True)
                raise_in = run_in_process
            raise_in(stuck, str(path))

    ready = []
    with pytest.raises(ThreadExit):
        in_thread(body)
    assert ready
    assert not path.exists()


def test_in_a_shield_it_is_waited_for():
    def body(started):
        with allow_interruption:
            with defer_interruption:
                started.ready.set()
                result = run_in_process(add, 1)
                assert interruption_requested()
                clear_interrupt()
            return result

    with Started(body) as other:
        interrupt(other.thread)
        assert other.finish() == 1


def test_nested_ones_end_with_the_outermost(tmp_path):
    path = tmp_path / "pid"

    def body(_):
        with allow_interruption:
            run_in_process(nest, str(path))

    other = Started(body)
    inner = written(path)
    interrupt(other.thread)
    with pytest.raises(ThreadExit):
        other.finish()
    assert not is_there(inner)


def test_a_process_that_has_answered_and_does_not_end_is_killed_and_the_answer_stands(tmp_path):
    path = tmp_path / "pid"

    def body(_):
        with allow_interruption(async_interrupt=False):
            try:
                return run_in_process(linger, str(path))
            except ThreadExit:
                return "raised"  # where the wait for its end is interrupted by itself

    other = Started(body)
    pid = written(path)
    time.sleep(0.1)
    interrupt(other.thread)
    assert other.finish() in ("answer", "raised")
    assert not is_there(pid)


# What is left behind ------------------------------------------------------------------------------


def test_no_descriptor_is_left(tmp_path):
    run_in_process(add)  # multiprocessing's own tracker has one
    before = descriptors()
    run_in_process(add)
    with pytest.raises(ChildProcessError):
        run_in_process(end, 1)
    with pytest.raises(TypeError):
        run_in_process(add, lambda: None)
    test_the_process_is_killed_and_reaped_when_the_thread_is_interrupted(tmp_path, True)
    assert descriptors() == before


SCRIPT = """
    import os, sys, threading, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from interruption import *
    from process_parts import stuck

    path = Path(sys.argv[1])
"""


def script(source, tmp_path):
    path = tmp_path / "pid"
    header = SCRIPT.format(tests=str(Path(__file__).parent))
    result = run_script(header + source, str(path))
    return result, int(path.read_text())


def test_ctrl_c_kills_the_process(tmp_path):
    source = """
    def press():
        while not (path.exists() and path.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), 2)

    threading.Thread(target=press).start()
    try:
        run_in_process(stuck, str(path))
    except KeyboardInterrupt:
        print("ctrl-c")
    """
    result, pid = script(source, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ctrl-c\n", "")
    assert not is_there(pid)


def test_the_program_ends_although_a_daemon_thread_waits(tmp_path):  # S18
    source = """
    threading.Thread(target=run_in_process, args=(stuck, str(path)), daemon=True).start()
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    print("done")
    """
    result, pid = script(source, tmp_path)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert not is_there(pid)


def test_a_main_module_that_runs_at_its_import_is_told_what_to_do(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from interruption import run_in_process\n"
        "def function(): pass\n"
        "print('at the top', flush=True)\n"
        "run_in_process(function)\n"
    )
    done = run_python(program)
    assert (done.returncode, done.stdout) == (1, "at the top\n" * 2)
    child, parent = done.stderr.strip().split("\n\n")[0], done.stderr.strip().splitlines()[-1]
    guard = 'belongs under `if __name__ == "__main__":`'
    assert "RuntimeError: run_in_process() is called while a new process begins. " in child
    assert guard in child
    assert parent.startswith("ChildProcessError: the process that was to run function ended before")
    assert parent.endswith(guard)


def test_a_main_module_that_cannot_be_imported_again_is_told_so(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from interruption import run_in_process\n"
        "def function(): pass\n"
        "if __name__ == '__main__': run_in_process(function)\n"
        "else: sys.exit(7)\n"
    )
    done = run_python(program)
    assert "ended before it had begun, with exit code 7" in done.stderr

"""S30: a process that was told to end ends in time, whatever it is in the midst of."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support import HAS_GIL, PATIENCE, run_script, start_script, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the timers are Linux's")

GRACE = 0.3

HEAD = f"""
import atexit, collections, ctypes, itertools, logging, multiprocessing, operator, os
import signal, sys, threading, time
from interruption import *
signal.alarm({int(PATIENCE)})

def ready():
    os.write(1, b"ready\\n")

def hold_the_gil():
    ready()
    collections.deque(itertools.repeat(0), maxlen=0)

def for_ever():
    threading.Event().wait()
"""


def start(*sources, **popen):
    return start_script("\n".join(map(textwrap.dedent, (HEAD, *sources))), **popen)


def deliver(process, signum):
    """Send it, and wait until the process has got it: then another one is not the same."""
    process.send_signal(signum)

    def is_there():
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        pending = [int(line.split()[1], 16) for line in status if line.startswith("ShdPnd")]
        return process.poll() is not None or not pending[0] >> (signum - 1) & 1

    until(is_there)


def until_in_c(process):
    """It is blocked, or it has been computing for a while since it said so."""
    stat = Path(f"/proc/{process.pid}/stat")

    def ticks():
        fields = stat.read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    tasks = Path(f"/proc/{process.pid}/task")
    begin = ticks()
    until(lambda: ticks() > begin + 5 or process.poll() is not None or all_asleep(tasks))


def all_asleep(tasks):
    stats = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
    return set(stats) == {"S"}


def finish(process, *signals, apart=0.0):
    """Send it these when it is ready: its status, the lines it printed then, its stderr."""
    with process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        until_in_c(process)
        for signum in signals:
            deliver(process, signum)
            time.sleep(apart if signum is not signals[-1] else 0)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, stdout.splitlines(), stderr


# The handler in Python never runs. ----------------------------------------------------------------

THREAD_HOLDS_IT = """
    thread = threading.Thread(target=hold_the_gil)
    thread.start()
    thread.join()
"""

MAIN_HOLDS_IT = "hold_the_gil()\n"

MAIN_IS_IN_C = """
    mutex = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    ready()
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""

UNANSWERED = pytest.mark.parametrize(
    "source",
    [THREAD_HOLDS_IT, MAIN_HOLDS_IT, MAIN_IS_IN_C],
    ids=["a thread holds the GIL", "main holds the GIL", "main is in C"],
)


@UNANSWERED
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_python_cannot_see_ends_the_process_at_the_deadline(source, signum):  # S30
    process = start(f"interrupt_on_signal(timeout={GRACE})", source)
    status, _, stderr = finish(process, signum)
    assert status == -signum
    assert f"interruption: {signum.name} came" in stderr
    assert 'File "<string>", line' in stderr
    if "hold_the_gil" in source:
        assert ("which holds the GIL" if HAS_GIL else ", running") in stderr
        assert "in hold_the_gil" in stderr


def test_its_last_words_count_from_the_first_signal():  # S30
    process = start(f"interrupt_on_signal(timeout={GRACE})", MAIN_HOLDS_IT)
    _, _, stderr = finish(process, signal.SIGINT, signal.SIGTERM, apart=1)
    (seconds,) = re.findall(r"came (\d+\.\d) s ago", stderr)
    assert float(seconds) >= GRACE + 1.5, stderr


@UNANSWERED
def test_the_third_ends_it_although_nothing_else_bounds_it(source):  # S30
    process = start("interrupt_on_signal()", source)
    # It would not end the process without the library, so no grace bounds it.
    status, _, stderr = finish(process, signal.SIGINT, signal.SIGINT, signal.SIGINT)
    assert status == -signal.SIGINT
    assert 'File "<string>", line' in stderr


def test_the_lines_are_those_of_the_program(tmp_path):
    (tmp_path / "holds.py").write_text("sum(iter(int, 1))\n")
    process = start(f"interrupt_on_signal(timeout={GRACE}); ready(); import holds", cwd=tmp_path)
    status, _, stderr = finish(process, signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert f'File "{tmp_path}/holds.py", line 1 in <module>' in stderr
    assert "interruption/_" not in stderr


# It does, and nothing comes of it. ----------------------------------------------------------------

CLEANUP = """
    try:
        ready()
        for_ever()
    finally:
        print("cleanup", flush=True)
        for_ever()
"""

AT_EXIT = """
    atexit.register(for_ever)
    ready()
    for_ever()
"""

OWN_HANDLER = """
    ready()
    for_ever()
"""

LOGGING = """
    class Handler(logging.Handler):
        def emit(self, record):
            for_ever()
    logging.getLogger().addHandler(Handler())
    threading.Thread(target=for_ever).start()
    ready()
    for_ever()
"""

CHILD = """
    def child(parent):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready()
        while os.getppid() == parent:
            time.sleep(0.01)
    multiprocessing.get_context("fork").Process(target=child, args=[os.getpid()]).start()
    for_ever()
"""


@pytest.mark.parametrize(
    "source",
    [CLEANUP, AT_EXIT, OWN_HANDLER, LOGGING, CHILD],
    ids=["cleanup", "atexit", "own handler", "logging", "child"],
)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_deadline_is_for_the_whole_process(source, signum):  # S30
    own = f"signal.signal({signum:d}, lambda *_: for_ever())" if source is OWN_HANDLER else ""
    process = start(own, f"interrupt_on_signal(timeout={GRACE})", source)
    status, _, stderr = finish(process, signum)
    assert status == -signum, stderr
    assert f"interruption: {signum.name} came" in stderr
    assert "Main thread" in stderr


def test_after_the_third_that_was_seen_it_is_over_soon():  # S30
    process = start("interrupt_on_signal(timeout=1000)", CLEANUP)
    with process:
        assert process.stdout.readline() == "ready\n"
        deliver(process, signal.SIGTERM)
        assert process.stdout.readline() == "cleanup\n"
        deliver(process, signal.SIGHUP)
        deliver(process, signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode in (-signal.SIGTERM, -signal.SIGHUP), stderr


# Who is left alone. -------------------------------------------------------------------------------


def test_without_a_timeout_cleanup_takes_as_long_as_it_takes():  # S30
    result = run_script(
        textwrap.dedent(HEAD)
        + textwrap.dedent("""
        interrupt_on_signal()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            for_ever()
        finally:
            time.sleep(3)
            print("cleaned up", flush=True)
        """)
    )
    assert (result.returncode, result.stdout, result.stderr) == (-15, "cleaned up\n", "")


def test_a_program_that_has_closed_it_goes_on():  # S30
    result = run_script(
        textwrap.dedent(HEAD)
        + textwrap.dedent(f"""
        try:
            with interrupt_on_signal(timeout={GRACE}):
                os.kill(os.getpid(), signal.SIGTERM)
                for_ever()
        except SignalExit:
            pass
        time.sleep(3)
        """)
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_at_a_prompt_ctrl_c_ends_a_statement_not_the_program():  # S30
    result = run_script(
        textwrap.dedent(HEAD)
        + textwrap.dedent(f"""
        interrupt_on_signal(timeout={GRACE})
        sys.ps1 = "> "                      # as the prompts of Python and IPython have it
        for _ in range(2):                  # and the second is not late for having been the first
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for_ever()
            except KeyboardInterrupt:
                time.sleep(3)
        """)
    )
    assert (result.returncode, result.stderr) == (0, "")


# A signal comes, and only two seconds later the handler in Python runs.
HELD_A_WHILE = """
    def hold_a_while(number):
        library = ctypes.PyDLL(None)
        calls = [(getattr(library, "raise"), number), *[(library.poll, None, 0, 10)] * 200]
        try:
            list(itertools.starmap(operator.call, calls))
            for_ever()
        except KeyboardInterrupt:
            os._exit(5)

    def ctrl_c_twice():
        for _ in range(2):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for_ever()
            except KeyboardInterrupt:
                pass
"""

ENDED_BEFORE = {
    "closed": "with interrupt_on_signal(): ctrl_c_twice()",
    "a fork": """
interrupt_on_signal()
ctrl_c_twice()
child = os.fork()
if child != 0:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
}


@pytest.mark.parametrize("ended", ENDED_BEFORE)
def test_signals_are_counted_anew(ended):  # S18, S29, S30
    """The first of the next ones is no third, which would end it although nothing bounds it."""
    source = textwrap.dedent(HEAD) + textwrap.dedent(HELD_A_WHILE)
    source += f"{ENDED_BEFORE[ended]}\ninterrupt_on_signal()\nhold_a_while(signal.SIGINT)\n"
    result = run_script(source)
    assert (result.returncode, result.stderr) == (5, "")


def test_a_child_does_not_answer_for_its_parent():  # S18, S30
    """Nor for a signal of which Python has not heard before the fork: its own comes first."""
    result = run_script(
        "import functools, os, signal\n"
        "os.setpgid(0, 0)\n"  # all before `logging` is imported: nothing in Python runs after it
        "os.register_at_fork(before=functools.partial(os.killpg, 0, signal.SIGTERM))\n"
        + textwrap.dedent(HEAD)
        + textwrap.dedent(f"""
        signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"!"))
        interrupt_on_signal(timeout=1000)
        child = os.fork()
        if child != 0:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        interrupt_on_signal(timeout={GRACE})
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(5)
        """)
    )
    assert (result.returncode, result.stdout, result.stderr) == (5, "!!", "")


def test_nobody_who_forks_is_told_of_another_thread():
    """CPython warns of a fork beside any thread of the system's (3.12)."""
    result = run_script(f"""
        import os, warnings
        warnings.simplefilter("error")
        from interruption import interrupt_on_signal
        interrupt_on_signal(timeout={GRACE})
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("end", ["os.close(2)", "fill(2)"])
def test_it_ends_whatever_becomes_of_its_last_words(end):  # S30
    process = start(f"""
        def fill(fd):
            os.set_blocking(fd, False)
            try:
                while True:
                    os.write(fd, b"x" * 512)
            except BlockingIOError:
                os.set_blocking(fd, True)
        {end}
        interrupt_on_signal(timeout={GRACE})
        hold_the_gil()
    """)
    with process:
        assert process.stdout.readline() == "ready\n"
        until_in_c(process)
        deliver(process, signal.SIGTERM)
        process.wait(PATIENCE)  # nobody reads its stderr meanwhile
    assert process.returncode == -signal.SIGTERM


def test_a_child_of_a_fork_is_not_ended_for_its_parent():  # S18
    """Made while the parent's end is due, which comes first."""
    process = start(f"""
        interrupt_on_signal(timeout={GRACE})
        try:
            ready()
            for_ever()
        finally:
            parent = os.getpid()
            if os.fork() == 0:
                while os.getppid() == parent:
                    time.sleep(0.01)
                time.sleep(1)
                os.write(1, b"child\\n")
                os._exit(0)
            for_ever()
    """)
    status, said, _ = finish(process, signal.SIGTERM)
    assert (status, said) == (-signal.SIGTERM, ["child"])

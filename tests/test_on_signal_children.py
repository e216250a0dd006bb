"""S18, S30: a child of a fork ends by a signal of its own, as without us; not by its parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from support import PATIENCE, run_script
from test_watchdog import HEAD, finish, start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

HOLD = "collections.deque(itertools.repeat(0), maxlen=0)"

# Each leaves `child`, which says that it is there and is then in that state for ever.
FORKS = {
    "os.fork": "child = os.fork()\nif child == 0: be()",
    "multiprocessing": """
process = multiprocessing.get_context("fork").Process(target=be)
process.start()
child = process.pid
""",
    "a library in C": "child = ctypes.PyDLL(None).fork()\nif child == 0: be()",
}

END = """
told, said = os.pipe()
def be():
    os.write(said, b"!")
    {state}
interrupt_on_signal({options})
{fork}
os.read(told, 1)
os.kill(child, signal.{signum})
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("state", ["for_ever()", HOLD], ids=["waits", "holds the GIL"])
@pytest.mark.parametrize("options", ["", "timeout=1000"])
def test_a_signal_to_the_child_ends_it_at_once(fork, state, options):  # S18, S30
    source = END.format(fork=FORKS[fork], state=state, options=options, signum="SIGTERM")
    result = run_script(HEAD + source)
    assert (result.returncode, result.stdout) == (0, f"{-signal.SIGTERM}\n"), result.stderr


def test_a_signal_before_python_is_through_with_the_fork_ends_it():  # S18, S30
    """What was registered before this library was imported runs before it in the child."""
    result = run_script("""
        import os, signal, time
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
        from interruption import interrupt_on_signal
        interrupt_on_signal()
        child = os.fork()
        if child == 0:
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert (result.returncode, result.stdout) == (0, f"{-signal.SIGTERM}\n"), result.stderr


def test_a_handler_of_the_programs_own_is_the_childs_too():  # S18, S30
    result = run_script("""
        import os, signal, time
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
        from interruption import interrupt_on_signal
        interrupt_on_signal()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
        child = os.fork()
        if child == 0:
            time.sleep(100)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert (result.returncode, result.stdout) == (0, "5\n"), result.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_ends_the_child_with_its_parent(signum, tmp_path):  # S30
    """Under `run`, as Ctrl-C in a terminal does it, or a supervisor that means the group.

    Not before the parent is through with the fork, too: Python swallows what is raised there.
    """
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
            import multiprocessing, os, threading
            def work():
                os.write(1, b"ready\\n")
                threading.Event().wait()
            if __name__ == "__main__":
                multiprocessing.get_context("fork").Process(target=work).start()
                os.write(1, b"ready\\n")
                threading.Event().wait()
        """)
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "interruption", "run", "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    with process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        os.killpg(process.pid, signum)
        # The child has the other ends of both pipes: it has ended as well.
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signum


def test_the_exit_is_not_held_up_by_a_child_that_goes_on():  # S30
    process = start(
        """
        interrupt_on_signal(timeout=0.3)
        def child(parent):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while os.getppid() == parent:
                time.sleep(0.01)
            os.write(1, b"goes on\\n")
        multiprocessing.get_context("fork").Process(target=child, args=[os.getpid()]).start()
        ready()
        for_ever()
        """
    )
    status, said, _ = finish(process, signal.SIGTERM)
    assert (status, said) == (-signal.SIGTERM, ["goes on"])

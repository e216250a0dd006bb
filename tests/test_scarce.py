"""Where the system has less to give than it usually has: threads, ctypes, /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import interruption
import pytest
from support import PATIENCE, run_python, run_script, until

# A stack larger than the address space: no thread can be started.
NO_THREADS = """
    import os, signal, sys, threading, time
    from interruption import *

    def work():
        try:
            with allow_interruption:
                threading.Event().wait()
        except ThreadExit as asked:
            os.write(1, f"stopped by {asked.reason}\\n".encode())

    threading.Thread(target=work).start()
    threading.stack_size(1 << 47)
    try:
        threading.Thread(target=work).start()
    except RuntimeError:
        pass
    else:
        sys.exit("there are threads")
"""


def without_threads(source):
    result = run_script(textwrap.dedent(NO_THREADS) + textwrap.dedent(source))
    return result.returncode, result.stdout, result.stderr


def test_without_threads_a_signal_asks_all_and_ends_the_program() -> None:
    """Nobody can wait in the background, so there is no deadline, and no report."""
    source = """
    with interrupt_on_signal(signal.SIGTERM):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(100)
    """
    assert without_threads(source) == (-signal.SIGTERM, "stopped by SIGTERM\n", "")


def test_without_threads_an_exit_asks_all() -> None:
    source = """
    interrupt_on_exit()
    sys.exit(3)
    """
    assert without_threads(source) == (3, "stopped by exit\n", "")


KILLED = """
    import os, sys, time
    from pathlib import Path
    from interruption import run_in_process

    def wait(path):
        Path(path).write_text(str(os.getpid()))
        time.sleep(1000)

    if __name__ == "__main__":
        run_in_process(wait, sys.argv[1])
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
@pytest.mark.parametrize("has_ctypes", [True, False])
def test_a_process_does_not_outlive_a_parent_that_is_killed(tmp_path: Path, has_ctypes) -> None:
    """The system kills it; where it cannot be told to, a thread of the process's own waits."""
    if not has_ctypes:
        (tmp_path / "ctypes.py").write_text("raise ImportError('there is none')")
    (tmp_path / "main.py").write_text(textwrap.dedent(KILLED))
    path = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(path)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    try:
        until(lambda: parent.poll() is not None or (path.exists() and path.read_text()))
        child = int(path.read_text())
    finally:
        parent.kill()
        parent.wait()
    until(lambda: is_over(child))


def is_over(process: int) -> bool:
    """It has gone, or nobody has asked yet how it ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


# Threads that cannot be started. ------------------------------------------------------------------


def test_a_thread_whose_init_was_not_called_says_so_as_ever() -> None:
    class Forgetful(interruption.Thread):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"thread.__init__\(\) not called"):
        Forgetful().start()


@pytest.mark.parametrize("interruptible", [True, False])
def test_a_thread_is_started_once_as_ever(interruptible) -> None:
    runs = []
    thread = interruption.Thread(target=runs.append, args=[1], interruptible=interruptible)
    thread.start()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    thread.join(PATIENCE)
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    assert runs == [1]


# The main thread's ways. --------------------------------------------------------------------------


def test_ctrl_c_ends_an_event_loop_that_has_no_runner() -> None:
    """Nobody but `asyncio.Runner` cancels the main task: it is a KeyboardInterrupt as ever."""
    result = run_script("""
        import asyncio, os, signal
        from interruption import *

        async def work():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(1000)

        loop = asyncio.new_event_loop()
        task = loop.create_task(work())
        with interrupt_on_signal():
            try:
                loop.run_until_complete(task)
            except KeyboardInterrupt:
                print("as ever")
        assert isinstance(task.exception(), KeyboardInterrupt)
        loop.close()
    """)
    assert (result.returncode, result.stdout, result.stderr) == (0, "as ever\n", "")


def test_run_interrupts_whatever_a_partial_calls(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        textwrap.dedent("""
        import functools, os, signal, threading

        def work(first, second):
            try:
                begun.set()
                threading.Event().wait()
            finally:
                print(f"cleaned up {first} {second}", flush=True)

        begun = threading.Event()
        partly = functools.partial(functools.partial(work, 1), 2)
        threading.Thread(target=partly).start()
        begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        """)
    )
    result = run_python("-m", "interruption", "run", tmp_path / "app.py")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "cleaned up 1 2\n")

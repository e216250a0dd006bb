"""What the tests share: threads that report back, and scripts in real processes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

# Long enough for a loaded machine, a debug build, valgrind: reached only when something hangs.
PATIENCE = float(os.environ.get("INTERRUPTION_PATIENCE", "120"))


@contextlib.contextmanager
def told(which: str) -> Iterator[None]:
    """What fails in the block says in which of several it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(which)
        raise


def _is_blocked(folder: str) -> tuple[bool, str]:
    """Does the kernel have the thread asleep, and what would change if it had run meanwhile?"""
    with open(f"{folder}/stat") as stat, open(f"{folder}/status") as status:
        state = stat.read().rpartition(")")[2].split()[0]
        switches = [line for line in status if "ctxt_switches" in line]
    return state == "S", "".join(switches)


def _until_at_rest(look: Callable[[], tuple[bool, object]], pause: float) -> None:
    """Look, after that pause in seconds each time, until four looks found it blocked, not run."""
    deadline = time.monotonic() + PATIENCE
    seen: object = None
    times = 0
    while times < 4:
        assert time.monotonic() < deadline, "it does not block"
        time.sleep(pause)
        blocked, now = look()
        times = times + 1 if blocked and now == seen else 0
        seen = now


def until_blocked(thread: threading.Thread) -> None:
    """Wait until the thread is blocked in what it has called: asleep, while the GIL is free.

    It has said before that it is about to call. Where the kernel does not tell, give it time.
    """
    # Python 3.11 has the parent's number in the child of a fork.
    native_id = os.getpid() if thread is threading.main_thread() else thread.native_id
    assert native_id is not None
    if not Path("/proc/self/task").exists():
        time.sleep(0.2)
        return
    # In the pause, whoever waits for the GIL runs.
    _until_at_rest(lambda: _is_blocked(f"/proc/self/task/{native_id}"), 0.0005)


def until_process_blocked(process: subprocess.Popen[str]) -> None:
    """Wait until every thread of another process is blocked: all asleep, so nobody has the GIL.

    Then a KeyboardInterrupt is raised where its main thread waits. A moment earlier it may become a
    RuntimeError, as by any Ctrl-C: while ``threading.Condition.wait`` gives up its lock.

    Where the kernel does not tell, give it time.
    """
    tasks = Path(f"/proc/{process.pid}/task")
    if not tasks.exists():
        time.sleep(0.2)
        return

    def look() -> tuple[bool, object]:
        assert process.poll() is None, "the process has ended"
        try:
            now = [_is_blocked(str(task)) for task in sorted(tasks.iterdir())]
        except (FileNotFoundError, ProcessLookupError):  # a thread has ended meanwhile
            return False, None
        return bool(now) and all(asleep for asleep, _ in now), now

    _until_at_rest(look, 0.005)


class Started:
    """A thread that runs ``body`` and keeps what it returned or raised.

    ``ready`` is for the body to say how far it is; ``go`` for the test to let it go on.
    """

    def __init__(
        self, body: Callable[[Started], Any], *, thread_type: type = threading.Thread
    ) -> None:
        self.ready = threading.Event()
        self.go = threading.Event()
        self.raised: BaseException | None = None
        self.returned: Any = None
        self._body = body
        self.thread = thread_type(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.returned = self._body(self)
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            # What its frames hold is dropped here, not by the garbage collector, of which a
            # BytesIO's buffer among it is not safe.
            traceback.clear_frames(error.__traceback__)
            self.raised = error

    def until_ready(self) -> Started:
        assert self.ready.wait(PATIENCE), "the thread did not get ready"
        return self

    def until_blocked(self) -> Started:
        """Wait until it is ready, and blocked in what it does then."""
        self.until_ready()
        until_blocked(self.thread)
        return self

    def finish(self) -> Any:
        """Let it go on, wait for its end, and return what it returned."""
        self.go.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the thread did not end"
        if self.raised is not None:
            raise self.raised
        return self.returned

    def __enter__(self) -> Started:
        return self.until_ready()

    def __exit__(self, *exc_info: object) -> None:
        self.go.set()
        self.thread.join(PATIENCE)


def until(what: Callable[[], Any]) -> None:
    """Look again and again, for what nobody tells: ever less often, as others want to run."""
    deadline = time.monotonic() + PATIENCE
    pause = 0.0005
    while not what():
        assert time.monotonic() < deadline
        time.sleep(pause)
        pause = min(1.2 * pause, 0.02)


def in_thread(body: Callable[[], Any]) -> Any:
    """Run ``body`` in a thread of its own; return what it returns, raise what it raises."""
    return Started(lambda _: body()).finish()


EXAMPLES = Path(__file__).parents[1] / "examples"


def start_example(name: str, *arguments: object, **popen: Any) -> subprocess.Popen[str]:
    """Start one of the examples, as a user would."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, **popen}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def compile_library(source: str, folder: Path) -> str:
    """A library in C, for ctypes: where it is."""
    (folder / "library.c").write_text(textwrap.dedent(source))
    compiler = sysconfig.get_config_var("CC").split()
    command = [*compiler, "-shared", "-fPIC", "-o", "library.so", "library.c"]
    subprocess.run(command, cwd=folder, check=True)
    return str(folder / "library.so")


def run_python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python process to its end; whatever that is, and what was said, is returned."""
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("timeout", PATIENCE)
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


EVERYTHING = "from interruption import *"


def with_what_it_names(source: str) -> str:
    """The script, with only those names of the library imported that occur in it.

    All of them take a tenth of a second: most of what a short script takes.
    """
    import interruption

    named = set(re.findall(r"(?<![.\w])\w+", source))
    names = [name for name in interruption.__all__ if name in named] or ["__version__"]
    return source.replace(EVERYTHING, f"from interruption import {', '.join(names)}")


def start_script(source: str, *arguments: str, **popen: Any) -> subprocess.Popen[str]:
    """Start a Python process on that source. Fork warnings are not what these scripts are about,
    nor what debug builds alone say of files that the end of the process closes.
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning"]
    command += ["-X", "faulthandler"]
    return subprocess.Popen(
        [*command, "-c", with_what_it_names(textwrap.dedent(source)), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


def run_script(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with start_script(source, *arguments) as process:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def expect_script(source: str, *arguments: str, stdout: str = "") -> None:
    """Run it; it must succeed, print exactly that, and nothing on stderr."""
    result = run_script(source, *arguments)
    found = (result.returncode, result.stdout, result.stderr)
    assert found == (0, stdout, ""), f"{result.stdout}\n{result.stderr}"

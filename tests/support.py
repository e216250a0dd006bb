"""What the tests share: threads that report back, and scripts in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

# Long enough for a loaded machine, a debug build, valgrind: reached only when something hangs.
PATIENCE = 120.0


def scaled(count: int) -> int:
    """``count``, scaled by INTERRUPTION_STRESS percent; at least one."""
    return max(1, count * int(os.environ.get("INTERRUPTION_STRESS", "100")) // 100)


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
            self.raised = error

    def until_ready(self) -> Started:
        assert self.ready.wait(PATIENCE), "the thread did not get ready"
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


def in_thread(body: Callable[[], Any]) -> Any:
    """Run ``body`` in a thread of its own; return what it returns, raise what it raises."""
    return Started(lambda _: body()).finish()


def start_script(source: str, *arguments: str, **popen: Any) -> subprocess.Popen[str]:
    """Start a Python process on that source. Fork warnings are not what these scripts are about."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler"]
    return subprocess.Popen(
        [*command, "-c", textwrap.dedent(source), *arguments],
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
    assert (result.returncode, result.stdout, result.stderr) == (0, stdout, "")

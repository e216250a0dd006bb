"""Children that are waited for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
from typing import Any

from .base import Call


class _Child(Call):
    """A child, which nobody else waits for."""

    forks = False  # it is none of the fork's

    def __init__(self) -> None:
        # It keeps nothing open that somebody waits for, when it outlives a test of the exit.
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(
            ["sleep", "300"],  # noqa: S607
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
        )
        self.pid = self.process.pid

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # it has been reaped already
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def check_untouched(self) -> None:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        assert os.waitid(os.P_PID, self.pid, options) is None

    def shown(self, result: Any) -> Any:
        """Without its number."""
        return [value for value in result if value != self.pid and isinstance(value, int)]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def reaped(self) -> None:
        with_pid = self.process
        with_pid.returncode = with_pid.returncode or 0


class Waitpid(_Child):
    def wait(self) -> Any:
        return os.waitpid(self.pid, 0)

    def shown(self, result: Any) -> Any:
        return list(result[1:]) if result[0] == self.pid else result


class WaitpidAny(_Child):
    def wait(self) -> Any:
        return os.waitpid(-1, 0)

    def shown(self, result: Any) -> Any:
        return list(result[1:]) if result[0] == self.pid else result


class WaitpidGroup(_Child):
    def wait(self) -> Any:
        return os.waitpid(0, 0)

    shown = WaitpidAny.shown


class WaitpidStopped(_Child):
    def wait(self) -> Any:
        return os.waitpid(self.pid, os.WUNTRACED)

    shown = WaitpidAny.shown


class Wait(_Child):
    def wait(self) -> Any:
        return os.wait()


class Wait4(_Child):
    def wait(self) -> Any:
        return os.wait4(self.pid, options=0)


class PopenWait(_Child):
    def wait(self) -> Any:
        return self.process.wait()

    def timed(self, seconds: float) -> Any:
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "timed out"

    def shown(self, result: Any) -> Any:
        return result


class ProcessJoin(_Child):
    def __init__(self) -> None:
        self.process = multiprocessing.get_context("spawn").Process(
            target=signal.pause,
            daemon=True,  # else the interpreter would wait for it at its end
        )
        self.process.start()
        self.pid = self.process.pid

    def wait(self) -> Any:
        return self.process.join(), self.process.exitcode

    def shown(self, result: Any) -> Any:
        return result

    def close(self) -> None:
        self.process.kill()
        self.process.join()

"""Children that are waited for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from .base import Call, leave_out


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

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitpid(self.pid, os.WNOHANG),
            lambda: os.waitpid(os.getpid(), 0),
            lambda: os.waitpid(-os.getpid(), 0),
            lambda: os.waitpid(2**40, 0),
            lambda: os.waitpid(2**30, 0),
            lambda: os.waitpid(self.pid, 1 << 20),
            lambda: os.waitpid(str(self.pid), 0),
            lambda: os.waitpid(self.pid),
            lambda: os.waitpid(self.pid, 0, 0),
            lambda: os.waitpid(self.pid, None),
        ]

    def shown(self, result: Any) -> Any:
        return list(result[1:]) if result[0] == self.pid else result


class WaitpidAny(_Child):
    def wait(self) -> Any:
        return os.waitpid(-1, 0)

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitpid(-1, os.WNOHANG),
            lambda: os.waitpid(-1, -1),
            lambda: os.waitpid(-1, "0"),
        ]

    def shown(self, result: Any) -> Any:
        return list(result[1:]) if result[0] == self.pid else result


class WaitpidGroup(_Child):
    def wait(self) -> Any:
        return os.waitpid(0, 0)

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: os.waitpid(0, os.WNOHANG), lambda: os.waitpid(-(2**30), 0)]

    shown = WaitpidAny.shown


class WaitpidStopped(_Child):
    def wait(self) -> Any:
        return os.waitpid(self.pid, os.WUNTRACED)

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitpid(self.pid, os.WUNTRACED | os.WNOHANG),
            lambda: os.waitpid(os.getpid(), os.WUNTRACED),
        ]

    shown = WaitpidAny.shown


class Wait(_Child):
    def wait(self) -> Any:
        return os.wait()

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: os.wait(1)]


class Wait3(_Child):
    def wait(self) -> Any:
        return os.wait3(0)

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: os.wait3("0"), lambda: os.wait3(), lambda: os.wait3(options=None)]


class Wait4(_Child):
    def wait(self) -> Any:
        return os.wait4(self.pid, options=0)

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.wait4(os.getpid(), 0),
            lambda: os.wait4(self.pid),
            lambda: os.wait4(pid=self.pid, options="0"),
        ]


class Waitid(_Child):
    def wait(self) -> Any:
        return tuple(os.waitid(os.P_PID, self.pid, os.WEXITED))

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitid(os.P_PID, self.pid, 0),
            lambda: os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG),
            lambda: os.waitid(os.P_PID, os.getpid(), os.WEXITED),
            lambda: os.waitid(os.P_PID, -1, os.WEXITED),
            lambda: os.waitid(99, self.pid, os.WEXITED),
            lambda: os.waitid(os.P_PID, self.pid),
            lambda: os.waitid(os.P_PID, self.pid, None),
        ]


class WaitidAny(_Child):
    def wait(self) -> Any:
        return tuple(os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED))

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG),
            lambda: os.waitid(os.P_ALL, 0, 0),
            lambda: os.waitid(os.P_PGID, 2**30, os.WEXITED),
        ]

    def shown(self, result: Any) -> Any:
        return None if result is None else super().shown(result)


class WaitidDescriptor(_Child):
    def wait(self) -> Any:
        descriptor = os.pidfd_open(self.pid)
        try:
            return tuple(os.waitid(os.P_PIDFD, descriptor, os.WEXITED))
        finally:
            os.close(descriptor)

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: os.waitid(os.P_PIDFD, 100000, os.WEXITED),
            lambda: os.waitid(os.P_PIDFD, -1, os.WEXITED),
            lambda: os.waitid(os.P_PIDFD, 0, os.WEXITED),
        ]


class PopenWait(_Child):
    def wait(self) -> Any:
        return self.process.wait()

    def timed(self, seconds: float) -> Any:
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "timed out"

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: self.timed(-1), lambda: self.process.wait("1"), self.process.poll]

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

    def errors(self) -> list[Callable[[], Any]]:
        join = self.process.join
        return [lambda: join(0), lambda: join(-1), lambda: join("1"), lambda: join(1, 2)]

    def shown(self, result: Any) -> Any:
        return result

    def close(self) -> None:
        self.process.kill()
        self.process.join()


if not hasattr(os, "pidfd_open"):
    leave_out("WaitidDescriptor")

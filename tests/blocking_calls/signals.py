"""Signals that are waited for."""

from __future__ import annotations

import signal
import threading
from typing import Any

from .base import Call, leave_out

NUMBER = signal.SIGUSR2


class _Signal(Call):
    """Sent to the thread that waits, where it is blocked."""

    remembers = False  # it goes to a thread that waits
    shared = False
    forks = False

    def __init__(self) -> None:
        self.waiter: int | None = None

    def wait(self) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, [NUMBER])
        self.waiter = threading.get_ident()
        try:
            return self.take()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [NUMBER])

    def take(self) -> Any:
        raise NotImplementedError

    def end(self) -> None:
        assert self.waiter is not None
        signal.pthread_kill(self.waiter, NUMBER)

    def shown(self, result: Any) -> Any:
        return result if isinstance(result, int) or result is None else result.si_signo


class Sigwait(_Signal):
    def take(self) -> Any:
        return signal.sigwait({NUMBER, signal.SIGUSR2})


class Sigwaitinfo(_Signal):
    def take(self) -> Any:
        return signal.sigwaitinfo([NUMBER])


class Sigtimedwait(_Signal):
    def take(self) -> Any:
        return signal.sigtimedwait((NUMBER,), 1000)

    def timed(self, seconds: float) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, [NUMBER])
        self.waiter = threading.get_ident()
        return signal.sigtimedwait([NUMBER], seconds)


for one in ("sigwait", "sigwaitinfo", "sigtimedwait"):
    if not hasattr(signal, one):
        leave_out(one.capitalize())

"""Calls that were asked to stop and go on are named in the log, once: for who runs others' code.

The modules for frameworks do so by this.
"""

import contextlib
import functools
import logging
import os
import threading
import time
from typing import Any, Self

from . import Thread, ThreadExit, explain

__all__ = ["Watch"]

_IDLE = 1.0  # seconds after which the thread ends, at most, when nothing is left to be looked at
_guard = threading.Condition()
_due: dict["Watch", float] = {}  # who is looked at when; of all threads, an operation at a time
_wakes = 0.0  # when the thread looks next: guarded by _guard, as the next
_thread: threading.Thread | None = None


class Watch:
    """A call in a thread: whoever runs it does so in ``with watch:``, whoever asks it expects.

    name: what the log calls it, or the function, of which the log says where it is written. The
        attribute of that name may be set until then.
    logger: the name of the one that gets a warning, with what ``explain`` says.
    after: seconds that it has, once it has been asked.

    ValueError: ``after`` is less than 0, or NaN.
    """

    def __init__(self, name: object, logger: str, after: float) -> None:  # noqa: D107
        if not after >= 0:
            raise ValueError(f"report_after is {after}: give seconds, 0 or more")
        self.name = name
        self._logger = logger
        self._after = after
        self._thread: threading.Thread | None = None  # while it runs; written by that thread
        self._expected: tuple[float, str] | None = None  # when it is to have ended, and why
        self._told = False  # of the thread that looks

    def __enter__(self) -> Self:
        """It begins, in this thread."""
        self._thread = threading.current_thread()
        self._have_looked_at()
        return self

    def __exit__(self, *_: object) -> None:
        """It has ended: nothing is said of it any more."""
        self._thread = None
        _due.pop(self, None)

    def expect_end(self, reason: str, when: float | None = None) -> None:
        """It has been asked: have it logged if it does not end in time. The earliest counts.

        It may not have begun yet.

        reason: why it is to stop.
        when: the time at which it is asked, by ``time.monotonic()``; now, unless given.
        """
        due = (time.monotonic() if when is None else when) + self._after
        if self._expected is None or due < self._expected[0]:
            self._expected = due, reason
            self._have_looked_at()

    def _have_looked_at(self) -> None:
        # Whoever begins it, and whoever expects its end, looks for the other behind its own mark.
        if self._thread is None or self._expected is None:
            return
        due, _ = self._expected
        _due[self] = due
        if self._thread is None:  # it has ended meanwhile
            _due.pop(self, None)
        else:
            _look_at(due)

    def _report(self) -> None:
        thread, expected = self._thread, self._expected
        if thread is None or expected is None or self._told:
            return
        why = explain(thread)
        if self._thread is thread:  # else that may be about the next call
            self._told = True
            message = "%s still runs, %g s after it was asked to stop (%s): %s"
            told = (_described(self.name), self._after, expected[1], why)
            logging.getLogger(self._logger).warning(message, *told)


def _described(name: Any) -> str:
    while isinstance(name, functools.partial):
        name = name.func
    code = getattr(name, "__code__", None)
    place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
    return f"{getattr(name, '__qualname__', name)}{place}"


def _look_at(due: float) -> None:
    global _thread  # noqa: PLW0603
    with _guard:
        if _thread is not None and _thread.is_alive():
            if due < _wakes:
                _guard.notify()
            return
        _thread = Thread(target=_look, name="overdue", daemon=True, interruptible=True)
        with contextlib.suppress(RuntimeError):  # too many, or the interpreter ends: the next tries
            _thread.start()


def _look() -> None:
    """The thread; it ends, too, when it is asked as all threads are."""
    with contextlib.suppress(ThreadExit):
        while _look_once():
            pass


def _look_once() -> bool:
    global _thread, _wakes  # noqa: PLW0603
    with _guard:
        now, due = time.monotonic(), _due.copy()
        late = [watch for watch, when in due.items() if when <= now]
        if not due:
            _thread = None
            return False
        if not late:
            _wakes = min(*due.values(), now + _IDLE)
            _guard.wait(_wakes - now)
    for watch in late:
        _due.pop(watch, None)
        watch._report()  # noqa: SLF001
    return True


def _after_fork_in_child() -> None:
    global _guard, _thread, _wakes
    _guard, _thread, _wakes = threading.Condition(), None, 0.0
    _due.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

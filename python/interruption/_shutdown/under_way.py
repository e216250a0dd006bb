"""A shutdown that has begun, for a signal or at the end, and the thread that waits for the others.

That thread is the only one that looks at an ``UnderWay`` besides the main thread, which makes it.
"""

import _thread
import contextlib
import math
import threading

from .._interruption import _seconds, _start_thread
from . import ending
from .shutdown import Shutdown, tell

# How many seconds the end of the interpreter waits for the last words of a shutdown: they go
# through handlers of `logging`, which may wait for a thread that has been given up.
_LAST_WORDS = 2.0

# So many seconds after the deadline the process is ended, whatever it is doing. In between, those
# who did not stop are reported, functions of `atexit` run, and files are flushed.
MARGIN = 2.0

# So many seconds a signal may go unseen that would have ended the process without us, if nothing
# was said of a time. Who is to wait for ever says so (math.inf).
UNLESS_SAID = 10.0


class Options:
    """What an installation was asked for."""

    def __init__(
        self,
        timeout: float | None,
        reason: str | None,
        report_after: float | None,
        *,
        bounds_all: bool = True,
    ) -> None:
        _seconds(timeout, "timeout")
        _seconds(report_after, "report_after")
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"reason must be a str or None, not {type(reason).__name__}")
        self.timeout = timeout
        self.reason = reason
        self.report_after = report_after
        self.bounds_all = bounds_all  # the timeout is for the whole process, not only for threads

    def process_ends_within(self, *, fatal: bool) -> float:
        """How long a signal may go unseen, in seconds; infinite: as long as it takes.

        fatal: without us it would have ended the process at once. Then this is also how long the
            GIL may be held, once the signal has been seen.
        """
        if self.timeout is None:
            return UNLESS_SAID if fatal else math.inf
        return _seconds(self.timeout, "timeout") + MARGIN if self.bounds_all or fatal else math.inf


class UnderWay(Shutdown):
    """A shutdown that a thread of its own waits for while the main thread does what it does."""

    def __init__(self, options: Options, reason: str, origin: int) -> None:
        super().__init__(
            options.reason or reason,
            options.timeout,
            options.report_after,
            without=(threading.main_thread(),),
            origin=origin,
        )
        self.options = options
        self._stop = _thread.allocate_lock()  # released to wake the thread
        self._stop.acquire()
        self._done = _thread.allocate_lock()  # held until the thread has said its last word

    def begin(self, begun: "list[UnderWay]", *, goes_on: bool, once: bool) -> None:
        """Ask all threads, and let a thread wait for them. Safe in a signal handler (S20).

        begun: where it is noted before the thread starts.
        goes_on: all have been asked by an earlier one, which has ended.
        once: those who have been asked already are not asked again.
        """
        if goes_on:
            self.go_on()
        else:
            self.ask(once=once)
        self._done.acquire()
        begun.append(self)
        try:
            # Not threading.Thread: its start() takes locks, and it would be waited for.
            _start_thread(self._run)
        except RuntimeError:  # the system has none
            self._done.release()

    def _run(self) -> None:
        try:
            self.wait()
            report = self.report()
            for thread in self.running():
                ending.give_up(thread)  # first of all: what logs may have to wait
            tell(report)
        finally:
            self._done.release()

    def _pause(self, seconds: float) -> None:
        self._stop.acquire(timeout=seconds)

    def stop_waiting(self) -> None:
        """Let ``wait`` return. For any thread, and any signal handler."""
        self.deadline = -math.inf
        with contextlib.suppress(RuntimeError):  # it has been done before
            self._stop.release()

    def is_done(self) -> bool:
        """Whether the thread has nothing left to do."""
        return not self._done.locked()

    def until_done(self) -> None:
        """Wait until it has come to its end, but not for ever."""
        if self._done.acquire(timeout=_LAST_WORDS):
            self._done.release()

"""Ask all threads to stop, wait for them with one deadline, and tell what became of each."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .._arguments import flag
from .._explain import Explanation, Place, and_locked, explain, groups_of, left_locked
from .._interruption import (
    _ask,
    _begin_shutdown,
    _end_shutdown,
    _inspect,
    _is_helper,
    _requested_of,
    _seconds,
    _take_back,
)
from . import ending

LOGGER = "interruption.shutdown"
_WARNING, _INFO = 30, 20  # those of logging

# After so many seconds of waiting, who still runs is reported for the first time.
REPORT_AFTER = 5.0

# No event tells that one of many threads has ended, so they are looked at: at first at once, later
# when a tenth more of the time has gone by, and at least so often (in seconds).
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1


def new_origin() -> int:
    """A number by which requests can be taken back; no two are the same, and none is 0."""
    return 1 + int.from_bytes(os.urandom(7))


@dataclass(frozen=True)
class ThreadReport:
    """What became of one thread that was asked to stop.

    name, ident, daemon: the thread's.
    stopped: whether it has stopped.
    seconds: after how long, from the beginning of the shutdown; to a tenth of that, for the threads
        are looked at in turns. Of one that has not stopped: how long it was waited for.
    explanation: why it has not stopped, with its stack, as ``explain`` tells it (S19);
        None if it has.
    locked: where the thread took the locks that it has left locked, each a tuple of ``filename``,
        ``lineno`` and ``function`` (S31); empty, but for code that takes a lock without ``with``
        and ``finally``, and waits.
    groups: the groups that it runs a task of, innermost first, as in ``Explanation`` (S28). The
        scopes that it is in are in its explanation.
    """

    name: str
    ident: int
    daemon: bool
    stopped: bool
    seconds: float
    explanation: Explanation | None
    locked: tuple[Place, ...] = ()
    groups: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For people: a line; of a thread that still runs, the reason and the stack below it."""
        if self.explanation is None:
            of = "".join(f"; of {group}" for group in self.groups[:1])
            return f"{self.name}: stopped after {self.seconds:.3f} s{and_locked(self.locked)}{of}"
        stack = [line.rstrip() for line in self.explanation.stack.format()]
        return "\n".join([f"{self.name}: still runs: {self.explanation.reason}", *stack])


@dataclass(frozen=True)
class ShutdownReport:
    """What became of the threads that a shutdown has asked (S3); ``str()`` of it is for people.

    reason: what the threads were asked with, or None.
    timeout: how many seconds they were given, or None.
    seconds: how many it took.
    threads: a report for each, in the order in which they were seen.
    """

    reason: str | None
    timeout: float | None
    seconds: float
    threads: tuple[ThreadReport, ...]

    @property
    def stopped(self) -> tuple[ThreadReport, ...]:
        """The threads that have stopped."""
        return tuple(thread for thread in self.threads if thread.stopped)

    @property
    def running(self) -> tuple[ThreadReport, ...]:
        """The threads that have not."""
        return tuple(thread for thread in self.threads if not thread.stopped)

    @property
    def locked(self) -> tuple[Place, ...]:
        """Where threads that were stopped took what they have left locked (S31)."""
        return tuple(place for thread in self.threads for place in thread.locked)

    def __str__(self) -> str:
        """A line that sums it up, one for each thread that stopped, more for those that did not."""
        count = len(self.threads)
        head = f"{len(self.stopped)} of {count} thread{'s' * (count != 1)} stopped"
        if self.running:
            head += f", {len(self.running)} still running"
        head += f" after {self.seconds:.3f} s"
        if self.reason is not None:
            head += f" ({self.reason})"
        body = "\n".join(str(thread) for thread in (*self.stopped, *self.running))
        return "\n".join([head, *(f"  {line}" for line in body.splitlines())])


def prepare_log() -> None:
    """Import what ``_log`` needs, while nothing is in a hurry."""
    import logging  # noqa: F401, PLC0415


class _Now:
    """Who is told of reports beside the log: by their level, the text that they are put in."""

    teller: Callable[[int, str, ShutdownReport], None] | None = None


def tell_by(teller: Callable[[int, str, ShutdownReport], None]) -> None:
    """Call that, too, with all that is logged; the log is silent where nobody handles it."""
    import logging  # noqa: PLC0415

    logging.getLogger(LOGGER).addHandler(logging.NullHandler())
    _Now.teller = teller


def _log(level: int, text: str, report: ShutdownReport) -> None:
    import logging  # noqa: PLC0415  (costs more than all of this package)

    if _Now.teller is not None:
        _Now.teller(level, text, report)
    logging.getLogger(LOGGER).log(level, text, report, extra={"report": report})


class Shutdown:
    """One shutdown under way.

    ``ask`` or ``go_on``, and then ``wait``, are called by one thread after the other; in between,
    and after ``wait``, the members are nobody's. ``deadline`` may be set by any thread. No lock is
    taken: the thread may have been stopped anywhere by the handler that it is called in (S20).
    """

    def __init__(  # noqa: PLR0913  (keywords)
        self,
        reason: str | None,
        timeout: float | None,
        report_after: float | None,
        *,
        daemon: bool = False,
        without: Iterable[threading.Thread] = (),
        origin: int = 0,
    ) -> None:
        self.reason = reason
        self.timeout = timeout
        self.began = time.monotonic()
        self.deadline = self.began + _seconds(timeout, "timeout")
        self._report_at = self.began + _seconds(report_after, "report_after")
        self._daemon = daemon
        self._without = frozenset(without)  # replaced, by any thread: see let_be
        self._origin = origin
        self._ended: dict[threading.Thread, float | None] = {}  # when each was seen to have ended
        self._beginning: dict[threading.Thread, float] = {}  # since when, who has not begun yet
        self._asked = False
        self._alone = False  # set by any thread: whoever is new has nothing to do with it

    def ask(self, *, once: bool = False) -> None:
        """Ask all threads but the calling one; those that are born from now on are born asked.

        once: but for those that somebody has asked already.
        """
        self._note()
        _begin_shutdown(self.reason, self._origin, True, once)  # noqa: FBT003  (in C)
        self._asked = True

    def go_on(self) -> None:
        """Ask whom an earlier one has not seen. Who was started by cleanup is let alone (S30)."""
        self._asked = True
        self._note()

    def let_be(self, threads: Iterable[threading.Thread]) -> None:
        """Have nothing more to do with them: what was asked has been taken back."""
        self._without |= frozenset(threads)

    def leave_newcomers_alone(self) -> None:
        """Neither ask nor wait for who has not been seen yet."""
        self._alone = True

    def wait(self) -> None:
        """Wait until all have ended, or the deadline."""
        while True:
            self._note()
            now, deadline = time.monotonic(), self.deadline
            if now >= deadline:
                return
            if not (self.running() or self._somebody_begins(now)):
                return
            if now >= self._report_at:
                self._report_at = math.inf
                _log(_WARNING, "still waiting: %s", self.report())
                continue
            pause = min(max((now - self.began) / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self._pause(min(pause, deadline - now))

    def _pause(self, seconds: float) -> None:
        """In a region it is interrupted, as ``shutdown`` is to be (S10)."""
        time.sleep(seconds)

    def running(self) -> list[threading.Thread]:
        """The threads that have not been seen to have ended."""
        left_out = self._without
        return [
            thread
            for thread, ended in self._ended.items()
            if ended is None and thread not in left_out
        ]

    def _somebody_begins(self, now: float) -> bool:
        """Whether a thread is just being started, which is one to be waited for when it runs."""
        if self._alone:
            return False
        self._beginning = {
            thread: self._beginning.get(thread, now)
            for thread in threading.enumerate()
            if thread.ident is None and (self._daemon or not thread.daemon)
        }
        return any(now - since < ending.BEGINS_WITHIN for since in self._beginning.values())

    def report(self) -> ShutdownReport:
        """What there is to tell now."""
        now = time.monotonic()
        threads = tuple(
            self._report_on(thread, ended, now)
            for thread, ended in self._ended.items()
            if ended is not None or thread not in self._without
        )
        return ShutdownReport(self.reason, self.timeout, now - self.began, threads)

    def _report_on(self, thread: threading.Thread, ended: float | None, now: float) -> ThreadReport:
        explanation = explain(thread) if ended is None else None
        if explanation is not None and explanation.state == "finished":
            explanation = None
        if explanation is not None:
            explanation = explanation.as_data()  # it may go anywhere, as in the record of a log
        seconds = (now if ended is None else ended) - self.began
        return ThreadReport(
            thread.name,
            thread.ident or 0,
            thread.daemon,
            explanation is None,
            seconds,
            explanation,
            left_locked(thread),
            groups_of(thread),
        )

    def _note(self) -> None:
        """Who is there, and who is not any more. Asks those that it has not seen before."""
        there = [thread for thread in threading.enumerate() if self._is_waited_for(thread)]
        now = time.monotonic()
        for thread in there:
            if thread not in self._ended and not self._alone:
                self._ended[thread] = None
                if self._asked:
                    self._ask_newcomer(thread)
        alive = frozenset(there)
        for thread in self.running():
            # One that has ended leaves the list of `threading` first, and is alive a moment longer.
            if thread not in alive and (ending.is_given_up(thread) or not thread.is_alive()):
                self._ended[thread] = now

    def _is_waited_for(self, thread: threading.Thread) -> bool:
        if (
            thread.ident in (None, threading.get_ident())
            or thread in self._without
            or (thread.daemon and not self._daemon)
            or isinstance(thread, threading._DummyThread)  # noqa: SLF001  (of a C library)
            or ending.is_given_up(thread)
        ):
            return False
        # `threading` keeps the main thread in its list when that is past its last line.
        return thread is not threading.main_thread() or thread.is_alive()

    def _ask_newcomer(self, thread: threading.Thread) -> None:
        """One that had looked before threads were born asked, and had not been there before.

        Who was started by cleanup is let alone, which waits for it.
        """
        try:
            if not (_is_helper(thread) or _requested_of(thread)):
                _ask(thread, self.reason, self._origin)
        except (RuntimeError, ValueError):
            pass  # it has just ended


def take_back(origin: int, *, who_polls: bool) -> list[threading.Thread]:
    """Take back what was asked by that number and has not been delivered (S29).

    A thread that is in a region is about to stop, and is let stop. So is one that has polled for
    requests by itself; who_polls: not that one.

    Returns the threads that are as if they had not been asked.
    """
    taken = []
    for thread in threading.enumerate():
        try:
            found = _inspect(thread)
            outside = found is not None and found[2] == "not in a region"
            if outside and _take_back(thread, origin, who_polls):
                taken.append(thread)
        except (RuntimeError, ValueError):
            pass  # it has not begun, or has ended
    return taken


def tell(report: ShutdownReport) -> None:
    """Log how it has ended."""
    _log(_WARNING if report.running or report.locked else _INFO, "%s", report)


def shutdown(
    timeout: float | None = None,
    *,
    reason: str | None = None,
    daemon: bool = False,
    report_after: float | None = REPORT_AFTER,
    abandon: bool = True,
) -> ShutdownReport:
    """Ask all threads but the calling one to stop, and wait until they have.

    Every live Python thread is asked, as by ``interrupt_all_threads`` (S3). Threads that are
    started meanwhile are born asked: in a region they do not run at all (S7). Waits for the threads
    of ``threading``, of whatever library, with one deadline for all.

    timeout: seconds to wait, zero or more; None: no limit.
    reason: a text that the threads' ``ThreadExit`` carries, or None.
    daemon: wait for daemon threads, too, and report on them. They are asked in any case.
    report_after: seconds after which those that still run are logged, while they are waited for;
        None: not before the end.
    abandon: the end of the program does not wait for those that still run when the time is up. If
        false, it waits for them as ever.

    Returns a ``ShutdownReport``: which threads have stopped, after how long; which still run, and
    why. That is logged by the logger ``interruption.shutdown``: as a warning if a thread still
    runs or has left a lock locked, else as information; the record has it as ``report``.

    When it returns, threads outside of regions that it has not stopped are no longer asked (S29).

    Any thread may call it; it waits for the main thread to be past its last line. It waits as any
    blocking call: signal handlers run, and in a region ``ThreadExit`` is raised (S10).

    TypeError, ValueError: an argument of another type, or negative; then nobody is asked.
    """
    origin = new_origin()
    under_way = Shutdown(
        reason, timeout, report_after, daemon=flag(daemon, "daemon"), origin=origin
    )
    abandon = flag(abandon, "abandon")
    under_way.ask()
    try:
        under_way.wait()
    finally:
        _end_shutdown()
    if abandon:
        for thread in under_way.running():
            ending.abandon(thread)
    report = under_way.report()
    take_back(origin, who_polls=True)
    tell(report)
    return report

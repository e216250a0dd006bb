"""ThreadPoolExecutor: a future is cancelled with a class and a reason."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest
from executor_parts import Busy, outcome, start_waiting
from interruption import (
    Scope,
    ThreadExit,
    _future,
    allow_interruption,
    check_interrupt,
    interruption_requested,
    on_interrupt,
)
from support import PATIENCE, until


class TooSlow(Exception):
    pass


class Watched(Busy):
    """Tells what it is stopped by."""

    def __call__(self):
        try:
            return super().__call__()
        except BaseException as error:
            self.seen.append((type(error), getattr(error, "reason", None)))
            raise


@pytest.mark.parametrize(
    ("arguments", "raised"),
    [
        ((), (ThreadExit, None)),
        ((ThreadExit, "why"), (ThreadExit, "why")),
        ((None, "why"), (ThreadExit, "why")),
        ((TooSlow,), (TooSlow, None)),
        ((TooSlow, "10 s"), (TooSlow, "10 s")),
        ((KeyboardInterrupt,), (KeyboardInterrupt, None)),
    ],
)
def test_a_cancel_carries_class_and_reason(single, arguments, raised):  # S2, S29
    busy = Watched()
    future = busy.submitted(single)
    assert future.running()
    assert future.cancel(*arguments) is True
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert outcome(future) == "cancelled"
    assert busy.seen[-2:] == ["cleaned up", raised]
    assert single.submit(interruption_requested).result(PATIENCE) is False  # the next task
    assert single.submit(threading.current_thread).result(PATIENCE) is busy.thread


def test_a_blocked_task_is_woken_by_that_class(single):  # S10, S29
    told = []

    def task():
        try:
            time.sleep(3600)
        except TooSlow as error:
            told.append(error.reason)
            raise

    future = start_waiting(single, task)
    assert future.cancel(exc_type=TooSlow, reason="why") is True
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert told == ["why"]


def test_a_task_that_looks_is_told_that_class(single):  # S5, S29
    hold = threading.Event()

    def task():
        with pytest.raises(TooSlow, match=r"^$"):
            while True:
                hold.set()
                time.sleep(3600)
        with pytest.raises(TooSlow):
            check_interrupt()
        return "went on"

    future = single.submit(task)
    assert hold.wait(PATIENCE)
    assert future.cancel(TooSlow) is True
    assert future.result(PATIENCE) == "went on"


def test_the_first_that_waits_counts_and_a_later_one_insists(single):  # S8, S29
    cleaning, hold = threading.Event(), threading.Event()
    seen = []

    def clean():
        cleaning.set()
        try:
            hold.wait(PATIENCE)
        except BaseException as error:
            seen.append(type(error))
            raise

    busy = Watched(cleanup=clean)
    future = busy.submitted(single)
    assert future.cancel(TooSlow) is True
    assert cleaning.wait(PATIENCE)
    assert future.running()
    assert future.cancel(OSError) is True  # it is in cleanup, and asked once more
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert seen == [OSError]


def test_that_class_raised_without_being_asked_is_the_outcome(single):
    def fail():
        raise TooSlow("of itself")

    future = single.submit(fail)
    with pytest.raises(TooSlow):
        future.result(PATIENCE)
    busy = Busy(cleanup=fail)
    future = busy.submitted(single)
    future.cancel()
    with pytest.raises(TooSlow):  # asked for another class
        future.result(PATIENCE)


@pytest.mark.parametrize("order", ["asked, then ended", "ended, then asked"])
def test_what_it_ends_by_is_the_cancels_only_if_that_has_reached_it(single, monkeypatch, order):
    begun, go = threading.Event(), threading.Event()

    class WatchedScope:
        """A real one; the task ends before whoever asks goes on, or before it asks."""

        def __init__(self):
            self.scope = Scope()
            self._enter = self.scope._enter  # noqa: SLF001
            self._leave = self.scope._leave  # noqa: SLF001

        def interrupt(self, *arguments, **options):
            if order == "asked, then ended":
                answer = self.scope.interrupt(*arguments, **options)
                until(future.done)
                return answer
            go.set()
            until(future.done)
            return self.scope.interrupt(*arguments, **options)

    def task():
        begun.set()
        go.wait(PATIENCE)
        raise TooSlow("of itself")

    monkeypatch.setattr(_future, "Scope", WatchedScope)
    future = single.submit(task)
    assert begun.wait(PATIENCE)
    reached = order == "asked, then ended"
    assert future.cancel(TooSlow) is reached
    assert outcome(future) == ("cancelled" if reached else "failed")


def test_callbacks_of_on_interrupt_are_run_for_a_cancel_with_a_class(single):  # S10
    called, ready = threading.Event(), threading.Event()

    def task():
        # Or it may have stopped before the callback is looked for, without a GIL.
        with allow_interruption(async_interrupt=False), on_interrupt(called.set):
            ready.set()
            while not called.is_set():
                pass

    future = single.submit(task)
    assert ready.wait(PATIENCE)
    assert future.cancel(TooSlow) is True
    assert called.wait(PATIENCE)
    until(future.done)


class NeedsArguments(Exception):
    def __init__(self, number):
        super().__init__(number)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("too slow",), r"not 'too slow' \(a text goes into reason=\)"),
        ((TooSlow(),), "give the class, not an instance"),
        ((int,), "subclass of BaseException"),
        ((NeedsArguments,), "called without arguments"),
        ((None, 3), "reason must be a str or None, not int"),
    ],
)
def test_a_wrong_class_or_reason_is_refused_and_nothing_has_happened(single, arguments, words):
    busy = Busy(result=1)
    running = busy.submitted(single)
    waiting = single.submit(pow, 2, 3)
    for future in (running, waiting):
        with pytest.raises(TypeError, match=words):
            future.cancel(*arguments)
    busy.go.set()
    assert (running.result(PATIENCE), waiting.result(PATIENCE)) == (1, 8)
    assert busy.seen == ["cleaned up"]
    with pytest.raises(TypeError, match=words):
        running.cancel(*arguments)  # also when it is too late

"""S10c, S10d: what the standard library locks for itself is never given up, nor a notification."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from interruption import ThreadExit, clear_interrupt, interrupt
from region_parts import waiting, waits
from support import Started, until_blocked


class Giver:
    """Something that is done under a mutex of the standard library's, which ``busy`` holds."""

    busy: Any

    def give(self) -> None:
        raise NotImplementedError

    def given(self) -> bool:
        raise NotImplementedError


class SemaphoreRelease(Giver):
    def __init__(self) -> None:
        self.semaphore = threading.Semaphore(0)
        self.busy = self.semaphore._cond  # noqa: SLF001

    def give(self) -> None:
        self.semaphore.release()

    def given(self) -> bool:
        return self.semaphore.acquire(blocking=False)


class EventSet(Giver):
    def __init__(self) -> None:
        self.event = threading.Event()
        self.busy = self.event._cond  # noqa: SLF001

    def give(self) -> None:
        self.event.set()

    def given(self) -> bool:
        return self.event.is_set()


class QueuePut(Giver):
    def __init__(self) -> None:
        self.queue = queue.Queue[str]()
        self.busy = self.queue.mutex

    def give(self) -> None:
        self.queue.put("item")

    def given(self) -> bool:
        return self.queue.qsize() == 1


class QueueTaskDone(QueuePut):
    def __init__(self) -> None:
        super().__init__()
        self.queue.put("item")

    def give(self) -> None:
        self.queue.task_done()

    def given(self) -> bool:
        return self.queue.unfinished_tasks == 0


class Logging(Giver):
    def __init__(self) -> None:
        self.records: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.records.append(record.msg)  # type: ignore[method-assign]
        self.logger = logging.Logger("of this test")  # noqa: LOG001  (nobody else has it)
        self.logger.addHandler(handler)
        self.busy = handler.lock

    def give(self) -> None:
        self.logger.warning("said")

    def given(self) -> bool:
        return self.records == ["said"]


def at_once(give: Callable[[], None]) -> None:
    give()


def in_finally(give: Callable[[], None]) -> None:
    try:
        at_once(lambda: None)
    finally:
        give()


@pytest.mark.parametrize("where", [at_once, in_finally])
@pytest.mark.parametrize("kind", [SemaphoreRelease, EventSet, QueuePut, QueueTaskDone, Logging])
def test_its_own_mutex_is_never_given_up(
    kind: type[Giver], where: Callable[[Any], None]
) -> None:  # S10c
    giver = kind()

    def body(started: Started) -> str:
        with waits:
            started.ready.set()
            where(giver.give)
        return "given"

    with giver.busy:
        started = Started(body).until_blocked()
        interrupt(started.thread)
        interrupt(started.thread)  # insist
        started.until_blocked()
    assert started.finish() == "given"
    assert giver.given()


def wait_in(condition: threading.Condition, region: Any) -> Started:
    def wait() -> bool:
        with condition:
            return condition.wait()

    return waiting(wait, region)


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_a_notification_of_one_who_leaves_goes_to_the_next(lock: Callable[[], Any]) -> None:  # S10d
    """The first has been interrupted, waits for the lock again, and still is in the queue."""
    condition = threading.Condition(lock())
    leaving = wait_in(condition, waits)
    staying = wait_in(condition, contextlib.nullcontext())
    with condition:
        interrupt(leaving.thread)
        leaving.until_blocked()
        condition.notify()
    assert staying.finish() is True
    with pytest.raises(ThreadExit):
        leaving.finish()
    assert not condition._waiters  # noqa: SLF001


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_a_notification_that_came_first_is_the_result(
    lock: Callable[[], Any],
) -> None:  # S10a, S10d
    condition = threading.Condition(lock())
    first = wait_in(condition, waits)
    second = wait_in(condition, contextlib.nullcontext())
    with condition:
        condition.notify()
        interrupt(first.thread)
    assert first.finish() is True
    assert second.thread.is_alive()
    with condition:
        condition.notify()
    assert second.finish() is True


def test_the_lock_of_a_condition_is_taken_again_whatever_is_asked() -> None:  # S10d
    condition = threading.Condition()

    def body(started: Started) -> bool:
        with waits, condition:
            started.ready.set()
            try:
                return condition.wait()
            finally:
                assert condition._is_owned()  # noqa: SLF001

    started = Started(body).until_blocked()
    with condition:
        condition.notify()
        interrupt(started.thread)
        interrupt(started.thread)
        started.until_blocked()
    assert started.finish() is True
    assert not clear_interrupt()


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock, threading.Condition])
def test_a_with_in_a_finally_is_cleanup(kind: Callable[[], Any]) -> None:  # S10c
    """Its entry, too: the count is kept, though a request comes while the lock is waited for."""
    lock, at_hand, count = kind(), threading.Event(), [1]

    def body(started: Started) -> None:
        with waits:
            started.ready.set()
            try:
                at_hand.wait()
            finally:
                with lock:
                    count[0] -= 1

    started = Started(body).until_ready()
    with lock:
        at_hand.set()
        until_blocked(started.thread)
        interrupt(started.thread)
        until_blocked(started.thread)
    started.finish()
    assert count == [0]

"""The locks and semaphores of multiprocessing, and what is built on them. Which process releases
them makes no difference, so it is this one."""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
import multiprocessing.sharedctypes
import multiprocessing.synchronize
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from support import PATIENCE

from .base import Call, leave_out
from .locks import BarrierWait, ConditionWait, ConditionWaitFor, EventWait, QueueGet

fork = multiprocessing.get_context("fork" if sys.platform != "win32" else "spawn")


class ProcessLockAcquire(Call):
    """A lock which the thread that has made this holds."""

    forks = False  # parent and child share it
    takes = False
    mutex = True
    kind: ClassVar[Callable[[], Any]] = fork.Lock

    def __init__(self) -> None:
        self.lock = type(self).kind()
        self.lock.acquire()
        self.held = True

    def wait(self) -> Any:
        return self.lock.acquire(), self.lock.release()

    def timed(self, seconds: float) -> Any:
        return self.lock.acquire(timeout=seconds) and (True, self.lock.release())

    def end(self) -> None:
        self.lock.release()
        self.held = False

    def check_untouched(self) -> None:
        assert not self.held or self.lock._semlock._is_zero()  # noqa: SLF001

    def close(self) -> None:
        if self.held:
            self.lock.release()


class ProcessLockEnter(ProcessLockAcquire):
    timed = None

    def wait(self) -> Any:
        with self.lock as result:
            return result


class ProcessRLockAcquire(ProcessLockAcquire):
    kind = fork.RLock


class ProcessRLockEnter(ProcessRLockAcquire):
    timed = None

    def wait(self) -> Any:
        with self.lock, self.lock as result:
            return result


class ProcessConditionEnter(ProcessLockEnter):
    kind = fork.Condition

    def check_untouched(self) -> None:
        assert not self.held or self.lock._lock._semlock._is_zero()  # noqa: SLF001


class SharedValueEnter(ProcessLockEnter):
    kind = staticmethod(lambda: multiprocessing.sharedctypes.Value("i", ctx=fork))

    def check_untouched(self) -> None:
        assert not self.held or self.lock.get_lock()._semlock._is_zero()  # noqa: SLF001


class ProcessSemaphoreAcquire(Call):
    """Nobody is to release the permit that he gets."""

    forks = False  # parent and child share it
    kind: ClassVar[Callable[[], Any]] = staticmethod(lambda: fork.Semaphore(0))

    def __init__(self) -> None:
        self.semaphore = type(self).kind()

    def wait(self) -> Any:
        return self.semaphore.acquire()

    def timed(self, seconds: float) -> Any:
        return self.semaphore.acquire(timeout=seconds)

    def end(self) -> None:
        self.semaphore.release()

    def check_untouched(self) -> None:
        assert self.semaphore._semlock._is_zero()  # noqa: SLF001


class ProcessSemaphoreEnter(ProcessSemaphoreAcquire):
    timed = None

    def wait(self) -> Any:
        self.semaphore.__enter__()


class ProcessBoundedSemaphoreAcquire(ProcessSemaphoreAcquire):
    @staticmethod
    def kind() -> Any:
        semaphore = fork.BoundedSemaphore(2)
        semaphore.acquire()
        semaphore.acquire()
        return semaphore


def sleepers(condition: Any) -> int:
    """How many wait, as it counts them."""
    sleeping, woken = (
        semaphore._semlock._get_value()  # noqa: SLF001
        for semaphore in (condition._sleeping_count, condition._woken_count)  # noqa: SLF001
    )
    return int(sleeping - woken)


class _OfProcesses:
    """What a condition of multiprocessing has of its own."""

    forks = False  # parent and child share it
    takes = False  # the condition's lock is acquired first, and that is the program's
    kind: ClassVar[Callable[[], Any]] = fork.RLock

    def __init__(self) -> None:
        self.condition = fork.Condition(type(self).kind())

    def check_untouched(self) -> None:
        assert sleepers(self.condition) == 0
        assert self.condition.acquire(False)
        self.condition.release()


class ProcessConditionWait(_OfProcesses, ConditionWait):
    pass


class ProcessConditionOfLockWait(ProcessConditionWait):
    kind = fork.Lock


class ProcessConditionWaitFor(_OfProcesses, ConditionWaitFor):
    pass


class ProcessEventWait(EventWait):
    forks = False  # parent and child share it

    def __init__(self) -> None:
        self.event = fork.Event()

    def check_untouched(self) -> None:
        assert sleepers(self.event._cond) == 0  # noqa: SLF001
        self.event.is_set()  # it needs the lock


class ProcessBarrierWait(BarrierWait):
    forks = False  # parent and child share it

    def __init__(self) -> None:
        self.barrier = fork.Barrier(2)

    def check_untouched(self) -> None:
        assert self.barrier.n_waiting == 0
        assert not self.barrier.broken
        assert sleepers(self.barrier._cond) == 0  # noqa: SLF001


class ProcessQueueGetBehindAnother(QueueGet):
    """The other one holds the lock while it waits for an item."""

    forks = False  # parent and child share it
    whole = False  # the lock, then the item

    def __init__(self) -> None:
        self.queue = fork.Queue()
        assert self.queue._rlock.acquire()  # noqa: SLF001
        self.held = True

    def end(self) -> None:
        super().end()
        self.queue._poll(PATIENCE)  # noqa: SLF001  (another thread sends it)
        if self.held:
            self.queue._rlock.release()  # noqa: SLF001
        self.held = False

    def check_untouched(self) -> None:
        assert self.queue._rlock._semlock._is_zero()  # noqa: SLF001
        assert self.queue.empty()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()


class ProcessSimpleQueueGetBehindAnother(ProcessQueueGetBehindAnother):
    timed = None

    def __init__(self) -> None:
        self.queue = fork.SimpleQueue()
        self.queue._rlock.acquire()  # noqa: SLF001
        self.held = True

    def close(self) -> None:
        self.queue.close()


class ProcessSimpleQueuePutBehindAnother(Call):
    """The other one holds the lock while it waits for room in the pipe."""

    forks = False  # parent and child share it
    takes = False

    def __init__(self) -> None:
        self.queue = fork.SimpleQueue()
        self.queue._wlock.acquire()  # noqa: SLF001

    def wait(self) -> Any:
        return self.queue.put("item")

    def end(self) -> None:
        self.queue._wlock.release()  # noqa: SLF001

    def check_untouched(self) -> None:
        assert self.queue._wlock._semlock._is_zero()  # noqa: SLF001
        assert self.queue.empty()

    def close(self) -> None:
        self.queue.close()


class ProcessQueuePut(Call):
    """Into one that is full."""

    forks = False  # parent and child share it
    takes = False
    shared = False  # the item that the first one puts is in the way of the other
    kind: ClassVar[Callable[..., Any]] = fork.Queue
    room = 2

    def __init__(self) -> None:
        self.queue = type(self).kind(self.room)
        for number in range(self.room):
            self.queue.put(number)

    def wait(self) -> Any:
        return self.queue.put("item")

    def timed(self, seconds: float) -> Any:
        return self.queue.put("item", timeout=seconds)

    def end(self) -> None:
        self.queue.get()

    def check_untouched(self) -> None:
        assert self.queue.full()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()


class ProcessQueueOfOnePut(ProcessQueuePut):
    """The semaphore that it has for its room looks like a lock."""

    room = 1


class JoinableQueuePut(ProcessQueuePut):
    kind = fork.JoinableQueue


class JoinableQueueOfOnePut(JoinableQueuePut):
    room = 1


class JoinableQueueJoin(Call):
    forks = False  # parent and child share it

    def __init__(self) -> None:
        self.queue = fork.JoinableQueue()
        self.queue.put("item")
        self.queue.get()

    def wait(self) -> Any:
        return self.queue.join()

    def end(self) -> None:
        self.queue.task_done()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()


if sys.platform == "win32":
    leave_out("ProcessSimpleQueuePutBehindAnother")

"""Locks, and what is built on them."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from .base import Call


class _Acquired(Call):
    """A lock which the thread that has made this holds."""

    takes = False
    mutex = True
    kind: ClassVar[Callable[[], Any]]

    def __init__(self) -> None:
        self.lock = type(self).kind()
        self.lock.acquire()
        self.held = True

    def wait(self) -> Any:
        return self.lock.acquire(), self.release()

    def release(self) -> None:
        self.lock.release()

    def timed(self, seconds: float) -> Any:
        return self.lock.acquire(timeout=seconds) and (True, self.release())

    def end(self) -> None:
        self.lock.release()
        self.held = False

    def close(self) -> None:
        if self.held:
            self.lock.release()


class LockAcquire(_Acquired):
    kind = threading.Lock

    def check_untouched(self) -> None:
        assert self.lock.locked()


class LockAcquireLock(LockAcquire):
    """By its old name."""

    def wait(self) -> Any:
        return self.lock.acquire_lock(), self.lock.release_lock()

    timed = None


class LockEnter(LockAcquire):
    timed = None

    def wait(self) -> Any:
        with self.lock:
            return True


class LockOfAnotherThread(LockAcquire):
    """A signal: whoever waits does not release it. Two acquires, so the next one has to wait."""

    keeps = True

    def release(self) -> None:
        pass

    def end(self) -> None:
        self.lock.release()

    def close(self) -> None:
        pass


class RLockAcquire(_Acquired):
    kind = threading.RLock


class RLockEnter(RLockAcquire):
    timed = None

    def wait(self) -> Any:
        with self.lock, self.lock:
            return True


class PythonRLockAcquire(RLockAcquire):
    """threading's own, where there is none in C."""

    kind = threading._PyRLock  # noqa: SLF001


class ConditionAcquire(_Acquired):
    kind = threading.Condition


class ConditionOfLockAcquire(_Acquired):
    kind = staticmethod(lambda: threading.Condition(threading.Lock()))


class ConditionEnter(_Acquired):
    kind = threading.Condition
    timed = None

    def wait(self) -> Any:
        with self.lock:
            return True


class ConditionWait(Call):
    remembers = False
    kind: ClassVar[Callable[[], Any]] = threading.RLock

    def __init__(self) -> None:
        self.condition = threading.Condition(type(self).kind())

    def wait(self) -> Any:
        with self.condition:
            return self.condition.wait()

    def timed(self, seconds: float) -> Any:
        with self.condition:
            return self.condition.wait(seconds)

    def end(self) -> None:
        with self.condition:
            self.condition.notify()

    def check_untouched(self) -> None:
        assert not self.condition._waiters  # noqa: SLF001
        assert self.condition.acquire(blocking=False)
        self.condition.release()


class ConditionOfLockWait(ConditionWait):
    kind = threading.Lock


class ConditionWaitFor(ConditionWait):
    remembers = True
    true = False

    def wait(self) -> Any:
        with self.condition:
            return self.condition.wait_for(lambda: self.true)

    takes = False  # it looks first: of what it is made is a wait only if it has to

    def timed(self, seconds: float) -> Any:
        with self.condition:
            return self.condition.wait_for(lambda: self.true, seconds)

    def end(self) -> None:
        with self.condition:
            self.true = True
            self.condition.notify()


class EventWait(Call):
    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self) -> Any:
        return self.event.wait()

    def timed(self, seconds: float) -> Any:
        return self.event.wait(seconds)

    def end(self) -> None:
        self.event.set()

    def check_untouched(self) -> None:
        assert not self.event._cond._waiters  # noqa: SLF001
        assert not self.event._cond._lock.locked()  # noqa: SLF001


class SemaphoreAcquire(Call):
    kind: ClassVar[type[threading.Semaphore]] = threading.Semaphore

    def __init__(self) -> None:
        self.semaphore = self.kind(1)
        self.semaphore.acquire()

    def wait(self) -> Any:
        return self.semaphore.acquire(), self.semaphore.release()

    def timed(self, seconds: float) -> Any:
        return self.semaphore.acquire(timeout=seconds) and (True, self.semaphore.release())

    def end(self) -> None:
        self.semaphore.release()

    def check_untouched(self) -> None:
        assert self.semaphore._value == 0  # noqa: SLF001
        assert not self.semaphore._cond._waiters  # noqa: SLF001
        assert not self.semaphore._cond._lock.locked()  # noqa: SLF001


class SemaphoreEnter(SemaphoreAcquire):
    timed = None

    def wait(self) -> Any:
        with self.semaphore:
            return True


class BoundedSemaphoreAcquire(SemaphoreAcquire):
    kind = threading.BoundedSemaphore


class BarrierWait(Call):
    """The other party comes when it is ended."""

    remembers = False
    shared = False

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.other: threading.Thread | None = None

    def wait(self) -> Any:
        return self.barrier.wait()

    def timed(self, seconds: float) -> Any:
        return self.barrier.wait(seconds)

    def end(self) -> None:
        self.barrier.wait()

    def check_untouched(self) -> None:
        assert self.barrier.n_waiting == 0
        assert not self.barrier.broken
        assert not self.barrier._cond._waiters  # noqa: SLF001


class QueueGet(Call):
    kind: ClassVar[Callable[..., Any]] = queue.Queue

    def __init__(self) -> None:
        self.queue = type(self).kind()

    def wait(self) -> Any:
        return self.queue.get()

    def timed(self, seconds: float) -> Any:
        return self.queue.get(timeout=seconds)

    def end(self) -> None:
        self.queue.put("item")

    def check_untouched(self) -> None:
        assert self.queue.empty()
        assert not self.queue.not_empty._waiters  # noqa: SLF001
        assert not self.queue.mutex.locked()


class LifoQueueGet(QueueGet):
    kind = queue.LifoQueue


class PriorityQueueGet(QueueGet):
    kind = queue.PriorityQueue


class QueuePut(Call):
    """Into one that is full."""

    takes = False

    def __init__(self) -> None:
        self.queue: queue.Queue[str] = queue.Queue(1)
        self.queue.put("first")

    def wait(self) -> Any:
        return self.queue.put("item")

    def timed(self, seconds: float) -> Any:
        return self.queue.put("item", timeout=seconds)

    def end(self) -> None:
        assert self.queue.get() == "first"

    def check_untouched(self) -> None:
        assert list(self.queue.queue) == ["first"]
        assert not self.queue.not_full._waiters  # noqa: SLF001
        assert not self.queue.mutex.locked()


class QueueJoin(Call):
    def __init__(self) -> None:
        self.queue: queue.Queue[str] = queue.Queue()
        self.queue.put("item")
        self.queue.get()

    def wait(self) -> Any:
        return self.queue.join()

    def end(self) -> None:
        self.queue.task_done()

    def check_untouched(self) -> None:
        assert self.queue.unfinished_tasks == 1
        assert not self.queue.all_tasks_done._waiters  # noqa: SLF001


class FutureResult(Call):
    def __init__(self) -> None:
        self.future: concurrent.futures.Future[str] = concurrent.futures.Future()

    def wait(self) -> Any:
        return self.future.result()

    def timed(self, seconds: float) -> Any:
        return self.future.result(seconds)

    def end(self) -> None:
        self.future.set_result("result")

    def check_untouched(self) -> None:
        assert not self.future.done()
        assert not self.future._condition._waiters  # noqa: SLF001


class FutureException(FutureResult):
    def wait(self) -> Any:
        return self.future.exception()

    def timed(self, seconds: float) -> Any:
        return self.future.exception(seconds)


class FuturesWait(FutureResult):
    takes = False  # it looks first

    def wait(self) -> Any:
        return concurrent.futures.wait([self.future])

    def timed(self, seconds: float) -> Any:
        return concurrent.futures.wait([self.future], seconds)

    def shown(self, result: Any) -> Any:
        return [[future.done() for future in futures] for futures in result]

    def check_untouched(self) -> None:
        super().check_untouched()


class AsCompleted(FuturesWait):
    whole = False  # its event is set before the future has a result to give

    def wait(self) -> Any:
        return list(concurrent.futures.as_completed([self.future]))

    def timed(self, seconds: float) -> Any:
        return list(concurrent.futures.as_completed([self.future], seconds))

    def shown(self, result: Any) -> Any:
        return [future.done() for future in result]

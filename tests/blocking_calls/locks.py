"""Locks, and what is built on them."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from .base import Call

NAN = float("nan")


def bad_acquires(acquire: Callable[..., Any]) -> list[Callable[[], Any]]:
    """Of a lock that is held."""
    return [
        lambda: acquire(timeout=-2),
        lambda: acquire(True, -0.5),
        lambda: acquire(False, 1),
        lambda: acquire(False, -1),
        lambda: acquire(blocking=False, timeout=0),
        lambda: acquire(False),
        lambda: acquire(0),
        lambda: acquire(blocking=None),
        lambda: acquire(True, 0),
        lambda: acquire(True, -0.0),
        lambda: acquire(True, 1e-12),
        lambda: acquire(True, 1e100),
        lambda: acquire(timeout=10**400),
        lambda: acquire(True, 10**100),
        lambda: acquire(timeout=float("inf")),
        lambda: acquire(timeout=NAN),
        lambda: acquire(timeout=None),
        lambda: acquire(timeout="1"),
        lambda: acquire(1.0, 0),
        lambda: acquire("yes", 0),
        lambda: acquire(1, 2, 3),
        lambda: acquire(True, True, True),
        lambda: acquire(nonsense=1),
        lambda: acquire(True, blocking=True),
    ]


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

    def errors(self) -> list[Callable[[], Any]]:
        return [
            *bad_acquires(self.lock.acquire),
            lambda: self.lock.release(1),
        ]

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

    def errors(self) -> list[Callable[[], Any]]:
        other = threading.RLock()  # nobody has it

        def twice() -> Any:
            return [other.acquire(), other.acquire(), other.release(), other.release()]

        return [*super().errors(), other.release, twice, lambda: other.__exit__()]


class RLockEnter(RLockAcquire):
    timed = None

    def wait(self) -> Any:
        with self.lock, self.lock:
            return True


class PythonRLockAcquire(RLockAcquire):
    """threading's own, where there is none in C."""

    kind = threading._PyRLock  # noqa: SLF001

    def errors(self) -> list[Callable[[], Any]]:
        acquire = self.lock.acquire
        return [
            lambda: acquire(False),
            lambda: acquire(timeout=-2),
            lambda: acquire(False, 1),
            lambda: acquire(True, 0),
            lambda: acquire(timeout="1"),
            lambda: acquire(1, 2, 3),
            self.lock.release,
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: self.lock.__enter__(1), lambda: self.lock.__exit__(), self.lock.release]


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

    def _wait(self, *args: Any) -> Any:
        with self.condition:
            return self.condition.wait(*args)

    def errors(self) -> list[Callable[[], Any]]:
        wait = self._wait
        return [
            self.condition.wait,
            self.condition.notify,
            lambda: wait("1"),
            lambda: wait(0),
            lambda: wait(-5),
            lambda: wait(1e100),
            lambda: wait(NAN),
            lambda: wait(1, 2),
        ]


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

    def _wait_for(self, *args: Any) -> Any:
        with self.condition:
            return self.condition.wait_for(*args)

    def errors(self) -> list[Callable[[], Any]]:
        wait = self._wait_for
        return [
            lambda: self.condition.wait_for(lambda: False),
            lambda: self.condition.wait_for(lambda: True),
            lambda: wait(lambda: False, 0),
            lambda: wait(lambda: False, -1),
            lambda: wait(lambda: False, "1"),
            lambda: wait(lambda: "true"),
            lambda: wait(lambda: 1 / 0),
            wait,
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        wait = self.event.wait
        return [lambda: wait("1"), lambda: wait(-1), lambda: wait(1e100), lambda: wait(1, 2)]


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

    def errors(self) -> list[Callable[[], Any]]:
        acquire = self.semaphore.acquire
        return [
            lambda: acquire(False, 1),
            lambda: acquire(False),
            lambda: acquire(timeout=-1),
            lambda: acquire(timeout="1"),
            lambda: acquire(1, 2, 3),
            lambda: self.semaphore.release(0),
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        def broken() -> Any:
            barrier = threading.Barrier(2)
            barrier.abort()
            return barrier.wait()

        return [broken, lambda: threading.Barrier(2).wait(0)]


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

    def errors(self) -> list[Callable[[], Any]]:
        get = self.queue.get
        return [
            self.queue.get_nowait,
            lambda: get(False),
            lambda: get(timeout=-1),
            lambda: get(timeout=0),
            lambda: get(timeout="1"),
            lambda: get(1, 2, 3),
            self.queue.task_done,
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        put = self.queue.put
        return [
            lambda: put("item", False),
            lambda: put("item", timeout=-1),
            lambda: put("item", timeout=0),
            lambda: put(),
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: self.queue.join(1),
            self.queue.task_done,
            self.queue.join,
            self.queue.task_done,
        ]


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

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: self.future.result(-1), lambda: self.future.result("1")]


class FutureException(FutureResult):
    def wait(self) -> Any:
        return self.future.exception()

    def timed(self, seconds: float) -> Any:
        return self.future.exception(seconds)

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: self.future.exception(-1)]


class FuturesWait(FutureResult):
    takes = False  # it looks first

    def wait(self) -> Any:
        return concurrent.futures.wait([self.future])

    def timed(self, seconds: float) -> Any:
        return concurrent.futures.wait([self.future], seconds)

    def shown(self, result: Any) -> Any:
        return [[future.done() for future in futures] for futures in result]

    def errors(self) -> list[Callable[[], Any]]:
        return [lambda: concurrent.futures.wait([self.future], 0, return_when="never")]

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

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: self.timed(-1),
            lambda: list(concurrent.futures.as_completed([])),
            lambda: list(concurrent.futures.as_completed([1])),
            lambda: list(concurrent.futures.as_completed([self.future], "1")),
        ]

"""Sleeping, getting from a SimpleQueue, joining a thread."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from .base import Call, leave_out

NAN = float("nan")


class _Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def bad_sleeps() -> list[Callable[[], Any]]:
    return [
        lambda: time.sleep(-1),
        lambda: time.sleep(-1e-300),
        lambda: time.sleep(-0.0),
        lambda: time.sleep(NAN),
        lambda: time.sleep(float("inf")),
        lambda: time.sleep(1e100),
        lambda: time.sleep(10**100),
        lambda: time.sleep(-(10**100)),
        lambda: time.sleep("1"),
        lambda: time.sleep(None),
        lambda: time.sleep(False),
        lambda: time.sleep(_Index(0)),
        lambda: time.sleep(_Index(-1)),
        lambda: time.sleep(_Index(10**100)),
        lambda: time.sleep(),
        lambda: time.sleep(1, 2),
        lambda: time.sleep(secs=1),
    ]


class Sleep(Call):
    """Only its time ends it."""

    def timed(self, seconds: float) -> Any:
        return time.sleep(seconds)

    def errors(self) -> list[Callable[[], Any]]:
        return bad_sleeps()


class SleepAnIndex(Sleep):
    """So many whole seconds, which the object tells when it is asked."""

    def timed(self, seconds: float) -> Any:
        return time.sleep(_Index(-int(-seconds // 1)))


def bad_gets(get: Callable[..., Any]) -> list[Callable[[], Any]]:
    """Of a queue that is empty."""
    return [
        lambda: get(False),
        lambda: get(0),
        lambda: get(block=False),
        lambda: get(False, -1),
        lambda: get(False, timeout="1"),
        lambda: get(True, 0),
        lambda: get(True, -1),
        lambda: get(timeout=-1e-9),
        lambda: get(timeout=NAN),
        lambda: get(timeout=1e100),
        lambda: get(timeout=10**100),
        lambda: get(timeout=10**400),
        lambda: get(timeout="1"),
        lambda: get("yes", 0),
        lambda: get(1.0, 0),
        lambda: get(None),
        lambda: get(True, timeout=_Index(0)),
        lambda: get(1, 2, 3),
        lambda: get(True, block=True),
        lambda: get(nonsense=1),
    ]


class SimpleQueueGet(Call):
    # It computes what is left of its timeout, and takes less than nothing for no timeout at all.
    hangs_when_late: ClassVar[bool] = sys.version_info < (3, 13)

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def wait(self) -> Any:
        return self.queue.get()

    def timed(self, seconds: float) -> Any:
        return self.queue.get(timeout=seconds)

    def end(self) -> None:
        self.queue.put("item")

    def errors(self) -> list[Callable[[], Any]]:
        return [
            *bad_gets(self.queue.get),
            lambda: self.queue.get_nowait(),
            lambda: self.queue.get_nowait(1),
            lambda: self.queue.put(),
            lambda: self.queue.put(1, 2, 3, 4),
            lambda: queue.SimpleQueue.get(1),
            lambda: queue.SimpleQueue.put(1, 2),
        ]


class SimpleQueueGetNamed(SimpleQueueGet):
    """With its arguments by name, and the item put by the other name."""

    def wait(self) -> Any:
        return self.queue.get(block=True, timeout=None)

    def end(self) -> None:
        self.queue.put_nowait("item")


class ThreadJoin(Call):
    """A join knows that a thread has ended before, without a call, up to 3.12."""

    forks = False  # the thread does not exist in the child
    remembers = sys.version_info >= (3, 13)

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.go.acquire()
        self.thread = threading.Thread(target=self.go.acquire, daemon=True)
        self.thread.start()

    def wait(self) -> Any:
        return self.thread.join(), self.thread.is_alive()

    def timed(self, seconds: float) -> Any:
        return self.thread.join(seconds), self.thread.is_alive()

    def end(self) -> None:
        self.go.release()
        self.thread.join()

    def check_untouched(self) -> None:
        assert self.thread.is_alive()

    def errors(self) -> list[Callable[[], Any]]:
        join = self.thread.join
        return [
            lambda: threading.current_thread().join(),
            lambda: threading.Thread().join(),
            lambda: join(-1),
            lambda: join(-1e-9),
            lambda: join(NAN) if sys.version_info >= (3, 13) else None,
            lambda: join(1e100),
            lambda: join(10**100),
            lambda: join("1"),
            lambda: join(False),
            lambda: join(_Index(0)),
            lambda: join(1, 2),
            lambda: join(nonsense=1),
        ]

    def close(self) -> None:
        if self.go.locked():
            self.end()


class ThreadHandleJoin(ThreadJoin):
    """What it comes down to from 3.13 on."""

    joins: ClassVar[str] = "_handle" if sys.version_info < (3, 14) else "_os_thread_handle"

    def wait(self) -> Any:
        return getattr(self.thread, self.joins).join(), self.thread.is_alive()

    def timed(self, seconds: float) -> Any:
        return getattr(self.thread, self.joins).join(seconds), self.thread.is_alive()

    def errors(self) -> list[Callable[[], Any]]:
        join = getattr(self.thread, self.joins).join
        return [
            lambda: join(0),
            lambda: join("1"),
            lambda: join(1, 2),
            lambda: join(timeout=1),
            lambda: getattr(threading.current_thread(), self.joins).join(),
            lambda: getattr(threading.Thread(), self.joins).join(),
        ]


if sys.version_info < (3, 13):
    leave_out("ThreadHandleJoin")

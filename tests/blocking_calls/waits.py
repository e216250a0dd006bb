"""Sleeping, getting from a SimpleQueue, joining a thread."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any, ClassVar

from .base import Call, leave_out


class _Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Sleep(Call):
    """Only its time ends it."""

    def timed(self, seconds: float) -> Any:
        return time.sleep(seconds)


class SleepAnIndex(Sleep):
    """So many whole seconds, which the object tells when it is asked."""

    def timed(self, seconds: float) -> Any:
        return time.sleep(_Index(-int(-seconds // 1)))


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


if sys.version_info < (3, 13):
    leave_out("ThreadHandleJoin")

"""Shapes: locks of the standard library."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from .base import Shape, step


class _WithLock(Shape):
    lock: Any

    def body(self) -> None:
        with self.lock:
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never
        step()  # here
        for _ in range(2):
            with self.lock:
                step()  # never

    def check(self) -> None:
        super().check()
        assert self.lock.acquire(timeout=0)
        self.lock.release()


class Lock(_WithLock):
    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()


class RLock(_WithLock):
    def make(self, folder: Path) -> None:
        self.lock = threading.RLock()

    def body(self) -> None:
        with self.lock:
            super().body()  # never
        super().body()

    def check(self) -> None:
        super().check()
        assert repr(self.lock).startswith("<unlocked")


class PythonRLock(RLock):
    """The one in Python that threading falls back on."""

    def make(self, folder: Path) -> None:
        self.lock = threading._PyRLock()  # noqa: SLF001


class Condition(Shape):
    def make(self, folder: Path) -> None:
        self.condition = threading.Condition()

    def body(self) -> None:
        with self.condition:
            self.guarded = 1  # never
            self.condition.notify_all()  # never
            self.guarded = 0  # never
        step()  # here
        with self.condition:
            self.condition.wait(0)  # never
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never

    def check(self) -> None:
        super().check()
        assert repr(self.condition._lock).startswith("<unlocked")  # noqa: SLF001
        assert not self.condition._waiters  # noqa: SLF001


class Semaphore(Shape):
    takers = ("acquire",)
    kind: type[threading.Semaphore] = threading.Semaphore

    def make(self, folder: Path) -> None:
        self.semaphore = self.kind(2)

    def body(self) -> None:
        with self.semaphore:
            step()  # here
            with self.semaphore:
                step()  # here
        self.semaphore.acquire()
        try:
            step()
        finally:
            self.semaphore.release()  # never

    def check(self) -> None:
        super().check()
        assert self.semaphore._value == 2  # noqa: SLF001
        assert not self.semaphore._cond._lock.locked()  # noqa: SLF001


class BoundedSemaphore(Semaphore):
    kind = threading.BoundedSemaphore


class Barrier(Shape):
    takers = ("wait",)

    def make(self, folder: Path) -> None:
        self.barrier = threading.Barrier(1, action=self.act)

    def act(self) -> None:
        self.began += 1  # never
        step()  # never
        self.ended += 1  # never

    def body(self) -> None:
        self.barrier.wait()
        step()  # here

    def check(self) -> None:
        super().check()
        assert not self.barrier.broken
        assert self.barrier._state == 0  # noqa: SLF001
        assert self.barrier._count == 0  # noqa: SLF001


class Event(Shape):
    takers = ("wait",)

    def make(self, folder: Path) -> None:
        self.event = threading.Event()

    def body(self) -> None:
        self.event.set()
        step()  # here
        self.event.wait()
        self.event.clear()
        self.event.wait(0)

    def check(self) -> None:
        super().check()
        assert not self.event._cond._lock.locked()  # noqa: SLF001


class AcquireTry(Shape):
    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()

    def body(self) -> None:
        self.lock.acquire()
        try:
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never
        finally:
            self.lock.release()  # never
        step()  # here
        if self.lock.acquire(timeout=1):
            try:
                step()  # never
            finally:
                self.lock.release()  # never

    def check(self) -> None:
        super().check()
        assert not self.lock.locked()


class AcquireRelease(Shape):
    """Without any block: what is held keeps the thread from being interrupted."""

    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()
        self.outer = threading.RLock()

    def body(self) -> None:
        self.lock.acquire()
        step()  # never
        self.outer.acquire()  # never
        self.lock.release()  # never
        step()  # never
        self.outer.acquire()  # never
        self.outer.release()  # never
        step()  # never
        self.outer.release()  # never
        step()  # here

    def check(self) -> None:
        super().check()
        assert not self.lock.locked()
        assert repr(self.outer).startswith("<unlocked")

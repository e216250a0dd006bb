"""Scopes under fire: what is asked of one ends there, and nowhere else; nothing is left of it."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time

import pytest
from delivery_parts import statements
from interruption import Scope, ThreadExit, defer_interruption, interruption_requested
from support import PATIENCE, scaled, seeded

pytestmark = pytest.mark.stress


class Worker:
    """Nests scopes, in which it does a bit of everything, until it has entered so many."""

    def __init__(self, seed: int, count: int, lock: threading.Lock) -> None:
        self.random = seeded(seed)
        self.left, self.lock = count, lock
        self.entered: list[tuple[Scope, str]] = []  # for who asks
        self.wrong: list[str] = []
        self.stopped = 0
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while self.left > 0:
            try:
                self.nest(4)
            except ThreadExit as error:
                self.wrong.append(f"{error.reason} has left all scopes")
            if interruption_requested():
                self.wrong.append("something is left in the thread")

    def nest(self, depth: int) -> None:
        self.left -= 1
        scope, name = Scope(), str(self.left)
        seen: list[str | None] = []
        try:
            with scope:
                self.inside(depth, scope, name, seen)
        except ThreadExit as error:
            if error.reason == name:
                self.wrong.append(f"{name} has passed its own scope")
            raise
        if seen:
            self.stopped += 1
            if seen != [name]:
                self.wrong.append(f"{seen} has ended at {name}")

    def inside(self, depth: int, scope: Scope, name: str, seen: list[str | None]) -> None:
        self.entered.append((scope, name))
        try:
            if depth and self.random.random() < 0.8:
                self.nest(depth - 1)
            self.work()
        except ThreadExit as error:
            seen.append(error.reason)
            raise
        finally:
            with defer_interruption, contextlib.suppress(ValueError):
                self.entered.remove((scope, name))

    def work(self) -> None:
        what = self.random.random()
        if what < 0.3:
            time.sleep(0.0005)
        elif what < 0.6:
            with defer_interruption if what < 0.45 else self.lock:
                statements(30)
        else:
            statements(30)


def test_what_is_asked_of_a_scope_ends_there():
    lock = threading.Lock()
    workers = [Worker(seed, scaled(20_000), lock) for seed in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    try:
        for worker in workers:
            worker.thread.start()
        while any(worker.thread.is_alive() for worker in workers):
            for worker in workers:
                with contextlib.suppress(IndexError):
                    scope, name = random.choice(worker.entered)  # noqa: S311
                    scope.interrupt(reason=name)
            time.sleep(0.0003)
    finally:
        sys.setswitchinterval(before)
    for worker in workers:
        worker.thread.join(PATIENCE)
        assert worker.wrong == []
    assert not lock.locked()
    assert sum(worker.stopped for worker in workers) > 10

"""The threads of a round: each does its operation over and over, in a region, and is fired at."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from chance import shots
from interruption import (
    Thread,
    ThreadExit,
    _interruption,
    allow_interruption,
    clear_interrupt,
    explain,
    interrupt,
)
from support import PATIENCE

WAITS = allow_interruption(async_interrupt=False)


class Station:
    """Something that threads share, with a rule that holds at the end, whatever was interrupted."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def open(self) -> None:
        """Make what is shared, and have the crew start its threads."""
        raise NotImplementedError

    def check(self) -> None:
        """All threads have ended: the rule holds."""

    def close(self) -> None:
        """Let go of it."""


class Crew:
    """Starts threads, interrupts them at random, and ends them by one request to each.

    Guards: ``threads`` and ``failures`` are only appended to; ``stopping`` is only set, before the
    last requests. ``counts`` is under ``lock``.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        self.stopping = False
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def count(self, **counts: int) -> None:
        with self.lock:
            self.counts.update(counts)

    def start(
        self, operation: Callable[[], Any], region: Any = allow_interruption, threads: int = 1
    ) -> None:
        """Have threads do it in such regions until the round is over."""
        for number in range(threads):
            self._start_one(operation, region, Thread if number % 2 else threading.Thread)

    def _start_one(self, operation: Callable[[], Any], region: Any, kind: type) -> None:
        name = getattr(operation, "__qualname__", repr(operation))
        thread = kind(target=self._run, args=(operation, region), name=name)
        self.threads.append(thread)
        thread.start()

    def _run(self, operation: Callable[[], Any], region: Any) -> None:
        done = raised = 0
        try:
            while not self.stopping:
                try:
                    with region:
                        operation()
                except ThreadExit:
                    raised += 1
                    clear_interrupt()
                done += 1
        except BaseException as failure:  # noqa: BLE001  (told at the end)
            self.failures.append(failure)
        finally:
            clear_interrupt()
            self.count(operations=done, raised=raised)

    def fire(self, seconds: float) -> None:
        """Interrupt one after the other for so long; stop at the first failure."""
        asked = 0
        end = time.monotonic() + seconds
        for thread in shots(
            self.chance, self.threads, lambda: time.monotonic() >= end or self.failures, 2000
        ):
            # Most are asked again only when they have obeyed, as else they would do nothing else.
            if self.chance.random() < 0.05 or not _interruption._requested_of(thread):  # noqa: SLF001
                asked += interrupt(thread)
            if self.chance.random() < 0.3:
                time.sleep(self.chance.random() * 0.002)
        self.count(asked=asked)

    def end(self) -> None:
        """Ask each of them once more, and wait. One request is enough: a second one would hide that
        the first is lost."""
        self.stopping = True
        for thread in self.threads:
            interrupt(thread)
        deadline = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} does not end: {explain(thread)}"
        if self.failures:
            raise self.failures[0]

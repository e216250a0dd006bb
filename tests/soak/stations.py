"""Stations of threads alone: queues, locks, running code, executors, threads that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from interruption import (
    Scope,
    Thread,
    ThreadExit,
    ThreadGroup,
    ThreadPoolExecutor,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    explain,
    move_on_after,
    timeout,
    wait_for_interruption,
)
from support import PATIENCE

from soak.crew import WAITS, Station

FULL = 50  # what a queue without bounds is filled to


class Queues(Station):
    """What is put is got once (S10a)."""

    kinds: tuple[Callable[[], Any], ...] = (
        queue.Queue,
        lambda: queue.Queue(3),
        queue.LifoQueue,
        lambda: queue.PriorityQueue(2),
        queue.SimpleQueue,
    )

    def open(self) -> None:
        self.items = self.crew.chance.choice(self.kinds)()
        self.numbers = itertools.count()
        self.put: list[int] = []
        self.got: list[int] = []
        # Only waits are interrupted: what was got is noted.
        self.crew.start(self.produce, WAITS, 2)
        self.crew.start(self.consume, WAITS, 2)

    def produce(self) -> None:
        if self.items.qsize() > FULL:
            time.sleep(0.001)
            return
        number = next(self.numbers)
        self.items.put(number)
        self.put.append(number)

    def consume(self) -> None:
        self.got.append(self.items.get())

    def check(self) -> None:
        left = []
        while self.items.qsize():
            left.append(self.items.get(block=False))
        assert Counter(self.put) == Counter(self.got + left)


class Locks(Station):
    """A lock is free at the end, and what it guards was changed as a whole (S9)."""

    kinds = (threading.Lock, threading.RLock, threading.Condition)

    def open(self) -> None:
        self.guard: Any = self.crew.chance.choice(self.kinds)()
        self.left = self.right = 0
        self.crew.start(self.change, threads=3)

    def change(self) -> None:
        for _ in range(20):
            with self.guard:
                self.left += 1
                self.right += 1

    def check(self) -> None:
        assert self.guard.acquire(blocking=False), "somebody has left it held"
        self.guard.release()
        assert self.left == self.right > 0


class Semaphores(Station):
    """A permit that was got is given back, in a `finally`, under contention (S10c)."""

    permits = 2

    def open(self) -> None:
        self.semaphore = threading.Semaphore(self.permits)
        self.crew.start(self.hold, WAITS, 4)

    def hold(self) -> None:
        self.semaphore.acquire()
        try:
            time.sleep(0.0005)
        finally:
            self.semaphore.release()

    def check(self) -> None:
        for _ in range(self.permits):
            assert self.semaphore.acquire(blocking=False)
        assert not self.semaphore.acquire(blocking=False)


class Tokens(Station):
    """Each `notify()` reaches somebody who stays."""

    def open(self) -> None:
        self.condition = threading.Condition()
        self.there = self.taken = self.made = 0
        self.crew.start(self.make, WAITS)
        self.crew.start(self.take, WAITS, 3)

    def make(self) -> None:
        with self.condition:
            if self.there < FULL:
                self.there += 1
                self.made += 1
                self.condition.notify()

    def take(self) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.there)
            self.there -= 1
            self.taken += 1

    def check(self) -> None:
        assert self.made == self.taken + self.there


class Code(Station):
    """Running code of all shapes: what was begun in a `try` is ended, and a block that is kept
    whole is whole (S3, S7)."""

    def open(self) -> None:
        self.lock = threading.Lock()
        self.begun = self.ended = self.left = self.right = 0
        shapes = (self.loops, self.generators, self.recursion, self.shields, self.exceptions)
        for shape in self.crew.chance.sample(shapes, 3):
            self.crew.start(lambda shape=shape: self.within(shape))

    def within(self, shape: Callable[[], None]) -> None:
        with defer_interruption, self.lock:
            self.begun += 1
        try:
            shape()
        finally:
            with defer_interruption, self.lock:
                self.ended += 1

    def loops(self) -> None:
        for number in range(300):
            left = number
            while left > 3:
                left //= 2
        [sum(row) for row in [[1, 2, 3]] * 20]

    def generators(self) -> None:
        def numbers() -> Iterator[int]:
            yield from range(30)

        for _ in zip(numbers(), numbers(), strict=True):
            pass

    def recursion(self, depth: int = 30) -> None:
        if depth:
            with allow_interruption:
                self.recursion(depth - 1)

    def shields(self) -> None:
        for _ in range(5):
            with defer_interruption, self.lock:
                self.left += 1
                self.loops()
                self.right += 1

    def exceptions(self) -> None:
        for _ in range(20):
            try:
                try:
                    raise KeyError
                finally:
                    self.loops()
            except KeyError:
                pass

    def check(self) -> None:
        # A request may come between the first block and the `try`.
        assert 0 <= self.begun - self.ended <= self.crew.counts["raised"]
        assert self.ended > 0
        assert self.left == self.right
        assert not self.lock.locked()


class Tasks(Station):
    """Each future is done or cancelled, the latter only by who cancels, or asks all threads."""

    def open(self) -> None:
        self.executor = ThreadPoolExecutor(3)
        self.futures: list[Future[int]] = []
        self.cancelled: set[Future[int]] = set()
        self.crew.start(self.submit, WAITS, 2)

    def submit(self) -> None:
        chance = self.crew.chance.random()
        wait = (lambda: time.sleep(0.001)) if chance < 0.5 else (lambda: sum(range(100)))
        with defer_interruption:
            future = self.executor.submit(lambda: (wait(), 7)[1])
            self.futures.append(future)
            if chance % 0.1 < 0.05:
                self.cancelled.add(future)
                future.cancel()
            del future
        time.sleep(chance * 0.002)

    def check(self) -> None:
        self.executor.shutdown()
        for future in self.futures:
            if future.cancelled():
                assert future in self.cancelled or self.crew.counts["asked_all"]
            else:
                assert future.result(0) == 7

    def close(self) -> None:
        self.executor.shutdown(cancel_futures=True)


class Births(Station):
    """Threads that are started, asked at once or a moment later, and joined."""

    def open(self) -> None:
        self.crew.start(self.bear, threads=2)

    def bear(self) -> None:
        def live() -> None:
            with allow_interruption:
                threading.Event().wait()

        with defer_interruption:
            thread = Thread(target=live, interruptible=self.crew.chance.random() < 0.5)
            thread.start()
            if self.crew.chance.random() < 0.7:
                time.sleep(self.crew.chance.random() * 0.001)
            thread.interrupt()
            thread.join(PATIENCE)
            assert not thread.is_alive(), explain(thread)


class Limits(Station):
    """A limit ends what would last for ever, in another limit and by itself (S22-S27)."""

    def open(self) -> None:
        self.never = threading.Event()
        self.crew.start(self.wait, threads=2)
        self.crew.start(self.clean_up)

    def short(self) -> float:
        return self.crew.chance.random() * 0.004

    def wait(self) -> None:
        with move_on_after(self.short()) as far:
            while True:
                with contextlib.suppress(TimeoutError), timeout(self.short()) as near:
                    self.never.wait()
                assert near.expired()
        assert far.expired()

    def clean_up(self) -> None:
        try:
            time.sleep(0.001)
        finally:
            with move_on_after(self.short(), shield=True) as limit:
                self.never.wait()
            assert limit.expired()


class Scopes(Station):
    """Who is in a scope is out of it when that has been asked (S22)."""

    def open(self) -> None:
        self.never = threading.Event()
        self.scope = Scope()
        self.crew.start(self.stay, threads=2)
        self.crew.start(self.ask)

    def stay(self) -> None:
        scope = self.scope
        with scope:
            self.never.wait()
        assert scope is not self.scope, "it has ended, and nobody has asked it"

    def ask(self) -> None:
        time.sleep(0.001)
        with defer_interruption:
            scope, self.scope = self.scope, Scope()
            scope.interrupt()


class Groups(Station):
    """When a group is left its tasks have ended; who goes on behind it has all results (S28)."""

    def open(self) -> None:
        self.never = threading.Event()
        self.crew.start(self.stay, threads=2)
        self.crew.start(self.nest)

    def task(self, threads: list[threading.Thread], chance: float) -> int:
        threads.append(threading.current_thread())
        if chance < 0.1:
            raise KeyError
        if chance < 0.4:
            with move_on_after(chance * 0.01):
                self.never.wait()
        return 7

    def stay(self) -> None:
        chance, threads = self.crew.chance.random, list[threading.Thread]()
        try:
            with ThreadGroup(keep_going=chance() < 0.2) as group:
                for _ in range(3):
                    group.submit(self.task, threads, chance())
                if chance() < 0.2:
                    self.never.wait(chance() * 0.01)
                if chance() < 0.1:
                    raise KeyError
            assert group.results() == [7, 7, 7]
        except* (KeyError, RuntimeError) as errors:  # RuntimeError: submitted when it was asked
            texts = [str(each) for each in errors.exceptions if isinstance(each, RuntimeError)]
            assert all(text.startswith("the group has been asked to stop") for text in texts), texts
            clear_interrupt()  # if it has been stopped, too, that is their cause
        finally:
            assert not any(thread.is_alive() for thread in threads)

    def nest(self) -> None:
        with move_on_after(self.crew.chance.random() * 0.01) as limit, ThreadGroup() as group:
            group.submit(self.stay)
            self.never.wait()
        assert limit.expired()


class Loops(Station):
    """An event loop that is left, and begun anew."""

    def open(self) -> None:
        self.crew.start(self.run)

    def run(self) -> None:
        async def main() -> None:
            waits = [asyncio.sleep(self.crew.chance.random() * 0.01) for _ in range(3)]
            await asyncio.gather(*waits)

        asyncio.run(main())


class Looking(Station):
    """Threads that look, and are told why the others have not stopped."""

    def open(self) -> None:
        self.crew.start(self.look, defer_interruption)
        self.crew.start(self.wait, WAITS)

    def look(self) -> None:
        if wait_for_interruption(0.002):
            explain(self.crew.chance.choice(self.crew.threads))
            try:
                check_interrupt()
            except ThreadExit:
                clear_interrupt()

    def wait(self) -> None:
        wait_for_interruption(0.01)

"""Threads that wait for each other, interrupted at random: nothing is lost, nobody is forgotten.

INTERRUPTION_STRESS scales the number of operations, in percent: at 100 it is about 10,000 a test,
for a million set it to 10000. Seeds: what is said at each test, for the requester's pauses.

The threads' own statements are between two others everywhere, so their regions let only waits in:
what was taken is counted. Where a test says so, there is one with statements, too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import random
import select
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chance import scaled, seeded, shots
from interruption import (
    ThreadExit,
    _interruption,
    allow_interruption,
    blocking,
    clear_interrupt,
    explain,
    interrupt,
)
from support import PATIENCE

OPERATIONS = 10_000
waits = allow_interruption(async_interrupt=False)


pytestmark = pytest.mark.usefixtures("switching_often")


class Fire:
    """Interrupts threads at random until it is told to stop. Seed: the CRC-32 of its name."""

    def __init__(self, name: str, *, insisting: bool = True) -> None:
        self.insisting = insisting  # a thread is asked again though the first has not come through
        self.chance = seeded(zlib.crc32(name.encode()))
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        self.ended = threading.Semaphore(0)
        self.stop = False
        self.asked = 0
        self.raised = 0

    def start(self, body: Callable[[], Any], count: int = 1) -> None:
        """Have threads run it, none of which may fail."""

        def run() -> None:
            try:
                body()
            except BaseException as failure:  # noqa: BLE001  (told at the end)
                self.failures.append(failure)
            self.ended.release()

        for _ in range(count):
            self.threads.append(threading.Thread(target=run, daemon=True))

    def insist(self, operation: Callable[[], Any]) -> Any:
        """Do it in a region, again and again, until it was not interrupted."""
        while True:
            try:
                with waits:
                    return operation()
            except ThreadExit:
                self.raised += 1
                clear_interrupt()

    def try_once(self, operation: Callable[[], Any], region: Any = waits) -> None:
        """Do it once in a region, interrupted or not."""
        try:
            with region:
                operation()
        except ThreadExit:
            self.raised += 1
            clear_interrupt()

    def run(self, targets: slice = slice(None)) -> None:
        """Start them all, shoot at those, until all have ended."""
        for thread in self.threads:
            thread.start()
        asking = threading.Thread(target=self.ask, args=(self.threads[targets],), daemon=True)
        asking.start()
        for _ in self.threads:
            ended = self.ended.acquire(timeout=PATIENCE)
            assert self.failures == []
            assert ended, "\n".join(str(explain(thread)) for thread in self.threads)
        self.stop = True
        asking.join()
        print(f"asked {self.asked}, raised {self.raised}")  # noqa: T201

    def ask(self, targets: list[threading.Thread]) -> None:
        for target in shots(self.chance, targets, lambda: self.stop, 1500):
            if self.insisting or not _interruption._requested_of(target):  # noqa: SLF001
                self.asked += interrupt(target)


# What is put is got. -----------------------------------------------------------------------------

QUEUES: dict[str, Callable[[], Any]] = {
    "Queue": queue.Queue,
    "Queue(3)": lambda: queue.Queue(3),
    "LifoQueue": queue.LifoQueue,
    "PriorityQueue(2)": lambda: queue.PriorityQueue(2),
    "SimpleQueue": queue.SimpleQueue,
}


class Timed(queue.SimpleQueue[int]):
    """Who gets an item from it looks again and again, every so many seconds."""

    def get(self) -> int:
        while True:
            with contextlib.suppress(queue.Empty):
                return super().get(timeout=0.0005)


class Stream:
    """Numbers, four bytes each, through two descriptors or sockets."""

    def __init__(self, ends: Any, put: Any, get: Any, timeout: float | None = None) -> None:
        self.near, self.far = ends
        self._put, self._get = put, get
        if timeout is not None:
            self.near.settimeout(timeout)

    def put(self, number: int) -> None:
        assert self._put(self.far, number.to_bytes(4, "big")) == 4

    def get(self) -> int:
        data = self._get(self.near)
        assert len(data) == 4
        return int.from_bytes(data, "big")

    def empty(self) -> bool:
        return select.select([self.near], [], [], 0)[0] == []

    def close(self) -> None:
        for end in (self.near, self.far):
            os.close(end) if isinstance(end, int) else end.close()


def received_into(near: socket.socket) -> bytes:
    data = bytearray(4)
    near.recv_into(data)
    return data


def connected(get: Any, timeout: float | None = None) -> Callable[[], Stream]:
    return lambda: Stream(socket.socketpair(), socket.socket.send, get, timeout)


CHANNELS: dict[str, Callable[[], Any]] = {
    **QUEUES,
    "SimpleQueue, timeouts": Timed,
    "pipe": lambda: Stream(os.pipe(), os.write, lambda near: os.read(near, 4)),
    "socket": connected(lambda near: near.recv(4)),
    "socket, timeout": connected(lambda near: near.recv(4), PATIENCE),
    "socket, into": connected(received_into),
    "socket, messages": connected(lambda near: near.recvmsg(4)[0]),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_each_item_is_got_once(name: str) -> None:  # S10a, S10d
    """Producers, and consumers that go on when they were interrupted."""
    items = CHANNELS[name]()
    fire = Fire(name)
    count = scaled(OPERATIONS) // 3 + 1
    got: list[list[int]] = [[], [], []]
    put = itertools.count()

    def produce() -> None:
        for _ in range(count):
            number = next(put)
            fire.insist(lambda number=number: items.put(number))

    def consume(mine: list[int]) -> None:
        for _ in range(count):
            mine.append(fire.insist(items.get))  # noqa: PERF401  (there is a failure to be seen)

    for mine in got:
        fire.start(lambda mine=mine: consume(mine))
    fire.start(produce, 3)
    fire.run()
    assert sorted(itertools.chain(*got)) == list(range(3 * count))
    assert items.empty()
    if isinstance(items, Stream):
        items.close()


@pytest.mark.parametrize("name", ["Queue", "Queue(3)"])
def test_tasks_done_are_counted(name: str) -> None:  # S10c
    """`task_done()` in a `finally`, which takes the queue's lock: join() ends."""
    items = QUEUES[name]()
    fire = Fire(f"{name}, join")
    count = scaled(OPERATIONS) // 2
    taken = Counter[int]()
    lock = threading.Lock()
    ended = threading.Event()

    def work() -> None:
        number = items.get(timeout=0.01)  # it may be interrupted when it has taken the last one
        try:
            with lock:
                taken[number] += 1
            raise_if_asked()
        finally:
            items.task_done()

    def consume() -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Empty):
                fire.try_once(work)

    def produce() -> None:
        for number in range(count):
            fire.insist(lambda number=number: items.put(number))
        fire.insist(items.join)
        ended.set()

    fire.start(consume, 3)
    fire.start(produce)
    fire.run()
    assert items.unfinished_tasks == 0
    assert items.empty()
    assert all(done == 1 for done in taken.values())


def raise_if_asked() -> None:
    """A wait that needs no time, in a call that takes something in."""
    threading.Event().wait(0)


# Tokens, permits, events. ------------------------------------------------------------------------


def test_each_notification_wakes_one() -> None:  # S10d
    """A token is made before each `notify(1)`; who leaves by ThreadExit takes none along.

    That none sleeps while there is a token shows at the end: nothing else wakes the last ones.
    """
    condition = threading.Condition()
    fire = Fire("notify")
    count = scaled(OPERATIONS) // 4
    tokens = 0
    taken = 0

    def take() -> None:
        nonlocal tokens, taken
        with condition:
            while not tokens:
                condition.wait()
            tokens -= 1
            taken += 1

    def consume() -> None:
        for _ in range(count):
            fire.insist(take)

    def give() -> None:
        nonlocal tokens
        with condition:
            tokens += 1
            condition.notify(1)

    def produce() -> None:
        for _ in range(count):
            fire.insist(give)

    fire.start(consume, 4)
    fire.start(produce, 4)
    fire.run(slice(0, 4))
    assert (tokens, taken) == (0, 4 * count)
    assert not condition._waiters  # noqa: SLF001


@pytest.mark.parametrize("region", [waits, allow_interruption], ids=str)
@pytest.mark.parametrize("kind", [threading.Semaphore, threading.BoundedSemaphore])
def test_permits_are_all_there(kind: type[threading.Semaphore], region: Any) -> None:  # S10c, S10d
    """`finally: semaphore.release()` under contention and fire, with statements too."""
    semaphore = kind(2)
    fire = Fire(kind.__name__, insisting=False)
    inside = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        semaphore.acquire()
        try:
            with lock:
                inside += 1
                most = max(inside, most)
            try:
                raise_if_asked()
            finally:
                with lock:
                    inside -= 1
        finally:
            semaphore.release()

    def go_on() -> None:
        for _ in range(scaled(OPERATIONS) // 5):
            fire.try_once(work, region)

    fire.start(go_on, 5)
    fire.run()
    assert semaphore._value == 2  # noqa: SLF001
    assert not semaphore._cond._waiters  # noqa: SLF001
    if region is waits:  # else a request may be raised just before the inner `try`
        assert inside == 0
        assert most <= 2


def test_counts_are_kept() -> None:  # S10c
    """`finally: with lock: count -= 1`, under contention; each request is made once."""
    lock = threading.Lock()
    recursive = threading.RLock()
    fire = Fire("counts", insisting=False)
    counts = [0, 0]

    def work() -> None:
        with lock:
            counts[0] += 1
        try:
            with recursive, recursive:
                counts[1] += 1
            try:
                raise_if_asked()
            finally:
                recursive.acquire()
                counts[1] -= 1
                recursive.release()
        finally:
            with lock:
                counts[0] -= 1

    def go_on() -> None:
        for _ in range(scaled(OPERATIONS) // 4):
            fire.try_once(work)

    fire.start(go_on, 4)
    fire.run()
    assert counts == [0, 0]


def test_events_and_logs_are_not_lost() -> None:  # S10c
    """`finally: event.set()` and a line in a log, from threads that share both with others."""
    records: list[str] = []
    begun: list[threading.Event] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.Logger("of this test")  # noqa: LOG001  (nobody else has it)
    logger.addHandler(handler)
    fire = Fire("events")
    count = scaled(OPERATIONS) // 8
    events = [[threading.Event() for _ in range(count)] for _ in range(2)]

    def set_one(event: threading.Event) -> None:
        begun.append(event)
        try:
            raise_if_asked()
        finally:
            event.set()
            logger.warning("set")

    def give(number: int) -> None:
        for event in events[number]:
            fire.insist(lambda event=event: set_one(event))

    def take(number: int) -> None:
        for event in events[number]:
            assert fire.insist(event.wait)

    for number in range(2):
        fire.start(lambda number=number: give(number))
        fire.start(lambda number=number: take(number), 2)
    fire.run()
    assert records == ["set"] * len(begun)
    assert len(begun) >= 2 * count


def test_nobody_is_left_behind_at_a_barrier() -> None:  # S10a, S10d
    """Who is interrupted comes again. A Barrier counts one that is just leaving as if it had come,
    as for any exception; so they pass at different counts, and the first to have enough ends it.
    """
    barrier = threading.Barrier(3)
    fire = Fire("barrier")
    count = scaled(OPERATIONS) // 9

    def go_on() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            for _ in range(count):
                fire.insist(barrier.wait)
        barrier.abort()

    fire.start(go_on, 3)
    fire.run()
    assert barrier.n_waiting == 0


# Waiters of all kinds. ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock, threading.Condition])
@pytest.mark.parametrize("switched", [False, True])
def test_nobody_starves(kind: Callable[[], Any], switched: bool) -> None:  # S10  # noqa: FBT001
    """In regions and outside, with timeouts and without, on one lock; switched off meanwhile."""
    lock = kind()
    fire = Fire(f"{lock!r:.20}{switched}")
    count = scaled(OPERATIONS) // 6
    taken = 0

    def take() -> None:
        nonlocal taken
        with lock:
            taken += 1

    def take_in_time() -> None:
        nonlocal taken
        while not lock.acquire(timeout=random.choice((1e-4, PATIENCE))):  # noqa: S311
            pass
        taken += 1
        lock.release()

    def inside(operation: Callable[[], None]) -> None:
        for _ in range(count):
            fire.insist(operation)

    def outside(operation: Callable[[], None]) -> None:
        for _ in range(count):
            operation()

    for way in (inside, outside):
        for operation in (take, take, take_in_time):
            fire.start(lambda way=way, operation=operation: way(operation))
    with switching() if switched else contextlib.nullcontext():
        fire.run(slice(0, 3))
    assert taken == 6 * count
    assert lock.acquire(blocking=False)


@contextlib.contextmanager
def switching() -> Iterator[None]:
    """Interposing goes off and on, some thousand times a second at the most."""
    stop = threading.Event()

    def switch() -> None:
        while not stop.wait(0.0005):
            blocking.disable()
            blocking.enable()

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        blocking.enable()

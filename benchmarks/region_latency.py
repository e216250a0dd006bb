"""How long a thread that runs Python code takes to see that it was asked: figures as JSON.

Run by ``bench_regions.py``: ``python region_latency.py BODY``. A thread runs the body for ever; the
main thread asks it to stop and looks at the clock before and after; the thread looks at the clock
where it catches the exception. Three ways take turns: ``interrupt()``;
``PyThreadState_SetAsyncExc``, outside regions; and, what both are measured against, the hand-off of
a lock to the thread, which waits for it. Other threads may be busy meanwhile, with code of their
own.
"""

import argparse
import asyncio
import contextlib
import ctypes
import itertools
import json
import queue
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt

# How long the interpreter lets a thread run on when others want to. With its default of 5 ms, the
# requester would wait for its turn most of the time; nobody waits so between request and exception,
# unless more threads are busy than one.
SWITCH_INTERVAL = 0.0005
IN_A_ROW = 10  # deliveries of one way before it is another's turn
DEPTH = 500

Body = Callable[[], object]
clock = time.perf_counter_ns


# The bodies. Each runs until it is interrupted. --------------------------------------------------


def spin() -> None:
    """Do nothing."""
    while True:
        pass


def sums() -> None:
    """Call C code that takes some microseconds."""
    data = list(range(1000))
    while True:
        sum(data)


def deep(depth: int = DEPTH) -> None:
    """Spin below many calls."""
    if depth > 0:
        deep(depth - 1)
    while True:
        pass


def fib(n: int) -> int:
    """Call and return."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)  # noqa: PLR2004 - that is Fibonacci's


def recursive() -> None:
    """Call a recursive function."""
    while True:
        fib(15)


def set_comprehension() -> None:
    """Run a comprehension that never ends."""
    _ = {None for _ in itertools.repeat(None)}


def list_comprehension() -> None:
    """Run one that makes a list of 10,000."""
    while True:
        _ = [None for _ in itertools.repeat(None, 10_000)]


def generator_in_deque() -> None:
    """Have C code consume a generator, without calling anything."""
    deque((None for _ in itertools.repeat(None)), maxlen=0)


def generator_in_sum() -> None:
    """Have C code consume a generator."""
    sum(0 for _ in itertools.repeat(None))


def key_function() -> None:
    """Have C code call a function."""
    data = list(range(1000))
    while True:
        sorted(data, key=lambda item: -item)


def locks() -> None:
    """Take and release a lock."""
    lock = threading.Lock()
    while True:
        with lock:
            pass


def conditions() -> None:
    """Take and release a Condition's."""
    condition = threading.Condition()
    while True:
        with condition:
            pass


caught_inside: list[int] = []  # when, for a body that knows better than whoever called it


async def coroutine() -> None:
    """Let the event loop turn."""
    try:
        while True:  # noqa: ASYNC110 - it is the loop that is to turn
            await asyncio.sleep(0)
    except BaseException:
        caught_inside.append(clock())
        raise


def event_loop() -> None:
    """Run an event loop. What it does to end is not the request's."""
    asyncio.run(coroutine())


BODIES: dict[str, Body] = {
    "`while True: pass`": spin,
    "`while True: sum(data)`, 1,000 items": sums,
    f"`while True: pass`, {DEPTH} calls deep": deep,
    "recursive `fib(15)`": recursive,
    "`{None for _ in repeat(None)}`": set_comprehension,
    "`[None for _ in repeat(None, 10_000)]`": list_comprehension,
    "generator consumed by `deque(maxlen=0)`": generator_in_deque,
    "generator consumed by `sum()`": generator_in_sum,
    "`sorted(key=...)`, 1,000 items": key_function,
    "`with lock: pass`": locks,
    "`with condition: pass`": conditions,
    "`asyncio.run()`, `await sleep(0)`": event_loop,
}


# Asking. -----------------------------------------------------------------------------------------


def set_async_exc(thread: threading.Thread) -> None:
    """Do as the recipes do."""
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(ThreadExit))


def run_until_asked(
    body: Body, region: contextlib.AbstractContextManager[object], running: threading.Lock
) -> int:
    """Run the body, in the target's thread; when it was seen that it should end."""
    caught_inside.clear()
    try:
        with region:
            running.release()
            body()
    except ThreadExit:
        seen = clock()
    else:
        raise RuntimeError("the body has ended by itself")
    clear_interrupt()
    return caught_inside[0] if caught_inside else seen


def wait_for_lock(lock: threading.Lock, running: threading.Lock) -> int:
    """Wait for the lock, in the target's thread; when it was handed over."""
    running.release()
    with lock:
        return clock()


class Target:
    """A thread that does what it is given, one after the other."""

    def __init__(self) -> None:
        """Start it."""
        self.todo: queue.SimpleQueue[Callable[[], int] | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.running = threading.Lock()
        self.running.acquire()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        while (do := self.todo.get()) is not None:
            self.done.put(do())

    def time(self, do: Callable[[], int], ask: Callable[[], object]) -> tuple[float, float]:
        """Let it do that, ask it to end that: seconds for the asking, and until it was seen."""
        self.todo.put(do)
        self.running.acquire()
        time.sleep(random.uniform(0.0002, 0.0015))  # noqa: S311 - so as not to be in step with it
        before = clock()
        ask()
        after = clock()
        seen = self.done.get()
        return (after - before) / 1e9, (seen - before) / 1e9

    def end(self) -> None:
        """Let the thread end."""
        self.todo.put(None)
        self.thread.join()


@dataclass
class Series:
    """What was measured of one way to ask; seconds."""

    asking: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def add(self, timed: tuple[float, float]) -> None:
        """Add one delivery."""
        self.asking.append(timed[0])
        self.seen.append(timed[1])


def time_interrupt(target: Target, body: Body) -> tuple[float, float]:
    """One request for a thread in a region."""

    def do() -> int:
        return run_until_asked(body, allow_interruption, target.running)

    return target.time(do, lambda: interrupt(target.thread))


def time_async_exc(target: Target, body: Body) -> tuple[float, float]:
    """One exception, thrown into a thread anywhere."""

    def do() -> int:
        return run_until_asked(body, contextlib.nullcontext(), target.running)

    return target.time(do, lambda: set_async_exc(target.thread))


def time_hand_off(target: Target, _body: Body) -> tuple[float, float]:
    """One lock, released to a thread that waits for it."""
    lock = threading.Lock()
    lock.acquire()
    return target.time(lambda: wait_for_lock(lock, target.running), lock.release)


WAYS = {
    "interrupt": time_interrupt,
    "async_exc": time_async_exc,
    "hand_off": time_hand_off,
}


@contextlib.contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Have ``count`` more threads run, without waiting for anything."""
    stop = False

    def work() -> None:
        while not stop:
            pass

    threads = [threading.Thread(target=work) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        stop = True
        for thread in threads:
            thread.join()


def measure(body: Body, busy: int, deliveries: int) -> dict[str, Series]:
    """So many deliveries each way, with so many busy threads, the target included."""
    figures = {way: Series() for way in WAYS}
    target = Target()
    with busy_threads(busy - 1):
        for time_one in WAYS.values():
            for _ in range(3):  # what happens once in a process
                time_one(target, body)
        for _ in range(-(-deliveries // IN_A_ROW)):
            for way, series in figures.items():
                for _ in range(IN_A_ROW):
                    series.add(WAYS[way](target, body))
        target.end()
    return figures


def main() -> None:
    """Measure the one body that is named, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("body", choices=list(BODIES), metavar="BODY")
    parser.add_argument("--busy", type=int, default=1)
    parser.add_argument("--deliveries", type=int, default=300)
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    figures = measure(BODIES[arguments.body], arguments.busy, arguments.deliveries)
    json.dump({way: vars(series) for way, series in figures.items()}, sys.stdout)


if __name__ == "__main__":
    main()

"""The code that threads run when it is timed how soon they are interrupted in it."""

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns

DEPTH = 500

Body = Callable[[], object]


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


turning = threading.Semaphore(0)  # released when the event loop has begun to turn
caught_inside: list[int] = []  # when, for a body that knows better than whoever called it


async def coroutine() -> None:
    """Let the event loop turn."""
    turning.release()
    try:
        while True:  # noqa: ASYNC110 - it is the loop that is to turn
            await asyncio.sleep(0)
    except BaseException:
        caught_inside.append(perf_counter_ns())
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

# With other threads that run, these: to measure takes long then.
SOME_BODIES = ["`while True: pass`", "`with lock: pass`", "generator consumed by `sum()`"]

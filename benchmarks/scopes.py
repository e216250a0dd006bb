"""Time limits: how late they are, and what waiting ones take: series as JSON.

Run by ``run.py``. How long after its deadline a block is out, against the error of the same call's
own timeout, and of code that runs, against the switch interval and hand-offs of a lock; in turns in
one thread. ``--live`` is in a process of its own, with malloc for all memory: many deadlines in
many threads, that are left alone: wake-ups of the timer, and bytes. What entering and leaving costs
is in ``costs.py``.
"""

import argparse
import contextlib
import functools
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from figures import (
    ITS_OWN,
    LIMITED,
    ONE_INTERVAL,
    ONE_THREAD,
    OUR_GROUP,
    Series,
    hand_over,
    taken_over,
)
from interruption import ThreadGroup, timeout
from memory import STACK_SIZE, Growth

DELAY = 0.003  # seconds; each time a little more, so as not to be in step with anything
LONG = 1000.0
NESTED = 100  # deadlines a thread

Lateness = Callable[[], float]  # seconds after the deadline


# How late. ---------------------------------------------------------------------------------------


def some_time() -> float:
    """Seconds."""
    return DELAY + random.uniform(0, 0.001)  # noqa: S311


def by_limit(body: Callable[[], object]) -> Lateness:
    """Have it stopped by a limit around it."""

    def late() -> float:
        limit = timeout(some_time())
        try:
            with limit:
                body()
        except TimeoutError:
            end = monotonic()
            return end - (limit.when() or 0.0)
        raise AssertionError("it was not stopped")

    return late


def by_itself(body: Callable[[float], object], error: type[Exception]) -> Lateness:
    """Have it end by a timeout of its own, by that error or by what it returns."""

    def late() -> float:
        delay = some_time()
        begun = monotonic()
        with contextlib.suppress(error):
            body(delay)
        return monotonic() - (begun + delay)

    return late


def waits() -> Iterator[tuple[str, Lateness, Lateness]]:
    """Of each the limit and its own."""
    lock = threading.Lock()
    lock.acquire()
    own = by_itself(lambda delay: lock.acquire(timeout=delay), TimeoutError)
    yield "`lock.acquire`", by_limit(lock.acquire), own
    for name, items in (("Queue", queue.Queue[None]()), ("SimpleQueue", queue.SimpleQueue[None]())):
        get: Any = items.get
        own = by_itself(functools.partial(get, True), queue.Empty)  # noqa: FBT003 - it blocks
        yield f"`{name}.get`", by_limit(get), own
    one, other = socket.socketpair()
    patient, other_end = socket.socketpair()

    def receive(delay: float) -> None:
        one.settimeout(delay)
        one.recv(1)

    with one, other, patient, other_end:
        yield "`recv`", by_limit(lambda: patient.recv(1)), by_itself(receive, TimeoutError)


def spin() -> None:
    """Run, until stopped."""
    while True:
        pass


def hand_off() -> float:
    """Seconds from the release of a lock to the return of another thread that waits for it."""
    lock, seen = threading.Lock(), []
    lock.acquire()
    ready = threading.Semaphore(0)

    def take() -> None:
        ready.release()
        lock.acquire()
        seen.append(monotonic())

    thread = threading.Thread(target=take)
    thread.start()
    ready.acquire()
    time.sleep(0.001)
    begun = monotonic()
    lock.release()
    thread.join()
    return seen[0] - begun


def lateness(count: int) -> Iterator[Series]:
    """All of it, in turns."""
    for what, limited, own in waits():
        limited()
        own()
        pairs = [(limited(), own()) for _ in range(count)]
        for way, values in zip((LIMITED, ITS_OWN), zip(*pairs, strict=True), strict=True):
            yield Series("deadline", what, way, list(values))
    late = by_limit(spin)
    late()
    pairs = [(late(), hand_off()) for _ in range(count)]
    times, hands = zip(*pairs, strict=True)
    floor = [sys.getswitchinterval() + 3 * each for each in hands]
    yield Series("deadline", "code that runs", LIMITED, list(times))
    yield Series("deadline", "code that runs", ONE_INTERVAL, floor)


def group_of_one() -> None:
    """Run one task."""
    with ThreadGroup() as group:
        group.submit(int)


def thread_of_one() -> None:
    """Do the same without."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def seconds_of(function: Callable[[], object]) -> float:
    """How long it takes."""
    begun = monotonic()
    function()
    return monotonic() - begun


def groups(count: int) -> Iterator[Series]:
    """A group of one task and a thread, in turns."""
    ways = {OUR_GROUP: group_of_one, ONE_THREAD: thread_of_one}
    found = [[seconds_of(function) for function in ways.values()] for _ in range(count + 1)][1:]
    for way, values in zip(ways, zip(*found, strict=True), strict=True):
        yield Series("group", "one task", way, list(values))


# Many that wait. ---------------------------------------------------------------------------------


def switches_of(thread: str) -> int:
    """Of context, of a thread of this process; Linux."""
    lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt" in line)


def live(count: int, seconds: float) -> list[Series]:
    """What so many deadlines in each of so many threads take, while nobody comes to his."""
    ready, go = threading.Semaphore(0), threading.Lock()
    entered, end = threading.Semaphore(0), threading.Lock()
    nests = [[timeout(LONG + random.random()) for _ in range(NESTED)] for _ in range(count)]  # noqa: S311

    def run(nest: list[timeout]) -> None:
        ready.release()
        with go:
            pass
        for limit in nest:
            limit.__enter__()
        entered.release()
        with end:
            pass
        for limit in reversed(nest):
            limit.__exit__(None, None, None)

    with timeout(LONG):  # the timer is there
        pass
    go.acquire()
    end.acquire()
    threads = [threading.Thread(target=run, args=(nest,)) for nest in nests]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    growth = Growth()
    go.release()
    for _ in threads:
        entered.acquire()
    ours = {str(threading.get_native_id()), *(str(thread.native_id) for thread in threads)}
    [timer] = {path.name for path in Path("/proc/self/task").iterdir()} - ours
    place = f"{count * NESTED} in {count} threads"
    [used] = [
        one for one in growth.series("a live deadline", count * NESTED) if one.unit == "bytes"
    ]
    time.sleep(0.5)  # what entering has begun is over
    before = switches_of(timer)
    time.sleep(seconds)
    woken = switches_of(timer) - before
    end.release()
    for thread in threads:
        thread.join()
    return [
        Series("deadlines", "bytes each, beside the object", "", used.values, place, "bytes"),
        Series("deadlines", "wake-ups", "", [woken], place, "wake-ups"),
    ]


def live_elsewhere(count: int, seconds: float) -> list[Series]:
    """The same in a process whose memory is all malloc's, which can be asked."""
    arguments = ["--live", str(count), "--seconds", str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return taken_over(done.stdout)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="of each wait")
    parser.add_argument("--threads", type=int, default=1000, help="with live deadlines")
    parser.add_argument("--seconds", type=float, default=3.0, help="for which they are left alone")
    parser.add_argument("--live", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    threading.stack_size(STACK_SIZE)
    if arguments.live:
        hand_over(live(arguments.live, arguments.seconds))
        return
    series: list[Series] = []
    worker = threading.Thread(target=lambda: series.extend(lateness(arguments.count)))
    worker.start()
    worker.join()
    series += groups(10 * arguments.count)
    hand_over(series + live_elsewhere(arguments.threads, arguments.seconds))


if __name__ == "__main__":
    main()

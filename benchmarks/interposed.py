"""What blocking calls cost that need not wait: series as JSON.

Run by ``run.py``. Each call in three ways, in turns in one process, so that what the machine does
meanwhile is done to all three: not interposed (``blocking.disable()``), interposed but outside of
regions, and in a region. The CPU time of the thread. pyperf, with a process for each, would leave
more noise between two processes than the few percent that this is about.
"""

import argparse
import contextlib
import os
import queue
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from time import thread_time
from typing import Any

from figures import INSIDE, NOT_INTERPOSED, OUTSIDE, Series, hand_over
from interruption import allow_interruption, blocking

UNROLLED, TURNS = 20, 100
WAYS = (NOT_INTERPOSED, OUTSIDE, INSIDE)


def statements() -> dict[str, tuple[str, dict[str, Any]]]:
    """What is timed, and its local names."""
    read, write = os.pipe()
    os.write(write, b"." * 4)
    one, other = socket.socketpair()
    other.send(b".")
    poller = select.poll()
    poller.register(read, select.POLLIN)
    lock, recursive, items = threading.Lock(), threading.RLock(), queue.SimpleQueue[None]()
    pair = "take(); give()"
    return {
        "lock pair": (pair, {"take": lock.acquire, "give": lock.release}),
        "`with lock`": ("with lock: pass", {"lock": threading.Lock()}),
        "`RLock` pair": (pair, {"take": recursive.acquire, "give": recursive.release}),
        "`SimpleQueue` pair": ("put(None); get()", {"put": items.put, "get": items.get}),
        "`sleep(0)`": ("sleep(0)", {"sleep": time.sleep}),
        "`recv`": ("recv(1, peek)", {"recv": one.recv, "peek": socket.MSG_PEEK, "_": other}),
        "`os.read`, `os.write`": (
            "read(fd, 1); write(to, b'.')",
            {"read": os.read, "write": os.write, "fd": read, "to": write},
        ),
        "`poll`": ("poll(0)", {"poll": poller.poll}),
    }


def unrolled(statement: str, names: dict[str, Any]) -> Callable[[], float]:
    """Times TURNS * UNROLLED of the statement: CPU seconds for one."""
    source = "\n    ".join([statement] * UNROLLED)
    scope: dict[str, Any] = {}
    text = f"def run({', '.join(names)}):\n  for _ in range({TURNS}):\n    {source}\n"
    exec(text, scope)  # noqa: S102 - unrolled, with local names
    run: Callable[..., None] = scope["run"]

    def timed() -> float:
        begun = thread_time()
        run(**names)
        return (thread_time() - begun) / (TURNS * UNROLLED)

    return timed


def measure(name: str, timed: Callable[[], float], rounds: int) -> list[Series]:
    """So many times each way, in an order that changes."""
    values: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(-1, rounds):
        for way in random.sample(WAYS, len(WAYS)):
            (blocking.disable if way == NOT_INTERPOSED else blocking.enable)()
            with allow_interruption if way == INSIDE else contextlib.nullcontext():
                seconds = timed()
            if number >= 0:  # the first is for what happens once in a process
                values[way].append(seconds)
    return [Series("call", name, way, found) for way, found in values.items()]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    with allow_interruption:  # the families are interposed
        pass
    series = []
    for name, (statement, names) in statements().items():
        series += measure(name, unrolled(statement, names), arguments.rounds)
    hand_over(series)


if __name__ == "__main__":
    main()

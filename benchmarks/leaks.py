"""How often an exception that is thrown into a thread leaves a lock held: series as JSON.

Run by ``run.py``. Two threads run ``with x: pass`` over and over, ``x`` made afresh for each
exception; one of them is interrupted, and if the other can take ``x`` no more, it was left held. By
this library in a region, and by ``PyThreadState_SetAsyncExc``.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from figures import ASYNC_EXC, INTERRUPTED, Series, hand_over
from latency import OURS, Attempt, Library, recipes
from waits import Way

# The shorter, the more often an exception comes at an awkward place, for either way.
SWITCH_INTERVAL = 1e-5
STUCK = 0.1  # seconds after which a thread counts as waiting for ever
PATIENCE = 60  # the same for this library, of which it would be an error
KINDS = {
    "`with lock: pass`": threading.Lock,
    "`with rlock: pass`": threading.RLock,
    "`with condition: pass`": threading.Condition,
    "`with semaphore: pass`": threading.Semaphore,
}


def taking(lock: Any) -> Way:
    """Take and release it for ever."""

    def run() -> None:
        while True:
            with lock:
                pass

    return Way(run, lambda: None)


def leaks(library: Library, kind: Any) -> bool:
    """Tell whether a thread that is interrupted so leaves it held."""
    patience = PATIENCE if library is OURS else STUCK
    lock = kind()
    ended: list[bool] = []

    def contend() -> None:
        while not ended:
            with lock:
                pass

    other = threading.Thread(target=contend, daemon=True)
    other.start()
    thread = Attempt(library, taking(lock)).start()
    time.sleep(random.uniform(0, 0.0005))  # noqa: S311 - anywhere in it
    library.ask(thread)
    thread.join(patience)
    ended.append(True)
    other.join(patience)  # it waits for ever for what is left held; so does who holds it himself
    return thread.is_alive() or other.is_alive()


def measure(hits: int) -> Iterator[Series]:
    """For each kind of lock and each way: 1 for a leak, 0 for none."""
    ways = {INTERRUPTED: OURS, ASYNC_EXC: recipes()[ASYNC_EXC]}
    for what, kind in KINDS.items():
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(hits):
            for way, library in ways.items():
                found[way].append(float(leaks(library, kind)))
        for way, values in found.items():
            yield Series("leak", what, way, [100 * sum(values) / hits], f"{hits} hits", "percent")


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hits", type=int, default=100, help="exceptions for each kind and way")
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    hand_over(list(measure(arguments.hits)))
    sys.stdout.flush()
    os._exit(0)  # threads that wait for ever stay where they are


if __name__ == "__main__":
    main()

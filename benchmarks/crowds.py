"""Many threads at once: series as JSON.

Run by ``run.py``. ``interrupt_all_threads()`` on threads that wait for one ``Event`` in regions,
against its ``set()``: until the caller is back, and until the last thread is out of its wait. And
what threads cost that wait in regions and are left alone.
"""

import argparse
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns as clock
from time import thread_time_ns

from figures import ENDED, INTERRUPTED, Series, hand_over
from interruption import ThreadExit, allow_interruption, interrupt_all_threads

STACK_SIZE = 256 * 1024  # bytes of address space; the default would be megabytes for each thread
# A thread that waits for the GIL looks at the clock that often. With its default of 5 ms, 10,000
# that wait use up the processors by that alone: either way takes anything from 5 to 50 seconds.
SWITCH_INTERVAL = 0.1


@contextlib.contextmanager
def threads_in_regions(
    count: int, wait: Callable[[], object], *, seen: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """So many that wait in regions; they are asked, or ended, before the block is left."""
    ready = threading.Semaphore(0)

    def run() -> None:
        with contextlib.suppress(ThreadExit), allow_interruption:
            ready.release()
            wait()
        seen()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    time.sleep(0.2 + count / 20_000)  # they wait by then
    yield
    for thread in threads:
        thread.join()


def time_many(count: int, *, ask: bool) -> tuple[float, float]:
    """Seconds until the caller is back, and until the last thread is out of its wait."""
    event = threading.Event()
    times: list[int] = []
    with threads_in_regions(count, event.wait, seen=lambda: times.append(clock())):
        begun = clock()
        if ask:
            interrupt_all_threads()
        else:
            event.set()
        back = clock()
    return (back - begun) / 1e9, (max(times) - begun) / 1e9


def crowd(count: int, rounds: int) -> Iterator[Series]:
    """Both ways in turns."""
    found: dict[str, list[tuple[float, float]]] = {INTERRUPTED: [], ENDED: []}
    for _ in range(rounds):
        found[INTERRUPTED].append(time_many(count, ask=True))
        found[ENDED].append(time_many(count, ask=False))
    for way, times in found.items():
        caller, last = zip(*times, strict=True)
        place = f"{count} threads"
        yield Series("crowd", "the caller is back", way, list(caller), place)
        yield Series("crowd", "the last is out", way, list(last), place)


def switches() -> int:
    """Of context, of all threads but the calling one; Linux."""
    total = 0
    for status in Path("/proc/self/task").glob("*/status"):
        if int(status.parent.name) != threading.get_native_id():
            found = [line for line in status.read_text().splitlines() if "ctxt" in line]
            total += sum(int(line.split()[1]) for line in found)
    return total


def idle(count: int, seconds: float) -> Iterator[Series]:
    """What threads cost that wait in regions."""
    event = threading.Event()
    with threads_in_regions(count, event.wait):
        before, own, began = switches(), thread_time_ns(), time.process_time_ns()
        time.sleep(seconds)
        used = time.process_time_ns() - began - (thread_time_ns() - own)
        more = switches() - before
        event.set()
    place = f"{count} threads"
    yield Series("idle", "processor time", "", [max(used, 0) / 1e9 / seconds], place, "s a second")
    yield Series("idle", "context switches", "", [more], place, "switches")


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle-threads", type=int, default=1000)
    parser.add_argument("--idle-seconds", type=float, default=5)
    arguments = parser.parse_args()
    threading.stack_size(STACK_SIZE)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.disable()
    series = [one for count in arguments.threads for one in crowd(count, arguments.rounds)]
    series += idle(arguments.idle_threads, arguments.idle_seconds)
    hand_over(series)


if __name__ == "__main__":
    main()

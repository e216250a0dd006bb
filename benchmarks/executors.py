"""What submitting to our ThreadPoolExecutor costs, against the standard one's: series as JSON.

Run by ``run.py``. Both in turns in one process; the clock is the wall's, for two threads share the
work.
"""

import argparse
import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, wait
from time import perf_counter
from typing import Any

from figures import (
    INTERRUPTED,
    OUR_EXECUTOR,
    STANDARD_EXECUTOR,
    SUBMIT,
    TO_THREAD,
    Series,
    hand_over,
)
from interruption import ThreadPoolExecutor
from interruption.asyncio import to_thread

EXECUTORS = (concurrent.futures.ThreadPoolExecutor, ThreadPoolExecutor)
PATIENCE = 60.0

Times = dict[str, list[tuple[float, float]]]  # of the standard executor and of ours, in pairs


def submit_many(executor_type: Any, workers: int, tasks: int) -> tuple[float, float]:
    """Seconds a task: until all are submitted, and until all are done."""
    with executor_type(workers) as executor:
        barrier = threading.Barrier(workers)  # all workers are there
        wait([executor.submit(barrier.wait, PATIENCE) for _ in range(workers)])
        before = perf_counter()
        futures = [executor.submit(abs, number) for number in range(tasks)]
        submitted = perf_counter()
        for future in futures:
            future.result()
        done = perf_counter()
    return (submitted - before) / tasks, (done - before) / tasks


def one_by_one(executor_type: Any, tasks: int) -> float:
    """Seconds a task, when each is submitted after the one before is done."""
    with executor_type(1) as executor:
        executor.submit(abs, 0).result()
        before = perf_counter()
        for number in range(tasks):
            executor.submit(abs, number).result()
        return (perf_counter() - before) / tasks


def in_pairs(rounds: int, tasks: int) -> Times:
    """All rows, both executors in turns, so that what is compared is measured at the same time."""
    times: Times = {}
    for number in range(rounds):
        measured: dict[str, dict[Any, float]] = {}
        for executor_type in EXECUTORS if number % 2 else EXECUTORS[::-1]:
            for workers in (1, 4):
                submitted, done = submit_many(executor_type, workers, tasks)
                submit = measured.setdefault(f"{SUBMIT}, workers: {workers}", {})
                until_done = measured.setdefault(f"{SUBMIT} to done, workers: {workers}", {})
                submit[executor_type], until_done[executor_type] = submitted, done
            each = measured.setdefault(f"{SUBMIT} to `result()`, one by one", {})
            each[executor_type] = one_by_one(executor_type, max(1, tasks // 10))
        for what, pair in measured.items():
            times.setdefault(what, []).append((pair[EXECUTORS[0]], pair[EXECUTORS[1]]))
    return times


async def to_thread_in_pairs(rounds: int, calls: int) -> list[tuple[float, float]]:
    """Seconds a call, one after the other: asyncio's and ours in turns."""

    async def one_by_one(to_thread: Callable[..., Awaitable[int]]) -> float:
        await to_thread(abs, 0)
        before = perf_counter()
        for number in range(calls):
            await to_thread(abs, number)
        return (perf_counter() - before) / calls

    pairs = []
    for number in range(rounds):
        pair = {}
        for function in (asyncio.to_thread, to_thread)[:: 1 if number % 2 else -1]:
            pair[function] = await one_by_one(function)
        pairs.append((pair[asyncio.to_thread], pair[to_thread]))
    return pairs


def compute(begun: threading.Event) -> None:
    """Run, until cancelled."""
    begun.set()
    while True:
        pass


def take(begun: threading.Event) -> None:
    """Wait, until cancelled."""
    begun.set()
    queue.SimpleQueue[None]().get()


def cancel_one(executor: ThreadPoolExecutor, function: Any) -> float:
    """Seconds from cancel() of a running task to CancelledError."""
    begun = threading.Event()
    future = executor.submit(function, begun)
    begun.wait()
    before = perf_counter()
    future.cancel()
    try:
        future.result()
    except CancelledError:
        return perf_counter() - before
    raise AssertionError("the task was not cancelled")


def measure(rounds: int, tasks: int) -> Iterator[Series]:
    """Both executors' tasks, and how soon ours cancels one that runs."""
    found = in_pairs(rounds, tasks)
    found[TO_THREAD] = asyncio.run(to_thread_in_pairs(rounds, max(1, tasks // 10)))
    for what, pairs in found.items():
        standard, ours = zip(*pairs, strict=True)
        yield Series("task", what, STANDARD_EXECUTOR, list(standard))
        yield Series("task", what, OUR_EXECUTOR, list(ours))
    with ThreadPoolExecutor(1) as executor:
        for what, function in (("computes", compute), ("waits for a queue", take)):
            times = [cancel_one(executor, function) for _ in range(rounds * 5)]
            yield Series("cancel", f"a task that {what}", INTERRUPTED, times)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--tasks", type=int, default=2000, help="tasks a round")
    arguments = parser.parse_args()
    hand_over(list(measure(arguments.rounds, arguments.tasks)))


if __name__ == "__main__":
    main()

"""Measure what regions cost, and how soon a request is seen in them, against their budgets.

Run as ``python benchmarks/bench_regions.py`` where the extra ``bench`` is installed. It prints
Markdown tables; every figure in them is of this run. README.md says what the rows mean and why
they can be compared.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import thread_time
from typing import Any

import pyperf  # type: ignore[import-untyped]
import region_latency
from common import (
    Medians,
    Row,
    Subject,
    TimeFunction,
    interpreter,
    make_runner,
    markdown,
    measure,
    nanoseconds,
    ratio_row,
    repeated,
    table,
    work,
)
from interruption import allow_interruption, defer_interruption, interrupt_all_threads

HERE = Path(__file__).resolve().parent
WAITING = 100  # threads that are asked at once
RUNNING = 20
HAND_OFFS = 3  # the budget of request to exception, in hand-offs of a lock
TIMEOUT = 300  # seconds for one of the child processes


# What pyperf times. ------------------------------------------------------------------------------


def in_region(time: TimeFunction) -> TimeFunction:
    """Time the same in an open region."""

    def time_inside(turns: int) -> float:
        with allow_interruption:
            return time(turns)

    return time_inside


def after_region(time: TimeFunction) -> TimeFunction:
    """Time the same outside, once there has been a region in the process."""

    def time_after(turns: int) -> float:
        with allow_interruption:
            pass
        return time(turns)

    return time_after


def block(manager: object) -> TimeFunction:
    """Time entering and leaving."""
    return repeated("with manager: pass", manager=manager)


ASKED = "`interrupt_all_threads()`, a thread"


@contextlib.contextmanager
def threads_in_regions(count: int, *, region: bool, running: bool) -> Iterator[None]:
    """Have ``count`` more threads, waiting or running, in regions or not."""
    end = threading.Event()
    started = threading.Semaphore(0)

    def go_on() -> None:
        with allow_interruption if region else contextlib.nullcontext():
            started.release()
            while running and not end.is_set():
                pass
            end.wait()

    threads = [threading.Thread(target=go_on) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


def time_asking_all(count: int, *, region: bool, running: bool) -> float:
    """CPU seconds a thread for asking so many."""
    with threads_in_regions(count, region=region, running=running):
        start = thread_time()
        interrupt_all_threads()
        return (thread_time() - start) / count


def asking_rows(benchmarks: list[pyperf.Benchmark]) -> list[Row]:
    """What ``interrupt_all_threads()`` costs a thread. Here: too slow to begin for pyperf."""
    lines = []
    sys.setswitchinterval(region_latency.SWITCH_INTERVAL)
    for count, region, running, where in (
        (WAITING, False, False, f"of {WAITING} that wait outside regions"),
        (WAITING, True, False, f"of {WAITING} that wait in regions"),
        (RUNNING, True, True, f"of {RUNNING} that run in regions"),
    ):
        times = [time_asking_all(count, region=region, running=running) for _ in range(7)]
        benchmarks.append(as_benchmark(f"{ASKED} {where}", times))
        lines.append(Row(f"{ASKED} {where}", nanoseconds(statistics.median(times))))
    return lines


LOCK = "`with lock: pass`"
RLOCK = "`with rlock: pass`"
ALLOW = "`with allow_interruption: pass`"
WITHOUT_STATEMENTS = "`with allow_interruption(async_interrupt=False): pass`, made before"
WITHOUT_WAITS = "`with allow_interruption(io_interrupt=False): pass`, made before"
DEFER = "`with defer_interruption: pass`"
CALLED = "`with allow_interruption(io_interrupt=False): pass`, made each time"
PAIR = "`lock.acquire(); lock.release()`"
INSIDE = ", in a region"
AFTER = ", outside, after a region"

BLOCKS = {
    ALLOW: block(allow_interruption),
    DEFER: block(defer_interruption),
    WITHOUT_STATEMENTS: block(allow_interruption(async_interrupt=False)),
    WITHOUT_WAITS: block(allow_interruption(io_interrupt=False)),
    CALLED: repeated("with allow(io_interrupt=False): pass", allow=allow_interruption),
}
LOCKS = {
    LOCK: block(threading.Lock()),
    RLOCK: block(threading.RLock()),
    PAIR: repeated("lock.acquire(); lock.release()", lock=threading.Lock()),
}


def subjects() -> list[Subject]:
    """All that pyperf times. Neighbours are measured one after the other."""
    found = []
    for name, time in LOCKS.items():
        found += [
            Subject(name, time),
            Subject(name + AFTER, after_region(time)),
            Subject(name + INSIDE, in_region(time)),
        ]
        if name == LOCK:
            found += [Subject(name, time) for name, time in BLOCKS.items()]
            found += [Subject(name + INSIDE, in_region(time)) for name, time in BLOCKS.items()]
    return found


def block_rows(medians: Medians) -> list[Row]:
    """The lines about blocks and locks."""
    lines = [ratio_row(medians, ALLOW, LOCK, 1.2)]
    lines += [ratio_row(medians, name + INSIDE, LOCK) for name in BLOCKS]
    lines += [ratio_row(medians, name, LOCK) for name in BLOCKS if name != ALLOW]
    for name in LOCKS:
        lines += [
            ratio_row(medians, name + AFTER, name, 1.1),
            ratio_row(medians, name + INSIDE, name, 1.3),
        ]
    return lines


# What child processes measure. -------------------------------------------------------------------


def run_child(script: str, *options: str) -> Any:
    """What the script prints."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *options],
        check=True,
        stdout=subprocess.PIPE,
        timeout=TIMEOUT,
    )
    return json.loads(done.stdout)


def as_benchmark(name: str, values: list[float], unit: str = "second") -> pyperf.Benchmark:
    """For the file that ``--json`` names."""
    metadata = {"name": name, "unit": unit}
    return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])


def loop_rows(arguments: Any, benchmarks: list[pyperf.Benchmark]) -> list[Row]:
    """Loops in regions, and after deliveries."""
    rounds, deliveries = ("31", "50") if arguments.fast else ("101", "300")
    lines = []
    for what, title in (("inside", "in a region"), ("after", f"after {deliveries} deliveries")):
        found = run_child("region_loops.py", what, "--rounds", rounds, "--deliveries", deliveries)
        for name, ratios in found.items():
            benchmarks.append(as_benchmark(f"{name}, {title}, ratio", ratios, "integer"))
            tracked = what == "inside" and "lock" in name  # has a line of its own
            low, middle, high = statistics.quantiles(ratios)
            shown = f"quartiles {low:.2f} to {high:.2f}"
            limit = None if tracked else 1.02
            lines.append(Row(f"{name}, {title}", shown, "", middle, " x", limit))
    return lines


def percentile(values: list[float], fraction: float) -> float:
    """The value that this fraction of them does not exceed."""
    return sorted(values)[min(int(fraction * len(values)), len(values) - 1)]


def microseconds(seconds: float) -> str:
    """As text."""
    return f"{seconds * 1e6:.0f}" if seconds >= 1e-5 else f"{seconds * 1e6:.1f}"  # noqa: PLR2004


LATENCY_HEAD = [
    "code that runs",
    "busy threads",
    "`interrupt()`",
    "until seen: median",
    "p99",
    "hand-off: median",
    "figure",
    "budget",
    "verdict",
    "`SetAsyncExc`: median",
    "p99",
]


def latency_cells(name: str, busy: int, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """A line of that table; times in microseconds."""
    seen = found["interrupt"]["seen"]
    hand_off = statistics.median(found["hand_off"]["seen"])
    figure = statistics.median(seen) / hand_off
    return [
        name,
        str(busy),
        microseconds(statistics.median(found["interrupt"]["asking"])),
        microseconds(statistics.median(seen)),
        microseconds(percentile(seen, 0.99)),
        microseconds(hand_off),
        f"{figure:.2f} x",
        f"<= {HAND_OFFS} x",
        "missed" if figure > HAND_OFFS else "met",
        microseconds(statistics.median(found["async_exc"]["seen"])),
        microseconds(percentile(found["async_exc"]["seen"], 0.99)),
    ]


def latency_lines(arguments: Any, benchmarks: list[pyperf.Benchmark]) -> list[list[str]]:
    """From the request to the exception, for each body."""
    deliveries = "60" if arguments.fast else "300"
    lines = []
    for busy in (1, 8):
        for name in region_latency.BODIES:
            options = ("--busy", str(busy), "--deliveries", deliveries)
            found = run_child("region_latency.py", name, *options)
            lines.append(latency_cells(name, busy, found))
            benchmarks += [
                as_benchmark(f"{name}, {busy} busy, {way}, {what}", values)
                for way, series in found.items()
                for what, values in series.items()
            ]
    return lines


# The program. ------------------------------------------------------------------------------------


def run(runner: Any) -> int:
    """Measure everything and print the tables; the exit status."""
    with contextlib.redirect_stdout(sys.stderr):  # pyperf's progress; the tables are our output
        benchmarks = measure(runner, subjects)
    medians = {benchmark.get_name(): benchmark.median() for benchmark in benchmarks}
    lines = [*block_rows(medians), *asking_rows(benchmarks)]
    lines += loop_rows(runner.args, benchmarks)
    latencies = latency_lines(runner.args, benchmarks)
    sys.stdout.write(f"\n{interpreter()}\n\n{table(lines)}\n{markdown(LATENCY_HEAD, latencies)}")
    if runner.args.json:
        pyperf.BenchmarkSuite(benchmarks).dump(runner.args.json, replace=True)
    missed = any(line.missed for line in lines) or any("missed" in line for line in latencies)
    return int(runner.args.check and missed)


def main() -> None:
    """Run as the program, or as one of the worker processes that it starts."""
    runner = make_runner(processes=5)
    if runner.args.worker:
        work(runner, subjects)
    else:
        sys.exit(run(runner))


if __name__ == "__main__":
    main()

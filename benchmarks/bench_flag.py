"""Measure what looking and asking cost, against their budgets.

Run as ``python benchmarks/bench_flag.py`` where the extra ``bench`` is installed. It prints a
Markdown table; every figure in it is of this run. README.md says what the rows mean and why they
can be compared.
"""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time
from types import ModuleType
from typing import Any

import pyperf  # type: ignore[import-untyped]
from common import (
    Medians,
    Row,
    Subject,
    interpreter,
    make_runner,
    measure,
    nanoseconds,
    ratio_row,
    repeated,
    table,
    work,
)
from interruption import check_interrupt, clear_interrupt, interrupt, interruption_requested

HERE = Path(__file__).resolve().parent
FLOOR_FOLDER = "INTERRUPTION_BENCH_FLOOR"  # environment variable: where the built extension is
MANY = 100  # other live threads
REASON = "x" * 10


# What is timed. ----------------------------------------------------------------------------------


def looped(loop: Callable[[int], object], turns: int) -> float:
    """Time a loop that counts its turns itself."""
    start = thread_time()
    loop(turns)
    return thread_time() - start


@contextlib.contextmanager
def waiting_threads(count: int, *, have_looked: bool) -> Iterator[list[threading.Thread]]:
    """Have ``count`` more threads, waiting for an Event; end them on leaving."""
    end = threading.Event()
    started = threading.Semaphore(0)

    def wait() -> None:
        if have_looked:
            interruption_requested()
        started.release()
        end.wait()

    threads = [threading.Thread(target=wait) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        yield threads
    finally:
        end.set()
        for thread in threads:
            thread.join()


def time_asking_again(turns: int, *, has_looked: bool, by_ident: bool, others: int = 0) -> float:
    """Time ``interrupt()`` of a thread for which a request waits already."""
    with (
        waiting_threads(1, have_looked=has_looked) as [target],
        waiting_threads(others, have_looked=True),
    ):
        thread = target.ident if by_ident else target
        if thread is None or not interrupt(thread) or interrupt(thread):
            raise RuntimeError("the first request should be new, and the second not")
        return repeated("interrupt(thread)", interrupt=interrupt, thread=thread)(turns)


def time_asking_anew(turns: int) -> float:
    """Time a new request, of the calling thread to itself, with its end."""
    statement = "interrupt(ident); clear_interrupt()"
    names = {"interrupt": interrupt, "clear_interrupt": clear_interrupt}
    return repeated(statement, ident=threading.get_ident(), **names)(turns)


def asking() -> Iterator[Subject]:
    """``interrupt()`` in its cases."""
    for has_looked, whom in ((True, "a thread that has looked"), (False, "one that never looked")):
        for by_ident, how in ((False, "by Thread"), (True, "by ident")):
            for others, where in ((0, ""), (MANY, f", {MANY} other threads")):
                time = functools.partial(
                    time_asking_again, has_looked=has_looked, by_ident=by_ident, others=others
                )
                yield Subject(f"`interrupt()` again: {whom}, {how}{where}", time)
    yield Subject("`interrupt()` anew, of itself by ident, + `clear_interrupt()`", time_asking_anew)


EMPTY = "an empty builtin"
REQUESTED = "`interruption_requested()`"
CHECK = "`check_interrupt()`"
IS_SET = "`Event.is_set` as a bound method"
EVENT_IS_SET = "`event.is_set()`"
POLL_LOOP = "C loop with `Interruption_Requested()`, a step"
EMPTY_LOOP = "the same loop without, a step"


def subjects(floor: ModuleType) -> list[Subject]:
    """All that is timed. Neighbours are measured one after the other."""
    event = threading.Event()
    steps: int = floor.UNROLLED
    return [
        Subject(EMPTY, repeated("call()", call=floor.empty)),
        Subject(REQUESTED, repeated("call()", call=interruption_requested)),
        Subject(CHECK, repeated("call()", call=check_interrupt)),
        Subject(IS_SET, repeated("call()", call=event.is_set)),
        Subject(EVENT_IS_SET, repeated("event.is_set()", event=event)),
        Subject(POLL_LOOP, functools.partial(looped, floor.poll_loop), steps),
        Subject(EMPTY_LOOP, functools.partial(looped, floor.empty_loop), steps),
        *asking(),
    ]


# Measuring. --------------------------------------------------------------------------------------


def build_floor(folder: str) -> None:
    """Compile the extension ``floor`` for this interpreter into ``folder``."""
    command = [sys.executable, "setup.py", "--quiet", "build_ext"]
    places = ["--build-lib", folder, "--build-temp", str(Path(folder, "objects"))]
    subprocess.run([*command, *places], cwd=HERE / "floor", check=True, stdout=sys.stderr)


def import_floor(folder: str) -> ModuleType:
    """Import what ``build_floor`` has made."""
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("floor")
    finally:
        sys.path.remove(folder)


def measure_asked_threads(*options: str) -> dict[str, float] | None:
    """What ``asked_threads.py`` prints; None if it could not measure here."""
    done = subprocess.run(
        [sys.executable, str(HERE / "asked_threads.py"), *options],
        check=False,
        stdout=subprocess.PIPE,
    )
    if done.returncode != 0:
        return None
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


# The table. --------------------------------------------------------------------------------------


def poll_row(medians: Medians) -> Row:
    """What the poll adds to a loop."""
    return Row(
        POLL_LOOP,
        nanoseconds(medians[POLL_LOOP]),
        f"{EMPTY_LOOP}: {nanoseconds(medians[EMPTY_LOOP])}",
        (medians[POLL_LOOP] - medians[EMPTY_LOOP]) * 1e9,
        " ns more",
        0.5,
    )


def memory_rows() -> list[Row]:
    """What a thread costs that never used the library, once it is asked."""
    rows = []
    asked = "a thread that never looked, once asked"
    for what, options in ((asked, ()), (f"{asked} with a reason", ("--reason", REASON))):
        figures = measure_asked_threads(*options) or {}
        for name, limit in (("bytes", 256), ("descriptors", 0)):
            figure = figures.get(name)
            shown = "" if figure is None else f"{figure:.1f}"
            budget = None if options else limit
            rows.append(Row(f"{what}: {name}", shown, "", figure, "", budget))
    return rows


def rows(medians: Medians) -> list[Row]:
    """All lines of the table, budgets first; measures the memory as well."""
    return [
        ratio_row(medians, REQUESTED, EMPTY, 1.15),
        ratio_row(medians, REQUESTED, IS_SET, 1),
        ratio_row(medians, REQUESTED, EVENT_IS_SET),
        ratio_row(medians, CHECK, EMPTY, 1.25),
        poll_row(medians),
        *memory_rows(),
        *(Row(case.name, nanoseconds(medians[case.name])) for case in asking()),
    ]


# The program. ------------------------------------------------------------------------------------


def run(runner: Any) -> int:
    """Measure everything and print the table; the exit status."""
    with tempfile.TemporaryDirectory(prefix="interruption-bench-") as folder:
        build_floor(folder)
        os.environ[FLOOR_FOLDER] = folder
        with contextlib.redirect_stdout(sys.stderr):  # pyperf's progress; the table is our output
            benchmarks = measure(runner, functools.partial(subjects, import_floor(folder)))
    lines = rows({benchmark.get_name(): benchmark.median() for benchmark in benchmarks})
    sys.stdout.write(f"\n{interpreter()}\n\n{table(lines)}")
    if runner.args.json:
        pyperf.BenchmarkSuite(benchmarks).dump(runner.args.json, replace=True)
    return int(runner.args.check and any(line.missed for line in lines))


def main() -> None:
    """Run as the program, or as one of the worker processes that it starts."""
    # What it measures takes about a minute.
    runner = make_runner(FLOOR_FOLDER)
    if runner.args.worker:
        work(runner, functools.partial(subjects, import_floor(os.environ[FLOOR_FOLDER])))
    else:
        sys.exit(run(runner))


if __name__ == "__main__":
    main()

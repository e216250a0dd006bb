"""What looking, asking and regions cost, by pyperf: series as JSON.

Run by ``run.py``, or by itself. Options are pyperf's; with ``--debug-single-value`` only what has a
budget is measured, once. Everything is the CPU time of one thread.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time
from types import ModuleType
from typing import Any

from costs_names import (
    ALLOW,
    CHECK,
    EMPTY,
    EMPTY_LOOP,
    EVENT_IS_SET,
    IS_SET,
    LOCK,
    PEER_CHECK,
    POLL,
    POLL_LOOP,
    REQUESTED,
    TIMEOUT,
    TIMEOUTS,
)
from figures import Series, hand_over
from interruption import (
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interrupt_all_threads,
    interruption_requested,
    timeout,
)
from timing import Subject, TimeFunction, make_runner, measure, repeated, work

HERE = Path(__file__).resolve().parent
FLOOR_FOLDER = "INTERRUPTION_BENCH_FLOOR"  # environment variable: where the built extension is
BRIEF = "INTERRUPTION_BENCH_BRIEF"  # environment variable: only what has a budget
MANY = 100  # other live threads

INSIDE_REGION = ", in a region"


# Looking. ----------------------------------------------------------------------------------------


def looped(loop: Callable[[int], object], turns: int) -> float:
    """Time a loop that counts its turns itself."""
    start = thread_time()
    loop(turns)
    return thread_time() - start


def looking(floor: ModuleType) -> Iterator[Subject]:
    """Looks, and the least that a call can cost."""
    event = threading.Event()
    steps: int = floor.UNROLLED
    yield Subject(EMPTY, repeated("call()", call=floor.empty))
    yield Subject(REQUESTED, repeated("call()", call=interruption_requested))
    yield Subject(CHECK, repeated("call()", call=check_interrupt))
    yield Subject(IS_SET, repeated("call()", call=event.is_set))
    yield Subject(EVENT_IS_SET, repeated("event.is_set()", event=event))
    yield Subject(POLL_LOOP, functools.partial(looped, floor.poll_loop), steps)
    yield Subject(EMPTY_LOOP, functools.partial(looped, floor.empty_loop), steps)


def peer_looking() -> Iterator[Subject]:
    """The same of the peer, where it is installed. Importing it changes nothing."""
    if importlib.util.find_spec("interruptible_threading") is not None:
        peer = importlib.import_module("interruptible_threading")
        yield Subject(PEER_CHECK, repeated("call()", call=peer.check_interrupt))


# Regions. ----------------------------------------------------------------------------------------


def in_region(time: TimeFunction) -> TimeFunction:
    """Time the same in an open region."""

    def time_inside(turns: int) -> float:
        with allow_interruption:
            return time(turns)

    return time_inside


def block(manager: object) -> TimeFunction:
    """Time entering and leaving."""
    return repeated("with manager: pass", manager=manager)


def regions() -> Iterator[Subject]:
    """Entering and leaving. A lock is timed before there is a region: its methods are CPython's."""
    yield Subject(LOCK, block(threading.Lock()))
    yield Subject(ALLOW, block(allow_interruption))
    nested = ", ".join(["timeout(30)"] * 3)
    yield Subject(TIMEOUT, repeated("with timeout(30): pass", timeout=timeout))
    yield Subject(TIMEOUTS, repeated(f"with {nested}: pass", timeout=timeout))


def other_regions() -> Iterator[Subject]:
    """Those without a budget."""
    brief = allow_interruption(async_interrupt=False)
    called = repeated("with allow(io_interrupt=False): pass", allow=allow_interruption)
    times = {
        "`with defer_interruption: pass`": block(defer_interruption),
        "`with allow_interruption(async_interrupt=False): pass`, made before": block(brief),
        "`with allow_interruption(io_interrupt=False): pass`, made each time": called,
    }
    yield Subject(ALLOW + INSIDE_REGION, in_region(block(allow_interruption)))
    for name, time in times.items():
        yield Subject(name, time)


# Asking. -----------------------------------------------------------------------------------------


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


def time_asking_again(turns: int, *, has_looked: bool, others: int = 0) -> float:
    """Time ``interrupt()`` of a thread for which a request waits already."""
    with (
        waiting_threads(1, have_looked=has_looked) as [thread],
        waiting_threads(others, have_looked=True),
    ):
        if not interrupt(thread) or interrupt(thread):
            raise RuntimeError("the first request should be new, and the second not")
        return repeated("interrupt(thread)", interrupt=interrupt, thread=thread)(turns)


def time_asking_all(turns: int) -> float:
    """Time ``interrupt_all_threads()`` of MANY that have looked and wait."""
    with waiting_threads(MANY, have_looked=True):
        return repeated("call()", call=interrupt_all_threads)(turns)


def asking() -> Iterator[Subject]:
    """``interrupt()`` in its cases."""
    for has_looked, whom in ((True, "a thread that has looked"), (False, "one that never looked")):
        for others, where in ((0, ""), (MANY, f", {MANY} other threads")):
            time = functools.partial(time_asking_again, has_looked=has_looked, others=others)
            yield Subject(f"`interrupt()` again: {whom}{where}", time)
    statement = "interrupt(ident); clear_interrupt()"
    names = {"interrupt": interrupt, "clear_interrupt": clear_interrupt}
    anew = repeated(statement, ident=threading.get_ident(), **names)
    yield Subject("`interrupt()` anew, of itself by ident, + `clear_interrupt()`", anew)
    yield Subject(f"`interrupt_all_threads()` again, {MANY} threads", time_asking_all)


# The program. ------------------------------------------------------------------------------------


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


def subjects() -> list[Subject]:
    """All that is timed. Neighbours are measured one after the other."""
    found = [*looking(import_floor(os.environ[FLOOR_FOLDER])), *regions()]
    if os.environ[BRIEF] == "no":
        found += [*peer_looking(), *other_regions(), *asking()]
    return found


def as_series(medians: dict[str, list[float]]) -> list[Series]:
    """All that was timed, and what a poll adds to a loop."""
    added = zip(medians[POLL_LOOP], medians[EMPTY_LOOP], strict=True)
    medians[POLL] = [with_poll - without for with_poll, without in added]
    return [Series("cost", name, "", values) for name, values in medians.items()]


def run(runner: Any) -> None:
    """Measure everything, print it."""
    os.environ[BRIEF] = "yes" if runner.args.debug_single_value else "no"
    with tempfile.TemporaryDirectory(prefix="interruption-bench-") as folder:
        build_floor(folder)
        os.environ[FLOOR_FOLDER] = folder
        with contextlib.redirect_stdout(sys.stderr):  # pyperf's progress; the series are our output
            medians = measure(runner, subjects)
    series = as_series(medians)
    for one in series:
        sys.stderr.write(f"{one.what}: {statistics.median(one.values):.3g} s\n")
    hand_over(series)


def main() -> None:
    """Run as the program, or as one of the worker processes that it starts."""
    runner = make_runner(FLOOR_FOLDER, BRIEF)
    if runner.args.worker:
        work(runner, subjects)
    else:
        run(runner)


if __name__ == "__main__":
    main()

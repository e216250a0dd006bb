"""How soon a thread is interrupted, blocked or running, against normal ends: series as JSON.

Run by ``run.py``: ``python latency.py waits`` or ``bodies``; ``peer`` is ``waits`` of another
library, in a process of its own, as it replaces functions of the standard library. A thread waits,
or runs, in a region. From before ``interrupt()`` until it has caught the exception outside of the
region; or from before ``release()``, ``set()``, ``put()`` ... until the thread is out of the wait.
The ways take turns.
"""

import argparse
import contextlib
import ctypes
import functools
import importlib
import importlib.util
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter_ns as clock
from typing import Any

import bodies
from figures import ASYNC_EXC, ENDED, INTERRUPTED, PEER, STOPIT, WARM, Series, hand_over
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from interruption import interruption_requested as requested
from waits import HAND_OFF, SLEEP, WAITS, Way

# How long the interpreter lets a thread run on when others want to. With its default of 5 ms, the
# requester would wait for its turn most of the time; nobody waits so between request and exception,
# unless more threads are busy than one.
SWITCH_INTERVAL = 0.0005
IN_A_ROW = 5  # of one way, then another
NOT_WOKEN = 0.1  # seconds after which a thread counts as not woken
IDLE, BUSY = "idle", "busy cores"

Make = Callable[[], Way]


# Who asks. ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """What interrupts a thread: this library or another."""

    ask: Callable[[Any], object]
    error: type[BaseException] = ThreadExit
    thread: type[Any] = threading.Thread
    region: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext


OURS = Library(interrupt, region=lambda: allow_interruption)
FLAG = Library(interrupt)  # the code looks itself


def set_async_exc(thread: threading.Thread) -> None:
    """Do as the recipes do."""
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(ThreadExit))


def recipes() -> dict[str, Library]:
    """What throws exceptions into threads: the recipe, and stopit, if it is there."""
    found = {ASYNC_EXC: Library(set_async_exc)}
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")  # it imports pkg_resources
        throw = importlib.import_module("stopit").async_raise
        found[STOPIT] = Library(lambda thread: throw(thread.ident, ThreadExit))
    return found


def peer() -> Library:
    """Have `interruptible-threading` replace what it replaces.

    But for sockets: there its version 0.0.1 calls itself without end.
    """
    module = importlib.import_module("interruptible_threading")
    module.InterruptibleThread.install_patches()
    return Library(
        lambda thread: thread.interrupt(), module.ThreadInterrupted, module.InterruptibleThread
    )


# One time. ---------------------------------------------------------------------------------------


@dataclass
class Attempt:
    """One thread that does one thing until its end."""

    library: Library
    way: Way
    seen: list[int] = field(default_factory=list)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self) -> None:
        """In the thread."""
        try:
            with self.library.region():
                self.running.release()
                self.way.wait()
                self.seen.append(clock())
        except self.library.error:
            self.seen.append(clock())
        clear_interrupt()

    def start(self) -> threading.Thread:
        """Let a thread do it; returns when it is about to."""
        thread: threading.Thread = self.library.thread(target=self.run, daemon=True)
        thread.start()
        self.running.acquire()
        return thread


def time_one(
    library: Library, make: Make, *, ask: bool, just_before: Callable[[], object] = lambda: None
) -> float | None:
    """Seconds until a thread has come to its end, asked to or because what it does has ended.

    None if it was asked in vain.
    """
    bodies.caught_inside.clear()
    attempt = Attempt(library, make())
    thread = attempt.start()
    attempt.way.begun()
    time.sleep(random.uniform(0.0005, 0.0015))  # noqa: S311 - so as not to be in step with it
    just_before()
    begun = clock()
    if ask:
        library.ask(thread)
    else:
        attempt.way.end()
    thread.join(None if library is OURS or not ask else 100 * NOT_WOKEN)
    if not attempt.seen:
        return None  # a daemon, that stays where it is
    attempt.way.close()
    return ((bodies.caught_inside or attempt.seen)[0] - begun) / 1e9


def is_woken(library: Library, make: Make) -> bool:
    """Tell whether asking it ends a thread's wait."""
    attempt = Attempt(library, make())
    thread = attempt.start()
    time.sleep(0.01)
    library.ask(thread)
    thread.join(NOT_WOKEN)
    woken = bool(attempt.seen)
    attempt.way.end()
    return woken


# Many times. -------------------------------------------------------------------------------------


@contextlib.contextmanager
def others(library: Library, make: Make, count: int) -> Iterator[None]:
    """Have ``count`` more threads do that; they are asked before the block is left."""
    attempts = [Attempt(library, make()) for _ in range(count)]
    threads = [attempt.start() for attempt in attempts]
    try:
        yield
    finally:
        for thread in threads:
            library.ask(thread)
        for thread, attempt in zip(threads, attempts, strict=True):
            thread.join()
            attempt.way.close()


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Have as many processes spin as there are cores."""
    command = [sys.executable, "-S", "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


Times = dict[str, Callable[[], float | None]]  # how each of the ways that take turns is timed


def in_turns(what: str, part: str, times: Times, count: int, where: str) -> list[Series]:
    """So many of each way; each begins with one for what happens once in a process."""
    values: dict[str, list[float]] = {way: [] for way in times}
    for time_it in times.values():
        time_it()
    for _ in range(max(count // IN_A_ROW, 1)):
        for way, time_it in times.items():
            found = [time_it() for _ in range(min(IN_A_ROW, count))]
            values[way] += [seconds for seconds in found if seconds is not None]
    return [Series(part, what, way, found, where) for way, found in values.items()]


def where(threads: int, conditions: str) -> str:
    """The circumstances, in words."""
    return f"{threads} thread{'s' if threads > 1 else ''}, {conditions}"


def normal_end(name: str) -> Make:
    """What the wait is compared with: its own normal end, but ``sleep``, which has none."""
    return WAITS[HAND_OFF if name == SLEEP else name]


@functools.cache
def bystander() -> threading.Thread:
    """Give a thread that only waits, outside of regions."""
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


def warm_up() -> None:
    """Have the processor's caches know what ``interrupt()`` does."""
    for _ in range(3):
        interrupt(bystander())


def time_waits(names: Iterable[str], threads: int, count: int, place: str) -> Iterator[Series]:
    """Each wait, interrupted and ended."""
    for name in names:
        times: Times = {
            INTERRUPTED: functools.partial(time_one, OURS, WAITS[name], ask=True),
            ENDED: functools.partial(time_one, OURS, normal_end(name), ask=False),
        }
        if threads == 1:
            times[WARM] = functools.partial(
                time_one, OURS, WAITS[name], ask=True, just_before=warm_up
            )
        with others(OURS, WAITS[name], threads - 1):
            yield from in_turns(name, "wait", times, count, place)


def of_body(body: bodies.Body) -> Make:
    """As a way that has no end of its own."""
    turning = bodies.turning.acquire if body is bodies.event_loop else None
    return lambda: Way(body, lambda: None, begun=turning or (lambda: None))


def time_bodies(names: Iterable[str], threads: int, count: int, place: str) -> Iterator[Series]:
    """Each body: by this library, by the recipes, and the hand-off of a lock."""
    for name in names:
        make = of_body(bodies.BODIES[name])
        times: Times = {
            INTERRUPTED: functools.partial(time_one, OURS, make, ask=True),
            ENDED: functools.partial(time_one, OURS, WAITS[HAND_OFF], ask=False),
        }
        if "asyncio" not in name:  # the event loop of a recipe's thread may be left half closed
            for recipe, library in recipes().items() if threads == 1 else ():
                times[recipe] = functools.partial(time_one, library, make, ask=True)
        with others(OURS, of_body(bodies.spin), threads - 1):
            yield from in_turns(name, "code", times, count, place)


def looking_by_event() -> Way:
    """A loop that looks at an Event."""
    event = threading.Event()

    def look() -> None:
        while not event.is_set():
            pass

    return Way(look, event.set)


def look() -> None:
    """Look whether this thread has been asked."""
    while not requested():
        pass


def time_looking(threads: int, count: int, place: str) -> Iterator[Series]:
    """Loops that look: at an Event, and whether the thread was asked."""
    times: Times = {
        INTERRUPTED: functools.partial(time_one, FLAG, of_body(look), ask=True),
        ENDED: functools.partial(time_one, FLAG, looking_by_event, ask=False),
    }
    with others(OURS, of_body(bodies.spin), threads - 1):
        yield from in_turns("a loop that looks", "look", times, count, place)


def who_is_woken(name: str, library: Library, waits: Iterable[str]) -> Iterator[Series]:
    """Whether it wakes each of the waits: 1 or 0."""
    for wait in waits:
        woken = float(is_woken(library, WAITS[wait]))
        yield Series("woken", wait, name, [woken], unit="woken")


def measure_peer(count: int) -> Iterator[Series]:
    """What the peer wakes, and how soon."""
    library = peer()
    sockets = [name for name in WAITS if "socket" in name]
    woken = [*who_is_woken(PEER, library, [name for name in WAITS if name not in sockets])]
    yield from woken
    for name in [one.what for one in woken if one.values == [1.0]]:
        times: Times = {PEER: functools.partial(time_one, library, WAITS[name], ask=True)}
        yield from in_turns(name, "wait", times, count, where(1, IDLE))


# The program. ------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace) -> Iterator[Series]:
    """What the command line says, with one thread or more, on idle and on busy cores."""
    if arguments.what == "peer":
        yield from measure_peer(arguments.count)
        return
    if arguments.what == "waits":
        yield from who_is_woken(ASYNC_EXC, recipes()[ASYNC_EXC], WAITS)
    for conditions in arguments.cores:
        with busy_cores() if conditions == BUSY else contextlib.nullcontext():
            for threads in arguments.threads:
                count = arguments.count if threads == 1 else -(-arguments.count // 3)
                place = where(threads, conditions)
                if arguments.what == "waits":
                    yield from time_waits(WAITS, threads, count, place)
                    continue
                alone = threads == 1 and conditions == IDLE
                names = bodies.BODIES if alone else bodies.SOME_BODIES
                count = count if threads < 64 else -(-count // 8)  # noqa: PLR2004 - slow
                yield from time_bodies(names, threads, count, place)
                yield from time_looking(threads, count, place)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["waits", "bodies", "peer"])
    parser.add_argument("--count", type=int, default=200, help="of each, with one thread")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--cores", nargs="+", choices=[IDLE, BUSY], default=[IDLE, BUSY])
    arguments = parser.parse_args()
    if arguments.what == "bodies":
        sys.setswitchinterval(SWITCH_INTERVAL)
    if arguments.what != "peer":
        with allow_interruption:  # the families are interposed
            pass
    hand_over(list(measure(arguments)))
    sys.stdout.flush()
    os._exit(0)  # threads that were not woken stay where they are


if __name__ == "__main__":
    main()

"""Threads in regions, interrupted at full speed, wherever they happen to be (S7-S12, S14, S21).

The count is of deliveries, not of time. INTERRUPTION_STRESS scales it, in percent: 10 unless set,
and 20000 for 200,000 deliveries a shape, which take about an hour: most shapes half a minute or a
minute, those with asyncio five to ten. ``-k`` picks out shapes; ``-s`` tells where the requests
were delivered.

Seeds: what is said at each test. They make the requesters' pauses, so the same run is not had again
by the same seed: where a pause ends is the scheduler's choice.
"""

from __future__ import annotations

import contextlib
import dis
import gc
import itertools
import linecache
import random
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import region_shapes
from interruption import (
    Thread,
    ThreadExit,
    _interruption,
    allow_interruption,
    clear_interrupt,
    explain,
    interrupt,
    interruption_requested,
)
from region_shapes import SHAPES, Manager, Shape, step
from support import PATIENCE, scaled, seeded

DELIVERIES = 1000  # a shape, at 100 percent
ENOUGH = 1000  # of them to tell that a shape is delivered in nowhere


def marked(file: str) -> dict[int, str]:
    """The marks at the ends of that file's lines: see region_shapes."""
    marks = {}
    for number, line in enumerate(linecache.getlines(file), 1):
        comments = line.split("  # ")[1:]
        found = [comment.strip() for comment in comments if comment.strip() in MARKS]
        if found:
            marks[number] = found[0]
    return marks


MARKS = {"never", "whole", "here", "region", "inside"}
OF_SHAPES = {
    str(file): marked(str(file)) for file in Path(region_shapes.__file__).parent.glob("*.py")
}
OF_THIS_FILE = marked(__file__)


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def _nothing_swallowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No exception of any thread's gets lost in a ``__del__``, a callback, or at its end."""
    lost: list[Any] = []

    def excepthook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, SystemExit):  # that ends a thread in silence (S13)
            lost.append(args.exc_value)

    monkeypatch.setattr(sys, "unraisablehook", lambda args: lost.append((args.object, args[1])))
    monkeypatch.setattr(threading, "excepthook", excepthook)
    yield
    gc.collect()
    assert lost == []


def entries(traceback: TracebackType | None) -> list[tuple[str, int, str]]:
    """Where it came through, outermost first."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    return found


def is_jumping_back(traceback: TracebackType | None) -> bool:
    """Was it raised at the end of a loop's turn?"""
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    operation = traceback.tb_frame.f_code.co_code[traceback.tb_lasti]
    return dis.opname[operation].startswith("JUMP_BACKWARD")


def is_taking(came: list[tuple[str, int, str]], takers: tuple[str, ...]) -> bool:
    """Was it raised where one of those takes the lock of its condition?"""
    functions = [function for file, _, function in came if file == threading.__file__]
    return functions in [[taker, "__enter__"] for taker in takers]


def is_in_region(line: int, *, entered: bool) -> bool:
    """May a request have been raised in a line of this file that has a region around it?"""
    mark = OF_THIS_FILE.get(line)
    return mark == "inside" or (mark == "region" and not entered)


class Worker:
    """A thread that runs a shape in regions, and looks closely at what is raised in it."""

    def __init__(self, shape: Shape, name: str = "") -> None:
        self.shape = shape
        self.name = name
        self.asked = ""  # the reason of the request that is on its way
        self.delivered = threading.Semaphore(0)
        self.places: Counter[tuple[str, int, str]] = Counter()
        self.here: set[tuple[str, int]] = set()  # lines with that mark
        self.failure: BaseException | None = None
        self.stop = False
        self.entered = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        turn = self.own_turn if self.shape.own_regions else self.turn
        try:
            while not self.stop:
                # What the exception kept alive is gone when the shape is looked at.
                if turn():
                    self.shape.check()
                    assert clear_interrupt()
                    self.delivered.release()
                elif interruption_requested():
                    requested, pending, *_ = _interruption._inspect(self.thread)  # noqa: SLF001
                    assert not requested or pending, "it was raised, and came to nothing"
        except BaseException as failure:  # noqa: BLE001  (told by the test)
            self.failure = failure
            self.delivered.release()

    def turn(self) -> bool:
        """Was the request delivered?"""
        body = self.shape.body
        rounds = self.shape.rounds
        self.entered = False
        try:
            with allow_interruption:  # region
                self.entered = True  # inside
                for _ in range(rounds):  # inside
                    body()  # inside
            self.entered = True
        except ThreadExit as error:
            self.look(error)
            return True
        return False

    def own_turn(self) -> bool:
        try:
            self.shape.body()
        except ThreadExit as error:
            self.look(error, own=True)
            return True
        return False

    def look(self, error: ThreadExit, *, own: bool = False) -> None:
        """Is it what was asked for, and did it come from a place where it may?"""
        assert error.reason == self.asked, f"{error.reason} instead of {self.asked}"
        came = entries(error.__traceback__)
        assert own or is_in_region(came[0][1], entered=self.entered), f"an escape: {came}"
        file, line, function = came[-1]
        assert line is not None, f"no line is told: {came}"
        assert (
            file == __file__
            or file in OF_SHAPES
            or file.endswith(self.shape.files or ("no such file",))
            or is_taking(came, self.shape.takers)
        ), f"not in code of ours: {came}"
        for index, (file_through, line_through, _) in enumerate(came, 1):
            # The last line of a loop, when all of it is done.
            jumping = index == len(came) and is_jumping_back(error.__traceback__)
            if file_through in OF_SHAPES:
                mark = OF_SHAPES[file_through].get(line_through)
                assert mark != "never" or jumping, f"through a line marked never: {came}"
                assert mark != "whole" or (file_through, line_through) == (file, line), (
                    f"within one: {came}"
                )
                if mark == "here":
                    self.here.add((file_through, line_through))
        self.places[file.rpartition("/")[2], line, function] += 1

    def ask(self, reason: str) -> None:
        """Ask it once, and wait until it was delivered."""
        self.asked = f"{self.name}{reason}"
        accepted = interrupt(self.thread, reason=self.asked)
        assert accepted or self.failure, "it was asked already"
        if not self.delivered.acquire(timeout=PATIENCE):
            pytest.fail(f"not delivered: {self.asked}\n{explain(self.thread)}")
        self.raise_failure()

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def end(self, reason: str = "the end") -> None:
        """End the thread; it is in a turn that may need a request to end."""
        self.stop = True
        if self.failure is None:
            self.asked = f"{self.name}{reason}"
            interrupt(self.thread, reason=self.asked)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), explain(self.thread)
        self.raise_failure()


def pause(chance: random.Random, longest: int) -> None:
    """Do nothing for a while, most often a short one."""
    for _ in range(int(longest * chance.random() ** 2)):
        pass


@contextlib.contextmanager
def made(shape: Shape, folder: Any) -> Iterator[Shape]:
    shape.make(folder)
    try:
        yield shape
    finally:
        shape.remove()


def report(places: Counter[tuple[str, int, str]]) -> str:
    return "\n".join(
        f"{count:8} {file}:{line} in {function}"
        for (file, line, function), count in places.most_common()
    )


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_nothing_leaks_or_is_lost(
    kind: type[Shape], percent: int, tmp_path: Any
) -> None:  # S7-S12, S21
    """One thread runs the shape; each request comes after the one before was delivered.

    Invariants: each request is delivered once, as itself, inside of the region, at a line where it
    may be; then nothing is held, what was opened is closed, and each cleanup that began has ended.
    One that is lost, and a deadlock, would hang. Seed: the CRC-32 of the shape's name.
    """
    chance = seeded(zlib.crc32(kind.__name__.encode()))
    deliveries = scaled(DELIVERIES, percent)
    with made(kind(), tmp_path) as shape:
        worker = Worker(shape)
        worker.thread.start()
        for number in range(deliveries):
            pause(chance, shape.pause)
            worker.ask(str(number))
        worker.end()
    print(f"{kind.__name__}: {deliveries}\n{report(worker.places)}")  # noqa: T201
    assert sum(worker.places.values()) in (deliveries, deliveries + 1)
    assert worker.here or deliveries < ENOUGH, "never within the shape itself"


class Counting:
    """A thread that enters and leaves regions, while anybody asks it anything."""

    def __init__(self, turns: int, deliveries: int) -> None:
        self.turns = turns
        self.deliveries = deliveries  # at least so many
        self.delivered = 0
        self.escapes: list[Any] = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        while self.turns > 0 or self.delivered < self.deliveries:
            self.turns -= 1
            try:
                self.empty()
                self.short()
            except BaseException as error:  # noqa: BLE001  (there is nothing else to come)
                self.escapes.append(entries(error.__traceback__))

    def note(self, error: ThreadExit, *, entered: bool) -> None:
        self.delivered += 1
        came = entries(error.__traceback__)
        if not is_in_region(came[-1][1], entered=entered):
            self.escapes.append(came)
        clear_interrupt()

    def empty(self) -> None:
        try:
            with allow_interruption:  # region
                pass  # inside
        except ThreadExit as error:
            self.note(error, entered=False)

    def short(self) -> None:
        entered = False
        try:
            with allow_interruption:  # region
                entered = True  # inside
                number = 1  # inside
                number += 1  # inside
            entered = True
        except ThreadExit as error:
            self.note(error, entered=entered)


@pytest.mark.parametrize(("threads", "requesters"), [(1, 1), (1, 2), (8, 2)])
def test_nothing_comes_out_of_a_region_that_is_left(threads: int, requesters: int) -> None:  # S11
    """Regions entered and left at full speed, requests made at full speed.

    Invariant: nothing is raised but in the `__enter__` of the region, or in its block. Seeds: the
    requesters' numbers.
    """
    entries_each = scaled(600_000) // threads + 1
    workers = [Counting(entries_each, scaled(10)) for _ in range(threads)]
    stop = threading.Event()
    accepted = [0] * requesters

    def ask(number: int) -> None:
        chance = seeded(number)
        while not stop.is_set():
            accepted[number] += interrupt(workers[chance.randrange(threads)].thread)
            pause(chance, 100)

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(requesters)]
    for thread in [worker.thread for worker in workers] + asking:
        thread.start()
    for worker in workers:
        worker.thread.join(PATIENCE * entries_each / 10_000 + PATIENCE)
    stop.set()
    for thread in asking:
        thread.join(PATIENCE)
    assert [explain(worker.thread).state for worker in workers] == ["finished"] * threads
    assert [worker.escapes for worker in workers] == [[]] * threads
    delivered = sum(worker.delivered for worker in workers)
    regions = sum(entries_each - worker.turns for worker in workers) * 2
    print(f"{regions} regions, {delivered} of {sum(accepted)}")  # noqa: T201
    assert delivered <= sum(accepted)


class Shared(Shape):
    """Code that many threads run at the same time."""

    def body(self) -> None:
        self.opened += 1
        try:
            for number in sorted(range(3), key=step):
                step(number)
        finally:
            self.closed += 1
        with Manager(self):
            step()


del SHAPES[-1]  # not for all that the others are for
Shared.files = (__file__,)


def test_only_who_is_asked_is_hit():  # S1, S9
    """Threads that run the same code, of which one at a time is asked.

    Invariant: each is hit by its own requests only, each once. Seed: 1.
    """
    chance = seeded(1)
    workers = [Worker(Shared(), name=f"{number}:") for number in range(4)]
    for worker in workers:
        worker.thread.start()
    for number in range(scaled(DELIVERIES) // 5 + 1):
        pause(chance, Shape.pause)
        chance.choice(workers).ask(str(number))
    for worker in workers:
        worker.end()


def test_several_are_asked_at_a_time():  # S1, S9
    """The same, but they are asked one each by a requester of their own. Seeds: their numbers."""
    workers = [Worker(Shared(), name=f"{number}:") for number in range(4)]

    def ask(number: int) -> None:
        chance = seeded(number)
        for serial in range(scaled(DELIVERIES) // 5 + 1):
            pause(chance, Shape.pause)
            workers[number].ask(str(serial))

    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            ask(number)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    for worker in workers:
        worker.thread.start()
    asking = [threading.Thread(target=guarded, args=(n,)) for n in range(len(workers))]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    for worker in workers:
        worker.end()
    assert failures == []


class Brief(Shape):
    """The life of a thread: a few regions, then its end; or it is ended by a request."""

    def body(self) -> None:
        for number in range(3):
            with Manager(self):
                step(number)


del SHAPES[-1]


class Comers:
    """Threads of which each lives briefly, in slots; and requesters that ask whoever is there."""

    def __init__(self, lives: int) -> None:
        self.lives = lives
        self.numbers = itertools.count()
        self.current: list[tuple[int, threading.Thread] | None] = [None] * 3
        self.stop = threading.Event()
        self.wrong: list[Any] = []
        self.ended: list[int] = []  # the numbers of those that a request has ended
        self.accepted: set[str] = set()

    def life(self, number: int, shape: Brief) -> None:
        try:
            if number % 2:
                shape.body()  # its thread is a region
            else:
                with allow_interruption:
                    shape.body()
        except ThreadExit as error:
            self.ended.append(number)
            if not str(error.reason).startswith(f"{number}:"):
                self.wrong.append((number, error.reason))

    def live(self, slot: int) -> None:
        """One life after the other, in that slot."""
        while (number := next(self.numbers)) < self.lives:
            shape = Brief()
            thread = Thread(target=self.life, args=(number, shape), interruptible=bool(number % 2))
            self.current[slot] = (number, thread)
            thread.start()
            thread.join(PATIENCE)
            if thread.is_alive():
                self.wrong.append(str(explain(thread)))
                return
            try:
                shape.check()
            except AssertionError as error:
                self.wrong.append(error)

    def ask(self, seed: int) -> None:
        chance = seeded(seed)
        while not self.stop.is_set():
            number, thread = self.current[chance.randrange(len(self.current))] or (0, None)
            if thread is not None:
                with contextlib.suppress(RuntimeError):  # it was not started
                    reason = f"{number}:{seed}"
                    if interrupt(thread, reason=reason):
                        self.accepted.add(reason)
            pause(chance, 2000)


def test_threads_that_come_and_go():  # S1, S7, S13
    """Threads that start and end all the time, in regions, asked at any moment.

    Invariants: what ends one is a request for it, that was accepted; nothing stays open; what is
    refused or comes too late harms nobody. Seeds: the threads' numbers; of the requesters, theirs.
    """
    comers = Comers(scaled(2000))
    asking = [threading.Thread(target=comers.ask, args=(seed,)) for seed in range(2)]
    slots = range(len(comers.current))
    living = [threading.Thread(target=comers.live, args=(slot,)) for slot in slots]
    for thread in asking + living:
        thread.start()
    for thread in living:
        thread.join()
    comers.stop.set()
    for thread in asking:
        thread.join()
    ended, accepted = len(comers.ended), len(comers.accepted)
    print(f"{comers.lives} threads, {ended} ended by {accepted} requests")  # noqa: T201
    assert comers.wrong == []
    assert ended > 0 or comers.lives < ENOUGH

"""Threads in regions, interrupted at full speed, wherever they happen to be (S7-S12, S14, S21).

What most of them run are programs made by chance, as in test_programs.py; here other threads ask,
at any moment. The count is of deliveries, not of time. INTERRUPTION_STRESS scales it, in percent:
10 unless set.

Seeds: what is said at each test. They make the requesters' pauses, so the same run is not had again
by the same seed: where a pause ends is the scheduler's choice.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import linecache
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest
from chance import pause, scaled, seeded, shots
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    explain,
    interrupt,
)
from programs import grammar, runs
from programs.outside import Target
from support import PATIENCE, Started, in_thread

DELIVERIES = 40_000  # to made programs, at 100 percent
OF_EACH = 20  # to one of them


def marked(file: str) -> dict[int, str]:
    """The marks at the ends of that file's lines: where a request may be raised (S11)."""
    marks = {}
    for number, line in enumerate(linecache.getlines(file), 1):
        _, _, mark = line.rstrip().rpartition("  # ")
        if mark in ("region", "inside"):
            marks[number] = mark
    return marks


OF_THIS_FILE = marked(__file__)


pytestmark = pytest.mark.usefixtures("switching_often")


@pytest.fixture(autouse=True)
def _nothing_swallowed(
    monkeypatch: pytest.MonkeyPatch,
    collecting_fast: None,  # noqa: ARG001  (it is left after this)
) -> Iterator[None]:
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


def is_in_region(line: int, *, entered: bool) -> bool:
    """May a request have been raised in a line of this file that has a region around it?"""
    mark = OF_THIS_FILE.get(line)
    return mark == "inside" or (mark == "region" and not entered)


@pytest.fixture
def _collecting_often() -> Iterator[None]:
    """The garbage collector begins anywhere; and coroutines may be left that nobody awaits."""
    threshold = gc.get_threshold()
    gc.set_threshold(15, 5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    gc.set_threshold(*threshold)


def sources(seed: int, size: int) -> Iterator[str]:
    """Made programs, without those that swallow what is raised."""
    for number in itertools.count(seed):
        source = grammar.make(number, size)
        if not ("BaseException" in source or "except:" in source):
            yield source


@pytest.mark.usefixtures("_collecting_often")
@pytest.mark.parametrize("size", [4, 12, 30])
def test_nothing_leaks_or_is_lost(size: int, percent: int) -> None:  # S7-S12, S21
    """One thread runs a made program; each request comes after the one before was delivered.

    Invariants: each request is delivered once, as itself, inside of the region, in code of the
    program; then nothing is held, what was begun has ended, and nothing new has been begun. One
    that is lost, and a deadlock, would hang. Seed: the size.
    """
    chance = seeded(size)
    for source in itertools.islice(
        sources(size, size), scaled(DELIVERIES, percent) // (3 * OF_EACH) + 1
    ):
        target = Target(source)
        target.thread.start()
        for number in range(OF_EACH):
            pause(chance)
            target.ask(str(number))
        target.end()


FUNCTIONS = (
    "@opened\ndef f1():\n t()\n t()\nf1()",
    "@allow_interruption\ndef f1():\n t()\n t()\nf1()",
    "@defer_interruption\ndef f1():\n L('b1 ')\n t()\n L('d1 ')\nf1()",
    "async def f1():\n async with AM(1), acm(2):\n  await pause()\n t()\nin_loop(f1())",
    "for _ in range(30):\n Cycle()\n t()",
)


@pytest.mark.usefixtures("_collecting_often")
@pytest.mark.parametrize(
    "form", [*grammar.EXPRESSIONS, *grammar.ONE_LINERS, *grammar.WAITS, *FUNCTIONS]
)
def test_each_form_by_itself(form: str) -> None:  # S9
    """A request at each of its steps, and some of another thread's. Seed: 1."""
    body = textwrap.indent(f"x = y = 0\nt()\n{form}\nt()", " ")
    target = Target(f"def program():\n{body}\n")
    assert in_thread(lambda: runs.check(target.program.source)) > 0
    chance = seeded(1)
    target.thread.start()
    for number in range(scaled(100)):
        pause(chance)
        target.ask(str(number))
    target.end()


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
        for worker in shots(chance, workers, stop.is_set, 100):
            accepted[number] += interrupt(worker.thread)

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


SHARED = """
def program():
 L('a1 ')
 try:
  for _ in sorted(R, key=lambda _: t()):
   t()
 finally:
  L('r1 ')
 with M(2):
  t()
"""


def test_only_who_is_asked_is_hit():  # S1, S9
    """Threads that run the same code, of which one at a time is asked.

    Invariant: each is hit by its own requests only, each once. Seed: 1.
    """
    chance = seeded(1)
    targets = [Target(SHARED, name=f"{number}:") for number in range(4)]
    for target in targets:
        target.thread.start()
    for number in range(scaled(200) + 1):
        pause(chance)
        chance.choice(targets).ask(str(number))
    for target in targets:
        target.end()


def test_several_are_asked_at_a_time():  # S1, S9
    """The same, but they are asked one each by a requester of their own. Seeds: their numbers."""
    targets = [Target(SHARED, name=f"{number}:") for number in range(4)]

    def ask(number: int) -> None:
        chance = seeded(number)
        for serial in range(scaled(200) + 1):
            pause(chance)
            targets[number].ask(str(serial))

    for target in targets:
        target.thread.start()
    asking = [Started(lambda _, number=number: ask(number)) for number in range(len(targets))]
    for one in asking:
        one.finish()
    for target in targets:
        target.end()


class Brief:
    """The life of a thread: a few regions, then its end; or it is ended by a request."""

    opened = closed = 0

    def __enter__(self) -> None:
        self.opened += 1

    def __exit__(self, *exc_info: object) -> None:
        self.closed += 1

    def body(self) -> None:
        for _ in range(3):
            with self:
                pass


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

    def life(self, number: int, brief: Brief) -> None:
        try:
            if number % 2:
                brief.body()  # its thread is a region
            else:
                with allow_interruption:
                    brief.body()
        except ThreadExit as error:
            self.ended.append(number)
            if not str(error.reason).startswith(f"{number}:"):
                self.wrong.append((number, error.reason))

    def live(self, slot: int) -> None:
        """One life after the other, in that slot."""
        while (number := next(self.numbers)) < self.lives:
            brief = Brief()
            thread = Thread(target=self.life, args=(number, brief), interruptible=bool(number % 2))
            self.current[slot] = (number, thread)
            thread.start()
            thread.join(PATIENCE)
            if thread.is_alive():
                self.wrong.append(str(explain(thread)))
                return
            if brief.opened != brief.closed:
                self.wrong.append((number, brief.opened, brief.closed))

    def ask(self, seed: int) -> None:
        chance = seeded(seed)
        for current in shots(chance, self.current, self.stop.is_set, 2000):
            number, thread = current or (0, None)
            if thread is not None:
                with contextlib.suppress(RuntimeError):  # it was not started
                    reason = f"{number}:{seed}"
                    if interrupt(thread, reason=reason):
                        self.accepted.add(reason)


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
    assert ended > 0 or comers.lives < 1000

"""Runs made programs, with a request at each of their steps, and judges what has happened (S9).

Every request is made by the thread itself, from C, in the midst of a statement: no statement begins
in between, so it is delivered at the very next place that the library takes for a safe one. A
program is run as often as it has steps, with the request at another one each time.
"""

from __future__ import annotations

import ast
import functools
import gc
import itertools
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    explain,
    interrupt,
)

from programs import grammar

STEPS_AT_MOST = 400  # of a program; one with more is run with requests at the first ones
FOREVER = 10_000  # statements in which a request has to be delivered
BEGINNINGS = {"x": "e", "r": "a", "d": "b", "v": "u"}

# Of those that one thread may take again; by the number in its name.
LOCKS = (threading.RLock, threading.Condition, threading._PyRLock)  # type: ignore[attr-defined]  # noqa: SLF001

PARTS = Path(__file__).with_name("parts.py")
FILES = {"<made>", "<string>", str(PARTS), __file__}
_parts = compile(PARTS.read_text(), str(PARTS), "exec", dont_inherit=True)


class WrongError(AssertionError):
    """Something was cut, doubled, lost or leaked."""


def check_place(error: ThreadExit) -> None:
    """It was raised in code of the program's, or where something is waited for on entry (S10b)."""
    entries = [
        (frame.f_code.co_filename, frame.f_code.co_name)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    threads = [name for file, name in entries if file == threading.__file__]
    of_loop = entries[-1][0].endswith("selectors.py")  # between the steps of its tasks
    if not (entries[-1][0] in FILES or threads == ["wait", "__enter__"] or of_loop):
        raise WrongError(f"it was raised in code that is not the program's: {entries}")


class NoProgramError(Exception):
    """It does not even end what it begins when it is left alone."""


@functools.lru_cache(8)
def compiled(source: str, optimize: int) -> CodeType:
    """Whoever runs the same program runs the same code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, "<made>", "exec", dont_inherit=True, optimize=optimize)


class Program:
    """One that is run over and over."""

    def __init__(self, source: str, optimize: int = -1) -> None:
        self.source = source
        self.log: list[str] = []  # characters
        self.caught: list[BaseException] = []
        self.locks: dict[str, Any] = {}
        self.permits: dict[str, Any] = {}
        self.space: dict[str, Any] = {
            "__name__": "made",
            "L": self.log.__iadd__,
            "C": self.caught.append,
            "allow_interruption": allow_interruption,
            "defer_interruption": defer_interruption,
        }
        names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        for name in sorted(names):
            if name[0] == "K" and name[1:].isdigit():
                self.locks[name] = LOCKS[int(name[1:]) % len(LOCKS)]()
            if name[0] == "P" and name[1:].isdigit():
                self.permits[name] = threading.Semaphore(1)
        self.event, self.barrier = threading.Event(), threading.Barrier(1)
        self.locks["V"] = threading.Condition()
        self.space.update(self.locks, **self.permits, Z=self.event, B=self.barrier)
        exec(_parts, self.space)  # noqa: S102
        exec(compiled(source, optimize), self.space)  # noqa: S102
        self.may_swallow = "BaseException" in source or "except:" in source
        self.steps, self.notes, self.kind = self._undisturbed()

    def run(self, steps: Iterator[Any], statements: int = 0) -> BaseException | None:
        """In a region, and then so many statements more; returns what comes out of it."""
        self.log.clear()
        self.space["t"] = steps.__next__
        self.space["N"] = functools.partial(next, steps)
        self.space["me"] = threading.get_ident()
        program = self.space["program"]
        try:
            with allow_interruption:
                program()
                for _ in range(statements):
                    pass
        except BaseException as error:  # noqa: BLE001
            return error
        return None

    def _undisturbed(self) -> tuple[int, list[str], type | None]:
        """How many steps it has, what it notes, what comes out of it."""
        counter = itertools.count(1)
        error = self.run(map(bool, counter))
        steps = next(counter) - 1  # those of finalizers that run because of _forget() are outside
        kind = None if error is None else type(error)
        self._forget(error)
        error = None
        if self._unpaired():
            raise NoProgramError(f"{self._unpaired()} in\n{self.source}")
        return steps, self._notes(), kind

    def noted(self) -> str:
        return "".join(self.log)

    def _notes(self) -> list[str]:
        return self.noted().split()

    def disturb(self, number: int) -> None:
        """Run it with a request at that step, and judge."""
        asking = map(interrupt, [threading.get_ident()])
        always = itertools.repeat(True)
        steps = itertools.chain(itertools.islice(always, number), asking, always)
        error = self.run(steps, FOREVER)
        state = explain(threading.get_ident()).state if error is None else ""
        kind = None if error is None else type(error)
        exits = self._forget(error)
        error = None
        self.judge(kind, state, exits)

    def judge_exit(self, error: BaseException) -> None:
        """The request of another thread has come out of it as that."""
        self.judge(type(error), "", self._forget(error))

    def judge(self, kind: type | None, state: str, exits: int) -> None:
        """It has been asked: what came out of it, how it is explained, from how many exceptions."""
        asked = clear_interrupt()
        if not asked:
            raise WrongError("the request is lost")
        if exits > 1:
            raise WrongError("one request, two exceptions")
        if kind is None and state != "delivered":
            raise WrongError(f"it was not delivered: {state}")
        if kind is None and not self.may_swallow:
            raise WrongError("it was raised where it comes to nothing")
        if kind not in (None, ThreadExit, self.kind) and not self.may_swallow:
            raise WrongError(f"what came out is {kind}")
        if sys.exc_info()[0] is not None:
            raise WrongError("an exception is still being handled")
        self._check_locks()
        self._check_pairs()
        if kind is ThreadExit and not self.may_swallow:
            self._check_order()

    def _check_locks(self) -> None:
        """Nothing is held; what is, is given back."""
        for name, lock in self.locks.items():
            if lock._is_owned():  # noqa: SLF001
                while lock._is_owned():  # noqa: SLF001
                    lock.release()
                raise WrongError(f"{name} is still locked")
        for name, permits in self.permits.items():
            if permits._value != 1:  # noqa: SLF001
                permits._value = 1  # noqa: SLF001
                raise WrongError(f"{name} has not its permit")
        midst = self.event._cond._lock.locked()  # type: ignore[attr-defined]  # noqa: SLF001
        if midst or self.barrier.broken or self.barrier.n_waiting:
            raise WrongError("the barrier or the event is left in the midst of something")

    def _forget(self, error: BaseException | None) -> int:
        """Let go of what exceptions hold; returns how many have come of the request."""
        exits = set()
        for each in (*self.caught, error):
            if isinstance(each, ThreadExit):
                exits.add(id(each))
                check_place(each)
            if each is not None:
                traceback.clear_frames(each.__traceback__)
        self.caught.clear()
        return len(exits)

    def _check_pairs(self) -> None:
        """All that was begun has ended, once."""
        missing = self._unpaired()
        if missing:
            gc.collect()  # it may be in a generator that is part of a cycle
            missing = self._unpaired()
        if missing:
            raise WrongError(f"begun and not ended, or the other way about: {missing}")

    def _unpaired(self) -> list[str]:
        counts: Counter[str] = Counter()
        for note in self._notes():
            counts[BEGINNINGS.get(note[0], note[0]) + note[1:]] += (
                -1 if note[0] in BEGINNINGS else 1
            )
        return [note for note, count in counts.items() if count and note[0] in "eabu"]

    def _check_order(self) -> None:
        """What was noted is what is noted without a request, up to some place; then cleanup only.

        When finalizers run is not looked at.
        """
        notes, expected = (
            [note for note in notes if note[0] not in "uv"] for notes in (self._notes(), self.notes)
        )
        depth, same = 0, True
        for note, wanted in itertools.zip_longest(notes, expected[: len(notes)]):
            same = same and note == wanted
            depth += (note[0] == "b") - (note[0] == "d")
            if not same and depth == 0 and note[0] in "sea":
                raise WrongError(f"it went on after the request was delivered: {note}")


def check(source: str, optimize: int = -1) -> int:
    """Run that program with a request at each step. Returns how many there were."""
    program = Program(source, optimize)
    steps = min(program.steps, STEPS_AT_MOST)
    for number in range(steps):
        try:
            program.disturb(number)
        except WrongError as error:
            raise WrongError(f"{error}\nat step {number} of\n{source}\n{program.noted()}") from None
    return steps


def shrink(source: str, optimize: int = -1, seconds: float = 20.0) -> str:
    """The same with as few statements as go wrong as well, as far as that time goes."""
    end = time.monotonic() + seconds
    smaller = True
    while smaller:
        smaller = False
        for shorter in _shorter(source):
            if time.monotonic() > end:
                return source
            if _is_wrong(shorter, optimize):
                source, smaller = shorter, True
                break
    return source


def _is_wrong(source: str, optimize: int) -> bool:
    try:
        program = Program(source, optimize)
    except Exception:  # noqa: BLE001  (then it is no program)
        return False
    try:
        for number in range(min(program.steps, STEPS_AT_MOST)):
            program.disturb(number)
    except WrongError:
        return True
    return False


def _shorter(source: str) -> Iterator[str]:
    """The program without one of its statements, each in turn; or with a block's body only."""
    count = sum(len(body) for body in _bodies(ast.parse(source)))
    for unwrap in (False, True):
        for number in range(1, count):
            tree = ast.parse(source)
            at = number
            for body in _bodies(tree):
                if at < len(body):
                    inner = getattr(body[at], "body", [])
                    if unwrap and not inner:
                        break
                    body[at : at + 1] = inner if unwrap else []
                    if not body:
                        body.append(ast.Pass())
                    if ast.dump(tree) != ast.dump(ast.parse(source)):
                        yield ast.unparse(ast.fix_missing_locations(tree)) + "\n"
                    break
                at -= len(body)


def _bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    found = []
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                found.append(body)
    return found


def search(seeds: Iterator[int], deliveries: int, size: int = 12) -> tuple[int, int]:
    """Check one program after another until so many requests were made: programs and requests."""
    done = programs = 0
    for seed in seeds:
        source = grammar.make(seed, size)
        try:
            done += check(source, optimize=(-1, 2)[seed % 5 == 0])
        except WrongError as error:
            raise WrongError(f"seed {seed}: {error}") from None
        programs += 1
        if done >= deliveries:
            break
    return programs, done

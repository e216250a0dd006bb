"""Shapes: functions of all kinds, and code that is made of a string."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interruption import allow_interruption, defer_interruption

from .base import Manager, Shape, step


class Generators(Shape):
    def numbers(self) -> Iterator[int]:
        self.opened += 1
        try:
            for number in range(3):
                step()
                yield number
        finally:
            self.began += 1  # never
            step()  # never
            self.closed += 1  # never
            self.ended += 1  # never

    def more(self) -> Iterator[int]:
        with Manager(self):
            yield from self.numbers()

    def body(self) -> None:
        for number in self.numbers():
            step(number)  # here
        for number in self.more():
            if number == 1:
                break
        generator = self.more()
        next(generator)
        step()
        generator.close()
        list(self.more())
        del generator, number


class Comprehensions(Shape):
    def body(self) -> None:
        numbers = [step(number) for number in range(5)]
        step(sum(number for number in numbers if number % 2))  # here
        with Manager(self):
            table = {number: [step(other) for other in range(2)] for number in range(3)}
            step(len(table))  # here
        assert {step() for _ in range(3)} == {step()}


class Decorators(Shape):
    @staticmethod
    def opening(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def inner(self: Shape, *args: Any) -> int:
            self.opened += 1
            try:
                return function(self, *args)
            finally:
                step()  # never
                self.closed += 1  # never

        return inner

    @opening
    @opening
    def twice(self, number: int) -> int:
        step()  # here
        return step(number)

    @allow_interruption
    def allowed(self) -> None:
        step()  # here

    @defer_interruption
    def deferred(self) -> None:
        self.opened += 1  # never
        step()  # never
        self.closed += 1  # never

    def body(self) -> None:
        self.twice(1)
        self.allowed()
        self.deferred()


class Recursion(Shape):
    def body(self) -> None:
        self.down(12)

    def down(self, depth: int) -> None:
        with Manager(self):
            if depth:
                self.opened += 1
                try:
                    self.down(depth - 1)
                finally:
                    self.closed += 1  # never
            step()  # here


class Callbacks(Shape):
    """Functions that C code calls."""

    def key(self, number: int) -> int:
        self.opened += 1
        try:
            return -step(number)  # here
        finally:
            self.closed += 1  # never

    def body(self) -> None:
        assert sorted(range(6), key=self.key) == [5, 4, 3, 2, 1, 0]
        for _ in map(self.key, range(3)):
            step()
        max(range(3), key=self.key)
        functools.reduce(lambda left, right: left + self.key(right), range(3))
        list(filter(self.key, range(2)))
        functools.partial(self.key, 1)()


class KeyAlone(Shape):
    """Nothing but what C code calls: no line of it is told before it is armed again."""

    rounds = 1
    pause = 10_000

    def key(self, number: int) -> int:
        self.opened += 1  # here
        try:
            return number  # here
        finally:
            self.closed += 1  # never

    def body(self) -> None:
        sorted(range(1000), key=self.key)


class Operators(Shape):
    class Number:
        def __init__(self, of: Shape) -> None:
            self.of = of

        def __add__(self, other: object) -> Operators.Number:
            with Manager(self.of):
                step()  # here
            return self

        @property
        def half(self) -> int:
            self.of.opened += 1
            try:
                return step()
            finally:
                self.of.closed += 1  # never

        def __getitem__(self, item: object) -> int:
            step()
            return 1

        def __eq__(self, other: object) -> bool:
            step()
            return self is other

        def __hash__(self) -> int:
            step()
            return 1

        def __bool__(self) -> bool:
            step()
            return True

        def __iter__(self) -> Iterator[int]:
            yield step()
            step()

        def __contains__(self, item: object) -> bool:
            return bool(step())

    def body(self) -> None:
        number = self.Number(self)
        number + number + number
        number += 1
        step(number.half + number[0])
        if number and number == number and 1 in number:  # noqa: PLR0124
            (only,) = number
            step(only)
        table = {number: 1}
        assert table[number] == 1
        half = lambda: step(number.half)  # noqa: E731  # here
        half()  # here


class MultiLine(Shape):
    """What a line has taken is not lost before the statement ends."""

    def make(self, folder: Path) -> None:
        self.pool = list(range(1, 11))

    def body(self) -> None:
        self.pool.extend(
            [
                self.pool.pop(),
                self.pool.pop(),
                *(
                    self.pool.pop(),
                    self.pool.pop(),
                ),
            ]
        )
        step()  # here
        self.pool.extend(
            (
                self.pool.pop() if self.pool else 0,
                self.pool.pop()
                or len(
                    self.pool,
                ),
            )
        )

    def check(self) -> None:
        super().check()
        assert sorted(self.pool) == list(range(1, 11))


class Executed(Shape):
    files = ("<executed>", "<string>")
    source = compile(
        "for _ in range(3):\n"
        "    shape.opened += 1\n"
        "    try:\n"
        "        step()\n"
        "    finally:\n"
        "        shape.began += 1\n"
        "        step()\n"
        "        shape.closed += 1\n"
        "        shape.ended += 1\n"
        "step()\n",
        "<executed>",
        "exec",
    )

    def body(self) -> None:
        exec(self.source, {"shape": self, "step": step})  # noqa: S102
        eval("step() + step()", {"step": step})  # noqa: S307
        step()  # here

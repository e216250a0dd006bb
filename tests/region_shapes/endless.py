"""Shapes that are never left but by being interrupted."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import threading
from pathlib import Path

from interruption import ThreadExit

from .base import Manager, Shape


class Endless(Shape):
    """Never left but by being interrupted."""

    def body(self) -> None:
        while True: pass  # here  # noqa: E701  # fmt: skip


class EndlessInBlocks(Shape):
    def make(self, folder: Path) -> None:
        self.turn = 0

    def body(self) -> None:
        self.turn += 1
        if self.turn % 2:
            with Manager(self):
                while True: pass  # here  # noqa: E701  # fmt: skip
        self.opened += 1
        try:
            while True: pass  # here  # noqa: E701  # fmt: skip
        finally:
            self.closed += 1  # never


class EndlessConditions(Shape):
    """Compilers repeat the condition at the end of such a loop, and CPython 3.13.0 leaves the jump
    back behind it out of reach of the handlers.
    """

    def make(self, folder: Path) -> None:
        self.never = threading.Event()
        self.handled = self.finished = 0

    def body(self) -> None:
        self.opened += 1
        try:
            while not self.never.is_set(): pass  # here  # noqa: E701  # fmt: skip
        except ThreadExit:
            self.handled += 1  # never
            raise
        finally:
            self.finished += 1  # never
            self.closed += 1  # never

    def check(self) -> None:
        super().check()
        assert self.handled == self.finished


class EndlessLines(Shape):
    def body(self) -> None:
        number = 0
        while True:  # here
            number += 1  # here
            if number == 10:  # here
                number = 0  # here


class EndlessIterators(Shape):
    """A loop over what C code makes, and one within an expression."""

    def make(self, folder: Path) -> None:
        self.turn = 0

    def body(self) -> None:
        self.turn += 1
        if self.turn % 2:
            for _ in iter(int, 1): pass  # here  # noqa: E701  # fmt: skip
        else:
            any(number for number in iter(int, 1))  # here

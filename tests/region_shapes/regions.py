"""Shapes: regions and shields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from interruption import allow_interruption, defer_interruption

from .base import Manager, Shape, step


class Nested(Shape):
    def body(self) -> None:
        with allow_interruption:
            step()  # here
            with defer_interruption:
                self.opened += 1  # never
                step()  # never
                with allow_interruption:
                    step()  # never
                with defer_interruption:
                    step()  # never
                self.closed += 1  # never
            step()
        with allow_interruption(async_interrupt=False):
            self.opened += 1  # never
            step()  # never
            self.closed += 1  # never
        with allow_interruption(io_interrupt=False), Manager(self):
            step()
        self.opened += 1
        try:
            with defer_interruption:
                self.began += 1  # never
                step()  # never
                self.ended += 1  # never
        finally:
            with defer_interruption, allow_interruption:
                step()  # never
            self.closed += 1  # never


class OwnRegions(Shape):
    """Entered and left in all the ways that there are; between them nothing is raised."""

    own_regions = True
    files = ("contextlib.py", "_decorators.py")  # S7: where a region is entered for us

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        with allow_interruption:
            yield

    def numbers(self) -> Iterator[int]:
        with allow_interruption, Manager(self):
            for number in range(3):
                step()  # here
                yield number

    @allow_interruption
    def decorated(self) -> None:
        step()

    def body(self) -> None:
        step()  # never
        with allow_interruption:
            step()  # here
        step()  # never
        with self.allowed():
            step()
        self.guarded = 1  # never
        step()  # never
        self.guarded = 0  # never
        with contextlib.ExitStack() as stack:
            step()  # never
            stack.enter_context(allow_interruption)
            step()
        step()  # never
        self.decorated()
        step()  # never
        for number in self.numbers():
            self.guarded = 1  # never
            step(number)  # never
            self.guarded = 0  # never
        for _ in range(3):
            with allow_interruption:
                continue
        with defer_interruption:
            with allow_interruption:
                step()  # never
            step()  # never
        step()  # never

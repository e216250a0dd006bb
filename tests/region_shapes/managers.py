"""Shapes: managers and cleanup in Python."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .base import Manager, Shape, step


class PythonLock:
    """A lock as far as its user knows. Its methods are one statement, so done or not."""

    def __init__(self, of: Shape) -> None:
        self.of = of

    def acquire(self) -> None:
        self.of.opened += 1

    def release(self) -> None:
        step()  # never
        self.of.closed += 1  # never


class AcquireTryPython(Shape):
    def make(self, folder: Path) -> None:
        self.lock = PythonLock(self)

    def body(self) -> None:
        self.lock.acquire()
        try:
            step()  # here
        finally:
            self.lock.release()  # never
        for _ in range(2):
            self.lock.acquire()
            try:
                step()
            finally:
                self.lock.release()  # never

    def check(self) -> None:
        super().check()


class WithPython(Shape):
    def body(self) -> None:
        with Manager(self):
            step()  # here
        with Manager(self) as outer, Manager(self):
            step(id(outer) % 7)  # here
        with (
            Manager(self),
            Manager(self) as inner,
        ):
            assert inner.of is self
            step()


class WithInLoops(Shape):
    """The ways out of a ``with``: continue, break, return, an exception."""

    def body(self) -> None:
        for number in range(4):
            with Manager(self):
                if number == 1:
                    continue
                if number == 2:
                    break
                step(number)  # here
        self.returns()  # here
        with contextlib.suppress(KeyError), Manager(self):
            step()  # here
            raise KeyError
        number = 0
        while number < 3:
            with Manager(self):  # here
                number += 1  # here

    def returns(self) -> int:
        while True:
            with Manager(self):
                return step()


class ContextManager(Shape):
    @contextlib.contextmanager
    def manager(self) -> Iterator[int]:
        self.opened += 1  # never
        try:
            yield step()
        finally:
            step()  # never
            self.closed += 1  # never

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        with self.manager():
            yield

    def body(self) -> None:
        with self.manager() as number:
            step(number)  # here
        with self.around(), self.around():
            step()


class ExitStack(Shape):
    def close(self) -> None:
        step()  # never
        self.closed += 1  # never

    def body(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(Manager(self))
            step()  # here
            stack.enter_context(Manager(self))
            stack.callback(step)
            step()
        with contextlib.ExitStack() as stack:
            stack.enter_context(Manager(self))
            with stack.pop_all():
                step()


class NestedFinally(Shape):
    def body(self) -> None:
        self.opened += 1
        try:
            self.opened += 1
            try:
                self.opened += 1
                try:
                    step()  # here
                finally:
                    self.began += 1  # never
                    self.closed += 1  # never
                    step()  # never
                    self.ended += 1  # never
                step()
            finally:
                self.began += 1  # never
                try:
                    step()  # never
                finally:
                    self.closed += 1  # never
                self.ended += 1  # never
        finally:
            self.began += 1  # never
            for _ in range(2):
                step()  # never
            self.closed += 1  # never
            self.ended += 1  # never


class TryExceptElseFinally(Shape):
    def body(self) -> None:
        for number in range(3):
            self.one(number)

    def one(self, number: int) -> None:
        self.opened += 1
        try:
            step()  # here
            if number == 1:
                raise KeyError
        except KeyError as error:
            self.began += 1  # never
            step(len(error.args))  # never
            self.ended += 1  # never
        else:
            step()
        finally:
            self.began += 1  # never
            step()  # never
            self.closed += 1  # never
            self.ended += 1  # never
        try:
            try:
                raise KeyError
            except ValueError:
                raise AssertionError from None
        except (KeyError, TypeError):
            self.began += 1  # never
            self.ended += 1  # never


class FinallyInLoops(Shape):
    """The ways out of a ``try``."""

    def body(self) -> None:
        for number in range(4):
            self.opened += 1
            try:
                if number == 1:
                    continue
                if number == 2:
                    break
                step(number)  # here
            finally:
                step()  # never
                self.closed += 1  # never
        self.returns()
        while True:
            self.opened += 1
            try:
                break
            finally:
                self.closed += 1  # never

    def returns(self) -> int:
        for number in range(3):
            self.opened += 1
            try:
                if number:
                    return step()
            finally:
                self.closed += 1  # never
                step()  # never
        return 0


class Match(Shape):
    def body(self) -> None:
        for subject in ([1, 2], {"a": 1}, "text", None):
            match subject:
                case [_, *_]:
                    with Manager(self):
                        step()  # here
                case {"a": number}:
                    self.opened += 1
                    try:
                        step(number)  # here
                    finally:
                        self.closed += 1  # never
                case str() if step():
                    step()
                case _:
                    pass

"""Shapes of code for test_regions_stress.py, which interrupts them over and over, anywhere.

Each shape has a ``body`` to run in a region and a ``check`` to call after each delivery. Marks at
the ends of lines say where ThreadExit may come from:

    # never    it does not come from here, nor from anything called here
    # whole    not from anything called here
    # here     it does: of the lines of a shape that have this mark, at least one has to be hit

It never comes from code of another file than this one, but for what a shape names in ``files``.
"""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import logging
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from interruption import allow_interruption, defer_interruption

SHAPES: list[type[Shape]] = []


def step(number: int = 1) -> int:
    """Some statements, and calls, at which a thread can be interrupted."""
    number += 1
    number += len(str(number))
    return number


# Where there is no GIL, the last reference may be one that is merged later.
FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Shape:
    """What is opened is closed, and a cleanup that began has ended."""

    rounds = 4  # how often the body runs in one region
    own_regions = False  # it is run outside of a region, and has its own
    files: tuple[str, ...] = ()
    pause = 3000  # turns of an empty loop, at most, between requests

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            SHAPES.append(cls)

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.began = self.ended = 0
        self.guarded = 0  # 1 where nothing may be raised

    def make(self, folder: Path) -> None:
        """Prepare it; the folder is for files."""

    def remove(self) -> None:
        """Undo that."""

    def body(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        assert self.guarded == 0
        assert self.opened == self.closed
        assert self.began == self.ended


# Locks of the standard library. -------------------------------------------------------------------


class _WithLock(Shape):
    lock: Any

    def body(self) -> None:
        with self.lock:
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never
        step()  # here
        for _ in range(2):
            with self.lock:
                step()  # never

    def check(self) -> None:
        super().check()
        assert self.lock.acquire(timeout=0)
        self.lock.release()


class Lock(_WithLock):
    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()


class RLock(_WithLock):
    def make(self, folder: Path) -> None:
        self.lock = threading.RLock()

    def body(self) -> None:
        with self.lock:
            super().body()  # never
        super().body()

    def check(self) -> None:
        super().check()
        assert repr(self.lock).startswith("<unlocked")


class PythonRLock(RLock):
    """The one in Python that threading falls back on."""

    def make(self, folder: Path) -> None:
        self.lock = threading._PyRLock()  # noqa: SLF001


class Condition(Shape):
    def make(self, folder: Path) -> None:
        self.condition = threading.Condition()

    def body(self) -> None:
        with self.condition:
            self.guarded = 1  # never
            self.condition.notify_all()  # never
            self.guarded = 0  # never
        step()  # here
        with self.condition:
            self.condition.wait(0)  # never
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never

    def check(self) -> None:
        super().check()
        assert repr(self.condition._lock).startswith("<unlocked")  # noqa: SLF001
        assert not self.condition._waiters  # noqa: SLF001


class Semaphore(Shape):
    kind: type[threading.Semaphore] = threading.Semaphore

    def make(self, folder: Path) -> None:
        self.semaphore = self.kind(2)

    def body(self) -> None:
        with self.semaphore:
            step()  # here
            with self.semaphore:
                step()  # here
        self.semaphore.acquire()
        try:
            step()
        finally:
            self.semaphore.release()  # never

    def check(self) -> None:
        super().check()
        assert self.semaphore._value == 2  # noqa: SLF001
        assert not self.semaphore._cond._lock.locked()  # noqa: SLF001


class BoundedSemaphore(Semaphore):
    kind = threading.BoundedSemaphore


class Barrier(Shape):
    def make(self, folder: Path) -> None:
        self.barrier = threading.Barrier(1, action=self.act)

    def act(self) -> None:
        self.began += 1  # never
        step()  # never
        self.ended += 1  # never

    def body(self) -> None:
        self.barrier.wait()
        step()  # here

    def check(self) -> None:
        super().check()
        assert not self.barrier.broken
        assert self.barrier._state == 0  # noqa: SLF001
        assert self.barrier._count == 0  # noqa: SLF001


class Event(Shape):
    def make(self, folder: Path) -> None:
        self.event = threading.Event()

    def body(self) -> None:
        self.event.set()
        step()  # here
        self.event.wait()
        self.event.clear()
        self.event.wait(0)

    def check(self) -> None:
        super().check()
        assert not self.event._cond._lock.locked()  # noqa: SLF001


class AcquireTry(Shape):
    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()

    def body(self) -> None:
        self.lock.acquire()
        try:
            self.guarded = 1  # never
            step()  # never
            self.guarded = 0  # never
        finally:
            self.lock.release()  # never
        step()  # here
        if self.lock.acquire(timeout=1):
            try:
                step()  # never
            finally:
                self.lock.release()  # never

    def check(self) -> None:
        super().check()
        assert not self.lock.locked()


class AcquireRelease(Shape):
    """Without any block: what is held keeps the thread from being interrupted."""

    def make(self, folder: Path) -> None:
        self.lock = threading.Lock()
        self.outer = threading.RLock()

    def body(self) -> None:
        self.lock.acquire()
        step()  # never
        self.outer.acquire()  # never
        self.lock.release()  # never
        step()  # never
        self.outer.acquire()  # never
        self.outer.release()  # never
        step()  # never
        self.outer.release()  # never
        step()  # here

    def check(self) -> None:
        super().check()
        assert not self.lock.locked()
        assert repr(self.outer).startswith("<unlocked")


# Managers and cleanup in Python. ------------------------------------------------------------------


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


class Manager:
    """A manager whose entry and exit are several statements."""

    def __init__(self, of: Shape) -> None:
        self.of = of

    def __enter__(self) -> Manager:
        self.of.opened += 1  # never
        step()  # never
        return self  # never

    def __exit__(self, *exc_info: object) -> None:
        step()  # never
        self.of.closed += 1  # never
        step()  # never


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


# Functions of all kinds. --------------------------------------------------------------------------


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
    """Nothing but what C code calls: no line of it is told before the second look."""

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


class AsyncShape(Shape):
    rounds = 1
    pause = 100_000
    logger = logging.getLogger("asyncio")

    def make(self, folder: Path) -> None:
        # Of two tasks the other one's end is awaited, and what the first has raised is told.
        self.logger.disabled = True

    def remove(self) -> None:
        gc.collect()
        self.logger.disabled = False

    @contextlib.asynccontextmanager
    async def manager(self) -> AsyncIterator[None]:
        self.opened += 1  # never
        try:
            await asyncio.sleep(0)  # never
            yield
        finally:
            await asyncio.sleep(0)  # never
            self.closed += 1  # never

    async def numbers(self) -> AsyncIterator[int]:
        self.opened += 1
        try:
            for number in range(2):
                await asyncio.sleep(0)
                yield number
        finally:
            self.closed += 1  # never

    async def inner(self) -> int:
        self.opened += 1
        try:
            await asyncio.sleep(0)
            return step()  # here
        finally:
            self.began += 1  # never
            await asyncio.sleep(0)
            self.closed += 1  # never
            self.ended += 1  # never

    async def one_of_two(self) -> None:
        self.opened += 1
        try:
            await asyncio.sleep(0)
            step()
        finally:
            step()  # never
            self.closed += 1  # never

    async def main(self) -> None:
        for _ in range(30):
            await self.inner()  # here
            step()  # here
            async for number in self.numbers():  # here
                step(number)  # here
            async with self.manager():
                step()  # here
            await asyncio.gather(self.one_of_two(), self.one_of_two())

    def body(self) -> None:
        asyncio.run(self.main())


class AsyncWith(AsyncShape):
    class AsyncManager:
        def __init__(self, of: Shape) -> None:
            self.of = of

        async def __aenter__(self) -> AsyncWith.AsyncManager:
            self.of.opened += 1  # never
            await asyncio.sleep(0)
            step()  # never
            return self  # never

        async def __aexit__(self, *exc_info: object) -> None:
            step()  # never
            await asyncio.sleep(0)
            self.of.closed += 1  # never

    async def main(self) -> None:
        for _ in range(30):
            async with self.AsyncManager(self):
                step()  # here
                await asyncio.sleep(0)  # here
            async with self.AsyncManager(self), self.AsyncManager(self):
                step()
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(self.AsyncManager(self))
                step()


# Where it would be swallowed, or leave a half-made thing. -----------------------------------------


class Finalizers(Shape):
    class Finalized:
        of: Shape

        def __del__(self) -> None:
            self.of.began += 1  # never
            step()  # never
            self.of.ended += 1  # never

    class Renamed(Finalized):
        def finish(this, *_: Any) -> None:  # noqa: N805
            this.of.began += 1  # never
            step()  # never
            this.of.ended += 1  # never

        __del__ = finish

    class Inherited(Renamed):
        pass

    class ByClass(Finalized):
        @classmethod
        def __del__(cls) -> None:
            cls.of.began += 1  # never
            step()  # never
            cls.of.ended += 1  # never

    class ByObject:
        """What runs is not told by what it is called or given, but by where it is called."""

        class Finish:
            of: Shape

            def __call__(self) -> None:
                self.of.began += 1  # never
                step()  # never
                self.of.ended += 1  # never

        __del__ = Finish()

    def make(self, folder: Path) -> None:
        self.Finalized.of = self.ByObject.Finish.of = self

    def dies_here(self) -> int:
        local = self.Renamed()
        other = self.Finalized()
        third = self.ByClass()
        return 1 if local and other and third else 0

    def body(self) -> None:
        local = self.Finalized()
        local = self.Renamed()
        local = self.Inherited()
        del local
        unnamed = self.ByObject()
        unnamed = self.ByObject()
        del unnamed
        self.dies_here()
        step()  # here
        table = [self.Renamed(), self.Finalized()]
        table.clear()
        self.Renamed()
        step(len([self.Renamed()]))


class WeakCallbacks(Shape):
    class Referred:
        pass

    def gone(self, *_: Any) -> None:
        self.began += 1  # never
        step()  # never
        self.ended += 1  # never

    def dies_here(self) -> weakref.ref[Any]:
        local = self.Referred()
        return weakref.ref(local, lambda reference: self.gone())  # noqa: ARG005

    def body(self) -> None:
        local = self.Referred()
        first = weakref.ref(local, self.gone)
        weakref.finalize(local, self.gone, 1)
        del local
        assert first() is None or FREE_THREADED
        step()  # here
        second = self.dies_here()
        assert second() is None or FREE_THREADED
        local = self.Referred()
        third = weakref.ref(local, functools.partial(self.gone, 1, 2))
        local = None
        del third


class Collector(Shape):
    """Objects in cycles: what runs for them runs wherever the collector begins."""

    def make(self, folder: Path) -> None:
        self.threshold = gc.get_threshold()
        gc.collect()
        gc.freeze()  # or each collection looks at all there is
        gc.set_threshold(15, 5, 5)
        self.ident = 0
        self.InCycle.of = self

    def remove(self) -> None:
        gc.set_threshold(*self.threshold)
        gc.unfreeze()
        gc.collect()

    class InCycle:
        of: Collector

        def __init__(self) -> None:
            self.me = self

        def finish(self) -> None:
            self.of.gone(None)  # never

        __del__ = finish

    def gone(self, _: Any) -> None:
        if threading.get_ident() == self.ident:  # the collector may begin in any thread
            self.began += 1  # never
            step()  # never
            self.ended += 1  # never

    def body(self) -> None:
        self.ident = threading.get_ident()
        references = []
        for _ in range(10):
            cycle: Any = self.InCycle()
            references.append(weakref.ref(cycle, self.gone))
            step()  # here
        cycle = None


class Imports(Shape):
    pause = 30_000
    name = "interruption_stress_imported"

    def make(self, folder: Path) -> None:
        source = """
            import sys
            from interruption_stress_shape import shape, step
            shape.began += 1
            step()
            class Made:
                step()
                def method(self):
                    step()
            Made().method()
            for _ in range(3):
                step()
            shape.ended += 1
        """
        lines = "\n".join(line[12:] for line in source.splitlines())
        (folder / f"{self.name}.py").write_text(lines)
        (folder / f"{self.name}_too.py").write_text(f"from {self.name} import *\n{lines}")
        self.helper = type(sys)("interruption_stress_shape")
        self.helper.shape = self
        self.helper.step = step
        sys.modules[self.helper.__name__] = self.helper
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()

    def remove(self) -> None:
        del sys.path[0]
        for name in (self.name, self.name + "_too", self.helper.__name__):
            sys.modules.pop(name, None)

    def body(self) -> None:
        sys.modules.pop("interruption_stress_imported", None)
        sys.modules.pop("interruption_stress_imported_too", None)
        import interruption_stress_imported  # whole

        step()  # here
        import interruption_stress_imported_too  # whole

        importlib.reload(interruption_stress_imported)  # whole
        assert interruption_stress_imported_too.Made

    def check(self) -> None:
        super().check()
        for name in (self.name, self.name + "_too"):
            module = sys.modules.get(name)
            assert module is None or module.Made


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


# Regions and shields. -----------------------------------------------------------------------------


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


class CoroutineRegions(AsyncShape):
    """Two tasks, of which one is in a region: the other is never hit."""

    own_regions = True

    async def allowed(self) -> None:
        with allow_interruption, Manager(self):
            for _ in range(30):  # here
                step()  # here
                await asyncio.sleep(0)  # here

    async def closed_task(self) -> None:
        for _ in range(40):
            step()  # never
            await asyncio.sleep(0)  # never

    async def main(self) -> None:
        await asyncio.gather(self.allowed(), self.closed_task())

"""Shapes: coroutines under asyncio."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from interruption import allow_interruption

from .base import Manager, Shape, step


class AsyncShape(Shape):
    files = ("selectors.py",)  # the loop asks for events, between the steps of its tasks
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

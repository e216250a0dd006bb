"""S14: generators and coroutines are decorated, and stay what they are."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import types

import pytest
from decorators_parts import Stop
from interruption._decorators import decorate


def test_a_generator_function_stays_one(region):
    @functools.partial(decorate, region)
    def count(to):
        """Doc."""
        for number in range(to):
            yield number, region.depth
        return "done"

    assert inspect.isgeneratorfunction(count)
    assert (count.__doc__, str(inspect.signature(count))) == ("Doc.", "(to)")
    generator = count(2)
    assert region.log == []
    assert list(generator) == [(0, 1), (1, 1)]
    assert region.log == ["enter", "exit"]
    with pytest.raises(StopIteration) as stop:
        next(count(0))
    assert stop.value.value == "done"


def test_a_generator_gets_what_is_sent_and_thrown(region):
    @functools.partial(decorate, region)
    def echo():
        sent = yield "first"
        while True:
            try:
                sent = yield sent
            except Stop as stop:
                sent = stop

    generator = echo()
    assert next(generator) == "first"
    assert generator.send(1) == 1
    stop = Stop()
    assert generator.throw(stop) is stop
    with pytest.raises(KeyError):
        generator.throw(KeyError)
    assert region.log == ["enter", "KeyError"]


def test_a_generator_is_closed_in_the_middle_and_when_it_is_forgotten(region):
    cleaned = []

    @functools.partial(decorate, region)
    def numbers():
        try:
            yield from itertools.count()
        finally:
            cleaned.append(region.depth)

    generator = numbers()
    next(generator)
    generator.close()
    assert (cleaned, region.log) == ([1], ["enter", "GeneratorExit"])
    generator = numbers()
    next(generator)
    del generator
    gc.collect()
    assert cleaned == [1, 1]
    numbers().close()  # not begun
    assert region.log == ["enter", "GeneratorExit"] * 2


def test_a_callable_object_that_is_a_generator_function(region):
    class Numbers:
        def __call__(self, to):
            yield from range(to)

    decorated = decorate(region, Numbers())
    assert inspect.isgeneratorfunction(decorated)
    assert list(decorated(2)) == [0, 1]
    assert list(decorate(region, Numbers().__call__)(2)) == [0, 1]


def test_a_partial_of_a_generator_function_stays_one(region):
    def numbers(to):
        yield from range(to)

    made = decorate(region, functools.partial(numbers, 2))
    assert inspect.isgeneratorfunction(made)
    assert list(made()) == [0, 1]
    assert region.log == ["enter", "exit"]


def test_a_generator_that_can_be_awaited_stays_one(region):
    @functools.partial(decorate, region)
    @types.coroutine
    def switch():
        yield
        return region.depth

    async def main():
        return await switch()

    assert inspect.isgeneratorfunction(switch)
    assert inspect.isawaitable(switch())
    assert asyncio.run(main()) == 1


def test_a_coroutine_function_stays_one(region):
    @functools.partial(decorate, region)
    async def function(what, *, raises=None):
        """Doc."""
        await asyncio.sleep(0)
        if raises:
            raise raises
        return region.depth, what

    assert inspect.iscoroutinefunction(function)
    assert (function.__doc__, str(inspect.signature(function))) == (
        "Doc.",
        "(what, *, raises=None)",
    )
    assert asyncio.run(function(1)) == (1, 1)
    with pytest.raises(Stop):
        asyncio.run(function(1, raises=Stop))
    assert region.log == ["enter", "exit", "enter", "Stop"]
    coroutine = function(1)
    coroutine.close()
    assert len(region.log) == 4


def test_a_coroutine_is_cancelled_in_the_region(region):
    seen = []

    @functools.partial(decorate, region)
    async def function():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append(region.depth)

    async def main():
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (seen, region.log) == ([1], ["enter", "CancelledError"])


def test_an_asynchronous_method_and_callable_object(region):
    class Service:
        @functools.partial(decorate, region)
        async def method(self, what):
            return region.depth, what

        async def __call__(self, what):
            return region.depth, what

    decorated = decorate(region, Service())
    assert inspect.iscoroutinefunction(decorated)
    assert inspect.iscoroutinefunction(Service().method)
    assert asyncio.run(Service().method(1)) == (1, 1)
    assert asyncio.run(decorated(2)) == (1, 2)


@pytest.mark.skipif(not hasattr(inspect, "markcoroutinefunction"), reason="Python 3.12")
def test_a_function_that_is_marked_as_a_coroutine_function(region):
    async def function(what):
        return region.depth, what

    marked = inspect.markcoroutinefunction(lambda what: function(what))
    decorated = decorate(region, marked)
    assert inspect.iscoroutinefunction(decorated)
    assert asyncio.run(decorated(1)) == (1, 1)

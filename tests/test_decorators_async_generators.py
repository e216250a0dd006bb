"""S14: asynchronous generators are decorated.

``both`` runs a scenario on one that is decorated and on one that is not.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import sys
import weakref

import pytest
from decorators_parts import Stop
from interruption._decorators import decorate


async def outcome(awaitable):
    try:
        return "returned", await awaitable
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        cause, context = error.__cause__, error.__context__
        return "raised", type(error), str(error), type(cause), type(context)


def both(region, function, scenario):
    """What the steps of the scenario give, which must be the same on both."""

    async def steps(generator):
        return [await outcome(step) for step in scenario(generator)]

    plain = asyncio.run(steps(function()))
    decorated = decorate(region, function)
    assert inspect.isasyncgenfunction(decorated)
    assert asyncio.run(steps(decorated())) == plain
    return plain


async def echoing():
    sent = "first"
    while True:
        await asyncio.sleep(0)
        try:
            sent = yield sent
        except Stop as stop:
            sent = str(stop)
        except LookupError:
            raise ValueError("changed") from None
        except ArithmeticError:
            return


def test_an_asynchronous_generator_gives_what_it_would(region):
    async def numbers():
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def main():
        return [number async for number in decorate(region, numbers)()]

    assert asyncio.run(main()) == [0, 1, 2]
    assert region.log == ["enter", "exit"]
    assert len(both(region, numbers, lambda g: (g.__anext__() for _ in range(6)))) == 6


@pytest.mark.parametrize(
    "scenario",
    [
        lambda g: [g.asend(None), g.asend(1), g.__anext__(), g.asend(2), g.aclose(), g.asend(1)],
        lambda g: [g.asend(1), g.asend(None)],
        lambda g: [g.aclose(), g.aclose(), g.__anext__()],
        lambda g: [g.athrow(Stop("x")), g.__anext__()],
        lambda g: [g.asend(None), g.athrow(Stop("x")), g.asend(1), g.athrow(Stop("y")), g.aclose()],
        lambda g: [g.asend(None), g.athrow(KeyError("x")), g.asend(1)],
        lambda g: [g.asend(None), g.athrow(Stop("y")), g.athrow(KeyError()), g.aclose()],
        lambda g: [g.asend(None), g.athrow(ZeroDivisionError()), g.asend(1), g.aclose()],
        lambda g: [g.asend(None), g.athrow(TypeError("x")), g.asend(1)],
        lambda g: [g.asend(None), g.athrow(GeneratorExit()), g.asend(1)],
        lambda g: [g.asend(None), g.athrow(StopAsyncIteration("x")), g.asend(1)],
        lambda g: [g.asend(None), g.athrow(StopIteration("x")), g.asend(1)],
        lambda g: [g.asend(None), g.athrow(asyncio.CancelledError()), g.asend(1)],
    ],
)
def test_an_asynchronous_generator_is_sent_and_thrown_as_it_would_be(region, scenario):
    both(region, echoing, scenario)


def stubborn(answer):
    """An asynchronous generator function that does not simply end when it is closed."""

    async def function():
        try:
            yield 1
        except GeneratorExit:
            await asyncio.sleep(0)
            if answer == "yields":
                yield 2
            elif answer == "raises":
                raise Stop from None
            elif answer == "returns":
                return
        yield 3

    return function


@pytest.mark.parametrize("answer", ["yields", "raises", "returns", "goes on"])
@pytest.mark.parametrize(
    "scenario",
    [
        lambda g: [g.asend(None), g.aclose(), g.asend(None), g.aclose()],
        lambda g: [g.asend(None), g.athrow(GeneratorExit()), g.asend(None), g.aclose()],
    ],
)
def test_an_asynchronous_generator_answers_its_closing_as_it_would(region, answer, scenario):
    both(region, stubborn(answer), scenario)


def test_an_exception_after_one_that_was_handled_has_no_context(region):
    async def function():
        try:
            yield 1
        except Stop:
            pass
        assert sys.exc_info() == (None, None, None)
        raise KeyError("later")

    steps = both(region, function, lambda g: [g.asend(None), g.athrow(Stop())])
    assert steps[1] == ("raised", KeyError, "'later'", type(None), type(None))


def test_an_asynchronous_generator_that_is_left_in_the_middle_is_closed_in_the_region(region):
    cleaned = []

    @functools.partial(decorate, region)
    async def numbers():
        try:
            for number in itertools.count():
                yield number
        finally:
            await asyncio.sleep(0)
            cleaned.append(region.depth)

    async def forgotten():
        async for number in numbers():
            if number == 2:
                break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert cleaned == [1]

    async def closed():
        generator = numbers()
        await anext(generator)
        await generator.aclose()
        assert cleaned == [1, 1]

    asyncio.run(forgotten())
    asyncio.run(closed())
    assert region.log == ["enter", "GeneratorExit"] * 2


def test_a_loop_that_shuts_down_closes_it_once_and_without_complaint(region):
    cleaned, complaints, kept = [], [], []

    @functools.partial(decorate, region)
    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(region.depth)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        kept.append(numbers())
        await anext(kept[0])

    asyncio.run(main())
    assert (cleaned, complaints) == ([1], [])
    assert region.log == ["enter", "GeneratorExit"]


def test_the_hooks_for_asynchronous_generators_see_the_decorated_one_only(region):
    seen = []

    @functools.partial(decorate, region)
    async def function():
        seen.append(sys.get_asyncgen_hooks().firstiter == seen.append)
        yield 1

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=seen.append)
    try:
        generator = function()
        with pytest.raises(StopIteration):
            generator.asend(None).send(None)
        with pytest.raises(StopAsyncIteration):
            generator.asend(None).send(None)
        assert seen == [generator, True]
    finally:
        sys.set_asyncgen_hooks(*before)


def test_without_a_loop_it_is_closed_when_it_is_forgotten(region):
    cleaned = []

    @functools.partial(decorate, region)
    async def function():
        try:
            yield 1
        finally:
            cleaned.append(region.depth)

    generator = function()
    with pytest.raises(StopIteration):
        generator.asend(None).send(None)
    del generator
    gc.collect()
    assert cleaned == [1]


def test_an_asynchronous_generator_keeps_nothing_of_its_consumers_alive(region):
    class Item:
        pass

    @functools.partial(decorate, region)
    async def function():
        while True:
            try:
                yield Item()
            except Stop:
                pass

    async def main():
        generator = function()
        given = weakref.ref(await anext(generator))
        assert given() is None
        stop = Stop()
        thrown = weakref.ref(stop)
        given = weakref.ref(await generator.athrow(stop))
        del stop
        assert given() is None
        assert thrown() is None
        await generator.aclose()

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_an_exception_that_comes_out_is_in_no_cycle(region):
    @functools.partial(decorate, region)
    async def function():
        yield 1

    async def main():
        generator = function()
        await anext(generator)
        stop = Stop()
        thrown = weakref.ref(stop)
        try:
            await generator.athrow(stop)
        except Stop:
            pass
        del stop, generator
        assert thrown() is None

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_an_asynchronous_generator_whose_region_is_not_entered_does_not_begin(region):
    begun = []

    @functools.partial(decorate, region)
    async def function():
        begun.append(1)
        yield

    async def main():
        with pytest.raises(Stop):
            await anext(function())

    region.refuses = Stop()
    asyncio.run(main())
    assert begun == []

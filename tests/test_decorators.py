"""S14: regions and shields as decorators.

``decorate`` takes any context manager; the one here tells when it was entered and left.
"""

from __future__ import annotations

import abc
import asyncio
import functools
import gc
import inspect
import itertools
import pickle
import sys
import types
import weakref

import pytest
from interruption._decorators import decorate


class Region:
    """Reentrant, as the real ones are. ``log`` has what happened, in order."""

    def __init__(self):
        self.depth = 0
        self.log = []
        self.refuses = None

    def __enter__(self):
        if self.refuses is not None:
            raise self.refuses
        self.depth += 1
        self.log.append("enter")
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.depth -= 1
        self.log.append("exit" if exc_type is None else exc_type.__name__)


@pytest.fixture
def region():
    made = Region()
    yield made
    assert made.depth == 0


REGION = Region()


@functools.partial(decorate, REGION)
def at_module_level(first, /, second=2, *args, third, **kwargs):
    """Doc."""
    return REGION.depth, first, second, args, third, kwargs


class Stop(Exception):
    pass


# What is called.


def test_a_function_runs_in_the_region_each_time(region):
    decorated = decorate(region, lambda *args, **kwargs: (region.depth, args, kwargs))
    assert decorated(1, 2, region=3, function=4, self=5) == (
        1,
        (1, 2),
        {"region": 3, "function": 4, "self": 5},
    )
    assert decorated() == (1, (), {})
    assert region.log == ["enter", "exit"] * 2


def test_a_function_that_raises_leaves_the_region(region):
    @functools.partial(decorate, region)
    def function():
        raise Stop

    with pytest.raises(Stop):
        function()
    assert region.log == ["enter", "Stop"]


def test_a_function_whose_region_is_not_entered_is_not_called(region):
    region.refuses = Stop()
    called = []
    decorated = decorate(region, called.append)
    with pytest.raises(Stop):
        decorated(1)
    assert called == []


def test_a_region_that_swallows_an_exception_gives_none():
    class Swallowing(Region):
        def __exit__(self, *exc_info):
            super().__exit__(*exc_info)
            return True

    assert decorate(Swallowing(), lambda: 1 // 0)() is None


def test_a_recursive_function_enters_it_again(region):
    @functools.partial(decorate, region)
    def function(count):
        return region.depth if count == 0 else function(count - 1)

    assert function(3) == 4


def test_two_decorators_are_two_regions(region):
    outer = Region()
    decorated = decorate(outer, decorate(region, lambda: (outer.depth, region.depth)))
    assert decorated() == (1, 1)


def test_name_documentation_and_signature_are_kept():
    assert at_module_level.__name__ == at_module_level.__qualname__ == "at_module_level"
    assert (at_module_level.__module__, at_module_level.__doc__) == (__name__, "Doc.")
    assert str(inspect.signature(at_module_level)) == "(first, /, second=2, *args, third, **kwargs)"
    assert inspect.isfunction(at_module_level)
    assert at_module_level(1, third=3) == (1, 1, 2, (), 3, {})
    with pytest.raises(TypeError, match="at_module_level"):
        at_module_level()


def test_it_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level  # noqa: S301


def test_what_is_found_under_another_name_is_not_pickled_as_what_it_is_not(region):
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(decorate(region, region_depth))


def region_depth():
    return REGION.depth


def test_a_builtin(region):
    decorated = decorate(region, len)
    assert decorated("four") == 4
    assert (decorated.__name__, str(inspect.signature(decorated))) == ("len", "(obj, /)")
    assert region.log == ["enter", "exit"]
    with pytest.raises(TypeError, match="exactly one argument"):
        decorated()


def test_methods_of_all_kinds(region):
    decorator = functools.partial(decorate, region)

    class Base(abc.ABC):
        @decorator
        def method(self, what):
            """Doc."""
            return region.depth, type(self), what

        @decorator
        @staticmethod
        def outside_static(what):
            return region.depth, what

        @staticmethod
        @decorator
        def inside_static(what):
            return region.depth, what

        @decorator
        @classmethod
        def outside_class(cls, what):
            return region.depth, cls, what

        @classmethod
        @decorator
        def inside_class(cls, what):
            return region.depth, cls, what

        @property
        @decorator
        def value(self):
            return region.depth, type(self)

        @decorator
        @abc.abstractmethod
        def abstract(self):
            return region.depth

        with_three = decorator(functools.partialmethod(method, 3))
        with_four = decorator(functools.partialmethod(outside_class, what=4))

    class Derived(Base):
        def abstract(self):
            return super().abstract()

    with pytest.raises(TypeError, match="abstract"):
        Base()
    it = Derived()
    assert it.method(1) == Derived.method(it, 1) == (1, Derived, 1)
    assert Derived.method.__doc__ == "Doc."
    assert str(inspect.signature(it.method)) == "(what)"
    assert it.outside_static(1) == Derived.outside_static(1) == it.inside_static(1) == (1, 1)
    assert it.outside_class(1) == Derived.inside_class(1) == (1, Derived, 1)
    assert isinstance(vars(Base)["outside_static"], staticmethod)
    assert isinstance(vars(Base)["outside_class"], classmethod)
    assert it.value == (1, Derived)
    assert it.abstract() == 1
    assert it.with_three()[1:] == (Derived, 3)
    assert it.with_four()[1:] == (Derived, 4)


def test_a_bound_method(region):
    items = []
    decorated = decorate(region, items.append)
    decorated(1)
    assert items == [1]
    bound = decorate(region, Region().__enter__)
    assert (bound.__name__, str(inspect.signature(bound))) == ("__enter__", "()")


def test_a_callable_object_is_called_and_its_attributes_stay_its_own(region):
    class Callable:
        """Doc."""

        def __init__(self):
            self.attribute = 1

        def __call__(self, what):
            return region.depth, what

    decorated = decorate(region, Callable())
    assert decorated(1) == (1, 1)
    assert decorated.__name__ == "Callable"
    assert str(inspect.signature(decorated)) == "(what)"
    assert vars(decorated).keys() == {"__wrapped__"}


def test_a_cached_function(region):
    cached = functools.cache(lambda what: (region.depth, what))
    assert decorate(region, cached)(1) == (1, 1)
    assert cached.cache_info().misses == 1


def test_a_partial_stays_one(region):
    made = decorate(region, functools.partial(lambda *a, **k: (region.depth, a, k), 1, x=2))
    assert isinstance(made, functools.partial)
    assert made(3, y=4) == (1, (1, 3), {"x": 2, "y": 4})
    of_class = decorate(region, functools.partial(dict, a=1))
    assert of_class(b=2) == {"a": 1, "b": 2}
    assert region.log == ["enter", "exit"] * 2


def test_a_class_is_refused(region):
    for wrong in (Region, int, functools.partial):
        with pytest.raises(TypeError, match=f"decorate the methods of {wrong.__name__!r}"):
            decorate(region, wrong)


def test_what_cannot_be_called_is_refused(region):
    for wrong in (None, 3, "function", property(len), functools.cached_property(len)):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__!r}"):
            decorate(region, wrong)


# Generators.


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


# Coroutines.


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


# Asynchronous generators. `both` runs a scenario on one that is decorated and one that is not.


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

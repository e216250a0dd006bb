"""S14: regions and shields as decorators: of functions, methods, and whatever can be called.

``decorate`` takes any context manager; the one here tells when it was entered and left.
"""

from __future__ import annotations

import abc
import functools
import inspect
import pickle

import pytest
from decorators_parts import Region, Stop
from interruption._decorators import decorate

REGION = Region()


@functools.partial(decorate, REGION)
def at_module_level(first, /, second=2, *args, third, **kwargs):
    """Doc."""
    return REGION.depth, first, second, args, third, kwargs


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

"""For pytest: a test or fixture that hangs fails where it hangs, and the run goes on.

``pytest --interrupt-timeout=10``, ``interrupt_timeout = 10`` in the ini-file, and
``@pytest.mark.interrupt_timeout(10)`` are seconds for each test and for each setup and teardown of
its fixtures. Without any of these it does nothing.
"""

import functools
import inspect
import types
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest

from . import Scope, ThreadExit, move_on_after

_NAME = "interrupt_timeout"
_HELP = "seconds after which a test, or a fixture's setup or teardown, is interrupted, and fails"

_limits: list[Scope] = []  # in force; of the thread that runs tests


def _seconds(value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = 0
    if not seconds > 0:
        raise pytest.UsageError(f"{_NAME}: a number of seconds, more than 0, not {value!r}")
    return seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two ways to ask for it."""
    group = parser.getgroup("interruption")
    group.addoption("--interrupt-timeout", metavar="SECONDS", type=_seconds, help=_HELP)
    parser.addini(_NAME, _HELP)


def pytest_configure(config: pytest.Config) -> None:
    """A third one; and what stands in the ini-file."""
    mark = f"{_NAME}(seconds): interrupt the test if it takes longer; None: never"
    config.addinivalue_line("markers", mark)
    if config.option.interrupt_timeout is None and config.getini(_NAME):
        config.option.interrupt_timeout = _seconds(config.getini(_NAME))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what is wrong with a mark before anything runs."""
    for item in items:
        try:
            _limit_of(item)
        except (TypeError, pytest.UsageError) as error:
            raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def _limit_of(node: Any) -> float | None:
    """The seconds for this test, or for a fixture of this item, class, module or session."""
    mark = node.get_closest_marker(_NAME)
    if mark is None:
        option: float | None = node.config.option.interrupt_timeout
        return option

    def interrupt_timeout(seconds: float | None) -> float | None:
        return None if seconds is None else _seconds(seconds)

    return interrupt_timeout(*mark.args, **mark.kwargs)


def _limited(seconds: float, what: str, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """Call it; if it takes longer, fail where it was stopped.

    Its cleanup has as long again, and then its waits are broken off, too.
    """
    __tracebackhide__ = True
    place: types.TracebackType | None = None
    before = len(_limits)
    try:
        with move_on_after(2 * seconds) as of_cleanup, move_on_after(seconds) as limit:
            _limits.extend((of_cleanup, limit))
            try:
                result = function(*args, **kw)
            except ThreadExit as request:
                place = request.__traceback__
                raise
            if limit.expired():
                message = f"{what} took longer than {seconds:g} seconds, and went on"
                warnings.warn(pytest.PytestWarning(message), stacklevel=2)
            return result
        message = f"{what} was stopped here: it took longer than {seconds:g} seconds"
        raise pytest.fail.Exception(message).with_traceback(place) from None
    finally:
        del _limits[before:], place


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit a test of whatever kind."""
    seconds = _limit_of(item)
    if seconds is None:
        return (yield)
    run = functools.partial(_limited, seconds, item.name, item.runtest)
    item.runtest = run  # type: ignore[method-assign]
    try:
        return (yield)
    finally:
        del item.runtest  # the class's is left


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """Limit a fixture's function where pytest calls it, and it fails as by its own exception."""
    seconds = _limit_of(request.node)
    function: Any = fixturedef.func
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if seconds is None or is_async:
        return (yield)
    plain = getattr(function, "__func__", function)
    limited: Any = _limited_fixture(seconds, f"fixture {fixturedef.argname}", plain)
    if isinstance(function, types.MethodType):  # pytest binds it to another instance
        limited = types.MethodType(limited, function.__self__)
    fixturedef.func = limited
    try:
        return (yield)
    finally:
        fixturedef.func = function


def _limited_fixture(seconds: float, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, of which setup and teardown have that limit each."""

    def steps(*args: Any, **kwargs: Any) -> Generator[Any]:
        made, done = function(*args, **kwargs), object()
        while (value := _limited(seconds, what, next, made, done)) is not done:
            yield value

    def step(*args: Any, **kwargs: Any) -> Any:
        return _limited(seconds, what, function, *args, **kwargs)

    limited = steps if inspect.isgeneratorfunction(function) else step
    return functools.wraps(function)(limited)


def pytest_enter_pdb() -> None:
    """Whoever looks around has time."""
    for limit in _limits:
        limit.reschedule(None)

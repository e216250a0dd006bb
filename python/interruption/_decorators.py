"""Functions that run in a region or a shield: what ``@allow_interruption`` makes of them (S14).

Called by the compiled part; so is what else it wants of Python for these objects.
"""

import functools
import inspect
import sys
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from ._interruption import defer_interruption

_Function = TypeVar("_Function")
_Region = AbstractContextManager[Any, bool | None]


def decorate(region: _Region, function: _Function) -> _Function:
    """``function``, run ``with region:``; what it is stays what it is (S14).

    A call of a function, method, builtin or other callable runs in the region. So does the body of
    a generator, coroutine or asynchronous generator, from its start to its end; that of an
    asynchronous generator is in force while the consumer's code is not running, as S21 says.
    ``staticmethod``, ``classmethod``, ``partial`` and ``partialmethod`` are made anew around their
    decorated function. Name, documentation and signature are those of ``function``, and pickling
    by name works.

    TypeError: a class (decorate its methods), or something that cannot be called.
    """
    decorated: _Function = _decorate(region, function)
    return decorated


def _decorate(region: _Region, function: Any) -> Any:
    if isinstance(function, type):
        raise TypeError(
            f"a class cannot be decorated: decorate the methods of {function.__name__!r} that are "
            "to run in the region"
        )
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_decorate(region, function.__func__))
    if isinstance(function, functools.partialmethod) or type(function) is functools.partial:
        inner = function.func
        inner = _call(region, inner) if isinstance(inner, type) else _decorate(region, inner)
        return type(function)(inner, *function.args, **function.keywords)
    if not callable(function):
        if hasattr(type(function), "__get__"):
            hint = "put the decorator on the function that it is made of"
        elif region is defer_interruption:
            hint = f"{region!r} has no options"
        else:
            hint = "options are given by name, async_interrupt=False or io_interrupt=False"
        raise TypeError(f"{region!r} decorates a function, not {type(function).__name__!r}: {hint}")
    return _named(_wrapper(function)(region, function), function)


def _wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    """What wraps such a function. A callable object is what its class's ``__call__`` is."""
    for what in (function, type(function).__call__):
        if inspect.iscoroutinefunction(what):
            return _coroutine
        if inspect.isasyncgenfunction(what):
            return _async_generator
        if inspect.isgeneratorfunction(what):
            code = getattr(what, "__code__", None)
            awaitable = code is not None and code.co_flags & inspect.CO_ITERABLE_COROUTINE
            return _awaitable_generator if awaitable else _generator
    return _call


def _named(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``functools.wraps``; an object that is no function keeps its attributes for itself."""
    if hasattr(function, "__qualname__"):
        return functools.update_wrapper(wrapper, function)
    wrapper.__name__ = wrapper.__qualname__ = type(function).__name__
    return functools.update_wrapper(wrapper, function, updated=())


def decorate_limited(limit: Any, function: _Function) -> _Function:
    """``function``, each call of which is run within a limit of its own, made as ``limit`` was.

    TypeError: a coroutine function or generator function (the limit would not be in force while
    others run), a class, or something that cannot be called.
    """
    name = type(limit).__name__
    if isinstance(function, staticmethod | classmethod):
        limited_function = decorate_limited(limit, function.__func__)
        return cast("_Function", type(function)(limited_function))
    if isinstance(function, type) or not callable(function):
        what = "a class" if isinstance(function, type) else repr(type(function).__name__)
        raise TypeError(f"{name} decorates a function, not {what}")
    if _wrapper(function) is not _call:
        raise TypeError(
            f"{name} does not decorate coroutine functions or generator functions, whose calls "
            "return at once: use asyncio.timeout() inside, or decorate what consumes the generator"
        )

    def limited(*args: Any, **kwargs: Any) -> Any:
        with limit._anew():  # noqa: SLF001
            return function(*args, **kwargs)

    return _named(limited, function)  # type: ignore[return-value]


def _call(region: _Region, function: Callable[..., Any]) -> Callable[..., Any]:
    def in_region(*args: Any, **kwargs: Any) -> Any:
        with region:
            return function(*args, **kwargs)

    return in_region


def _generator(region: _Region, function: Callable[..., Any]) -> Callable[..., Any]:
    def in_region(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with region:
            return (yield from function(*args, **kwargs))

    return in_region


def _awaitable_generator(region: _Region, function: Callable[..., Any]) -> Callable[..., Any]:
    return types.coroutine(_generator(region, function))


def _coroutine(region: _Region, function: Callable[..., Any]) -> Callable[..., Any]:
    async def in_region(*args: Any, **kwargs: Any) -> Any:
        with region:
            return await function(*args, **kwargs)

    return in_region


def _async_generator(region: _Region, function: Callable[..., Any]) -> Callable[..., Any]:
    async def in_region(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with region:
            inner = function(*args, **kwargs)
            try:
                value = [await _first_step(inner)]
            except StopAsyncIteration:
                return
            while True:
                sent = thrown = None
                try:
                    sent = yield value.pop()  # nothing of the consumer's is kept alive here
                except BaseException as error:  # noqa: BLE001  (also GeneratorExit, of aclose)
                    thrown = error
                # Not in the handler: the exceptions of `inner` would get a context of ours.
                try:
                    value.append(
                        await (inner.asend(sent) if thrown is None else inner.athrow(thrown))
                    )
                except StopAsyncIteration:
                    return
                finally:
                    thrown = None  # its traceback has this frame

    return in_region


def _first_step(generator: AsyncGenerator[Any, Any]) -> Any:
    """Its first ``asend(None)``, unknown to the event loop.

    A loop that shuts down closes the asynchronous generators that it knows, all at once. It knows
    the wrapper, which closes this one; closed by both, it would fail for running already.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)

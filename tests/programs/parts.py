"""What made programs call. It is compiled anew for each of them, into its globals: see grammar.py.

Entries and exits are several statements, with steps among them. Where something awaits it may be
left by an exception of the driver's, so nothing awaits between what it does and its note.
"""
# ruff: noqa: F821  (`t` and `L` are given)

import contextlib
import functools
import types
import weakref
from concurrent.futures import Future as Future  # noqa: PLC0414

from interruption import ThreadExit

R = (1, 2)
partial = functools.partial
aclosing = contextlib.aclosing


class E(Exception):
    pass


class Other(Exception):
    pass


def keep(function):
    return function


def f(*_, **__):
    return t()


def fail():
    t()
    raise E


def numbers():
    for number in R:
        t()
        yield number


async def anumbers():
    for number in R:
        await pause()
        yield number


@types.coroutine
def pause():
    t()
    yield
    return t()


class M:
    def __init__(self, number):
        self.number = number

    def __enter__(self):
        t()
        L(f"e{self.number} ")
        for _ in R:
            t()
        return self.number

    def __exit__(self, *_):
        for _ in R:
            t()
        L(f"x{self.number} ")
        t()


class S(M):
    def __exit__(self, kind, *_):
        t()
        L(f"x{self.number} ")
        return kind is E


class AM(M):
    async def __aenter__(self):
        await pause()
        t()
        L(f"e{self.number} ")
        t()
        return self.number

    async def __aexit__(self, *_):
        t()
        L(f"x{self.number} ")
        await pause()


@contextlib.contextmanager
def cm(number):
    L(f"e{number} ")
    try:
        yield t()
    finally:
        t()
        L(f"x{number} ")
        t()


@contextlib.asynccontextmanager
async def acm(number):
    L(f"e{number} ")
    try:
        yield await pause()
    finally:
        t()
        L(f"x{number} ")
        await pause()


@contextlib.contextmanager
def stack(number):
    with contextlib.ExitStack() as exits:
        exits.enter_context(M(number))
        yield exits.enter_context(cm(number))


class D:
    number = 0

    def __init__(self, number):
        self.number = number

    def __del__(self):
        t()
        L(f"u{self.number} ")
        for _ in R:
            t()
        L(f"v{self.number} ")


class W:
    """Something that is dropped calls back."""

    def __init__(self, number):
        self.number = number
        self.reference = weakref.ref(Dropped(), self.called)

    def called(self, _):
        t()
        L(f"u{self.number} ")
        for _number in R:
            t()
        L(f"v{self.number} ")


class Dropped:
    pass


def drive(coroutine):
    """As an event loop that is interrupted: it ends what it runs by the same exception."""
    try:
        while True:
            coroutine.send(None)
            t()
    except StopIteration as stop:
        return stop.value
    except ThreadExit as error:
        if coroutine.cr_frame is not None:
            end(coroutine, error)
        raise


def end(coroutine, error):
    try:
        coroutine.throw(error)
        while True:
            coroutine.send(None)
    except (StopIteration, ThreadExit):
        pass


async def exhaust(generator):
    async with aclosing(generator):
        async for _ in generator:
            t()

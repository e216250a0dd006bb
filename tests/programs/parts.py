"""What made programs call. It is compiled anew for each of them, into its globals: see grammar.py.

Entries and exits are several statements, with steps among them. Where something awaits it may be
left by an exception of the driver's, so nothing awaits between what it does and its note.
"""
# ruff: noqa: F821, SLF001  (`t`, `L`, `me` are given)

import asyncio
import contextlib
import functools
import importlib.machinery
import sys
import threading
import types
import weakref
from concurrent.futures import Future as Future  # noqa: PLC0414

from interruption import ThreadExit

R = (1, 2)
partial = functools.partial
reduce = functools.reduce
aclosing = contextlib.aclosing


class E(Exception):
    pass


class Other(Exception):
    pass


def keep(function):
    return function


def opened(function):
    @functools.wraps(function)
    def inner(*arguments):
        L("a0 ")
        try:
            return function(*arguments)
        finally:
            t()
            L("r0 ")

    return inner


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


class Finish:
    """A finalizer that is told by where it is called from alone."""

    def __call__(self):
        L("u0 ")
        for _ in R:
            t()
        L("v0 ")


class U:
    __del__ = Finish()


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


class Cycle:
    """Garbage: its finalizer runs wherever the collector begins, so it makes no step."""

    def __init__(self):
        self.me = self

    def __del__(self):
        if threading.get_ident() == me:  # the collector may begin in any thread
            L("u0 ")
            for _ in R:
                pass
            L("v0 ")


class O:  # noqa: E742
    """Operators are functions, too."""

    def __add__(self, _):
        with M(0):
            t()
        return self

    @property
    def half(self):
        L("a0 ")
        try:
            return t()
        finally:
            L("r0 ")

    def __getitem__(self, _):
        return t()

    def __eq__(self, _):
        return t()

    def __hash__(self):
        t()
        return 1

    def __bool__(self):
        return t()

    def __iter__(self):
        with M(0):
            yield t()

    def __contains__(self, _):
        return bool(t())


TEXT = """
for _ in R:
    L("a0 ")
    try:
        t()
    finally:
        t()
        L("r0 ")
"""


class Finder:
    """Finds a module; what runs when that is imported, is not to be cut."""

    @staticmethod
    def find_spec(name, _, __=None):
        return importlib.machinery.ModuleSpec(name, Finder) if name == "made_module" else None

    @staticmethod
    def create_module(_):
        return None

    @staticmethod
    def exec_module(_):
        L("b0 ")
        for _number in R:
            t()
        L("d0 ")


def load():
    sys.modules.pop("made_module", None)
    sys.meta_path.insert(0, Finder)
    try:
        import made_module

        return made_module
    finally:
        sys.meta_path.remove(Finder)


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


def in_loop(coroutine):
    if asyncio._get_running_loop() is None:
        return asyncio.run(coroutine)
    return drive(coroutine)

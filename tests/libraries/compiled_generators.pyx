# cython: language_level=3
"""Generators and coroutines that test_cython.py has compiled. They have no frames."""

import contextlib

from interruption import allow_interruption, defer_interruption


def generator(block, work):
    with block:
        yield 1
        work()
        yield 2


def outer(block, work):
    yield from generator(block, work)


def by_a_stack(block, work):
    with contextlib.ExitStack() as stack:
        stack.enter_context(block)
        yield 1
        work()
        yield 2


def by_hand(block, work):
    block.__enter__()
    try:
        yield 1
        work()
        yield 2
    finally:
        block.__exit__(None, None, None)


def of(manager, work):
    with manager():
        yield 1
        work()
        yield 2


@contextlib.contextmanager
def region():
    with allow_interruption:
        yield


@contextlib.contextmanager
def shield():
    with defer_interruption:
        yield


async def coroutine(block, awaitable, work):
    with block:
        await awaitable
        work()


async def asynchronous(block, awaitable, work):
    with block:
        await awaitable
        yield 1
        work()
        yield 2


def function(block, work):
    with block:
        work()

"""S21: a block of a `with` statement is its frame's own, whatever that is called, and wherever.

Functions of some names, and code in a `finally`, are left alone: but not for a region that is
opened in there.
"""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    interrupt,
)
from support import Started, in_thread


def loop():
    while True:
        pass


class Named:
    """Methods that are called as managers' and finalizers' are, with regions of their own."""

    def __init__(self, ready):
        self.ready = ready

    def __enter__(self):
        with allow_interruption:
            self.ready.set()
            loop()

    def __exit__(self, *exc_info):
        with allow_interruption:
            self.ready.set()
            loop()

    def enter_context(self):
        with allow_interruption:
            self.ready.set()
            loop()

    async def __aenter__(self):
        with allow_interruption:
            self.ready.set()
            while True:
                await asyncio.sleep(0)

    async def __aexit__(self, *exc_info):
        with allow_interruption:
            self.ready.set()
            loop()


class Finalized:
    def __init__(self, ready, ended):
        self.ready = ready
        self.ended = ended

    def __del__(self):
        try:
            with allow_interruption:
                self.ready.set()
                loop()
        except ThreadExit:
            self.ended.append(True)


def by_a_with_statement(named):
    with named:
        pass


def leaving_a_with_statement(named):
    class Left(Named):
        def __enter__(self):
            return self

    with Left(named.ready):
        pass


async def awaited(coroutine):
    await coroutine


WAYS = {
    "enter": lambda named: named.__enter__(),
    "enter, by a with statement": by_a_with_statement,
    "exit": lambda named: named.__exit__(),
    "exit, by a with statement": leaving_a_with_statement,
    "enter_context": lambda named: named.enter_context(),
    "aenter": lambda named: asyncio.run(awaited(named.__aenter__())),
    "aexit": lambda named: asyncio.run(awaited(named.__aexit__())),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_region_in_a_method_of_that_name(way):  # S21
    def body(started):
        with pytest.raises(ThreadExit):
            WAYS[way](Named(started.ready))

    with Started(body) as started:
        interrupt(started.thread)
    started.finish()


def test_a_lock_is_given_up_in_a_region_in_an_exit():  # S10c, S21
    """What the region is in is cleanup; what is in the region is not."""
    lock = threading.Lock()
    lock.acquire()

    class Leaving:
        def __init__(self, ready):
            self.ready = ready

        def __enter__(self):
            pass

        def __exit__(self, *exc_info):
            with allow_interruption:
                self.ready.set()
                lock.acquire()

    def body(started):
        with pytest.raises(ThreadExit):
            with Leaving(started.ready):
                pass

    with Started(body) as started:
        started.until_blocked()
        interrupt(started.thread)
    started.finish()


def test_a_region_in_a_finalizer():  # S21
    ended = []

    def body(started):
        Finalized(started.ready, ended)

    with Started(body) as started:
        interrupt(started.thread)
    started.finish()
    assert ended == [True]


@pytest.mark.parametrize("name", ["__enter__", "__exit__", "enter_context", "anything"])
def test_a_shield_in_a_method_of_that_name_ends_with_its_statement(name):  # S12, S21
    def method(order):
        with defer_interruption:
            ask_myself()
            statements()
            order.append("shielded")

    method.__code__ = method.__code__.replace(co_name=name)

    def body():
        order = []
        try:
            with allow_interruption:
                method(order)
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("delivered")
        clear_interrupt()
        with allow_interruption:
            statements()
        return order

    assert in_thread(body) == ["shielded", "delivered"]


# A region in cleanup ----------------------------------------------------------------------------


# fmt: off
def in_a_finally(started):
    try:
        len("")
    finally:
        with allow_interruption:
            started.ready.set()
            while True: pass  # noqa: E701


def in_a_finally_a_for_loop(started):
    try:
        len("")
    finally:
        with allow_interruption:
            started.ready.set()
            for _ in itertools.count(): pass  # noqa: E701


def in_a_finally_a_while_loop_with_a_condition(started):
    going = True
    try:
        len("")
    finally:
        with allow_interruption:
            started.ready.set()
            while going: pass  # noqa: E701


def in_the_finally_of_an_exception(started):
    try:
        raise KeyError
    finally:
        with allow_interruption:
            started.ready.set()
            while True: pass  # noqa: E701


def in_a_finally_in_a_try(started):
    try:
        try:
            len("")
        finally:
            with allow_interruption:
                started.ready.set()
                while True: pass  # noqa: E701
    except KeyError:
        pass


def in_an_except(started):
    try:
        raise KeyError
    except KeyError:
        with allow_interruption:
            started.ready.set()
            while True: pass  # noqa: E701


def in_a_finally_that_a_continue_comes_to(started):
    for number in range(3):
        try:
            if number:
                continue
        finally:
            with allow_interruption:
                while number: started.ready.set()  # noqa: E701


# fmt: on
@pytest.mark.parametrize(
    "place",
    [
        in_a_finally,
        in_a_finally_a_for_loop,
        in_a_finally_a_while_loop_with_a_condition,
        in_the_finally_of_an_exception,
        in_a_finally_in_a_try,
        in_an_except,
        in_a_finally_that_a_continue_comes_to,
    ],
    ids=lambda place: place.__name__,
)
def test_a_loop_on_one_line_in_a_region_in_cleanup(place):  # S9
    def body(started):
        with pytest.raises(ThreadExit):
            place(started)

    with Started(body) as started:
        interrupt(started.thread)
    started.finish()

"""S21: a block of a `with` statement is its frame's own, whatever that is called, and wherever.

Functions of some names, and code in a `finally`, are left alone: but not for a region that is
opened in there.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from textwrap import indent

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


# Where the region is, and its loop, which is on one line.
LOOP = "ready.set()\nwhile True: pass"
IN_CLEANUP = {
    "a finally": ("try: len('')\nfinally:REGION", LOOP),
    "for": ("try: len('')\nfinally:REGION", "ready.set()\nfor _ in itertools.count(): pass"),
    "while": ("going = True\ntry: len('')\nfinally:REGION", "ready.set()\nwhile going: pass"),
    "an exception": ("try: raise KeyError\nfinally:REGION", LOOP),
    "in a try": ("try:\n try: len('')\n finally:REGION\nexcept KeyError: pass", LOOP),
    "an except": ("try: raise KeyError\nexcept KeyError:REGION", LOOP),
    "a continue comes to it": (
        "for number in range(3):\n try:\n  if number: continue\n finally:REGION",
        "while number: ready.set()",
    ),
}


@pytest.mark.parametrize("place", IN_CLEANUP)
def test_a_loop_on_one_line_in_a_region_in_cleanup(place):  # S9
    around, loop = IN_CLEANUP[place]
    region = f"\n  with allow_interruption:\n{indent(loop, '   ')}"
    source = indent(around.replace("REGION", region), " ")
    names = {"allow_interruption": allow_interruption, "itertools": itertools}
    exec(f"def run(ready):\n{source}", names)  # noqa: S102  (written above)

    def body(started):
        with pytest.raises(ThreadExit):
            names["run"](started.ready)

    with Started(body) as started:
        interrupt(started.thread)
    started.finish()

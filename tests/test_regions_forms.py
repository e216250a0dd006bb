"""S14: regions and shields with options, as decorators, in many threads."""

from __future__ import annotations

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    ThreadExit,
    allow_interruption,
    defer_interruption,
    interrupt,
    interruption_requested,
)
from region_parts import inside, spin, stopped
from support import Started, in_thread


def test_without_async_interrupt_statements_are_left_alone():  # S14
    def body():
        with allow_interruption(async_interrupt=False):
            ask_myself()
            statements()
            with allow_interruption:  # switched off for the whole block
                statements()
        return interruption_requested()

    assert in_thread(body) is True


def test_an_inner_region_without_async_interrupt_ends_where_it_ends():  # S14
    def body():
        order = []
        try:
            with allow_interruption:
                with allow_interruption(async_interrupt=False):
                    ask_myself()
                    statements()
                    order.append("off")
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("on")
        return order

    assert in_thread(body) == ["off", "on"]


def test_without_io_interrupt_statements_are_interrupted():  # S14
    def body():
        with allow_interruption(io_interrupt=False):
            ask_myself()
            statements()
            raise AssertionError

    with pytest.raises(ThreadExit):
        in_thread(body)


def test_entering_with_a_request_raises_whatever_the_options():  # S7, S14
    def body():
        ask_myself()
        for region in (
            allow_interruption(async_interrupt=False),
            allow_interruption(io_interrupt=False),
            allow_interruption(async_interrupt=False, io_interrupt=False),
        ):
            with pytest.raises(ThreadExit), region:
                raise AssertionError
        return "all"

    assert in_thread(body) == "all"


def test_options_are_kept_when_called_again():  # S14
    region = allow_interruption(async_interrupt=False)
    assert repr(region) == "allow_interruption(async_interrupt=False)"
    assert repr(region(io_interrupt=False)) == (
        "allow_interruption(async_interrupt=False, io_interrupt=False)"
    )
    assert repr(region(async_interrupt=True)) == "allow_interruption"
    assert repr(allow_interruption) == "allow_interruption"
    assert repr(defer_interruption) == "defer_interruption"
    assert defer_interruption() is defer_interruption


def test_bad_options_say_what_is_right():  # S14
    for call in (
        lambda: allow_interruption(1),
        lambda: allow_interruption(print, print),
        lambda: allow_interruption(print, io_interrupt=False),
        lambda: allow_interruption(blocking=False),
        lambda: defer_interruption(async_interrupt=False),
        lambda: defer_interruption(None),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        type(allow_interruption)()


def test_with_gives_the_region():  # S14
    with allow_interruption as region:
        assert region is allow_interruption
    with defer_interruption as shield:
        assert shield is defer_interruption


def test_one_object_serves_all_threads_at_once():  # S14
    region = allow_interruption(io_interrupt=False)

    threads = [inside(spin, region) for _ in range(8)]
    for number, started in enumerate(threads):
        assert interrupt(started.thread, reason=str(number))
    for number, started in enumerate(threads):
        with pytest.raises(ThreadExit) as caught:
            started.finish()
        assert caught.value.reason == str(number)


@allow_interruption
def decorated(started):
    """A decorated function."""
    started.ready.set()
    while True:
        pass


def test_a_decorated_function_is_a_region():  # S14
    started = Started(decorated).until_ready()
    stopped(started)


def test_a_decorated_shield_raises_at_the_next_statement_of_its_caller():  # S12, S14
    @defer_interruption
    def whole(order):
        ask_myself()
        statements()
        order.append("whole")

    def body():
        order = []
        try:
            with allow_interruption:
                whole(order)
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        return order

    assert in_thread(body) == ["whole", "raised"]

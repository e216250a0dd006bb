"""S9: a request comes between two statements, whatever it is that runs."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest
from delivery_parts import (
    ask_myself,
    assert_nothing_armed,
    interrupted_in,
    run,
    spin_in,
    statements,
)
from interruption import ThreadExit, allow_interruption, clear_interrupt, explain, interrupt
from region_parts import stopped
from support import PATIENCE, Started, in_thread

# Statements -------------------------------------------------------------------------------------


def test_not_in_the_middle_of_a_statement():  # S9
    made = []

    def acquire():
        made.append("first")
        ask_myself()

    def situation(order):
        everything = (
            acquire(),
            made.append("second"),
            made.append("third"),
        )
        order.append("not reached")
        return everything

    assert run(situation) == ["delivered"]
    assert made == ["first", "second", "third"]


EMPTY, FULL = ["pass"], ["len('')"]


def indented(lines):
    return [f"    {line}" for line in lines]


def made_of_cleanup(tried, cleanup):
    return ["try:", *indented(tried), "finally:", *indented(cleanup)]


ONE = [made_of_cleanup(tried, cleanup) for tried in (EMPTY, FULL) for cleanup in (EMPTY, FULL)]
TWO = [made_of_cleanup(one, cleanup) for one in ONE for cleanup in (EMPTY, FULL, *ONE)]
TWO += [made_of_cleanup(tried, one) for one in ONE for tried in (EMPTY, FULL)]
THREE = [made_of_cleanup(two, EMPTY) for two in TWO[::5]]


@pytest.mark.parametrize("head", ["while True:", "while [1]:", "for _ in itertools.count():"])
def test_a_loop_that_is_nothing_but_cleanup_stops_where_it_goes_round(head):  # S9
    for body in (*ONE, *TWO, *THREE):
        lines = ["def loop(begun):", "    begun()", f"    {head}", *indented(indented(body))]
        names = {"itertools": itertools}
        exec("\n".join(lines), names)  # noqa: S102  (made just now)

        def work(started, loop=names["loop"]):
            with pytest.raises(ThreadExit), allow_interruption:
                loop(started.ready.set)

        with Started(work) as started:
            interrupt(started.thread)
        started.finish()


# What runs --------------------------------------------------------------------------------------


def loop():
    while True:
        pass


def calls():
    data = list(range(1000))
    while True:
        sum(data)


class Counted:
    entered = left = 0

    def __enter__(self):
        Counted.entered += 1

    def __exit__(self, *exc_info):
        Counted.left += 1


def loop_in_with():
    with Counted():
        while True: pass  # fmt: skip  # noqa: E701


def loop_with_condition_in_with():
    with Counted():
        while Counted: len("")  # fmt: skip  # noqa: E701


def loop_in_try():
    Counted.entered += 1
    try:
        while True: len("")  # fmt: skip  # noqa: E701
    finally:
        Counted.left += 1


def comprehension_in_with():
    with Counted():
        {None for _ in iter(int, 1)}


def deep(depth=300):
    if depth == 0:
        loop()
    deep(depth - 1)


def recursion(depth=60):
    if depth:
        recursion(depth - 1)
        recursion(depth - 1)


def comprehension():
    {None for _ in iter(int, 1)}


def generator():
    sum(x for x in iter(int, 1))


def key_function():
    data = list(range(100))
    while True:
        sorted(data, key=lambda x: -x)


def mapped():
    for _ in map(lambda x: x, iter(int, 1)):  # noqa: C417
        pass


def operators():
    class Number:
        def __add__(self, other):
            for _ in range(10):
                pass
            return self

    number = Number()
    while True:
        number + number


def executed():
    exec("while True: pass")  # noqa: S102


def evaluated():
    eval("[0 for _ in iter(int, 1) if _]")  # noqa: S307


def matched():
    while True:
        match (1, [2, 3]):
            case (1, [_, *_]):
                pass


async def awaited():
    import asyncio

    while True:
        await asyncio.sleep(0)


def coroutine():
    import asyncio

    asyncio.run(awaited())


@pytest.mark.parametrize(
    "body",
    [
        loop,
        calls,
        loop_in_with,
        loop_with_condition_in_with,
        loop_in_try,
        comprehension_in_with,
        deep,
        recursion,
        comprehension,
        generator,
        key_function,
        mapped,
        operators,
        executed,
        evaluated,
        matched,
        coroutine,
    ],
)
@pytest.mark.parametrize("delay", [0, 0.01])
def test_whatever_runs_is_stopped(body, delay):  # S9
    def region(started):
        with allow_interruption:
            started.ready.set()
            body()

    started = Started(region).until_ready()
    threading.Event().wait(delay)  # so that it is somewhere inside
    interrupt(started.thread)
    started.thread.join(PATIENCE)
    assert not started.thread.is_alive(), explain(started.thread)
    assert type(started.raised) is ThreadExit
    assert Counted.entered == Counted.left


def test_a_loop_in_the_regions_own_frame_is_stopped():  # S9, S11
    def one_line(started):
        with allow_interruption:
            started.ready.set()
            while True: pass  # fmt: skip  # noqa: E701

    def with_condition(started):
        with allow_interruption:
            started.ready.set()
            while started: len("")  # fmt: skip  # noqa: E701

    for body in (one_line, with_condition):
        started = Started(body).until_ready()
        stopped(started)


def test_other_threads_in_the_same_code_are_left_alone():  # S9
    stop = threading.Event()

    def body(started):
        turns = 0
        with allow_interruption:
            started.ready.set()
            while not stop.is_set():
                turns += 1
        return turns

    threads = [Started(body).until_ready() for _ in range(6)]
    for started in threads[:3]:
        stopped(started)
    stop.set()
    for started in threads[3:]:
        assert started.finish() > 0


def test_a_request_that_was_cleared_is_not_delivered():  # S6
    def body():
        with allow_interruption:
            with defer_and_clear():
                ask_myself()
            statements()
            return "carried on"

    @contextlib.contextmanager
    def defer_and_clear():
        yield
        clear_interrupt()

    # Asked in the last statement of the block, cleared in its exit.
    assert in_thread(body) == "carried on"


def test_handlers_are_as_they_were():
    """Delivery leaves nothing behind in the interpreter."""
    assert interrupted_in(statements)
    assert_nothing_armed(statements.__code__, spin_in.__code__)

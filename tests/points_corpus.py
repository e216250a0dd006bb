"""Functions for test_points.py to look at and to run. Each takes a ``Resources``.

A line's comment says what an event at the beginning of that line is:

``# point``: an exception may be raised.
``# cleanup: finally`` (``except``, ``with``): it is within that.
``# gap``: between what was taken and the ``try`` that gives it back.
``# pending``: not between two statements.

Lines without one of these are not said anything about.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any


class Resources:
    """Counts what is open. Its methods are C's as far as the events of a corpus function go."""

    def __init__(self) -> None:
        self.open = 0

    def acquire(self, *_: object) -> Resources:
        self.open += 1
        return self

    def try_acquire(self) -> bool:
        self.open += 1
        return True

    def release(self, *_: object) -> None:
        self.open -= 1

    def __enter__(self) -> Resources:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Resources:
        return self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def __await__(self) -> Iterator[None]:
        yield

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    async def numbers(self) -> AsyncIterator[int]:
        for number in range(3):
            yield number


def nothing(*_: object) -> int:
    return 0


def fail(*_: object) -> None:
    raise ValueError


def plain_with(r: Resources):
    x = 1  # point
    with r:  # point
        x = 2  # point
        nothing(x)  # point
    return x  # point


def with_as(r: Resources):
    with r as x:  # point
        nothing(x)  # point


def several_items(r: Resources):
    with r as x, r as y, r:  # point
        nothing(x, y)  # point
    nothing()  # point


def parenthesised_items(r: Resources):
    with (
        r as x,
        r as y,
        r,
    ):
        nothing(x)  # point
        nothing(y)  # point
    nothing()  # point


def nested_with(r: Resources):
    with r:  # point
        with r:  # point
            nothing()  # point
        with r:  # point
            nothing()  # point
        nothing()  # point


def one_line_with(r: Resources):
    for _ in range(3):  # point
        with r:
            pass


def with_in_a_loop(r: Resources):
    for i in range(6):  # point
        with r:
            if i == 1:  # point
                continue
            if i == 2:  # point
                nothing()  # point
            if i == 4:  # point
                break
            nothing()  # point
    nothing()  # point


def return_in_with(r: Resources):
    for i in range(3):  # point
        with r:
            if i == 2:  # point
                return nothing(i)  # point
    return None


def with_that_fails(r: Resources):
    with contextlib.suppress(ValueError):  # point
        with r:  # point
            fail()  # point
    nothing()  # point


def acquire_and_try(r: Resources):
    r.acquire()  # point
    try:  # gap
        nothing()  # point
        nothing()  # point
    finally:
        nothing()  # cleanup: finally
        r.release()  # cleanup: finally
    nothing()  # point


def acquire_in_a_test(r: Resources):
    if r.try_acquire():  # point
        try:  # gap
            nothing()  # point
        finally:
            r.release()  # cleanup: finally


def acquire_in_a_loop(r: Resources):
    while True:
        r.acquire()  # point
        try:  # gap
            if nothing() == 0:  # point
                break
        finally:
            r.release()  # cleanup: finally
    nothing()  # point


def three_deep(r: Resources):
    r.acquire()  # point
    try:  # gap
        r.acquire()  # point
        try:  # gap
            r.acquire()  # point
            try:  # gap
                nothing()  # point
            finally:
                nothing()  # cleanup: finally
                r.release()  # cleanup: finally
            nothing()  # point
        finally:
            nothing()  # cleanup: finally
            r.release()  # cleanup: finally
        nothing()  # point
    finally:
        nothing()  # cleanup: finally
        r.release()  # cleanup: finally
    nothing()  # point


def try_in_try(r: Resources):
    r.acquire()  # point
    try:  # gap
        try:  # gap
            nothing()  # point
        except ValueError:
            nothing()  # cleanup: except
    finally:
        r.release()  # cleanup: finally


def leaving_by_return(r: Resources):
    r.acquire()  # point
    try:  # gap
        return nothing()  # point
    finally:
        nothing()  # cleanup: finally
        r.release()  # cleanup: finally


def leaving_by_break_and_continue(r: Resources):
    for i in range(5):  # point
        r.acquire()  # point
        try:  # gap
            if i == 1:  # point
                continue
            if i == 3:  # point
                break
            nothing()  # point
        finally:
            nothing()  # cleanup: finally
            r.release()  # cleanup: finally
    else:
        nothing()
    nothing()  # point


def finally_with_blocks(r: Resources):
    r.acquire()  # point
    try:  # gap
        nothing()  # point
    finally:
        for _ in range(3):  # cleanup: finally
            nothing()  # cleanup: finally
        try:  # cleanup: finally
            fail()  # cleanup: finally
        except ValueError:
            nothing()  # cleanup: except
        with r:  # cleanup: finally
            nothing()  # cleanup: finally
        while r.open:  # cleanup: finally
            r.release()  # cleanup: finally
    nothing()  # point


def finally_after_a_failure(r: Resources):
    try:  # gap
        r.acquire()  # point
        try:  # gap
            fail()  # point
        finally:
            nothing()  # cleanup: finally
            r.release()  # cleanup: finally
    except ValueError as error:
        nothing(error)  # cleanup: except
    else:
        nothing()
    nothing()  # point


def all_clauses(r: Resources):
    for action in (nothing, fail):  # point
        r.acquire()  # point
        try:  # gap
            action()  # point
        except ValueError:
            nothing()  # cleanup: except
        else:
            nothing()  # point
        finally:
            r.release()  # cleanup: finally
        nothing()  # point


def bare_except(r: Resources):
    try:  # gap
        fail(r)  # point
    except:  # noqa: E722
        nothing()  # cleanup: except
        nothing()  # cleanup: except
    nothing()  # point


def except_group(r: Resources):
    r.acquire()  # point
    try:  # gap
        fail()  # point
    except* ValueError as error:
        nothing(error)  # cleanup: except
        nothing()  # cleanup: except
    finally:
        r.release()  # cleanup: finally
    nothing()  # point


def while_try(r: Resources):
    tries = 0  # point
    while tries < 3:  # point
        try:  # gap
            tries += 1  # point
            fail(r)  # point
        except ValueError:
            continue
    nothing()  # point


def generator(r: Resources):
    def numbers():
        r.acquire()
        try:
            yield 1
            yield 2
        finally:
            r.release()

    for number in numbers():  # point
        nothing(number)  # point


def generator_body(r: Resources):
    r.acquire()  # point
    try:  # gap
        yield 1  # point
        nothing()  # point
        yield 2  # point
    finally:
        nothing()  # cleanup: finally
        r.release()  # cleanup: finally


async def asynchronous(r: Resources):
    async with r as x, r:  # point
        nothing(x)  # point
        await r  # point
    async for number in r.numbers():  # point
        nothing(number)  # point
    nothing()  # point


async def await_in_try(r: Resources):
    r.acquire()  # point
    try:  # gap
        await r  # point
        nothing()  # point
    finally:
        await r  # cleanup: finally
        r.release()  # cleanup: finally
    nothing()  # point


async def async_with_in_a_loop(r: Resources):
    for i in range(3):  # point
        async with r:
            if i == 1:  # point
                continue
            nothing()  # point
    return [x async for x in r.numbers()]  # point


def matching(r: Resources):
    with r:  # point
        match nothing():  # point
            case 1:  # pending
                nothing()
            case int():  # pending
                nothing()  # point
    nothing()  # point


def pending_results(r: Resources):
    given = nothing(
        nothing(),
        nothing(),  # pending
        [
            nothing(),  # pending
            r,
        ],
    )
    return given  # point


def comprehensions(r: Resources):
    x = [nothing(y) for y in r]  # point
    y = {nothing(z): z for z in range(3) if z}  # point
    z = [[nothing(a) for a in r] for b in r]  # point
    with r:  # point
        x.append({nothing(a) for a in r})  # point
    return nothing(x, y, z)  # point


def comprehension_with_a_result_below(r: Resources):
    nothing(r.acquire(), [nothing(y) for y in r])
    r.release()


def small_statements(r: Resources):
    x = {1: 2}  # point
    del x[1]  # point
    assert not x  # point
    if (n := len(x)) < 1 < 2:  # point
        n = 3  # point
    y = lambda: nothing(n)  # noqa: E731
    return y()  # point


def definitions(r: Resources):
    @contextlib.contextmanager
    def inner():
        with r:
            yield

    class Local:
        x = 1
        for _ in range(3):
            x += 1

    with inner():  # point
        return Local.x  # point


def loops(r: Resources):
    n = 3  # point
    while n:
        n -= 1
    for _ in range(3):
        nothing()
    for _ in range(2):  # point
        for _ in range(2):  # point
            nothing()  # point
        else:
            nothing()  # point
    while True:
        n += 1  # point
        if n == 3:  # point
            return


RUNNABLE: list[Callable[[Resources], Any]] = [
    plain_with,
    with_as,
    several_items,
    parenthesised_items,
    nested_with,
    one_line_with,
    with_in_a_loop,
    return_in_with,
    with_that_fails,
    acquire_and_try,
    acquire_in_a_test,
    acquire_in_a_loop,
    three_deep,
    try_in_try,
    leaving_by_return,
    leaving_by_break_and_continue,
    finally_with_blocks,
    finally_after_a_failure,
    all_clauses,
    bare_except,
    except_group,
    while_try,
    generator,
    generator_body,
    asynchronous,
    await_in_try,
    async_with_in_a_loop,
    matching,
    pending_results,
    comprehensions,
    small_statements,
    definitions,
    loops,
]

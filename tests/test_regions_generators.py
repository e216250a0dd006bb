"""S21: regions of generators and coroutines, and those that are left out of order or elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import threading
import tracemalloc

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    current_deadline,
    defer_interruption,
    explain,
    timeout,
)
from interruption._interruption import _scopes
from region_parts import stopped
from support import Started, in_thread


def test_a_suspended_generators_region_opens_nothing():  # S21
    def generator():
        with allow_interruption:
            yield 1
            statements()
            yield 2

    def body():
        values = generator()
        next(values)
        ask_myself("for the generator")
        statements()  # the consumer is in no region
        with pytest.raises(ThreadExit) as caught:
            next(values)
        statements()
        return caught.value.reason

    assert in_thread(body) == "for the generator"


def test_a_suspended_generators_shield_shields_nothing():  # S21
    def generator():
        with defer_interruption:
            yield 1

    def body():
        values = generator()
        next(values)
        order = []
        try:
            with allow_interruption:
                ask_myself()
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        values.close()
        return order

    assert in_thread(body) == ["raised"]


def test_generators_may_be_left_in_any_order():  # S21
    def generator(*blocks):
        with contextlib.ExitStack() as stack:
            for block in blocks:
                stack.enter_context(block)
            yield

    def body():
        first = generator(allow_interruption)
        second = generator(defer_interruption, allow_interruption)
        third = generator(allow_interruption)
        for values in (first, second, third):
            next(values)
        for values in (first, third, second):
            values.close()
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_a_decorated_generator_is_open_only_while_it_runs():  # S14, S21
    @allow_interruption
    def generator():
        yield 1
        statements()
        yield 2

    def body():
        values = generator()
        next(values)
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            next(values)
        return "raised inside"

    assert in_thread(body) == "raised inside"


def test_a_region_in_a_coroutine_does_not_leak_into_the_loop():  # S21
    """Two tasks: one suspended in a region, one that is in none and is asked."""

    async def in_region(entered, leave):
        with allow_interruption:
            entered.set()
            await leave.wait()

    async def in_none(leave):
        ask_myself()
        statements()
        clear_interrupt()
        leave.set()

    async def main():
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(in_region(entered, leave))
        await entered.wait()
        await in_none(leave)
        await task
        return "no exception"

    assert in_thread(lambda: asyncio.run(main())) == "no exception"


def test_a_coroutine_in_a_region_is_interrupted():  # S21
    async def spin(started):
        with allow_interruption:
            started.ready.set()
            while True:
                await asyncio.sleep(0)

    started = Started(lambda started: asyncio.run(spin(started))).until_ready()
    stopped(started)


def test_tasks_of_one_loop_leave_their_regions_in_any_order():  # S21
    async def task(number, order, turns):
        with allow_interruption:
            with defer_interruption:
                for _ in range(turns):
                    await asyncio.sleep(0)
            order.append(number)

    async def main():
        order = []
        await asyncio.gather(*(task(n, order, (n * 7) % 11) for n in range(50)))
        return len(order)

    assert in_thread(lambda: asyncio.run(main())) == 50


@contextlib.contextmanager
def managed(block):
    with block:
        yield


@contextlib.asynccontextmanager
async def async_managed(block):
    with block:
        await asyncio.sleep(0)
        yield


@pytest.mark.parametrize("how", ["contextmanager", "ExitStack", "class"])
def test_through_a_context_manager_it_lasts_until_its_exit(how):  # S21
    class Wrapper:
        def __enter__(self):
            allow_interruption.__enter__()

        def __exit__(self, *exc_info):
            allow_interruption.__exit__(*exc_info)

    def manager():
        if how == "contextmanager":
            return managed(allow_interruption)
        if how == "class":
            return Wrapper()
        stack = contextlib.ExitStack()
        stack.enter_context(allow_interruption)
        return stack

    def body():
        order = []
        try:
            with manager():
                order.append("in")
                ask_myself()
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        clear_interrupt()
        ask_myself()
        statements()  # left
        clear_interrupt()
        return order

    assert in_thread(body) == ["in", "raised"]


@pytest.mark.parametrize("outer", [lambda: allow_interruption, Scope, lambda: timeout(1000)])
@pytest.mark.parametrize("inner", [lambda: defer_interruption, Scope, lambda: timeout(1000)])
def test_a_block_that_an_exception_has_come_before_is_left_with_the_one_around_it(outer, inner):
    """As a handler does that raises just behind an `__enter__`, where it can (gh-148874)."""

    def body():
        inside = inner()
        with pytest.raises(KeyError), outer():
            inside.__enter__()
            raise KeyError
        with pytest.raises(RuntimeError, match="not entered"):
            inside.__exit__(None, None, None)
        with allow_interruption, pytest.raises(ThreadExit):
            ask_myself()
            statements()
        return _scopes()[0], len(_scopes()[2])

    assert in_thread(body) == (False, 0)


@pytest.mark.parametrize("place", ["entry", "exit", "finally"])
def test_a_region_that_a_context_manager_has_for_itself_lets_in_what_is_asked(place):  # S7, S21
    order = []

    @contextlib.contextmanager
    def manager():
        if place == "entry":
            with allow_interruption:
                ask_myself()
                statements()
                order.append("not reached")
        try:
            yield
        finally:
            if place == "finally":
                with allow_interruption:
                    ask_myself()
                    statements()
                    order.append("not reached")
        with allow_interruption:
            ask_myself()
            statements()
            order.append("not reached")

    def body():
        with pytest.raises(ThreadExit), manager():
            pass
        return order

    assert in_thread(body) == []


def in_a_block(block):
    with block:
        yield


@contextlib.contextmanager
def delegates(block):
    yield from in_a_block(block)


def deeper(block):
    with contextlib.nullcontext():
        yield from in_a_block(block)


@contextlib.contextmanager
def delegates_twice(block):
    try:
        yield from deeper(block)
    finally:
        statements()


@contextlib.contextmanager
def iterates(block):
    for each in in_a_block(block):  # noqa: UP028  (that is what is tried)
        yield each


@pytest.mark.parametrize("manager", [delegates, delegates_twice])
def test_a_block_that_a_context_manager_leaves_to_another_generator(manager):  # S21
    def body():
        order = []
        with manager(allow_interruption):
            order.append("entered")
        with contextlib.suppress(ThreadExit), manager(allow_interruption):
            ask_myself()
            statements()
            order.append("not reached")
        statements()  # in no region any more
        clear_interrupt()
        limit = timeout(1000)
        with contextlib.suppress(KeyError), manager(limit):
            raise KeyError
        with pytest.raises(TimeoutError), manager(limit := timeout(1000)):
            limit.reschedule(0)
            statements()
            order.append("not reached")
        return order, current_deadline()

    assert in_thread(body) == (["entered"], math.inf)


def test_a_generator_that_a_context_manager_reads_from_has_its_own():  # S21
    def body():
        with iterates(allow_interruption):
            ask_myself()
            statements()
        clear_interrupt()
        with pytest.raises(RuntimeError, match="entered by a generator"), iterates(timeout(1000)):
            pass
        return current_deadline()

    assert in_thread(body) == math.inf


class Limits:
    """Its methods, and what they await, have limits of their own."""

    def __init__(self, limited, *, awaits):
        self.limited = limited
        self.awaits = awaits

    async def work(self):
        with self.limited():
            if self.awaits:
                await asyncio.sleep(0)

    async def __aenter__(self):
        with self.limited():
            if self.awaits:
                await asyncio.sleep(0)

    async def __aexit__(self, *exc_info):
        await self.__aenter__()

    @contextlib.asynccontextmanager
    async def managed(self):
        with self.limited():
            await asyncio.sleep(0)
        yield


class Calls:
    def __init__(self, calls):
        self.calls = calls

    async def __aenter__(self):
        await self.calls()

    async def __aexit__(self, *exc_info):
        pass


async def in_with(limits):
    async with limits:
        pass


async def in_stack(limits):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(limits)


async def in_exit_of_stack(limits):
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(limits)


async def in_another_entry(limits):
    async with Calls(limits.__aenter__):
        pass


async def in_what_an_entry_awaits(limits):
    async with Calls(limits.work):
        pass


async def in_a_task(limits):
    await asyncio.create_task(limits.__aenter__())


async def in_a_context_manager(limits):
    async with limits.managed():
        pass


@contextlib.contextmanager
def limit_of_a_manager():
    with timeout(1000):
        yield


@pytest.mark.parametrize("limited", [lambda: timeout(1000), limit_of_a_manager])
@pytest.mark.parametrize("awaits", [True, False])
@pytest.mark.parametrize(
    "way",
    [
        in_with,
        in_stack,
        in_exit_of_stack,
        in_another_entry,
        in_what_an_entry_awaits,
        in_a_task,
        in_a_context_manager,
    ],
)
def test_a_limit_in_a_coroutine_is_an_error_whatever_that_is_called(way, awaits, limited):  # S26
    async def main():
        with pytest.raises(RuntimeError, match=r"asyncio\.timeout"):
            await way(Limits(limited, awaits=awaits))

    in_thread(lambda: asyncio.run(main()))


def test_a_region_in_what_an_entry_awaits_is_its_own():  # S21
    async def work():
        with allow_interruption:
            await asyncio.sleep(0)
            ask_myself()
            statements()

    async def main():
        with pytest.raises(ThreadExit):
            await in_with(Calls(work))

    in_thread(lambda: asyncio.run(main()))


def test_a_limit_in_an_asynchronous_context_manager_that_is_not_suspended_in_it():  # S24
    @contextlib.asynccontextmanager
    async def manager():
        with timeout(1000) as limit:
            limit.reschedule(0)
            statements()
        yield

    async def main():
        with pytest.raises(TimeoutError):
            await in_with(manager())

    in_thread(lambda: asyncio.run(main()))


@pytest.mark.parametrize("how", ["contextmanager", "asynccontextmanager", "AsyncExitStack"])
def test_through_a_context_manager_in_a_coroutine_it_does_not_leak_into_the_loop(how):  # S21
    async def in_region(entered, leave):
        async with contextlib.AsyncExitStack() as stack:
            if how == "contextmanager":
                stack.enter_context(managed(allow_interruption))
            elif how == "asynccontextmanager":
                await stack.enter_async_context(async_managed(allow_interruption))
            else:
                stack.enter_context(allow_interruption)
            entered.set()
            await leave.wait()
            ask_myself("inside")
            statements()

    async def main():
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(in_region(entered, leave))
        await entered.wait()
        ask_myself("outside")
        statements()
        clear_interrupt()
        leave.set()
        await task

    with pytest.raises(ThreadExit) as caught:
        in_thread(lambda: asyncio.run(main()))
    assert caught.value.reason == "inside"


def test_leaving_out_of_order_is_an_error_and_changes_nothing():  # S21
    def body():
        allow_interruption.__enter__()
        defer_interruption.__enter__()
        with pytest.raises(RuntimeError, match=r"left out of order.*defer_interruption"):
            allow_interruption.__exit__(None, None, None)
        ask_myself()
        statements()  # still shielded
        with pytest.raises(ThreadExit):
            defer_interruption.__exit__(None, None, None)
        clear_interrupt()
        allow_interruption.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="left where it was not entered"):
            allow_interruption.__exit__(None, None, None)
        return "right"

    assert in_thread(body) == "right"


def test_leaving_in_another_thread_is_an_error_and_changes_nothing():  # S21
    def body(started):
        allow_interruption.__enter__()
        started.ready.set()
        started.go.wait()
        try:
            while True:
                pass
        finally:
            allow_interruption.__exit__(None, None, None)

    started = Started(body).until_ready()
    with pytest.raises(RuntimeError):
        allow_interruption.__exit__(None, None, None)
    with allow_interruption:  # a region of ours does not help
        pass
    started.go.set()
    stopped(started)


def test_a_generator_that_goes_to_another_thread_is_an_error_in_it():  # S21
    def generator():
        with allow_interruption:
            yield

    def body(values):
        with allow_interruption:  # of this thread: not the generator's
            with pytest.raises(RuntimeError, match="left where it was not entered"):
                next(values)
            order = []
            try:
                ask_myself()
                statements()
            except ThreadExit:
                order.append("still in our own")
            clear_interrupt()
        return order

    values = generator()
    next(values)
    assert in_thread(lambda: body(values)) == ["still in our own"]
    ask_myself()
    statements()  # suspended, finished: it opens nothing here
    clear_interrupt()
    for _ in range(3):
        with allow_interruption:
            pass  # and by now nothing is kept of it


def test_a_generator_at_the_place_of_one_that_another_thread_has_ended_is_in_no_region():  # S21
    """A generator is told by the address of its frame, which the next one may have."""

    def generator(block):
        with block:
            yield
        ask_myself()
        statements()
        yield "ran"

    def body():
        values = generator(allow_interruption)
        next(values)
        place = id(values)
        with pytest.raises(RuntimeError, match="left where it was not entered"):
            in_thread(values.close)
        del values
        gc.collect()  # of the thread that has closed it
        others = []
        while id(made := generator(contextlib.nullcontext())) != place:
            others.append(made)
            if len(others) == 1000:
                return "elsewhere"
        next(made)
        return next(made)

    found = in_thread(body)
    if found == "elsewhere":
        pytest.skip("nothing was made at that place again")
    assert found == "ran"


def in_a_region():
    with allow_interruption:
        yield


def end_elsewhere(generators):
    for generator in generators:
        with pytest.raises(RuntimeError, match="left where it was not entered"):
            generator.close()


def test_when_another_thread_has_ended_a_generator_the_next_region_is_the_outermost():  # S21, S31
    lock = threading.Lock()

    def body():
        generator = in_a_region()
        next(generator)
        in_thread(lambda: end_elsewhere([generator]))
        for _ in range(3):
            with allow_interruption:
                pass
        with contextlib.suppress(ThreadExit), allow_interruption:
            lock.acquire()
            ask_myself()
            check_interrupt()
        clear_interrupt()
        told = [place.function for place in explain(threading.current_thread()).locked]
        lock.release()
        return told

    assert in_thread(body) == [body.__qualname__]


def test_nothing_is_kept_of_generators_that_have_ended_wherever():  # S21
    def rounds(count):
        for _ in range(count):
            generators = [in_a_region() for _ in range(50)]
            for generator in generators:
                next(generator)
            in_thread(lambda generators=generators[25:]: end_elsewhere(generators))
            for generator in generators[:25]:
                generator.close()
            for _ in range(100):
                with allow_interruption:
                    pass
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def body():
        tracemalloc.start()
        try:
            before = rounds(10)
            return rounds(60) - before
        finally:
            tracemalloc.stop()

    assert in_thread(body) < 10_000


def test_a_generator_that_is_dropped_leaves():  # S21
    def generator():
        with allow_interruption, defer_interruption:
            yield

    def body():
        for _ in range(100):
            next(generator())
        with pytest.raises(RuntimeError):
            defer_interruption.__exit__(None, None, None)
        return "left"

    assert in_thread(body) == "left"

"""S7, S8, S11, S12, S14, S21: regions and shields."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from interruption import (
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interruption_requested,
)
from support import Started, expect_script, in_thread


def ask_myself(reason: str | None = None) -> None:
    assert interrupt(threading.get_ident(), reason=reason)


def statements(count: int = 100) -> None:
    """Run that many statements, and more instructions that jump back."""
    for _ in range(count):
        pass


# S7 ---------------------------------------------------------------------------------------------


def test_entering_with_a_request_raises_and_does_not_run_the_block():  # S7
    def body():
        ask_myself("early")
        ran = False
        with pytest.raises(ThreadExit) as caught, allow_interruption:
            ran = True
        return ran, caught.value.reason

    assert in_thread(body) == (False, "early")


def test_entering_raises_again_until_the_request_is_cleared():  # S4, S7
    def body():
        ask_myself()
        for _ in range(3):
            with pytest.raises(ThreadExit), allow_interruption:
                raise AssertionError
        assert clear_interrupt()
        with allow_interruption:
            statements()
            return "ran"

    assert in_thread(body) == "ran"


def test_a_raise_on_entry_leaves_no_region_open():  # S7
    def body():
        ask_myself()
        with pytest.raises(ThreadExit), allow_interruption:
            raise AssertionError
        clear_interrupt()
        ask_myself()
        statements()  # not in a region
        return "ran"

    assert in_thread(body) == "ran"


def test_an_inner_region_does_not_raise_on_entry():  # S7, S8
    def body():
        with allow_interruption:
            try:
                ask_myself()
                statements()
            except ThreadExit:
                with allow_interruption:  # in cleanup: left alone
                    statements()
                return interruption_requested()

    assert in_thread(body) is True


def test_entering_inside_a_shield_does_not_raise():  # S7, S12
    def body():
        ask_myself()
        with defer_interruption, allow_interruption:
            statements()
        return "ran"

    assert in_thread(body) == "ran"


# S8, S11 ----------------------------------------------------------------------------------------


def test_a_region_delivers_once():  # S8
    def body():
        with allow_interruption:
            try:
                ask_myself("first")
                statements()
            except ThreadExit as error:
                statements()
                first = error.reason
            statements()  # swallowed, and still in the region
            assert interruption_requested()
            return first

    assert in_thread(body) == "first"


def test_a_new_request_arms_the_region_again():  # S8
    def body():
        reasons = []
        with allow_interruption:
            for reason in ("first", "second", "third"):
                try:
                    ask_myself(reason)
                    statements()
                except ThreadExit as error:
                    reasons.append(error.reason)
        return reasons

    assert in_thread(body) == ["first", "second", "third"]


def test_what_check_interrupt_has_raised_is_delivered():  # S5, S8
    def body():
        with defer_interruption, allow_interruption:
            ask_myself()
        with pytest.raises(ThreadExit):
            check_interrupt()
        with pytest.raises(ThreadExit):  # a region entered later is another one
            with allow_interruption:
                raise AssertionError
        return "ended"

    assert in_thread(body) == "ended"


def test_leaving_a_region_does_not_raise_and_the_request_stays():  # S11
    def body():
        with allow_interruption:
            ask_myself()  # leaving comes before the next statement
        statements()
        assert interruption_requested()
        with pytest.raises(ThreadExit):
            check_interrupt()
        return "left"

    assert in_thread(body) == "left"


def test_nested_regions_are_the_outermost():  # S8, S11
    def body():
        order = []
        try:
            with allow_interruption:
                with allow_interruption:
                    order.append("in")
                order.append("between")
                ask_myself()
                order.append("not reached")
        except ThreadExit:
            order.append("out")
        return order

    order = in_thread(body)
    assert order[:2] == ["in", "between"]
    assert order[-1] == "out"
    assert "not reached" not in order


# S12 --------------------------------------------------------------------------------------------


def test_a_shield_defers_to_its_end():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    ask_myself("deferred")
                    statements()
                    check_interrupt()  # S5
                    order.append("whole")
                order.append("not reached")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    assert in_thread(body) == ["whole", "deferred"]


def test_only_leaving_the_outermost_shield_raises():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    with defer_interruption:
                        ask_myself()
                    statements()
                    order.append("outer shield")
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        return order

    assert in_thread(body) == ["outer shield", "raised"]


def test_a_shield_outside_a_region_shields_it():  # S12
    def body():
        with defer_interruption, allow_interruption:
            ask_myself()
            statements()
        statements()
        return interruption_requested()

    assert in_thread(body) is True


def test_what_the_shielded_block_raises_wins_and_the_request_waits():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                try:
                    with defer_interruption:
                        ask_myself("waits")
                        raise ValueError
                except ValueError:
                    order.append("handled")
                    statements()
                    order.append("handler done")
                statements()
                order.append("not reached")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    assert in_thread(body) == ["handled", "handler done", "waits"]


def test_a_shield_in_a_finally_raises_only_after_it():  # S9, S12
    def body():
        order = []
        try:
            with allow_interruption:
                try:
                    order.append("work")
                finally:
                    with defer_interruption:
                        ask_myself()
                    order.append("rest of the cleanup")
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        return order

    assert in_thread(body) == ["work", "rest of the cleanup", "raised"]


def test_leaving_a_shield_outside_any_region_does_not_raise():  # S12
    def body():
        with defer_interruption:
            ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_check_interrupt_raises_after_the_shield():  # S5
    def body():
        with defer_interruption:
            ask_myself()
            check_interrupt()
        with pytest.raises(ThreadExit):
            check_interrupt()
        return "raised"

    assert in_thread(body) == "raised"


# S14 --------------------------------------------------------------------------------------------


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

    def body(started):
        with region:
            started.ready.set()
            while True:
                pass

    threads = [Started(body).until_ready() for _ in range(8)]
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
    interrupt(started.thread)
    with pytest.raises(ThreadExit):
        started.finish()


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


# S21 --------------------------------------------------------------------------------------------


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
    interrupt(started.thread)
    with pytest.raises(ThreadExit):
        started.finish()


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
    interrupt(started.thread)
    with pytest.raises(ThreadExit):
        started.finish()


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


# Level 3 ----------------------------------------------------------------------------------------


def test_an_interruptible_thread_is_one_region_and_ends_in_silence():  # S13, S14
    expect_script("""
        import threading
        from interruption import Thread
        running = threading.Event()
        def body():
            running.set()
            while True:
                pass
        thread = Thread(target=body, interruptible=True)
        thread.start()
        running.wait()
        assert thread.interrupt()
        thread.join()
    """)

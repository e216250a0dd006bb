"""Requests to scopes: one looks only at what is inside of its own."""
# ruff: noqa: SLF001

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    explain,
    interrupt,
    interruption_requested,
    on_interrupt,
)
from support import PATIENCE, in_thread, run_script, until, until_blocked


class Reason(Exception):
    """What a request asks for in these tests."""


# What is around a scope. --------------------------------------------------------------------------


def in_nothing(inner):
    inner()


def in_a_shield(inner):
    with defer_interruption:
        inner()


def under_a_lock(inner):
    lock = threading.Lock()
    with lock:
        inner()


def under_a_lock_that_the_scope_takes_again(inner):
    lock = threading.RLock()

    def again():
        with lock:
            statements()
        inner()

    with lock:
        again()


def in_a_finally(inner):
    try:
        statements()
    finally:
        inner()


def in_an_except(inner):
    try:
        raise ValueError
    except ValueError:
        inner()


def in_an_exit(inner):
    class Manager:
        def __enter__(self):
            pass

        def __exit__(self, *_):
            inner()

    with Manager():
        pass


def with_statements_off(inner):
    with allow_interruption(async_interrupt=False):
        inner()


def with_all_off(inner):
    with allow_interruption(async_interrupt=False, io_interrupt=False):
        inner()


# What is done in it: for ever. --------------------------------------------------------------------


def run():
    while True:
        statements()


def sleep():
    time.sleep(PATIENCE)


def take_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def get():
    queue.Queue().get()


def get_simple():
    queue.SimpleQueue().get()


def receive():
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def wait_for_condition():
    with (condition := threading.Condition()):
        condition.wait()


def take_a_semaphore_in_slices():
    threading.Semaphore(0).acquire(timeout=PATIENCE)


WAITS = [
    sleep,
    take_a_lock,
    get,
    get_simple,
    receive,
    wait_for_condition,
    take_a_semaphore_in_slices,
]


class InScope:
    """A thread in a region, something around, a scope in it, and something for ever in that."""

    def __init__(self, around, work):
        self.scope = Scope()
        self.seen = []
        self.begun = threading.Event()
        self.work = work
        self.thread = threading.Thread(target=self.run, args=(around,))
        self.thread.start()
        assert self.begun.wait(PATIENCE)

    def run(self, around):
        try:
            with allow_interruption:
                around(self.inner)
                statements()
            self.seen.append("out")
        except ThreadExit as error:
            self.seen.append(error.reason)

    def inner(self):
        with self.scope:
            self.begun.set()
            self.work()
        self.seen.append("scope")
        statements()

    def rest(self):
        """Until it is where it stays."""
        if self.work is run:
            time.sleep(0.01)  # some statements of it are under way
        else:
            until_blocked(self.thread)

    def end(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self.seen


OBSTACLES = [
    in_a_shield,
    under_a_lock,
    under_a_lock_that_the_scope_takes_again,
    in_a_finally,
    in_an_except,
    in_an_exit,
    with_statements_off,
]


@pytest.mark.parametrize("around", [in_nothing, *OBSTACLES])
def test_what_is_around_a_scope_does_not_delay_it(around):
    it = InScope(around, run)
    it.rest()
    assert it.scope.interrupt() is True
    assert it.end() == ["scope", "out"]


@pytest.mark.parametrize("around", OBSTACLES)
def test_a_request_to_the_thread_waits_on_meanwhile(around):
    it = InScope(around, run)
    interrupt(it.thread, reason="thread")
    it.rest()
    assert it.seen == []
    assert it.scope.interrupt() is True
    assert it.end() == ["scope", "thread"]


@pytest.mark.parametrize("work", WAITS)
@pytest.mark.parametrize("around", [in_a_shield, with_all_off])
def test_a_wait_is_ended_by_the_scope_and_not_by_the_thread_s_request(around, work):
    """Whose request it is, is decided when it wakes: and it sleeps on, and does not spin."""
    it = InScope(around, work)
    it.rest()
    interrupt(it.thread, reason="thread")
    it.rest()
    interrupt(it.thread, reason="again")
    it.rest()
    assert it.seen == []
    assert it.scope.interrupt() is True
    assert it.end() == ["scope", "thread"]


@pytest.mark.parametrize("work", [*WAITS, run])
def test_the_thread_s_own_request_passes_the_scope(work):
    it = InScope(in_nothing, work)
    it.rest()
    interrupt(it.thread, reason="thread")
    assert it.end() == ["thread"]
    assert it.scope.interrupt() is False


@pytest.mark.parametrize("work", [*WAITS, run])
def test_of_two_that_wait_the_outer_one_is_raised_and_only_that(work):
    def body():
        seen = []
        try:
            with allow_interruption, defer_interruption, outer:
                try:
                    with defer_interruption, inner:
                        with defer_interruption:
                            outer.interrupt(Reason)
                            inner.interrupt(Reason)
                        work()
                finally:
                    try:
                        statements()  # nothing of the inner one's is left to break into this
                        seen.append("cleanup")
                    finally:
                        seen.append("left")
        except Reason:
            seen.append("out")
        else:
            seen.append("ended")
        return seen

    outer, inner = Scope(), Scope()
    # the inner shield is inside of the outer scope: there the inner scope is the outermost
    assert in_thread(body) == ["cleanup", "left", "ended"]

    def at_once():
        order = []
        with outer:
            try:
                with inner:
                    with defer_interruption:
                        inner.interrupt(reason="inner")
                        outer.interrupt(reason="outer")
                    work()
                order.append("inner ended")
            except ThreadExit as error:
                order.append(error.reason)
                statements()
                order.append("cleanup")
                raise
        return order

    outer, inner = Scope(), Scope()
    assert in_thread(at_once) == ["outer", "cleanup"]


@pytest.mark.parametrize("waits", [False, True])
def test_a_lock_that_is_taken_again_in_a_scope_delays_it_until_that_is_released(waits):  # S9
    def body():
        order = []
        condition = threading.Condition()  # of an RLock
        with allow_interruption, condition:
            with Scope() as scope:
                with condition:
                    if waits:
                        condition.wait(0.001)  # which gives it up for a while, all of it
                    scope.interrupt()
                    statements()
                    order.append("held")
                order.append("not reached")
            order.append("ended")
        return order

    assert in_thread(body) == ["held", "ended"]


# Once a level. ------------------------------------------------------------------------------------


def test_cleanup_is_left_alone_by_its_own_scope_and_broken_into_by_an_outer_one():
    def body():
        order = []
        with outer:
            with inner:
                try:
                    inner.interrupt()
                    statements()
                finally:
                    statements()
                    time.sleep(0)
                    order.append("alone")
                    with contextlib.suppress(Reason):
                        threading.Thread(target=outer.interrupt).start()
                        order.append("in cleanup")
                        time.sleep(PATIENCE)  # S10c
            order.append("not reached")
        return order

    outer, inner = Scope(), Scope()
    assert in_thread(body) == ["alone", "in cleanup"]


def test_an_inner_exception_that_displaces_the_outer_one_ends_at_the_outer():
    """It comes while the outer one's is on its way out, through the inner scope."""

    def body():
        order = []
        with outer:
            with inner:
                try:
                    outer.interrupt(reason="outer")
                    statements()
                finally:
                    inner.interrupt(reason="inner")
                    time.sleep(PATIENCE)
            order.append("the outer one is forgotten")
        order.append("ended")
        return order

    outer, inner = Scope(), Scope()
    assert in_thread(body) == ["ended"]


def test_and_that_of_the_thread_passes_all():
    def body():
        order = []
        try:
            with outer:
                with inner:
                    try:
                        ask_myself("thread")
                        statements()
                    finally:
                        inner.interrupt(reason="inner")
                        time.sleep(PATIENCE)
                order.append("the thread's is forgotten")
            order.append("the thread's is forgotten")
        except ThreadExit as error:
            order.append(error.reason)
            order.append(error.__context__.reason)
        return order

    outer, inner = Scope(), Scope()
    assert in_thread(body) == ["inner", "thread"]


def test_once_it_is_cleared_the_scope_works_on():  # S6
    def body():
        order = []
        with scope:
            try:
                ask_myself()
                statements()
            except ThreadExit:
                assert clear_interrupt() is True
            order.append("goes on")
            scope.interrupt()
            statements()
            order.append("not reached")
        return order

    scope = Scope()
    assert in_thread(body) == ["goes on"]


def test_check_interrupt_raises_for_each_level_every_time():  # S5
    def body():
        order = []
        with allow_interruption, defer_interruption:
            ask_myself("thread")
            check_interrupt()
            with scope:
                check_interrupt()
                with defer_interruption:
                    scope.interrupt(reason="scope")
                    check_interrupt()
                    order.append("shielded")
                    assert interruption_requested()
                for _ in range(2):
                    try:
                        check_interrupt()
                    except ThreadExit as error:
                        order.append(error.reason)
            check_interrupt()
            order.append("whole")
            clear_interrupt()
        return order

    scope = Scope()

    def outermost():
        return body()

    seen = in_thread(outermost)
    # leaving the innermost shield has raised it first
    assert seen == ["shielded", "whole"]


def test_entering_regions_in_a_scope_that_has_been_stopped_is_left_alone():  # S8
    def body():
        order = []
        with scope:
            try:
                scope.interrupt()
                statements()
            finally:
                with allow_interruption:
                    statements()
                with Scope():
                    statements()
                order.append("whole")
        return order

    scope = Scope()
    assert in_thread(body) == ["whole"]


# What is raised knows its scope. ------------------------------------------------------------------


def test_a_scope_ends_what_was_raised_for_it_and_nothing_else():
    def own():
        with Scope() as scope, defer_interruption:
            scope.interrupt()
            raise ThreadExit("of the program")

    def other_class():
        with Scope() as scope:
            scope.interrupt(Reason)
            try:
                statements()
            except Reason:
                raise ValueError("its own") from None

    def asked_for():
        with Scope() as scope:
            scope.interrupt(Reason, reason="why")
            try:
                statements()
            except Reason as error:
                assert error.reason == "why"  # noqa: PT017
                raise
        return "ended"

    with pytest.raises(ThreadExit, match="of the program"):
        in_thread(own)
    with pytest.raises(ValueError, match="its own"):
        in_thread(other_class)
    assert in_thread(asked_for) == "ended"


def test_leave_tells_the_same():
    def body():
        scope = Scope()
        scope._enter()
        asked = scope._leave()
        again = Scope()
        again._enter()
        again.interrupt(Reason)
        try:
            time.sleep(PATIENCE)
        except Reason as error:
            return asked, again._leave(error), interruption_requested()

    assert in_thread(body) == (False, True, False)


# A scope's time. ----------------------------------------------------------------------------------


def test_asked_before_it_is_entered_it_raises_at_its_first_statement():
    def body():
        order = []
        scope = Scope()
        assert scope.interrupt(reason="before") is True
        with scope:
            try:
                statements()
                order.append("not reached")
            except ThreadExit as error:
                order.append(error.reason)
                raise
        order.append("ended")
        return order

    assert in_thread(body) == ["before", "ended"]


def test_a_block_that_comes_to_its_end_has_done_so():
    def body():
        with Scope() as scope, allow_interruption(async_interrupt=False):
            scope.interrupt()
            return interruption_requested()

    def asked_late():
        scope = Scope()
        with scope:
            pass
        return scope.interrupt(), interruption_requested()

    assert in_thread(body) is True
    assert in_thread(asked_late) == (False, False)


def test_entering_one_is_as_entering_a_region_to_the_thread_s_request():  # S7
    def body():
        scope = Scope()
        ask_myself("thread")
        try:
            with scope:
                return "entered"
        except ThreadExit as error:
            left = scope.interrupt()
            return error.reason, left, clear_interrupt()

    assert in_thread(body) == ("thread", False, True)


def test_several_threads_are_in_one_at_once():
    scope = Scope()
    begun, ended = [], []

    def body():
        with scope:
            begun.append(1)
            time.sleep(PATIENCE)
        ended.append(1)

    threads = [threading.Thread(target=body) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: len(begun) == 5)
    assert scope.interrupt() is True
    for thread in threads:
        thread.join(PATIENCE)
    assert len(ended) == 5
    assert scope.interrupt() is False


def test_in_the_child_of_a_fork_scopes_stay_without_requests():  # S18
    result = run_script(
        """
        import os, threading, time
        from interruption import ThreadExit, defer_interruption, interruption_requested
        from interruption import Scope

        def in_child():
            assert not interruption_requested()
            threading.Thread(target=inner.interrupt).start()
            try:
                time.sleep(100)
            except ThreadExit:
                os._exit(7)

        def body():
            with outer, defer_interruption, inner:
                with defer_interruption:
                    outer.interrupt()
                pid = os.fork()
                if pid == 0:
                    in_child()
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print("ended")

        outer, inner = Scope(), Scope()
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """
    )
    assert result.stdout == "7\nended\n", result.stderr


def test_a_greenlet_s_scope_is_in_force_while_it_runs():  # S21
    greenlet = pytest.importorskip("greenlet")

    def body():
        order = []
        one, other = Scope(), Scope()

        def run_one():
            with one:
                others.switch()
                statements()
                order.append("not reached")
            order.append("one has ended")

        def run_other():
            with other:
                one.interrupt()
                statements()
                time.sleep(0)
                order.append("untouched")
                other.interrupt()
                statements()
                order.append("not reached")
            order.append("the other has ended")
            ones.switch()

        ones, others = greenlet.greenlet(run_one), greenlet.greenlet(run_other)
        ones.switch()
        return order, interruption_requested()

    expected = ["untouched", "the other has ended", "one has ended"]
    assert in_thread(body) == (expected, False)


# Used wrongly. ------------------------------------------------------------------------------------


def test_left_out_of_order_or_elsewhere_nothing_changes():
    def body():
        outer, inner = Scope(), Scope()
        outer._enter()
        inner._enter()
        with pytest.raises(RuntimeError, match="out of order"):
            outer._leave()
        with pytest.raises(RuntimeError, match="where it was not entered"):
            in_thread(inner._leave)
        with pytest.raises(RuntimeError, match="entered by this thread already"):
            inner._enter()
        with pytest.raises(ThreadExit):
            outer.interrupt()
            statements()
        assert inner._leave() is False
        assert interruption_requested()
        assert outer._leave() is True
        assert not interruption_requested()
        with pytest.raises(RuntimeError, match="where it was not entered"):
            outer._leave()

    in_thread(body)


def test_generators_and_coroutines_do_not_enter_one():
    def generate():
        with Scope():
            yield

    async def wait():
        with Scope():
            pass

    async def wait_by_stack():
        with contextlib.ExitStack() as stack:
            stack.enter_context(Scope())

    def body():
        with pytest.raises(RuntimeError, match="by a generator"):
            next(generate())
        for coroutine in (wait(), wait_by_stack()):
            with pytest.raises(RuntimeError, match=r"asyncio\.timeout"):
                coroutine.send(None)
        with Scope() as scope:
            scope.interrupt()
            statements()
        return interruption_requested()

    assert in_thread(body) is False


def test_context_managers_of_generators_do():
    @contextlib.contextmanager
    def limited():
        with Scope() as scope:
            yield scope

    def body():
        order = []
        with limited() as scope:
            scope.interrupt()
            statements()
            order.append("not reached")
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(Scope())
            scope.interrupt()
            statements()
            order.append("not reached")
        order.append("ended")
        return order

    assert in_thread(body) == ["ended"]


def test_a_function_that_a_coroutine_calls_enters_one():
    def limited():
        with Scope() as scope:
            scope.interrupt()
            statements()
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(Scope())
            scope.interrupt()
            statements()
        return "ended"

    async def wait():
        return limited()

    def body():
        try:
            wait().send(None)
        except StopIteration as error:
            return error.value

    assert in_thread(body) == "ended"


# Others that look. --------------------------------------------------------------------------------


def test_a_callback_is_called_for_a_scope():  # S10
    def body():
        called, reached = threading.Event(), []

        def callback():
            reached.append(1)
            called.set()

        with defer_interruption, Scope() as scope:
            threading.Thread(target=scope.interrupt).start()
            with on_interrupt(callback):
                while not reached:  # C code of others, as it were
                    with defer_interruption:
                        called.wait(PATIENCE)
                raise ValueError
        return "ended"

    assert in_thread(body) == "ended"


def test_explain_tells_what_delays_the_scope_that_is_asked():  # S19
    it = InScope(in_a_shield, take_a_lock)
    it.rest()
    interrupt(it.thread, reason="thread")
    assert explain(it.thread).state == "shielded"
    assert it.scope.interrupt() is True
    assert it.end() == ["scope", "thread"]

"""S24: a request looks only at what is inside of its level.

``reschedule(0)`` lets a deadline pass at a place that the test chooses.
"""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    defer_interruption,
    interrupt,
    interruption_requested,
    move_on_after,
    timeout,
)
from support import PATIENCE, Started, in_thread, until_blocked

SOON = 0.02


def wait():
    time.sleep(1000)


def wait_for_a_lock():
    lock = threading.Lock()
    with lock:
        lock.acquire()


def run_for_ever():
    while True:
        statements()


def limited(body):
    """Stopped by a limit of its own; True: nothing else was."""
    with move_on_after(SOON) as limit:
        body()
    return limit.expired() and not limit.interrupt()


def in_a_shield(body):
    with defer_interruption:
        return limited(body)


def in_finally(body):
    try:
        statements()
    finally:
        done = limited(body)
    return done


def in_finally_by_an_exception(body):
    done = False
    with contextlib.suppress(KeyError):
        try:
            raise KeyError
        finally:
            done = limited(body)
    return done


def in_except(body):
    try:
        raise KeyError
    except KeyError:
        return limited(body)


class Manager:
    def __init__(self, enters, leaves):
        self.enters = enters
        self.leaves = leaves
        self.done = False

    def __enter__(self):
        if self.enters:
            self.done = limited(self.enters)
        return self

    def __exit__(self, *exc_info):
        if self.leaves:
            self.done = limited(self.leaves)


def in_an_entry(body):
    with Manager(body, None) as manager:
        return manager.done


def in_an_exit(body):
    with Manager(None, body) as manager:
        pass
    return manager.done


@contextlib.contextmanager
def limits_by_itself(place, body, limit):
    """A generator whose own block the limit is."""
    if place == "entry":
        with limit:
            try:
                body()
            finally:
                statements()
    try:
        yield
    finally:
        if place == "finally":
            with limit:
                body()
    if place == "exit":
        with limit:
            body()


def in_the_entry_of_a_context_manager(body, place="entry"):
    limit = move_on_after(SOON)
    with limits_by_itself(place, body, limit):
        pass
    return limit.expired() and not limit.interrupt()


def in_the_exit_of_a_context_manager(body):
    return in_the_entry_of_a_context_manager(body, "exit")


def in_the_finally_of_a_context_manager(body):
    return in_the_entry_of_a_context_manager(body, "finally")


def in_the_exit_of_a_stack(body):
    limit = move_on_after(SOON)
    with contextlib.ExitStack() as stack:
        stack.enter_context(limits_by_itself("finally", body, limit))
    return limit.expired()


def under_a_lock(body):
    lock = threading.Lock()
    with lock:
        return limited(body)


def under_a_condition(body):
    condition = threading.Condition()
    with condition:
        return limited(body)


def under_a_lock_in_an_outer_scope(body):
    lock = threading.RLock()
    with Scope(), lock, Scope():
        return limited(body)


def in_a_region_without_statements(body):
    with allow_interruption(async_interrupt=False, io_interrupt=False):
        return limited(body)


def in_a_callers_finally(body):
    def deeper(depth):
        return deeper(depth - 1) if depth else limited(body)

    try:
        statements()
    finally:
        done = deeper(10)
    return done


PLACES = [
    in_a_shield,
    in_finally,
    in_finally_by_an_exception,
    in_except,
    in_an_entry,
    in_an_exit,
    in_the_entry_of_a_context_manager,
    in_the_exit_of_a_context_manager,
    in_the_finally_of_a_context_manager,
    in_the_exit_of_a_stack,
    under_a_lock,
    under_a_condition,
    under_a_lock_in_an_outer_scope,
    in_a_region_without_statements,
    in_a_callers_finally,
]


@pytest.mark.parametrize("body", [wait, wait_for_a_lock, run_for_ever])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("region", [contextlib.nullcontext, lambda: allow_interruption, Scope])
def test_what_is_outside_of_a_limit_does_not_delay_it(place, region, body):  # S24
    def run():
        with region():
            return place(body)

    assert in_thread(run) is True


@contextlib.contextmanager
def in_a_generator(limit):
    with limit:
        yield


class InAClass:
    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        self.limit.__enter__()

    def __exit__(self, *exc_info):
        return self.limit.__exit__(*exc_info)


class InAStack(contextlib.ExitStack):
    def __init__(self, limit):
        super().__init__()
        self.enter = limit

    def __enter__(self):
        self.enter_context(in_a_generator(self.enter))
        return super().__enter__()


class LeavesInExit:
    def __init__(self, limited, body):
        self.limited = limited
        self.body = body

    def __enter__(self):
        pass

    def __exit__(self, *exc_info):
        with self.limited:
            self.body()


@contextlib.contextmanager
def leaves_in_finally(limited, body):
    try:
        yield
    finally:
        with limited:
            body()


@pytest.mark.parametrize("body", [wait, wait_for_a_lock, run_for_ever])
@pytest.mark.parametrize("wrapper", [in_a_generator, InAClass, InAStack])
@pytest.mark.parametrize("cleanup", [LeavesInExit, leaves_in_finally])
def test_a_limit_of_a_cleanup_through_a_manager_stops_it(cleanup, wrapper, body):  # S24
    def run():
        limit = move_on_after(SOON)
        with cleanup(wrapper(limit), body):
            pass
        return limit.expired() and not limit.interrupt()

    assert in_thread(run) is True


def cleanup_in_finally(order, limit):
    try:
        statements()
    finally:
        limit.reschedule(0)
        statements()
        order.append("whole")


def cleanup_in_a_shield(order, limit):
    with defer_interruption:
        limit.reschedule(0)
        statements()
        with contextlib.suppress(ThreadExit):
            check_interrupt()
            time.sleep(SOON)
        order.append("whole")


def cleanup_under_a_lock(order, limit):
    lock = threading.Lock()
    with lock:
        limit.reschedule(0)
        statements()
        order.append("whole")


@pytest.mark.parametrize("cleanup", [cleanup_in_finally, cleanup_in_a_shield, cleanup_under_a_lock])
def test_what_is_inside_of_a_limit_delays_it(cleanup):  # S9, S12, S24
    order: list[str] = []

    def run():
        with allow_interruption, move_on_after(1000) as limit:
            cleanup(order, limit)
            statements()
            order.append("not reached")
        return limit.expired()

    assert in_thread(run) is True
    assert order == ["whole"]


def test_the_cleanup_of_a_context_manager_inside_of_a_limit_that_it_enters_delays_it():  # S9, S24
    order: list[str] = []

    @contextlib.contextmanager
    def manager(limit):
        with limit:
            try:
                yield
            finally:
                cleanup_in_finally(order, limit)

    def run():
        limit = move_on_after(1000)
        with manager(limit):
            pass
        return limit.expired()

    assert in_thread(run) is True
    assert order == ["whole"]


def test_a_limit_around_the_yield_of_a_context_manager_does_not_stop_its_entry_or_exit():  # S9
    """The generator would not yield; and what it does behind that is the other's cleanup."""
    order: list[str] = []

    @contextlib.contextmanager
    def manager(limit):
        with limit:
            limit.reschedule(0)
            statements()
            order.append("entered")
            yield
            statements()
            order.append("left")

    def run():
        with contextlib.suppress(TimeoutError), manager(move_on_after(1000)):
            order.append("begun")
            statements()
            order.append("not reached")
        limit = move_on_after(1000)
        stack = contextlib.ExitStack()
        stack.enter_context(manager_of(limit))
        try:
            statements()
        finally:
            limit.reschedule(0)
            stack.close()
            order.append("whole")

    @contextlib.contextmanager
    def manager_of(limit):
        with limit:
            yield
            statements()
            order.append("left")

    in_thread(run)
    assert order == ["entered", "left", "whole"]


def test_a_limit_in_a_shield_comes_first_and_the_threads_request_at_its_end():  # S24
    def run():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    ask_myself("thread's")
                    for body in (statements, wait, wait_for_a_lock):
                        with pytest.raises(TimeoutError), timeout(1000) as limit:
                            limit.reschedule(0)
                            body()
                            order.append("not reached")
                        with move_on_after(SOON) as limit:
                            wait()
                        order.append(limit.expired())
                    statements()
                    order.append("whole")
                order.append("nor this")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    assert in_thread(run) == [True, True, True, "whole", "thread's"]


def test_a_request_that_comes_while_it_waits_in_a_shield_does_not_break_in():  # S24
    """It is decided when the wait ends whose request ends it, not when it begins."""
    begun, asked = threading.Event(), threading.Event()

    def run():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    with move_on_after(1000) as limit:
                        begun.set()
                        asked.wait()
                        order.append("whole")
                    order.append(limit.expired())
                order.append("not reached")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    started = Started(lambda _: run())
    assert begun.wait(PATIENCE)
    until_blocked(started.thread)
    interrupt(started.thread, reason="thread's")
    until_blocked(started.thread)  # it looked, and waits on
    asked.set()
    assert started.finish() == ["whole", False, "thread's"]


def test_move_on_after_with_a_shield_keeps_outer_requests_out():  # S24
    def run():
        order = []
        try:
            with Scope() as outer:
                with move_on_after(1000, shield=True) as limit:
                    outer.interrupt(reason="outer's")
                    statements()
                    time.sleep(0)
                    order.append("whole")
                order.append("not reached")
            order.append("ended")
            with allow_interruption:
                with move_on_after(1000, shield=True) as limit:
                    ask_myself("thread's")
                    limit.reschedule(0)
                    statements()
                    order.append("not reached")
                order.append("not reached")
        except ThreadExit as error:
            order.append((error.reason, limit.expired()))
        return order, interruption_requested()

    assert in_thread(run) == (["whole", "ended", ("thread's", True)], True)


def test_a_limit_on_a_cleanup_does_not_break_it_off_for_the_outer_one():  # S24, S25
    order = []
    with move_on_after(1000) as far:
        try:
            far.reschedule(0)
            statements()
        finally:
            with move_on_after(1000) as near:
                statements()
                order.append("whole")
            assert not near.expired()
            with move_on_after(SOON) as near:
                wait()
            assert near.expired()
            order.append("bounded")
    assert order == ["whole", "bounded"]
    assert far.expired()


def test_locks_taken_inside_are_given_back():  # S9, S24
    lock = threading.Lock()
    for _ in range(100):
        with move_on_after(1000) as limit:
            with lock:
                limit.reschedule(0)
                statements()
            statements()
        assert limit.expired()
        assert lock.acquire(blocking=False)
        lock.release()

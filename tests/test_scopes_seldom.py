"""Scopes and time limits where something comes to its end, or is not to be had (S18, S22, S27)."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    _interruption,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    move_on_after,
    on_interrupt,
    timeout,
    timeout_at,
)
from interruption._interruption import _held
from support import PATIENCE, Started, expect_script, in_thread


def test_a_thread_that_ends_in_a_scope_leaves_nothing_to_the_next_of_its_ident():
    scope = Scope()
    for _ in range(1000):
        first = threading.Thread(target=scope.__enter__)
        first.start()
        first.join(PATIENCE)
        failed = []

        def enter(failed=failed):
            try:
                with scope:
                    pass
            except RuntimeError as error:
                failed.append(error)

        second = threading.Thread(target=enter)
        second.start()
        ident = second.ident
        second.join(PATIENCE)
        assert failed == []
        if ident == first.ident:
            break
    else:
        pytest.skip("the ident was not given out again")
    assert scope.interrupt() is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_nor_does_one_that_the_child_of_a_fork_has_not():  # S18
    expect_script(
        """
    import os, threading
    from interruption import Scope

    scope, ready, go = Scope(), threading.Event(), threading.Event()

    def wait():
        with scope:
            ready.set()
            go.wait()

    def enter():
        try:
            with scope:
                pass
        except RuntimeError as error:
            failed.append(error)

    first, failed = threading.Thread(target=wait), []
    first.start()
    ready.wait()
    child = os.fork()
    if child == 0:
        for _ in range(100):
            second = threading.Thread(target=enter)
            second.start()
            second.join()
        os._exit(len(failed) > 0)
    go.set()
    first.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    )


def test_a_lock_that_was_taken_in_and_out_of_a_scope_is_let_go_in_a_condition():  # S9, S24
    """All that is noted of it is put aside while the condition waits, and comes back after."""
    lock = threading.RLock()
    with allow_interruption, lock, Scope(), lock, Scope(), lock:
        assert len(_held()) == 3
        state = lock._release_save()  # noqa: SLF001  (as Condition.wait does)
        assert _held() == []
        with lock:  # which nobody else has taken meanwhile: it is held once
            assert len(_held()) == 1
        assert _held() == []
        lock._acquire_restore(state)  # noqa: SLF001
        assert len(_held()) == 3


# What comes in between. ---------------------------------------------------------------------------


needs_testing = pytest.mark.skipif(
    not hasattr(_interruption, "_while_entering"),
    reason="this was built with -Dtesting=false, as wheels are",
)


def entering(block, function, outer=None):
    """Run the block in the scope; the function, while the thread is noted in it and not yet in."""
    answers, order = [], []

    def body():
        with outer or contextlib.nullcontext():
            _interruption._while_entering(lambda: answers.append(function()))  # noqa: SLF001
            with block:
                statements()
                order.append("whole")

    in_thread(body)
    return answers, order


@needs_testing
def test_asked_while_it_is_being_entered_it_stops_and_whoever_asks_is_told_so():  # S22
    scope = Scope()
    assert entering(scope, scope.interrupt) == ([True], [])


@needs_testing
def test_a_deadline_that_is_set_while_it_is_being_entered_holds():  # S27
    limit = move_on_after(1000)
    assert entering(limit, lambda: limit.reschedule(0)) == ([True], [])
    assert limit.expired()
    limit = move_on_after(0)
    assert entering(limit, lambda: limit.reschedule(None)) == ([True], ["whole"])
    assert not limit.expired()


@needs_testing
def test_nor_does_the_deadline_before_if_it_passes_meanwhile():  # S27
    """Whoever has set another one was told that the thread gets it."""
    later = time.monotonic() + 1000

    def set_later():
        # When the thread has entered, and has not looked yet, all its deadlines are looked at.
        _interruption._while_entering(lambda: outer.reschedule(later - 500))  # noqa: SLF001
        return limit.reschedule(later)

    outer, limit = move_on_after(1000), move_on_after(0)
    assert entering(limit, set_later, outer) == ([True], ["whole"])
    assert not limit.expired()
    assert limit.when() == later


@needs_testing
def test_a_request_that_came_with_it_stays():  # S22, S27
    scope = Scope()

    def ask_and_set():
        _interruption._while_entering(ask_again)  # noqa: SLF001
        return scope.reschedule(time.monotonic() + 1000)

    def ask_again():  # the thread has entered, and begins anew
        return scope.interrupt()

    assert entering(scope, ask_and_set) == ([True], [])


def test_deadlines_that_are_set_at_the_same_time_are_the_same_in_all_threads():  # S27
    """The first is set in all, and stops one thread; where that is told, another one is set."""
    scope, go, answers = Scope(), threading.Event(), []

    def body(first):
        def told():
            answers.append(scope.reschedule(None))

        with scope, on_interrupt(told) if first else contextlib.nullcontext():
            inside.release()
            go.wait()
            return "whole"
        return "stopped"

    inside = threading.Semaphore(0)
    threads = []
    for first in (True, False):
        threads.append(Started(lambda _, first=first: body(first)))
        assert inside.acquire(timeout=PATIENCE)
    answers.append(scope.reschedule(0))
    assert scope.when() is None
    assert answers == [True, True]
    go.set()
    assert [thread.finish() for thread in threads] == ["stopped", "whole"]


@needs_testing
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.parametrize("entered", [False, True])
def test_the_child_of_a_fork_has_nobody_who_is_entering(entered):  # S18, S22
    expect_script(
        """
    import os, sys, threading
    from interruption import Scope, _interruption, defer_interruption

    scope, ready, go = Scope(), threading.Event(), threading.Event()

    def wait():
        ready.set()
        go.wait()

    def enter():
        entered = sys.argv[1] == "True"
        then = (lambda: _interruption._while_entering(wait)) if entered else wait
        _interruption._while_entering(then)
        with scope:
            pass

    thread = threading.Thread(target=enter)
    thread.start()
    ready.wait()
    child = os.fork()
    if child == 0:
        outside = scope.interrupt()
        with scope, defer_interruption:
            inside = scope.reschedule(0), scope.reschedule(None)  # it has expired by then
        os._exit((outside, *inside) != (False, True, False))
    go.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
        str(entered),
    )


HELPED = """
class Helped:
    def __enter__(self, {sized}):
        self.help()
        return self

    def help(self):
        self.limit = move_on_after(1000)
        self.limit.__enter__()

    def __exit__(self, *exc_info):
        return self.limit.__exit__(*exc_info)
"""


def test_a_frame_at_the_place_of_one_that_has_entered_a_limit_and_is_gone_is_another():  # S9
    """It would be taken for the outermost in the limit, and nobody look at its caller's cleanup."""

    def work(limit, order):
        limit.reschedule(0)
        statements()
        order.append("whole")

    def cleanup(limit, order):
        try:
            statements()
        finally:
            work(limit, order)

    def run(kind):
        order = []
        with kind() as helped:
            cleanup(helped.limit, order)
        return order

    for size in range(24):
        names = {"move_on_after": move_on_after}
        sized = ", ".join(f"x{i}=None" for i in range(size))
        exec(HELPED.format(sized=sized), names)  # noqa: S102
        assert in_thread(lambda kind=names["Helped"]: run(kind)) == ["whole"], size


def test_a_limit_whose_entry_has_failed_is_as_it_was():  # S7, S26
    """It may be entered later, and its time begins then."""

    def body():
        limit = timeout(1000)
        ask_myself()
        with pytest.raises(ThreadExit), limit:
            raise AssertionError("it was entered")
        clear_interrupt()
        assert limit.when() is None
        begun = time.monotonic()
        with limit:
            return limit.when() > begun + 999  # the kernel's ticks may be late

    assert in_thread(body)


def test_nor_has_a_limit_expired_whose_entry_has_failed():  # S7, S26
    def body(limit):
        ask_myself()
        with pytest.raises(ThreadExit), limit:
            raise AssertionError("it was entered")
        clear_interrupt()
        return limit.expired(), limit.reschedule(time.monotonic() + 1000)

    for limit in (timeout(0), move_on_after(0), timeout_at(0)):
        assert in_thread(lambda limit=limit: body(limit)) == (False, True)


def test_it_has_expired_though_the_thread_has_forgotten_what_it_was_asked():  # S6
    def body():
        with move_on_after(0) as limit, defer_interruption:
            clear_interrupt()
            within = limit.expired()
        return within, limit.expired()

    assert in_thread(body) == (True, True)


# Without memory. ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="by a limit on the address space")
def test_without_memory_for_the_timer_a_limit_is_not_entered():  # S27
    """Neither is anything left of it, nor is it used up."""
    expect_script(
        """
    import ctypes, math, resource, threading, time
    from interruption import current_deadline, timeout

    with timeout(None), timeout(None):
        pass  # what is made once is there
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    limit, error = timeout(0.01), None
    reserve = bytearray(1 << 24)
    small = [bytes(size) for size in range(1, 500) for _ in range(50)]
    del small  # there is room for small objects, which do not come to malloc
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now, before[1]))
    for size in [ctypes.c_size_t(1 << bits) for bits in range(20, 6, -1)]:
        while malloc(size) is not None:
            pass
    try:
        with limit:
            error = "it was entered"
    except MemoryError:
        del reserve
        error = "no memory"
    resource.setrlimit(resource.RLIMIT_AS, before)
    assert error == "no memory"
    assert current_deadline() == math.inf
    try:
        with limit:
            time.sleep(1000)
    except TimeoutError as caught:
        error = caught
    assert str(error) == "not done within 0.01 seconds"
    """
    )


@pytest.mark.skipif(sys.platform != "linux", reason="by a limit on the address space")
def test_without_a_thread_for_deadlines_a_limit_is_not_entered():  # S27
    """There is an error, nothing is left of it, and the next one works."""
    expect_script(
        """
    import math, resource, threading, time
    from interruption import current_deadline, move_on_after, timeout

    with timeout(None):
        pass  # what is made once is there
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = timeout(3600)
    resource.setrlimit(resource.RLIMIT_AS, (now, before[1]))
    error = None
    try:
        with limit:
            raise AssertionError("it was entered")
    except (RuntimeError, MemoryError) as caught:
        error = caught
    resource.setrlimit(resource.RLIMIT_AS, before)
    assert isinstance(error, MemoryError) or "watches deadlines" in str(error), error
    assert current_deadline() == math.inf
    with move_on_after(0.01) as scope:
        time.sleep(3600)
    assert scope.expired()
    """
    )

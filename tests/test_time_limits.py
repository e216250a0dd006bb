"""S23, S26, S27: timeout, timeout_at and move_on_after.

``reschedule(0)`` lets a deadline pass at a place that the test chooses.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import queue
import select
import socket
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import interruption
import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    current_deadline,
    defer_interruption,
    interrupt,
    interruption_requested,
    move_on_after,
    on_interrupt,
    timeout,
    timeout_at,
    wait_for_interruption,
)
from support import expect_script, in_thread, run_script, until

SOON = 0.02
LIMITS = [timeout, timeout_at, move_on_after]


def wait_in_a_lock():
    lock = threading.Lock()
    with lock:
        lock.acquire()


def wait_in_a_socket():
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def wait_in_a_pipe():
    reader, writer = os.pipe()
    try:
        os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(writer)


def run_for_ever():
    while True:
        statements()


WAITS = {
    "a lock": wait_in_a_lock,
    "a socket": wait_in_a_socket,
    "a pipe": wait_in_a_pipe,
    "a queue": lambda: queue.Queue().get(),
    "a simple queue": lambda: queue.SimpleQueue().get(),
    "an event": lambda: threading.Event().wait(),
    "select": lambda: select.select([], [], []),
    "sleep": lambda: time.sleep(1000),
    "running code": run_for_ever,
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("run", [in_thread, lambda body: body()], ids=["a thread", "main thread"])
def test_when_the_time_is_up_the_block_raises_timeout_error(wait, run):  # S23, S27
    def body():
        begun = time.monotonic()
        with pytest.raises(TimeoutError) as raised, timeout(SOON) as limit:
            wait()
        assert limit.expired()
        assert limit.when() >= begun + SOON
        assert time.monotonic() >= limit.when()
        assert not interruption_requested()
        return raised.value

    error = run(body)
    assert str(error) == f"not done within {SOON} seconds"
    assert type(error.__cause__) is ThreadExit
    assert error.__cause__.reason == "deadline"


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_the_program_goes_on_behind_move_on_after(wait):  # S23
    def body():
        with move_on_after(SOON) as scope:
            wait()
        return scope.expired(), interruption_requested()

    assert in_thread(body) == (True, False)


def test_timeout_at_is_for_a_moment_that_may_have_passed():  # S27
    when = time.monotonic() + SOON
    with pytest.raises(TimeoutError, match="not done by the deadline"), timeout_at(when) as limit:
        time.sleep(1000)
    assert limit.when() == when
    with pytest.raises(TimeoutError), timeout_at(-1.5):
        time.sleep(1000)


def test_who_is_done_in_time_has_no_limit_left_behind():  # S22
    with timeout(1000) as limit:
        pass
    assert not limit.expired()
    assert current_deadline() == math.inf
    with move_on_after(SOON):
        pass
    time.sleep(2 * SOON)  # past it
    statements()
    assert not interruption_requested()


@pytest.mark.parametrize("outer", LIMITS)
def test_the_outer_wins_when_both_have_passed(outer):  # S23
    order = []
    with contextlib.suppress(TimeoutError), outer(1e9) as far:
        far.reschedule(None)
        try:
            with timeout(1000) as near:
                assert near.reschedule(0) is far.reschedule(0) is True
                order.append("not reached")
        except TimeoutError:
            order.append("nor this")
        order.append("nor this")
    assert order == []
    assert far.expired()
    assert near.expired()


def test_an_inner_one_ends_where_it_is_left():  # S23
    order = []
    with timeout(1000) as far:
        with pytest.raises(TimeoutError), timeout(1000) as near:
            near.reschedule(0)
            order.append("not reached")
        order.append("goes on")
        with move_on_after(1000) as near:
            near.reschedule(0)
            order.append("not reached")
        order.append("and on")
    assert order == ["goes on", "and on"]
    assert not far.expired()


def test_an_outer_one_breaks_the_cleanup_off_that_an_inner_one_has_begun():  # S25
    order = []
    with move_on_after(1000) as far:
        try:
            with timeout(1000) as near:
                try:
                    near.reschedule(0)
                    order.append("not reached")
                finally:
                    order.append("cleanup")
                    far.reschedule(time.monotonic() + SOON)
                    time.sleep(1000)
                    order.append("nor this")
        except TimeoutError:
            order.append("nor this")
    assert order == ["cleanup"]
    assert near.expired()


def test_the_cleanup_of_one_that_has_expired_is_left_alone_by_it():  # S25
    order = []
    with pytest.raises(TimeoutError), timeout(1000) as limit:
        try:
            limit.reschedule(0)
            order.append("not reached")
        finally:
            statements()
            time.sleep(SOON)
            order.append("whole")
            with pytest.raises(ThreadExit):
                check_interrupt()  # level-triggered
            order.append("told")
    assert order == ["whole", "told"]


@pytest.mark.parametrize("wait", ["blocked", "running"])
@pytest.mark.parametrize("limited", [timeout, move_on_after])
def test_the_cleanup_of_one_that_was_asked_is_left_alone_by_its_deadline(limited, wait):  # S25
    order = []
    with contextlib.suppress(TimeoutError), limited(1000) as limit:
        try:
            limit.interrupt()
            statements()
            order.append("not reached")
        finally:
            assert limit.reschedule(time.monotonic() + SOON)
            assert current_deadline() == math.inf
            until(limit.expired)
            with Scope():  # in which statements would be interrupted
                time.sleep(SOON) if wait == "blocked" else statements()
            order.append("whole")
    assert order == ["whole"]
    assert not interruption_requested()


def test_an_outer_one_asked_between_delivery_and_exit_is_the_one_that_comes_out():  # S23
    order = []
    with allow_interruption, move_on_after(1000) as far:
        try:
            with timeout(1000) as near:
                try:
                    near.reschedule(0)
                    order.append("not reached")
                finally:
                    far.reschedule(0)  # nothing follows it
        except TimeoutError:
            order.append("nor this")
        order.append("nor this")
    assert order == []
    assert near.expired()


def test_and_what_has_ended_there_is_its_context():  # S23, S26
    far, near, caught = Scope(), Scope(), []
    with far:
        try:
            with near:
                try:
                    near.interrupt(reason="near")
                    statements()
                finally:
                    far.interrupt(reason="far")
        except ThreadExit as error:
            caught.append((error.reason, error.__context__.reason))
            raise
    assert caught == [("far", "near")]


def test_a_retry_loop_ends_with_the_outer_limit():  # S23
    for _ in range(20):
        tries = 0
        with move_on_after(3 * SOON) as far:
            while True:
                tries += 1
                with contextlib.suppress(TimeoutError), timeout(SOON / 4):
                    time.sleep(1000)
        assert far.expired()
        assert tries > 0


ON_TIME = """
    import os, time
    from interruption import timeout

    before = set(os.listdir("/proc/self/task"))
    with timeout(3600):
        [timer] = set(os.listdir("/proc/self/task")) - before
        try:
            while open(f"/proc/{timer}/timerslack_ns").read() != "1\\n":
                time.sleep(0.001)
        except PermissionError as error:
            print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/timerslack_ns").exists(), reason="Linux has it")
def test_the_timer_wakes_when_it_is_due_and_not_when_the_kernel_likes():  # S27
    done = run_script(ON_TIME)
    assert (done.returncode, done.stderr) == (0, "")
    if done.stdout:
        pytest.skip(f"another thread's slack cannot be read here: {done.stdout}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has it")
def test_what_is_done_for_a_limit_is_not_on_time_as_the_timer_is():  # S27
    """Or its thread, which the timer's makes, waits long for the GIL beside three others."""
    done = run_script("""
        import ctypes
        from interruption import move_on_after, on_interrupt

        def slack():
            return ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)  # PR_GET_TIMERSLACK

        seen = []
        with move_on_after(0.01), on_interrupt(lambda: seen.append(slack())):
            while True:
                pass
        assert seen == [slack()], seen
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_none_and_infinity_are_no_limit():  # S27
    for never in (None, math.inf, 10**400):
        for limit in LIMITS:
            with limit(never) as scope:
                statements()
            assert scope.when() is None
            assert not scope.expired()
    with timeout(1e30) as limit:
        assert limit.when() > 1e29
        statements()
    with timeout_at(1e30) as limit:
        assert limit.when() == 1e30
        statements()
    with move_on_after(sys.float_info.min):
        time.sleep(1000)


@pytest.mark.parametrize("limit", LIMITS)
def test_no_time_is_up_at_the_first_statement_or_wait_and_ends_at_its_own_exit(limit):  # S26
    for body in (statements, lambda: time.sleep(1000), check_interrupt):
        order = []
        with contextlib.suppress(TimeoutError), limit(0) as scope:
            body()
            order.append("not reached")
            statements()
        assert order == []
        assert scope.expired()
        assert not interruption_requested()


@pytest.mark.parametrize("limit", LIMITS)
def test_what_is_no_time_is_refused_in_words(limit):
    name = "when" if limit is timeout_at else "delay"
    for given in ("2", b"2", [], True, timedelta(seconds=1), 1j):
        with pytest.raises(TypeError, match=f"{name} must be a number of seconds or None, not"):
            limit(given)
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds or None, not NaN"):
        limit(math.nan)
    if limit is not timeout_at:
        with pytest.raises(ValueError, match="delay must be zero or more seconds"):
            limit(-0.001)
    for arguments in ((), (1, 2)):
        with pytest.raises(TypeError):
            limit(*arguments)
    with pytest.raises(TypeError, match="shield is True or False"):
        move_on_after(1, shield=1)
    with limit(1e9) as scope:
        for given in ("2", math.nan):
            with pytest.raises((TypeError, ValueError), match="when must be"):
                scope.reschedule(given)
        assert scope.when() is not None  # as it was


def test_a_limit_is_moved_by_any_thread():  # S27
    with timeout(1000) as limit:
        assert limit.reschedule(time.monotonic() + 2000) is True
        assert in_thread(lambda: limit.reschedule(None)) is True
        assert limit.when() is None
    with pytest.raises(TimeoutError), timeout(None) as limit:
        assert in_thread(lambda: limit.reschedule(time.monotonic() + SOON)) is True
        time.sleep(1000)
    with pytest.raises(TimeoutError), timeout(1000) as limit:
        in_thread(lambda: limit.reschedule(-math.inf))
        time.sleep(1000)
    later = time.monotonic() + 1000
    with timeout(SOON) as limit:
        assert limit.reschedule(later) is True
        time.sleep(2 * SOON)
    assert limit.when() == later


def test_moving_it_too_late_says_so_and_changes_nothing():  # S27
    with timeout(1000) as limit:
        when = limit.when()
    assert limit.reschedule(time.monotonic()) is False
    assert limit.when() == when
    with move_on_after(1000) as limit:
        limit.reschedule(0)
        statements()
    assert limit.reschedule(1e9) is False
    assert limit.when() == 0


def test_before_its_entry_it_has_the_deadline_that_it_was_given():  # S27
    limit = timeout(1000)
    assert limit.when() is None
    assert limit.reschedule(-1) is True
    assert limit.when() == -1
    with pytest.raises(TimeoutError), limit:
        statements()


def test_seconds_for_a_moment_are_seen_in_the_error():  # S27
    """As with asyncio.timeout: 5 is a moment of long ago, and has passed."""
    for limit in (timeout(1000), timeout_at(5)):
        with pytest.raises(TimeoutError, match=r"deadline, 5\.0 of time\.monotonic\(\)"), limit:
            assert limit.reschedule(5) or limit.expired()
            statements()


def test_a_result_that_is_there_stands():  # S26
    def answer(limit):
        with limit:
            return limit.reschedule(0), "result"

    for limit in (timeout(1000), move_on_after(1000)):
        assert answer(limit) == (True, "result")
        assert limit.expired()
        statements()
        assert not interruption_requested()


def test_what_else_the_block_raises_comes_out():  # S26
    with pytest.raises(KeyError) as raised, timeout(1000) as limit:
        try:
            limit.reschedule(0)
            statements()
        finally:
            raise KeyError
    assert type(raised.value.__context__) is ThreadExit
    assert limit.expired()
    for own in (ThreadExit("my own"), TimeoutError("my own"), SystemExit(3), KeyboardInterrupt()):
        never = (each for each in ())  # what raises without a statement
        with pytest.raises(type(own)) as raised, timeout(1000) as limit:
            assert not limit.reschedule(0) or never.throw(own)
        assert raised.value is own
        assert raised.value.__cause__ is None


def test_it_knows_its_own_exception_again_whatever_has_been_raised_since():  # S23
    with move_on_after(1000) as scope:
        try:
            scope.reschedule(0)
            statements()
        except ThreadExit:
            with contextlib.suppress(ThreadExit):
                check_interrupt()  # another one
            raise
    with contextlib.suppress(TimeoutError), timeout(1000) as scope:
        try:
            scope.reschedule(0)
            statements()
        except ThreadExit as error:
            raise pickle.loads(pickle.dumps(error)) from None  # noqa: S301
    assert not interruption_requested()


def test_the_exception_of_one_block_is_a_strangers_in_the_next():  # S23
    caught = []
    with move_on_after(1000) as scope:
        try:
            scope.reschedule(0)
            statements()
        except ThreadExit as error:
            caught.append(error)
    never = (each for each in ())
    with pytest.raises(ThreadExit) as raised, timeout(1000) as scope:
        assert not scope.reschedule(0) or never.throw(caught[0])
    assert raised.value is caught[0]


def test_a_request_to_the_thread_passes_all_limits():  # S23
    def body():
        try:
            with timeout(1000) as far, move_on_after(1000) as near:
                ask_myself("thread's")
                statements()
        except ThreadExit as error:
            return error.reason, interruption_requested(), far.expired(), near.expired()

    assert in_thread(body) == ("thread's", True, False, False)


def test_a_request_to_the_thread_is_not_lost_behind_a_limit():  # S23
    def body():
        with pytest.raises(ThreadExit) as raised, allow_interruption, timeout(1000) as limit:
            assert limit.reschedule(0) is interrupt(threading.get_ident(), reason="thread's")
            statements()
        return raised.value.reason

    assert in_thread(body) == "thread's"


def test_one_object_is_for_one_with_statement():  # S26
    limit = timeout(1000)
    with limit:
        with pytest.raises(RuntimeError, match="entered by this thread already"), limit:
            pass
        assert current_deadline() == limit.when()
    with pytest.raises(RuntimeError, match="entered before: make one for each"), limit:
        pass
    assert current_deadline() == math.inf


def test_leaving_in_the_wrong_order_or_thread_changes_nothing():  # S21
    with timeout(1000) as far, move_on_after(2000) as near:
        for leave in (
            lambda: far.__exit__(None, None, None),
            lambda: in_thread(lambda: near.__exit__(None, None, None)),
        ):
            with pytest.raises(RuntimeError):
                leave()
            assert current_deadline() == far.when()
        near.reschedule(0)
        statements()
    assert near.expired()
    with pytest.raises(RuntimeError):
        far.__exit__(None, None, None)


def test_coroutines_and_generators_are_told_what_to_use():  # S26
    limit = timeout(1000)

    async def coroutine():
        with limit:
            pass

    def generator():
        with limit:
            yield

    with pytest.raises(RuntimeError, match=r"asyncio\.timeout"):
        coroutine().send(None)
    with pytest.raises(RuntimeError, match="cannot be entered by a generator"):
        next(generator())
    assert current_deadline() == math.inf


def test_context_managers_may_have_one_in_them():  # S21
    @contextlib.contextmanager
    def limited():
        with timeout(1000) as limit:
            yield limit

    with pytest.raises(TimeoutError), limited() as limit:
        limit.reschedule(0)
        statements()
    with pytest.raises(TimeoutError), contextlib.ExitStack() as stack:
        limit = stack.enter_context(timeout(1000))
        assert current_deadline() == limit.when()
        limit.reschedule(0)
        statements()
    assert current_deadline() == math.inf


def test_a_function_is_decorated_and_each_call_has_a_limit_of_its_own():  # S14
    seen = []

    @timeout(1000)
    def recurse(depth, *, by=1):
        """Go down."""
        seen.append(current_deadline())
        return recurse(depth - by) if depth else "bottom"

    @move_on_after(SOON)
    def sleep():
        time.sleep(1000)

    @timeout(SOON)
    def too_long():
        time.sleep(1000)

    assert recurse(3) == "bottom"
    assert seen == [seen[0]] * 4  # the outermost is the earliest
    time.sleep(SOON)  # a long limit begins at a tick of the kernel's clock: the next one
    assert recurse(0) == "bottom"
    assert seen[-1] > seen[0]
    assert recurse.__name__ == "recurse"
    assert recurse.__doc__ == "Go down."
    assert sleep() is None
    for _ in range(2):
        with pytest.raises(TimeoutError):
            too_long()


def test_what_cannot_be_decorated_is_refused_in_words():  # S14
    async def coroutine():
        pass

    def generator():
        yield

    for function in (coroutine, generator):
        with pytest.raises(TypeError, match="coroutine functions or generator functions"):
            timeout(1)(function)
    with pytest.raises(TypeError, match="decorates a function, not a class"):
        timeout(1)(Scope)
    with pytest.raises(TypeError, match="decorates a function, not 'int'"):
        timeout(1)(1)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_decorator_without_its_seconds_is_told_what_to_write(limit):
    for function in (statements, len, Scope, lambda: None):
        with pytest.raises(TypeError, match=rf"write @{limit.__name__}\(seconds\) above it"):
            limit(function)
    with pytest.raises(TypeError, match=r"timeout\(seconds\) and move_on_after\(seconds\)"):
        Scope(statements)


def test_static_methods_and_class_methods_stay_what_they_are():  # S14
    class Class:
        @timeout(1000)
        @staticmethod
        def static(argument):
            return argument, current_deadline() < math.inf

        @timeout(1000)
        @classmethod
        def of_class(cls, argument):
            return cls, argument, current_deadline() < math.inf

        @timeout(1000)
        def method(self, argument):
            return self, argument, current_deadline() < math.inf

    made = Class()
    assert Class.static(1) == made.static(1) == (1, True)
    assert Class.of_class(1) == made.of_class(1) == (Class, 1, True)
    assert made.method(1) == (made, 1, True)


def test_current_deadline_is_the_earliest_in_force():  # S27
    assert current_deadline() == math.inf
    with timeout(2000) as far:
        assert current_deadline() == far.when()
        with move_on_after(1000) as near:
            assert current_deadline() == near.when() < far.when()
            near.reschedule(None)
            assert current_deadline() == far.when()
            with Scope():
                assert current_deadline() == far.when()
        with defer_interruption:
            assert current_deadline() == math.inf
            with timeout(3000) as inside:
                assert current_deadline() == inside.when()
        with move_on_after(4000, shield=True) as inside:
            assert current_deadline() == inside.when()
        assert in_thread(current_deadline) == math.inf
    with move_on_after(1000) as limit:
        try:
            limit.reschedule(0)
            statements()
        finally:
            assert current_deadline() == math.inf  # it has done what it could


def test_the_call_of_a_callback_is_the_timers():  # S10
    called = threading.Event()
    with pytest.raises(TimeoutError), timeout(SOON) as limit, on_interrupt(called.set):
        with allow_interruption(async_interrupt=False):
            while not called.is_set():
                statements()
            raise OSError
    assert limit.expired()


def test_waiting_for_a_request_ends_with_the_limit():  # S15
    with move_on_after(SOON):
        assert wait_for_interruption() is True
        statements()
    assert not interruption_requested()


def test_the_child_of_a_fork_has_its_scopes_without_deadlines():  # S27
    expect_script("""
        import math, os, threading, time
        from interruption import *
        expired = False
        try:
            with timeout(1) as far, move_on_after(0.05) as near:
                pid = os.fork()
                if pid == 0:
                    try:
                        assert far.when() is None and near.when() is None
                        assert current_deadline() == math.inf
                        time.sleep(0.1)
                        assert not near.expired() and not interruption_requested()
                        try:
                            with timeout(0.01):
                                time.sleep(1000)
                            os._exit(2)
                        except TimeoutError:
                            pass
                        assert far.reschedule(time.monotonic() + 0.01)
                        time.sleep(1000)
                    except ThreadExit:
                        os._exit(0)
                    os._exit(1)
                time.sleep(1000)
            expired = near.expired()
        finally:
            assert os.waitpid(pid, 0)[1] == 0
        assert expired
    """)


def test_nothing_hangs_at_the_exit_with_live_deadlines():  # S18, S27
    for delay in (0.0, 0.01, 0.05, 1000):
        expect_script(f"""
            import threading, time
            from interruption import *
            ready = threading.Semaphore(0)
            def body(wait):
                ready.release()
                with move_on_after({delay}):
                    wait()
                while True:
                    with move_on_after(0.001):
                        wait()
            def spin():
                while True:
                    pass
            for wait in (spin, lambda: time.sleep(1000)):
                threading.Thread(target=body, args=(wait,), daemon=True).start()
            for _ in range(2):
                ready.acquire()
            time.sleep(0.01)
            limit = timeout(1000).__enter__()
        """)


def test_the_timer_is_nobodys_thread():  # S27
    expect_script("""
        import threading, sys
        from interruption import *
        with timeout(1000):
            assert threading.active_count() == 1
            assert len(sys._current_frames()) == 1
            assert interrupt_all_threads() == 0
    """)


def test_they_are_of_one_kind():
    assert all(issubclass(limit, Scope) for limit in LIMITS)
    for limit in (*LIMITS, Scope):
        assert limit.__module__ == "interruption"
        with pytest.raises(TypeError):
            type("Mine", (limit,), {})
    assert repr(timeout_at(2.5)).startswith("<interruption.timeout_at when=2.5 at 0x")
    assert "timeout" in interruption.__all__

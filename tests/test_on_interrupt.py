"""S10: a callback that ends a call which nothing else can end: who runs it, and when."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

import pytest
from delivery_parts import statements
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interrupt_all_threads,
    interruption_requested,
    on_interrupt,
)
from on_interrupt_parts import ONLY_WAITS, blocking_block, until
from support import PATIENCE, Started, in_thread

# Who runs it, and when ----------------------------------------------------------------------------


def test_the_requester_runs_it_once_before_it_goes_on():
    other, calls = blocking_block(lambda calls: lambda: calls.append(threading.get_ident()))
    with other:
        assert interrupt(other.thread) is True
        assert calls == [threading.get_ident()]
        assert interrupt(other.thread) is False
        assert interrupt_all_threads() >= 1
        assert calls == [threading.get_ident()]


def test_interrupt_all_threads_runs_all():
    others = [blocking_block(lambda calls: lambda: calls.append(1)) for _ in range(5)]
    interrupt_all_threads()
    assert [calls for _, calls in others] == [[1]] * 5
    for other, _ in others:
        other.finish()


def test_a_thread_that_asks_itself_runs_it_itself():
    def body():
        calls = []
        with ONLY_WAITS, on_interrupt(lambda: calls.append(interruption_requested())):
            interrupt(threading.get_ident())
            assert calls == [True]
            interrupt(threading.get_ident())
        assert clear_interrupt()
        return calls

    assert in_thread(body) == [True]


def test_outside_of_regions_it_is_kept_and_not_called():
    def body():
        calls = []
        with on_interrupt(lambda: calls.append(1)):
            interrupt(threading.get_ident())
            assert calls == []
            clear_interrupt()
            with ONLY_WAITS:  # entered inside the block
                interrupt(threading.get_ident())
                assert calls == [1]
            clear_interrupt()

    in_thread(body)


def test_a_request_that_finds_no_region_does_not_call_when_one_is_entered():  # S7
    def body():
        calls = []
        with on_interrupt(lambda: calls.append(1)):
            interrupt(threading.get_ident())
            with pytest.raises(ThreadExit), ONLY_WAITS:
                pass
        assert calls == []

    in_thread(body)


@pytest.mark.parametrize("which", ["shield", "no waits", "shield inside"])
def test_what_is_not_open_is_called_when_it_opens_by_the_thread_itself(which):
    shield = allow_interruption(io_interrupt=False) if which == "no waits" else defer_interruption

    def body(started):
        calls = []
        with ONLY_WAITS, on_interrupt(lambda: calls.append(threading.get_ident())):
            with shield:
                if which == "shield inside":
                    shield.__enter__()
                started.ready.set()
                until(started.go.is_set)
                if which == "shield inside":
                    shield.__exit__(None, None, None)
                assert calls == []
            assert calls == [threading.get_ident()]
            return "done"

    with Started(body) as other:
        interrupt(other.thread)
        assert other.finish() == "done"


def test_a_shield_that_is_left_in_an_open_region_calls_and_raises():  # S12
    calls = []

    def body():
        with allow_interruption, on_interrupt(lambda: calls.append(1)), defer_interruption:
            interrupt(threading.get_ident())
            assert calls == []

    with pytest.raises(ThreadExit):
        in_thread(body)
    assert calls == [1]


def test_a_thread_whose_waits_are_switched_off_is_called_when_they_are_on_again():  # S14
    calls, ready, go = [], threading.Event(), threading.Event()

    def body():
        with ONLY_WAITS, on_interrupt(lambda: calls.append(threading.get_ident())):
            ready.set()
            until(go.is_set)

    thread = Thread(target=body)
    thread.start()
    assert ready.wait(PATIENCE)
    thread.enable_io_interrupt = False
    thread.interrupt()
    assert calls == []
    thread.enable_io_interrupt = True
    assert calls == [threading.get_ident()]
    go.set()
    thread.join(PATIENCE)


def test_a_shield_in_the_block_of_a_generator_counts_while_it_runs():  # S21
    def shielded():
        with defer_interruption:
            interrupt(threading.get_ident())
            yield

    def body():
        calls = []
        with ONLY_WAITS, on_interrupt(lambda: calls.append(1)):
            generator = shielded()
            next(generator)
            assert calls == []
            interrupt(threading.get_ident())  # the generator is suspended
            assert calls == [1]
            generator.close()
            clear_interrupt()

    in_thread(body)


# Entering -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cleanup", [False, True])
def test_entering_with_a_request_that_can_be_delivered_raises(cleanup):  # S10b, S10c
    calls = []

    def enter():
        with on_interrupt(lambda: calls.append(1)):
            calls.append("entered")

    def body():
        with ONLY_WAITS:
            interrupt(threading.get_ident())
            try:
                if not cleanup:
                    enter()
            finally:
                if cleanup:
                    enter()

    with pytest.raises(ThreadExit):
        in_thread(body)
    assert calls == []


def test_entering_in_a_shield_does_not_raise():
    def body():
        calls = []
        with ONLY_WAITS:
            with defer_interruption:
                interrupt(threading.get_ident())
                with on_interrupt(lambda: calls.append(1)):
                    pass
            clear_interrupt()
        return calls

    assert in_thread(body) == []


# Nesting, misuse ----------------------------------------------------------------------------------


def test_all_callbacks_of_a_thread_are_called_the_innermost_first():
    def body():
        calls = []
        with ONLY_WAITS, on_interrupt(lambda: calls.append("outer")):
            with on_interrupt(lambda: calls.append("inner")):
                interrupt(threading.get_ident())
            assert calls == ["inner", "outer"]
            clear_interrupt()
            with on_interrupt(lambda: calls.append("next")):
                interrupt(threading.get_ident())
            clear_interrupt()
        return calls

    assert in_thread(body) == ["inner", "outer", "next"]


def test_a_callback_that_asks_its_own_thread_or_leaves_does_not_hang():
    def body():
        calls = []
        with ONLY_WAITS, contextlib.ExitStack() as stack:

            def callback():
                calls.append(interrupt(threading.get_ident()))
                stack.close()

            stack.enter_context(on_interrupt(callback))
            interrupt(threading.get_ident())
            clear_interrupt()
        return calls

    assert in_thread(body) == [False]


def test_errors_of_a_callback_are_unraisable(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))

    def callback():
        raise error

    error = ValueError("of the callback")
    with contextlib.ExitStack() as stack:
        stack.callback(clear_interrupt)
        stack.enter_context(ONLY_WAITS)
        stack.enter_context(on_interrupt(callback))
        assert interrupt(threading.get_ident()) is True
    assert seen == [error]


def test_what_a_signal_handler_raises_in_one_is_raised_when_all_are_done():  # S30
    calls = []

    def callback():
        calls.append("inner")
        signal.raise_signal(signal.SIGINT)
        calls.append("whole")

    with contextlib.ExitStack() as stack:
        stack.callback(clear_interrupt)
        stack.enter_context(ONLY_WAITS)
        stack.enter_context(on_interrupt(lambda: calls.append("outer")))
        stack.enter_context(on_interrupt(callback))
        with pytest.raises(KeyboardInterrupt):
            interrupt(threading.get_ident())
            statements()
    assert calls == ["inner", "outer"]


def test_a_callback_is_shielded_in_the_thread_that_runs_it():  # S9
    """What is asked of the requester meanwhile is raised when it is back, not in the callback."""
    other, calls = blocking_block(lambda calls: lambda: callback(calls))

    def callback(calls):
        interrupt(threading.get_ident())
        for _ in range(1000):
            pass
        calls.append("whole")

    def body():
        with allow_interruption:
            interrupt(other.thread)
            while True:
                pass

    with other:
        with pytest.raises(ThreadExit):
            in_thread(body)
        assert calls == ["whole"]


def test_an_object_serves_one_block_at_a_time():
    block = on_interrupt(lambda: None)
    with block:
        with pytest.raises(RuntimeError, match="entered already"):
            block.__enter__()
        with pytest.raises(RuntimeError, match="entered already"):
            in_thread(block.__enter__)
        with pytest.raises(RuntimeError, match="left where it was not entered"):
            in_thread(lambda: block.__exit__(None, None, None))
        with pytest.raises(RuntimeError, match="left where it was not entered"):
            in_thread(lambda: in_region_leave(block))
    with block:
        pass
    in_thread(block.__enter__)  # not left: the thread's end leaves it
    with block:
        pass
    with pytest.raises(RuntimeError, match="left where it was not entered"):
        block.__exit__(None, None, None)


def in_region_leave(block):
    with allow_interruption:
        block.__exit__(None, None, None)


def test_what_cannot_be_called_is_an_error():
    with pytest.raises(TypeError, match="callback must be callable without arguments, not int"):
        on_interrupt(1)
    for wrong in ((), (print, print)):
        with pytest.raises(TypeError):
            on_interrupt(*wrong)
    assert repr(on_interrupt(len)) == f"on_interrupt({len!r})"


def test_it_works_through_a_context_manager():
    @contextlib.contextmanager
    def cancellable(callback):
        with on_interrupt(callback):
            yield

    def body():
        calls = []
        with ONLY_WAITS, cancellable(lambda: calls.append(1)):
            interrupt(threading.get_ident())
            assert calls == [1]
            raise ValueError

    with pytest.raises(ThreadExit):
        in_thread(body)

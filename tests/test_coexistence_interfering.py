"""S9: tools that interfere: they raise, ask, end, restart; and nothing of ours stays behind."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import pytest
from chance import scaled
from coexistence_parts import (
    NOBODY,
    Tracer,
    ask_here,
    callee,
    generator,
    live,
    monitored,
    spin,
    work,
)
from delivery_parts import assert_nothing_armed
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    interrupt,
    interruption_requested,
)
from support import Started, in_thread

# Nothing stays. -----------------------------------------------------------------------------------


def test_nothing_stays_armed():  # S9
    codes = [function.__code__ for function in (callee, generator, work, ask_here, spin)]
    for _ in range(scaled(30)):
        with Started(spin) as other:
            interrupt(other.thread)
            with pytest.raises(ThreadExit):
                other.finish()
        assert_nothing_armed(*codes)

    def waits_first(target):
        def body():
            return live(Tracer(), "after", target or threading.get_ident())

        return body

    in_thread(waits_first(None))
    assert_nothing_armed(*codes, live.__code__)

    def forgotten():
        lock = threading.Lock()
        with allow_interruption, lock:
            interrupt(threading.get_ident())
            work()
            clear_interrupt()
            work()

    in_thread(forgotten)
    assert_nothing_armed(*codes, forgotten.__code__)

    def left():
        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            work()
        assert_nothing_armed(*codes, left.__code__)
        lock.release()
        with pytest.raises(ThreadExit), allow_interruption:
            work()
        assert_nothing_armed(*codes, left.__code__)

    in_thread(left)


# Tools that interfere. ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trace", "profile"])
def test_a_function_that_is_told_and_raises(name):  # S9
    """Tracing ends, as it always does then; the request waits on, and is delivered."""
    install, installed = getattr(sys, f"set{name}"), getattr(sys, f"get{name}")

    def body():
        calls = 0

        def told(frame, event, arg):
            nonlocal calls
            if frame.f_code is not work.__code__:
                return
            calls += 1
            raise LookupError

        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            install(told)
            with pytest.raises(LookupError):
                work()
            assert installed() is None
            assert calls == 1
            work()
            lock.release()
            while True:
                callee(3)

    with pytest.raises(ThreadExit):
        in_thread(body)


@pytest.mark.parametrize("late", [False, True])
def test_tracing_that_ends_while_a_request_waits(late):  # S9
    def body(_):
        tracer = Tracer()
        sys.settrace(tracer.function)
        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            work()
            sys.settrace(None)
            if late:
                time.sleep(0.01)
            assert sys.gettrace() is None
            logged = len(tracer.log)
            work()
            assert len(tracer.log) == logged
            lock.release()
            while True:
                pass

    with pytest.raises(ThreadExit):
        Started(body).finish()


def test_a_region_inside_a_trace_function():  # S9
    """Where nothing is traced nothing is delivered; the request waits for code that is."""
    outcomes = []

    def trace(frame, event, arg):
        if frame.f_code is work.__code__ and event == "line" and not outcomes:
            outcomes.append("entered")
            with allow_interruption:
                interrupt(threading.get_ident())
                outcomes.append("went on")
                total = callee(3)
                outcomes.append(total)
        return trace

    def body():
        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(None)
        assert interruption_requested()
        with allow_interruption:
            outcomes.append("not reached")

    with pytest.raises(ThreadExit):
        in_thread(body)
    assert outcomes == ["entered", "went on", callee(3)]


@pytest.mark.parametrize("name", ["settrace", "setprofile"])
def test_a_request_made_by_a_trace_function(name):  # S9, S20
    def tool(frame, event, arg):
        if frame.f_code is callee.__code__ and event in {"line", "return"}:
            interrupt(threading.get_ident(), reason="by the tool")
        return tool

    install = getattr(sys, name)

    def body():
        install(tool)
        try:
            with allow_interruption:
                callee(3)
                while True:
                    pass
        finally:
            install(None)

    with pytest.raises(ThreadExit) as caught:
        in_thread(body)
    assert caught.value.reason == "by the tool"


@contextlib.contextmanager
def another_tool(number, event, told, *functions):
    """A tool with that id is told of that event in those functions."""
    monitoring = sys.monitoring
    monitoring.use_tool_id(number, "another")
    monitoring.register_callback(number, event, told)
    try:
        for function in functions:
            monitoring.set_local_events(number, function.__code__, event)
        yield
    finally:
        for function in functions:
            monitoring.set_local_events(number, function.__code__, 0)
        monitoring.register_callback(number, event, None)
        monitoring.free_tool_id(number)


@monitored
@pytest.mark.parametrize("event", ["LINE", "CALL", "PY_START", "PY_RETURN", "JUMP"])
@pytest.mark.parametrize("tool", [0, 5])
def test_a_request_made_by_a_callback_of_another_tool(tool, event):  # S9, S20
    target = 0

    def told(*_):
        if threading.get_ident() == target:
            interrupt(target, reason="by the tool")

    def body():
        nonlocal target
        target = threading.get_ident()
        with allow_interruption:
            work()
            while True:
                pass

    number = getattr(sys.monitoring.events, event)
    with another_tool(tool, number, told, work, callee), pytest.raises(ThreadExit) as caught:
        in_thread(body)
    assert caught.value.reason == "by the tool"


@monitored
@pytest.mark.parametrize("tool", [0, 5])
def test_a_callback_of_another_tool_that_raises(tool):  # S9
    target = 0

    def told(*_):
        if threading.get_ident() == target:
            raise LookupError

    def body():
        nonlocal target
        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            target = threading.get_ident()
            with pytest.raises(LookupError):
                callee(3)
            target = 0
            lock.release()
            while True:
                callee(3)

    line = sys.monitoring.events.LINE
    with another_tool(tool, line, told, callee), pytest.raises(ThreadExit):
        in_thread(body)


@monitored
def test_disable_and_restart_events():  # S9
    """A tool that wants each line once has it once, whatever is armed meanwhile, and again after
    restart_events()."""
    monitoring = sys.monitoring
    lines = []

    def told(code, line):
        lines.append((code.co_name, line))
        return monitoring.DISABLE

    def body(target):
        lock = threading.Lock()
        try:
            with allow_interruption:
                lock.acquire()
                work()
                first = sorted(lines)
                interrupt(target)
                work()
                assert sorted(lines) == first
                monitoring.restart_events()
                work()
                assert sorted(lines) == sorted(first * 2)
                lock.release()
                while target is not NOBODY:
                    work()
        except ThreadExit:
            clear_interrupt()
        work()
        assert sorted(lines) == sorted(first * 2)
        return first

    seen = []
    for target in (NOBODY, None):
        lines.clear()
        with another_tool(monitoring.COVERAGE_ID, monitoring.events.LINE, told, work, callee):
            monitoring.restart_events()
            seen.append(in_thread(lambda to=target: body(to or threading.get_ident())))
    assert seen[0] == seen[1]


@monitored
def test_restart_events_all_the_time_does_not_disturb():  # S9
    def restart(started):
        started.ready.set()
        while not started.go.is_set():
            sys.monitoring.restart_events()

    with Started(restart):
        for _ in range(scaled(20)):
            with Started(spin) as other:
                interrupt(other.thread)
                with pytest.raises(ThreadExit):
                    other.finish()

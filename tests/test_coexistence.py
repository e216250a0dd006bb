"""S9: delivery between statements, beside other tools that trace, profile or monitor.

They are told the same as without a request, and threads are stopped under them.
"""

from __future__ import annotations

import sys
import threading
import time

import pytest
from coexistence_parts import (
    NOBODY,
    TOOLS,
    Profiler,
    Tracer,
    ask_here,
    callee,
    lengths,
    live,
    spin,
    work,
)
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt, timeout
from support import Started, in_thread


@pytest.mark.parametrize("moment", ["before", "while it waits", "after"])
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_told_the_same(name, moment):  # S9
    delivered, *expected = in_thread(lambda: live(TOOLS[name](), moment, NOBODY))
    assert not delivered
    assert all(expected[-1])
    for _ in range(3):
        delivered, *got = in_thread(lambda: live(TOOLS[name](), moment, threading.get_ident()))
        assert delivered
        assert got == expected


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_told_the_same_up_to_the_statement(name):  # S9
    """Delivered in code that is watched: what came before and after is the same."""

    def run(target):
        tool = TOOLS[name]()
        raised = False
        tool.set()
        with allow_interruption:
            try:
                ask_here(target)
            except ThreadExit:
                raised = True
        cut = lengths(tool)
        work()
        tool.check()
        tool.unset()
        clear_interrupt()
        parts = zip(tool.logs, cut, strict=True)
        return raised, [(log[:length], log[length:]) for log, length in parts]

    raised, expected = in_thread(lambda: run(NOBODY))
    assert not raised
    raised, got = in_thread(lambda: run(threading.get_ident()))
    assert raised
    of_raising = {"exception", "return"}
    for (before, after), (expected_before, expected_after) in zip(got, expected, strict=True):
        assert after == expected_after
        while before and before[-1][0] in of_raising:
            before.pop()
        assert before == expected_before[: len(before)]
        # All up to the call of interrupt() and, of some, the statement at which it was raised.
        assert [entry[1] for entry in before].count("callee") == (
            [entry[1] for entry in expected_before].count("callee") // 2
        ) or len(before) > 2


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_of_another_thread_is_told_the_same(name):  # S9
    """The code that is armed is run by others, too: they are told of it, and go on."""

    def run(others):
        tool = TOOLS[name]()
        tool.set()
        for _ in range(20):
            work()
            for other in others:
                interrupt(other)
        tool.check()
        tool.unset()
        return tool.logs

    expected = in_thread(lambda: run(()))
    stop = threading.Event()

    def be_asked(started):
        count = 0
        lock = threading.Lock()
        while not stop.is_set():
            try:
                with allow_interruption:
                    with lock:
                        work()
                        started.ready.set()
                    while True:
                        work()
            except ThreadExit:
                clear_interrupt()
                count += 1
        return count

    targets = [Started(be_asked).until_ready() for _ in range(2)]
    try:
        assert in_thread(lambda: run([target.thread for target in targets])) == expected
    finally:
        stop.set()
        for target in targets:
            interrupt(target.thread)
    assert sum(target.finish() for target in targets) > 0


@pytest.mark.parametrize("name", TOOLS)
def test_a_thread_that_only_spins_is_stopped_under_a_tool(name):  # S9
    def run(started):
        tool = TOOLS[name]()
        tool.set()
        started.tool = tool
        try:
            with allow_interruption:
                started.ready.set()
                while True:
                    pass
        finally:
            tool.check()
            tool.unset()

    with Started(run) as other:
        interrupt(other.thread)
        with pytest.raises(ThreadExit):
            other.finish()


@pytest.mark.parametrize("name", ["settrace", "setprofile"])
def test_threading_settrace_and_setprofile(name):  # S9
    tool = TOOLS[name]()
    install = threading.setprofile if "profile" in name else threading.settrace
    install(tool.function)
    try:
        others = [Started(spin).until_ready() for _ in range(3)]
        for other in others:
            interrupt(other.thread)
        for other in others:
            with pytest.raises(ThreadExit):
                other.finish()
    finally:
        install(None)
    assert {entry[1] for entry in tool.log} == {"callee"}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="threading.settrace_all_threads is of 3.12")
def test_tools_set_for_all_threads_while_a_request_waits():  # S9
    lock = threading.Lock()

    def body(started):
        with allow_interruption:
            with lock:
                started.ready.set()
                while not started.go.is_set():
                    callee(3)
            while True:
                callee(3)

    with Started(body) as other:
        interrupt(other.thread)
        tracer, profiler = Tracer(), Profiler()
        threading.settrace_all_threads(tracer.function)
        threading.setprofile_all_threads(profiler.function)
        try:
            while not (tracer.log and profiler.log):
                time.sleep(0.001)
            assert other.thread.is_alive()
            with pytest.raises(ThreadExit):
                other.finish()
        finally:
            threading.settrace_all_threads(None)
            threading.setprofile_all_threads(None)


def test_f_trace_opcodes_is_as_it_was():  # S9
    def run(opcodes):
        frame = sys._getframe()  # noqa: SLF001
        frame.f_trace_opcodes = opcodes
        try:
            with allow_interruption:
                interrupt(threading.get_ident())
                unreached = True
        except ThreadExit:
            unreached = False
        assert not unreached
        clear_interrupt()
        return frame.f_trace_opcodes, frame.f_trace, sys.gettrace()

    assert in_thread(lambda: run(False)) == (False, None, None)
    assert in_thread(lambda: run(True)) == (True, None, None)


def test_a_loop_whose_instructions_a_tool_is_told_is_left():  # S8, S9
    def trace(frame, *_):
        frame.f_trace_opcodes = True
        return trace

    def loops():
        while True:
            pass

    def run():
        sys.settrace(trace)
        try:
            with timeout(0.02):
                loops()
        finally:
            sys.settrace(None)

    with pytest.raises(TimeoutError):
        in_thread(run)

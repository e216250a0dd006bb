"""S9: delivery between statements, and other tools that trace, profile or monitor the same code."""

from __future__ import annotations

import bdb
import cProfile
import os
import pstats
import subprocess
import sys
import threading
import time

import pytest
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    interrupt,
    interruption_requested,
)
from support import PATIENCE, Started, expect_script, in_thread, run_script, scaled

monitored = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
HERE = __file__


# Tools, each of which logs what it is told of this file's code. -----------------------------------


def interesting(code):
    return code.co_filename == HERE and code.co_name in WATCHED


class Tracer:
    """``sys.settrace``, told lines or opcodes as well."""

    def __init__(self, *, opcodes=False):
        self.log = []
        self.logs = [self.log]
        self.opcodes = opcodes
        self.function = self.trace  # one object: what sys.gettrace() is compared with

    def trace(self, frame, event, arg):
        if interesting(frame.f_code):
            frame.f_trace_opcodes = self.opcodes
            where = frame.f_lasti if event == "opcode" else frame.f_lineno
            what = arg[0].__name__ if event == "exception" else None
            self.log.append((event, frame.f_code.co_name, where, what))
            return self.function
        return None

    def set(self):
        sys.settrace(self.function)

    def check(self):
        assert sys.gettrace() is self.function

    def unset(self):
        sys.settrace(None)


class Profiler:
    """``sys.setprofile``."""

    def __init__(self):
        self.log = []
        self.logs = [self.log]
        self.function = self.profile

    def profile(self, frame, event, arg):
        if interesting(frame.f_code):
            name = getattr(arg, "__name__", None) if event.startswith("c_") else None
            self.log.append((event, frame.f_code.co_name, frame.f_lineno, name))

    def set(self):
        sys.setprofile(self.function)

    def check(self):
        assert sys.getprofile() is self.function

    def unset(self):
        sys.setprofile(None)


class Monitor:
    """``sys.monitoring`` with one tool id; told of all code, or of some."""

    # INSTRUCTION events are lost, as CPython has it, where another tool sets local events.
    EVENTS = ("LINE", "CALL", "C_RETURN", "PY_START", "PY_RETURN", "JUMP", "BRANCH")

    def __init__(self, tool, *, local=False, events=EVENTS):
        self.log = []
        self.logs = [self.log]
        self.tool = tool
        self.local = local
        self.events = 0
        self.names = events

    def set(self):
        monitoring = sys.monitoring
        monitoring.use_tool_id(self.tool, f"tool {self.tool}")
        self.owner = threading.get_ident()
        for name in self.names:
            number = getattr(monitoring.events, name)
            if name != "C_RETURN":  # comes with CALL
                self.events |= number
            monitoring.register_callback(self.tool, number, self.callback(name))
        if self.local:
            for name in WATCHED:
                monitoring.set_local_events(self.tool, globals()[name].__code__, self.events)
        else:
            monitoring.set_events(self.tool, self.events)
            self.events = monitoring.get_events(self.tool)
        if self.local:  # BRANCH stands for two events, from 3.14
            self.events = monitoring.get_local_events(self.tool, work.__code__)

    def callback(self, name):
        def told(code, where, *_):
            if interesting(code) and threading.get_ident() == self.owner:
                self.log.append((name, code.co_name, where))

        return told

    def check(self):
        monitoring = sys.monitoring
        assert monitoring.get_tool(self.tool) == f"tool {self.tool}"
        if self.local:
            for name in WATCHED:
                code = globals()[name].__code__
                assert monitoring.get_local_events(self.tool, code) == self.events
        else:
            assert monitoring.get_events(self.tool) == self.events

    def unset(self):
        monitoring = sys.monitoring
        for name in WATCHED:
            monitoring.set_local_events(self.tool, globals()[name].__code__, 0)
        monitoring.set_events(self.tool, 0)
        for name in self.names:
            monitoring.register_callback(self.tool, getattr(monitoring.events, name), None)
        monitoring.free_tool_id(self.tool)


class Both:
    """Several tools at once."""

    def __init__(self, *tools):
        self.tools = tools

    @property
    def logs(self):
        return [tool.log for tool in self.tools]

    def set(self):
        for tool in self.tools:
            tool.set()

    def check(self):
        for tool in self.tools:
            tool.check()

    def unset(self):
        for tool in self.tools:
            tool.unset()


TOOLS = {
    "settrace": Tracer,
    "setprofile": Profiler,
    "settrace and setprofile": lambda: Both(Tracer(), Profiler()),
}
if sys.version_info < (3, 12):
    # From 3.12 sys.settrace() misses opcodes where any tool of sys.monitoring has local events.
    TOOLS["settrace, opcodes"] = lambda: Tracer(opcodes=True)
else:
    TOOLS |= {
        "debugger": lambda: Monitor(sys.monitoring.DEBUGGER_ID),
        "coverage, local": lambda: Monitor(sys.monitoring.COVERAGE_ID, local=True),
        "profiler, calls": lambda: Monitor(
            sys.monitoring.PROFILER_ID, events=("CALL", "C_RETURN", "PY_START", "PY_RETURN")
        ),
        "3, jumps": lambda: Monitor(3, local=True, events=("JUMP", "BRANCH")),
        "5, lines": lambda: Monitor(5, events=("LINE",)),
        "many": lambda: Both(Monitor(0), Monitor(3, local=True), Monitor(5), Tracer(), Profiler()),
    }


# What they are told about. ------------------------------------------------------------------------


def callee(number):
    total = 0
    for i in range(number):
        if i % 2:
            total += abs(i)
        else:
            total -= 1
    return total


def generator(number):
    for i in range(number):
        yield callee(i)


def work():
    total = callee(5)
    while total < 100:
        total += 7
    total += sum(generator(4))
    try:
        int("x")
    except ValueError:
        total += 1
    return sorted([3, total, 1], key=callee)


def ask_here(target):
    total = callee(3)
    interrupt(target)
    total += 1
    return callee(total)


WATCHED = ("callee", "generator", "work", "ask_here")

# It is asked instead of the thread itself, for the run that others are compared with.
NOBODY = threading.Thread()
NOBODY.start()
NOBODY.join()


def lengths(tool):
    return [len(log) for log in tool.logs]


def live(tool, moment, target):
    """Be asked while a lock is held, so that the request waits; work before, meanwhile and after.

    Returns whether it was delivered, and what the tool was told in each of the three phases.
    """
    lock = threading.Lock()
    delivered = False
    cuts = []
    if moment == "before":
        tool.set()
    work()
    try:
        with allow_interruption:
            lock.acquire()
            try:
                interrupt(target)
                if moment == "while it waits":
                    tool.set()
                work()
                cuts.append(lengths(tool))
                if moment != "after":
                    tool.check()
            finally:
                lock.release()
            while target is not NOBODY:
                pass
            cuts.append(lengths(tool))
    except ThreadExit:
        delivered = True
        cuts.append(lengths(tool))
    if moment == "after":
        tool.set()
    work()
    work()
    cuts.append(lengths(tool))
    tool.check()
    tool.unset()
    clear_interrupt()
    assert cuts[0] == cuts[1]
    assert len(cuts) == 3
    return delivered, cuts, tool.logs


def in_own_thread(target):
    return threading.get_ident() if target is None else target


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


def spin(started):
    with allow_interruption:
        started.ready.set()
        while True:
            callee(3)


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


# Nothing stays. -----------------------------------------------------------------------------------


def our_tool():
    monitoring = sys.monitoring
    return next(tool for tool in range(6) if monitoring.get_tool(tool) == "interruption")


def assert_nothing_armed(*codes):
    if sys.version_info < (3, 12):
        assert sys.gettrace() is None
        return
    tool = our_tool()
    assert sys.monitoring.get_events(tool) == 0
    for code in codes:
        assert sys.monitoring.get_local_events(tool, code) == 0, code


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


def test_a_trace_function_that_raises():  # S9
    """Tracing ends, as it always does then; the request waits on, and is delivered."""

    def body():
        calls = 0

        def trace(frame, event, arg):
            nonlocal calls
            if frame.f_code is not work.__code__:
                return
            calls += 1
            raise LookupError

        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            sys.settrace(trace)
            with pytest.raises(LookupError):
                work()
            assert sys.gettrace() is None
            assert calls == 1
            work()
            lock.release()
            while True:
                callee(3)

    with pytest.raises(ThreadExit):
        in_thread(body)


def test_a_profile_function_that_raises():  # S9
    def body():
        def profile(frame, event, arg):
            if frame.f_code is work.__code__:
                raise LookupError

        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            interrupt(threading.get_ident())
            sys.setprofile(profile)
            with pytest.raises(LookupError):
                work()
            assert sys.getprofile() is None
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


@monitored
@pytest.mark.parametrize("event", ["LINE", "CALL", "PY_START", "PY_RETURN", "JUMP"])
@pytest.mark.parametrize("tool", [0, 5])
def test_a_request_made_by_a_callback_of_another_tool(tool, event):  # S9, S20
    monitoring = sys.monitoring
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

    number = getattr(monitoring.events, event)
    monitoring.use_tool_id(tool, "asks")
    monitoring.register_callback(tool, number, told)
    for function in (work, callee):
        monitoring.set_local_events(tool, function.__code__, number)
    try:
        with pytest.raises(ThreadExit) as caught:
            in_thread(body)
    finally:
        for function in (work, callee):
            monitoring.set_local_events(tool, function.__code__, 0)
        monitoring.register_callback(tool, number, None)
        monitoring.free_tool_id(tool)
    assert caught.value.reason == "by the tool"


@monitored
@pytest.mark.parametrize("tool", [0, 5])
def test_a_callback_of_another_tool_that_raises(tool):  # S9
    monitoring = sys.monitoring
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

    monitoring.use_tool_id(tool, "raises")
    monitoring.register_callback(tool, monitoring.events.LINE, told)
    monitoring.set_local_events(tool, callee.__code__, monitoring.events.LINE)
    try:
        with pytest.raises(ThreadExit):
            in_thread(body)
    finally:
        monitoring.set_local_events(tool, callee.__code__, 0)
        monitoring.register_callback(tool, monitoring.events.LINE, None)
        monitoring.free_tool_id(tool)


@monitored
def test_disable_and_restart_events():  # S9
    """A tool that wants each line once has it once, whatever is armed meanwhile, and again after
    restart_events()."""
    monitoring = sys.monitoring
    tool = monitoring.COVERAGE_ID
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

    monitoring.use_tool_id(tool, "once")
    monitoring.register_callback(tool, monitoring.events.LINE, told)
    seen = []
    try:
        for target in (NOBODY, None):
            lines.clear()
            for function in (work, callee):
                monitoring.set_local_events(tool, function.__code__, monitoring.events.LINE)
            monitoring.restart_events()
            seen.append(in_thread(lambda to=target: body(to or threading.get_ident())))
            for function in (work, callee):
                monitoring.set_local_events(tool, function.__code__, 0)
    finally:
        monitoring.register_callback(tool, monitoring.events.LINE, None)
        monitoring.free_tool_id(tool)
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


# No tool id is free. ------------------------------------------------------------------------------


@monitored
def test_without_a_free_tool_id_a_region_says_so():  # S9, S14
    expect_script("""
        import sys, threading
        from interruption import *
        monitoring = sys.monitoring
        for tool in range(6):
            monitoring.use_tool_id(tool, f"tool number {tool}")
        ran = []
        def body():
            for enter in (allow_interruption, allow_interruption(io_interrupt=False)):
                try:
                    with enter:
                        ran.append("a block without a way to stop it")
                except RuntimeError as error:
                    for tool in range(6):
                        assert f"tool number {tool}" in str(error), error
                    assert "async_interrupt=False" in str(error), error
                else:
                    assert False
            with allow_interruption(async_interrupt=False):
                ran.append("calls only")
            with defer_interruption:
                ran.append("a shield")
            try:
                with allow_interruption(async_interrupt=False), allow_interruption:
                    ran.append("another block without")
            except RuntimeError:
                pass
            interrupt(threading.get_ident())
            try:
                check_interrupt()
            except ThreadExit:
                ran.append("looked")
            clear_interrupt()
        for target in (body, None):
            if target is not None:
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
            else:
                body()
            assert ran == ["calls only", "a shield", "looked"], ran
            ran.clear()
        assert [monitoring.get_tool(tool) for tool in range(6)] == [
            f"tool number {tool}" for tool in range(6)]

        # An interruptible thread fails like any whose run() raises.
        seen = []
        threading.excepthook = lambda args: seen.append(args.exc_type)
        thread = Thread(target=ran.append, args=("never",), interruptible=True)
        thread.start()
        thread.join()
        assert (seen, ran) == ([RuntimeError], [])

        monitoring.free_tool_id(2)
        try:
            with allow_interruption:
                ran.append("entered")
                interrupt(threading.get_ident())
                ran.append("not reached")
        except ThreadExit:
            ran.append("delivered")
        assert ran == ["entered", "delivered"], ran
        assert monitoring.get_tool(2) == "interruption"
    """)


@monitored
def test_ids_that_are_meant_for_others_are_left_to_them():  # S9
    expect_script("""
        import sys
        from interruption import *
        with allow_interruption:
            pass
        monitoring = sys.monitoring
        for tool in (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID, monitoring.PROFILER_ID,
                     monitoring.OPTIMIZER_ID):
            monitoring.use_tool_id(tool, "theirs")
    """)


def test_what_asks_for_no_statements_takes_no_tool_id():  # S14
    expect_script("""
        import sys
        from interruption import *
        with defer_interruption, allow_interruption(async_interrupt=False):
            pass
        if hasattr(sys, "monitoring"):
            assert not any(sys.monitoring.get_tool(tool) for tool in range(6))
    """)


# Tools as they are used. --------------------------------------------------------------------------


def test_cprofile():  # S9
    def body():
        profile = cProfile.Profile()
        profile.enable()
        try:
            with allow_interruption:
                for _ in range(10):
                    work()
                interrupt(threading.get_ident())
                while True:
                    work()
        except ThreadExit:
            clear_interrupt()
        work()
        profile.disable()
        stats = pstats.Stats(profile).stats
        return {key[2]: value[1] for key, value in stats.items() if key[0] == HERE}

    counts = in_thread(body)
    assert counts["work"] == 11


def test_bdb():  # S9
    """A debugger in the thread steps through code where a request waits, and to its delivery."""
    lines = []

    class Debugger(bdb.Bdb):
        def user_line(self, frame):
            if frame.f_code is body.__code__:
                lines.append(frame.f_lineno - body.__code__.co_firstlineno)
            self.set_step()

        def user_exception(self, frame, exc_info):
            if frame.f_code is body.__code__:
                lines.append(exc_info[0].__name__)

    def body():
        lock = threading.Lock()
        try:
            with allow_interruption:
                lock.acquire()
                interrupt(threading.get_ident())
                total = 1
                lock.release()
                total = 2
        except ThreadExit:
            total += 5
        return total

    def run():
        debugger = Debugger()
        return debugger.runcall(body)

    assert in_thread(run) == 6
    assert sys.gettrace() is None
    assert [line for line in lines if line != 8] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        "ThreadExit",
        3,
        9,
        10,
        11,
    ] or (lines)[-4:] == [3, 9, 10, 11]


COVERED = """\
import sys, threading, time
import coverage
from interruption import *

def helper(number):
    if number % 2:
        return 1
    return 2

def spin(counts, index):
    try:
        with allow_interruption:
            while True:
                counts[index] += helper(counts[index])
                if counts[index] < 0:
                    return "never"  # not run
                counts[index] += 1
            counts[index] = 0  # not run
    except ThreadExit:
        total = helper(0)
    total += helper(1)
    clear_interrupt()
    return total

def main():
    counts = [1] * 4
    for again in range(3):
        threads = [threading.Thread(target=spin, args=(counts, i)) for i in range(3)]
        for thread in threads:
            thread.start()
        while True:
            time.sleep(0.001)
            if min(counts[:3]) >= 1000 * (again + 1):
                break
        for thread in threads:
            interrupt(thread)
        for thread in threads:
            thread.join()
        me = threading.get_ident()
        timer = threading.Timer(0.05, interrupt, (me,))
        timer.start()
        spin(counts, 3)
        timer.join()
    return helper(3)
"""
COVERING = """
    import os, sys
    import coverage
    sys.path.insert(0, sys.argv[1])
    measure = coverage.Coverage(data_file=None, config_file=False, include=[sys.argv[1] + "/*"])
    measure.start()
    import covered
    covered.main()
    measure.stop()
    print(measure._collector.tracer_name())
    print(measure.analysis2(sys.argv[1] + "/covered.py")[3])
"""


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage(core, tmp_path, monkeypatch):  # S9
    """Threads are interrupted while they are measured: the lines are exactly those that ran."""
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is of 3.12")
    monkeypatch.setenv("COVERAGE_CORE", core)
    (tmp_path / "covered.py").write_text(COVERED, encoding="utf-8")
    never = [n for n, line in enumerate(COVERED.splitlines(), 1) if line.endswith("# not run")]
    # The compiler leaves out what cannot be reached.
    reachable = never[:1]
    tracer = {"ctrace": "CTracer", "pytrace": "PyTracer", "sysmon": "SysMonitor"}[core]
    result = run_script(COVERING, str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    name, missing = result.stdout.splitlines()
    if name != tracer:
        pytest.skip(f"coverage has no {core} here: {name}")
    assert missing in {str(reachable), str(never)}


PDB_SCRIPT = """\
import threading
from interruption import *

def work():
    with allow_interruption:
        first = 1
        interrupt(threading.get_ident())
        never = 2
        return "not stopped"

def run():
    try:
        result = work()
    except ThreadExit:
        result = "stopped"
    return result

def later():
    total = 0
    for i in range(3):
        total += i
    return total

result = run()
print("the result:", result)
print("later:", later())
"""


@pytest.mark.parametrize("step", ["next", "step", "continue"])
def test_pdb(tmp_path, step):  # S9
    script = tmp_path / "script.py"
    script.write_text(PDB_SCRIPT, encoding="utf-8")
    steps = [step] * 12 if step == "step" else [step] * 4
    commands = ["break 6", "break 16", "break 22", "continue", "p ('first', 'first' in locals())"]
    commands += [*steps, "continue", "continue", "p ('total', total)", "clear 22", "continue"]
    commands += ["continue"] * 3 + ["quit"] * 3
    result = subprocess.run(
        [sys.executable, "-m", "pdb", str(script)],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1", "PYTHON_COLORS": "0"},
    )
    output = result.stdout + result.stderr
    assert "the result: stopped" in output, output
    assert "('first', False)" in output, output
    assert "later: 3" in output, output
    assert "Traceback" not in output, output

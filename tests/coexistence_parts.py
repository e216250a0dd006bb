"""Tools that trace, profile or monitor, and what the test_coexistence files let them watch."""

from __future__ import annotations

import sys
import threading

import pytest
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt

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


def spin(started):
    with allow_interruption:
        started.ready.set()
        while True:
            callee(3)

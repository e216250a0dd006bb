"""What test_groups_broken_off.py breaks off: groups in use, a trace function that raises or sends a
signal at a step of that number, and what must be so then.

    groups_broken_off_program.py BLOCK KIND STEP
    groups_broken_off_program.py waited_by_itself waits STEP

As a program it runs that block in the main thread, again and again, until it has sent a signal at
each instruction, or at each STEP-th. The handler raises, or waits for the group. Whatever is left
broken there ends with the process, and what hangs tells where.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import faulthandler
import functools
import gc
import linecache
import queue
import signal
import sys
import threading

import interruption
from interruption import ThreadGroup, _future, _group, _group_task, allow_interruption, interrupt
from interruption._interruption import _scopes
from support import PATIENCE, told, until

OURS = tuple(module.__file__ for module in (_group, _group_task, _future))
STANDARD = (threading.__file__, concurrent.futures._base.__file__)  # noqa: SLF001


class BrokenBase(BaseException):
    pass


class BrokenError(Exception):
    pass


@functools.cache
def is_head(file, line):
    return linecache.getline(file, line).strip().startswith(("with ", "try:"))


class Breaker:
    """Raises at the event of that number in the calling thread: where a function of the group is
    called, or a line of it begins; or one of the standard library that it calls, or the block that
    uses a future by itself."""

    def __init__(self, number, kind):
        self.left, self.error, self.place, self.spared = number, kind(), None, False

    def begin(self):
        sys.settrace(self.trace)

    def end(self):
        sys.settrace(None)

    def trace(self, frame, event, argument):
        return self.count(frame, event, argument) if self.is_looked_at(frame) else None

    def count(self, frame, event, _):
        if event in self.events and not self.is_with(frame):
            self.left -= 1
            if self.left == 0:
                self.place = f"{event} {frame.f_code.co_name}:{frame.f_lineno}"
                return self.break_off(frame)
        return self.count

    events = ("call", "line")

    def is_looked_at(self, frame):
        file, by = frame.f_code.co_filename, frame.f_back
        called = by is not None and (
            by.f_code.co_filename in (*OURS, *STANDARD) or by.f_code in BY_THEMSELVES
        )
        return file in OURS or (file in STANDARD and called)

    def is_with(self, frame):
        """Between a block and its entry or exit no handler runs, but a trace function does."""
        return is_head(frame.f_code.co_filename, frame.f_lineno or 0)

    def break_off(self, _):
        raise self.error


class Signal(Breaker):
    """Sends a signal there, where an instruction begins. Its handler raises, but only where the
    interpreter runs it: at the end of a call, at the beginning of one, or in a loop."""

    events = ("call", "opcode")
    # As a trace function it is called with arguments that it does not look at, and runs no Python
    # code, in which the handler would be called.
    send = ctypes.pythonapi["PyErr_SetInterrupt"]
    send.argtypes, send.restype = [ctypes.py_object] * 3, None

    def begin(self):
        self.before = signal.signal(signal.SIGINT, self.handle)
        gc.disable()  # what the handler raises in a callback of it goes no further
        super().begin()

    def end(self):
        super().end()
        gc.enable()
        signal.signal(signal.SIGINT, self.before)

    def is_with(self, _):
        return False

    def trace(self, frame, event, argument):
        if self.is_looked_at(frame):
            frame.f_trace = self.count  # which 3.13 wants to be there before the next line
            frame.f_trace_opcodes = True
        return super().trace(frame, event, argument)

    def break_off(self, frame):
        self.frame = frame
        frame.f_trace = self.send
        return self.send

    def handle(self, _, runs):
        sys.settrace(None)
        frame, self.frame = self.frame, None
        frame.f_trace, frame.f_trace_opcodes = None, False
        # A block that is entered then is not left: gh-148874; from 3.15 on only where it is traced.
        # So with the group's own, if it is `_open` at the end of which it was sent.
        ours = runs.f_code.co_filename in OURS and super().is_with(runs)
        entering = frame.f_code.co_name == "_open" and runs.f_code is broken_off.__code__
        # Nor in the trace function, which is called where no handler runs.
        tracing, by = False, runs
        while by is not None and not tracing:
            tracing, by = by.f_code in TRACING, by.f_back
        self.spared = ours or entering or tracing
        if not self.spared:
            raise self.error


TRACING = (Signal.trace.__code__, Signal.count.__code__)


class Waiter(Signal):
    """The handler waits for the group, wherever it has come in."""

    def __init__(self, number, group, tasks):
        super().__init__(number, LookupError)
        self.group, self.tasks, self.spared = group, tasks, True

    def handle(self, _, runs):
        with contextlib.suppress(LookupError):
            super().handle(_, runs)
        self.tasks.open_gate()
        with contextlib.suppress(concurrent.futures.CancelledError):  # of one of its tasks
            self.group.results()


class Tasks:
    """What a block submits, and who has begun."""

    def __init__(self):
        self.threads, self.called, self.go = [], [], threading.Event()
        self.gate = queue.SimpleQueue()  # has no Python code

    def wait(self):
        self.threads.append(threading.current_thread())
        self.go.wait()
        return "waited"

    def pass_gate(self):
        self.gate.get()

    def open_gate(self):
        self.gate.put(None)
        self.gate.put(None)  # one for each of two

    def end(self):
        self.threads.append(threading.current_thread())
        return "ended"

    def fail(self):
        self.threads.append(threading.current_thread())
        raise KeyError


def goes_on(group, tasks):
    group.submit(tasks.end)
    tasks.go.set()
    group.submit(tasks.wait)


def fails(group, tasks):
    group.submit(tasks.wait)
    group.submit(tasks.wait)
    raise KeyError


def has_a_task_that_fails(group, tasks):
    group.submit(tasks.wait)
    group.submit(tasks.fail)


def is_asked(group, tasks):
    group.submit(tasks.wait)
    group.submit(tasks.wait)
    interrupt(threading.get_ident())


def waits_for_the_first(group, tasks):
    group.submit(tasks.wait)
    group.submit(tasks.end)
    group.first()


def is_stopped_from_outside(group, tasks):
    group.submit(tasks.wait)
    interrupt(until(lambda: tasks.threads) or tasks.threads[0])


def waits_for_results(group, tasks):
    group.submit(tasks.end)
    assert group.results() == ["ended"]


def waits_for_one_by_itself(group, tasks):
    assert group.submit(tasks.end).result() == "ended"


def looks_at_futures_by_itself(group, tasks):
    one, other = group.submit(tasks.wait), group.submit(tasks.end)
    one.add_done_callback(str)
    one.cancel(KeyError, "enough")
    one.running()
    other.done()
    other.exception()


def waited_by_itself(group, tasks):
    one, other = group.submit(tasks.pass_gate), group.submit(tasks.pass_gate)
    one.done()
    one.add_done_callback(tasks.called.append)
    other.cancel(KeyError)
    with contextlib.suppress(TimeoutError):
        one.result(0)
    concurrent.futures.wait([one], 0)
    tasks.open_gate()
    one.result()
    concurrent.futures.wait([one, other])
    assert one.done()
    assert other.done()


BLOCKS = [
    *(goes_on, fails, has_a_task_that_fails, is_asked),
    *(waits_for_the_first, is_stopped_from_outside, waits_for_results),
    *(waits_for_one_by_itself, looks_at_futures_by_itself),
]
BY_THEMSELVES = [waited_by_itself.__code__]
BY_THEMSELVES += [block.__code__ for block in BLOCKS if block.__name__.endswith("by_itself")]


def parts_of(error):
    """It, and what it is made of, was caused by, and came after."""
    found, more = [], [error]
    while more:
        each = more.pop()
        if each is not None and each not in found:
            found.append(each)
            more += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return found


def broken_off(block, breaker):
    """Run it. Returns whether it was broken off."""
    tasks, came, inside = Tasks(), None, _scopes()
    try:
        try:
            breaker.begin()
            with ThreadGroup() as group:
                block(group, tasks)
        finally:
            breaker.end()
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        came = error
    if breaker.place is None:
        return False
    with told(f"broken off at {breaker.place}"):
        assert not any(thread.is_alive() for thread in tasks.threads)
        found = _scopes()
        assert found == inside, found
        assert breaker.spared or breaker.error in parts_of(came)
        interruption.clear_interrupt()
        with allow_interruption, ThreadGroup() as another:
            assert another.submit(int).result() == 0
    return True


def waits(number):
    """The same of a handler that waits, and of the block that is for it."""
    with ThreadGroup() as group:
        tasks = Tasks()
        waiter = Waiter(number, group, tasks)
        waiter.begin()
        try:
            waited_by_itself(group, tasks)
        finally:
            waiter.end()
    assert len(tasks.called) == 1
    return waiter.place is not None


def main(block, kind, step):
    block, waiting = globals()[block], kind == "waits"
    number, step, again = 1 if waiting else 1 + BLOCKS.index(block), int(step), True
    while again:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)  # this one hangs
        again = waits(number) if waiting else broken_off(block, Signal(number, globals()[kind]))
        number += step
    print(number)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

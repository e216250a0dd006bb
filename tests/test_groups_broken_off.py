"""S28: whatever a signal handler breaks off in a group's own code, no task is left running.

It is broken off at each step in turn of all that the thread in the block does in that code:
entering, submitting, asking, waiting, leaving.
"""

from __future__ import annotations

import ctypes
import gc
import linecache
import signal
import sys
import threading

import interruption
import pytest
from interruption import (
    ThreadGroup,
    allow_interruption,
    interrupt,
    timeout,
)
from interruption._group import __file__ as OURS  # noqa: N812
from interruption._interruption import _scopes
from support import PATIENCE, in_thread, told, until, until_blocked


class BrokenBase(BaseException):
    pass


class BrokenError(Exception):
    pass


class Breaker:
    """Raises at the event of that number in the calling thread: where a function of the group is
    called, or a line of it begins."""

    def __init__(self, number, kind):
        self.left, self.error, self.place, self.spared = number, kind(), None, False

    def begin(self):
        sys.settrace(self.trace)

    def end(self):
        sys.settrace(None)

    def trace(self, frame, event, _):
        if frame.f_code.co_filename != OURS:
            return None
        if event in self.events and not self.is_with(frame):
            self.left -= 1
            if self.left == 0:
                self.place = f"{event} {frame.f_code.co_name}:{frame.f_lineno}"
                return self.break_off(frame)
        return self.trace

    events = ("call", "line")

    def is_with(self, frame):
        """Between a block and its entry or exit no handler runs, but a trace function does."""
        return linecache.getline(OURS, frame.f_lineno or 0).strip().startswith(("with ", "try:"))

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
        frame.f_trace_opcodes = frame.f_code.co_filename == OURS
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
        ours = runs.f_code.co_filename == OURS and super().is_with(runs)
        entering = frame.f_code.co_name == "_open" and runs.f_code is broken_off.__code__
        self.spared = ours or entering
        if not self.spared:
            raise self.error


class Tasks:
    """What a block submits, and who has begun."""

    def __init__(self):
        self.threads, self.go = [], threading.Event()

    def wait(self):
        self.threads.append(threading.current_thread())
        self.go.wait()
        return "waited"

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


BLOCKS = [
    *(goes_on, fails, has_a_task_that_fails, is_asked),
    *(waits_for_the_first, is_stopped_from_outside, waits_for_results),
]


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
        assert _scopes() == inside
        assert breaker.spared or breaker.error in parts_of(came)
        interruption.clear_interrupt()
        with allow_interruption, ThreadGroup() as another:
            assert another.submit(int).result() == 0
    return True


@pytest.mark.parametrize("kind", [BrokenError, BrokenBase])
@pytest.mark.parametrize("block", BLOCKS)
def test_broken_off_at_each_line_nothing_goes_on(block, kind):
    def body():
        number = 1
        while broken_off(block, Breaker(number, kind)):
            number += 1
        assert number > 40  # so many lines there are

    in_thread(body)


@pytest.mark.parametrize("kind", [BrokenError, BrokenBase])
@pytest.mark.parametrize("block", BLOCKS)
def test_broken_off_by_a_signal_at_each_instruction_nothing_goes_on(block, kind, percent):
    number = 1 + BLOCKS.index(block)
    while broken_off(block, Signal(number, kind)):
        number += 100 // percent
    assert number > 200


def test_what_is_broken_off_in_a_limit_leaves_that_as_it_is():
    def body():
        number, again = 1, True
        while again:
            with timeout(1000) as limit:
                again = broken_off(fails, Breaker(number, BrokenBase))
                assert _scopes() == (False, [limit], [limit])
            number += 1

    in_thread(body)


def test_what_is_broken_off_in_first_and_caught_is_made_up_for():
    def body():
        number, again = 1, True
        while again:
            tasks, breaker = Tasks(), Breaker(number, BrokenError)
            with ThreadGroup() as group:
                group.submit(tasks.wait)
                group.submit(tasks.end)
                try:
                    breaker.begin()
                    group.first()
                except BrokenError:
                    if not group._asks:  # noqa: SLF001  (else: the one that waits is stopped)
                        tasks.go.set()
                finally:
                    breaker.end()
            again = breaker.place is not None
            number += 1
        assert number > 10

    in_thread(body)


def test_what_was_not_made_cannot_be_left():
    class Forgetful(ThreadGroup):
        def __init__(self):
            pass

    for use in (lambda group: group.__exit__(None, None, None), lambda group: group.__enter__()):
        with pytest.raises(AttributeError):
            use(Forgetful())


def test_what_can_never_be_told_is_not_tried_for_ever():
    class Odd(BaseException):
        @property
        def __class__(self):
            raise LookupError

    inside = _scopes()
    tasks = Tasks()
    with pytest.raises(LookupError), ThreadGroup() as group:
        group.submit(tasks.wait)
        until(lambda: tasks.threads)
        raise Odd
    assert not tasks.threads[0].is_alive()
    assert _scopes() == inside


def test_where_no_room_is_on_the_stack_no_scope_stays():
    def down(frames):
        if frames:
            return down(frames - 1)
        with ThreadGroup() as group:
            group.submit(int)
        return "left"

    def body():
        ends = set()
        for frames in range(sys.getrecursionlimit() - 80, sys.getrecursionlimit()):
            try:
                ends.add(down(frames))
            except (RecursionError, ExceptionGroup):
                ends.add("no room")
            assert _scopes() == (False, [], [])
        assert ends == {"left", "no room"}

    in_thread(body)


def test_what_a_task_cannot_submit_is_no_result():
    begins, go = threading.Event(), threading.Event()

    def no_thread(frame, *_):
        if frame.f_code is threading.Thread.start.__code__:
            begins.set()
            assert go.wait(PATIENCE)
            raise RuntimeError("can't start new thread")

    def task(group):
        sys.settrace(no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            group.submit(int)
        sys.settrace(None)
        return "tried"

    def release(owner):
        until_blocked(owner)
        go.set()

    with ThreadGroup() as group:
        group.submit(task, group)
        assert begins.wait(PATIENCE)
        helper = threading.Thread(target=release, args=(threading.current_thread(),))
        helper.start()
        assert group.results() == ["tried"]
        helper.join()

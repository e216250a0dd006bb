"""S28: whatever a signal handler breaks off in a group's own code, no task is left running.

It is broken off at each step in turn of all that the thread in the block does in that code:
entering, submitting, asking, waiting, leaving; and in the standard library's for it.
"""

from __future__ import annotations

import sys
import threading

import pytest
from groups_broken_off_program import (
    BLOCKS,
    Breaker,
    BrokenBase,
    BrokenError,
    Tasks,
    broken_off,
    fails,
)
from groups_broken_off_program import __file__ as PROGRAM  # noqa: N812
from interruption import ThreadGroup, timeout
from interruption._group_task import Task
from interruption._interruption import _scopes
from support import PATIENCE, in_thread, run_python, until, until_blocked


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
    # In a process of its own: signals are for its main thread, which no other test is to have.
    # It ends by itself if one of its rounds hangs.
    step = 100 // percent
    ended = run_python(PROGRAM, block.__name__, kind.__name__, step, timeout=20 * PATIENCE)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert int(ended.stdout) > 200
    assert ended.stderr == ""


def test_a_handler_may_wait_for_the_group_wherever_it_comes(percent):
    # It comes into the methods of futures, too, which have their locks then.
    step = 100 // percent
    ended = run_python(PROGRAM, "waited_by_itself", "waits", step, timeout=20 * PATIENCE)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert int(ended.stdout) > 200
    assert ended.stderr == ""


@pytest.mark.parametrize("begin", [threading.settrace, threading.setprofile])
def test_a_task_whose_thread_a_trace_function_breaks_off_is_over(begin, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # what comes at the very end

    class OfTask(Breaker):
        def is_looked_at(self, frame):  # what `threading` does for itself is as without a group
            file = frame.f_code.co_filename
            return file != threading.__file__ and super().is_looked_at(frame)

    def ends(breaker):
        came = None
        try:
            with ThreadGroup() as group:
                begin(breaker.trace)
                future = group.submit(int)
                begin(None)
                group.results()
        except BaseException as error:  # noqa: BLE001  (that is what is looked at)
            came = error
        assert future.done()
        assert breaker.place is None or came is not None or future.result() == 0
        return breaker.place is None

    def body():
        number = 1
        while not ends(OfTask(number, BrokenBase)):
            number += 1
        assert number > (20 if begin is threading.settrace else 5)

    before = threading.gettrace(), threading.getprofile()
    try:
        in_thread(body)
    finally:
        threading.settrace(before[0])
        threading.setprofile(before[1])


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
        if frame.f_code is Task.start.__code__:
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

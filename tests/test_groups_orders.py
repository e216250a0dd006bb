"""S28: what may come between the steps of submitting, failing and leaving, in each order.

The steps are the group's own methods, called one by one where a thread could come in between.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
from interruption import (
    Scope,
    ThreadExit,
    ThreadGroup,
    check_interrupt,
    defer_interruption,
    interrupt,
    timeout,
)
from interruption._group_task import Task
from support import PATIENCE, Started, in_thread, until, until_blocked


def made(group, ran):
    return Task(group, 0, (ran.append, ("ran",), {}))


def test_asked_after_it_was_admitted_and_before_it_is_started():
    ran = []
    with ThreadGroup() as group:
        task = made(group, ran)
        group._admit(task)
        group._ask("now")
        task.start()
    assert task.future.cancelled()
    assert ran == []


def test_asked_when_it_was_started_and_has_not_begun():
    ran, begins, go = [], threading.Event(), threading.Event()

    class Late(Task):
        def run(self):
            self.begins.put(None)  # who has started it goes on
            begins.set()
            go.wait()
            super().run()

    with ThreadGroup() as group:
        task = Late(group, 0, (ran.append, ("ran",), {}))
        group._admit(task)
        task.start()
        assert begins.wait(PATIENCE)
        group._ask("now")
        go.set()
    assert task.future.cancelled()
    assert ran == []


def test_asked_when_its_future_runs_and_the_function_has_not_done_anything():
    def task():
        assert threading.current_thread().future.cancel()
        check_interrupt()
        pytest.fail("it goes on")

    with ThreadGroup() as group:
        future = group.submit(task)
    assert future.cancelled()


def test_a_start_that_fails_is_taken_back():
    class Refused(Task):
        def start(self):
            raise KeyboardInterrupt

    def submit(group):
        task = Refused(group, 0, (int, (), {}))
        try:
            group._admit(task)
            task.start()
        except BaseException:
            if super(type(task.future), task.future).cancel():
                group._running.pop(task, None)
            raise

    with ThreadGroup() as group:
        with pytest.raises(KeyboardInterrupt):
            submit(group)
        assert group.submit(int).result() == 0


def test_the_last_one_ends_between_the_look_and_the_wait():
    def body(started):
        with ThreadGroup() as group:
            group.submit(started.go.wait)
            looks = []

            def look():
                looks.append(group._none_runs())
                if len(looks) == 2:  # who waits is to be told from now on
                    started.ready.set()
                    until(group._none_runs)
                return looks[-1]

            group._until(look, group._for_all)
        return looks

    assert Started(body).until_ready().finish() == [False, False, True]


def test_a_failure_while_the_block_waits_at_its_end():
    error, go = ValueError(), threading.Event()

    def fail():
        go.wait()
        raise error

    def body(started):
        with ThreadGroup() as group:
            group.submit(fail)
            group.submit(threading.Event().wait)
            started.ready.set()

    opened = Started(body).until_blocked()
    go.set()
    with pytest.raises(ExceptionGroup) as raised:
        opened.finish()
    assert raised.value.exceptions == (error,)


@pytest.mark.parametrize("first", ["the failure", "the deadline"])
def test_a_failure_and_a_deadline_around_it(first):
    error, go, cleans = ValueError(), threading.Event(), threading.Event()

    def fail():
        try:
            go.wait()
        finally:
            cleans.set()
            raise error

    def body(started):
        with timeout(1000) as limit, ThreadGroup() as group:
            group.submit(fail)
            worker = group.submit(threading.Event().wait)
            until(worker.running)
            started.limit = limit
            started.ready.set()

    opened = Started(body).until_blocked()
    ways = [go.set, lambda: opened.limit.reschedule(0)]
    for way in ways if first == "the failure" else ways[::-1]:
        way()
        assert cleans.wait(PATIENCE)
    with pytest.raises(ExceptionGroup) as raised:
        opened.finish()
    assert raised.value.exceptions == (error,)


def test_a_task_is_stopped_for_what_the_block_is_not_asked_for_yet():
    def body():
        raised = []
        with Scope() as scope:
            with ThreadGroup() as group:

                def task():
                    scope.interrupt(reason="for all")
                    check_interrupt()

                future = group.submit(task)
                until(future.done)
            raised.append("went on")
        return raised, future.cancelled()

    assert in_thread(body) == ([], True)


def test_a_request_and_then_a_failure_of_cleanup():
    cleans = threading.Event()

    def task():
        try:
            threading.Event().wait()
        finally:
            cleans.set()
            raise OSError

    def body(started):
        with ThreadGroup() as group:
            until(group.submit(task).running)
            started.ready.set()

    opened = Started(body).until_blocked()
    interrupt(opened.thread)
    assert cleans.wait(PATIENCE)
    with pytest.raises(ExceptionGroup) as raised:
        opened.finish()
    assert isinstance(raised.value.__cause__, ThreadExit)


def test_stopped_from_outside_and_the_block_fails():
    error = KeyError()

    def body():
        with ThreadGroup() as group:
            threads = []
            future = group.submit(lambda: threads.append(threading.current_thread()) or wait())
            until(lambda: threads)
            until_blocked(threads[0])
            interrupt(threads[0])
            until(future.done)
            raise error

    def wait():
        threading.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        in_thread(body)
    assert raised.value.exceptions == (error,)


# What is stopped from outside is no failure of who waits for it. ----------------------------------


@pytest.mark.parametrize("how", ["results", "first", "result", "shielded", "task"])
def test_who_waits_for_a_task_that_an_outer_limit_stops_is_stopped_by_that(how):
    """Whichever of the two is stopped first."""

    def wait(group):
        future = group.submit(threading.Event().wait)
        if how == "shielded":
            with defer_interruption:
                group.results()
        elif how == "result":
            future.result()
        elif how == "task":
            group.submit(future.result)
        else:
            getattr(group, how)()

    for _ in range(10):
        with pytest.raises(TimeoutError), timeout(0.01), ThreadGroup() as group:
            wait(group)


def test_a_task_that_is_cancelled_is_a_failure_of_who_waits_for_it():
    with pytest.raises(ExceptionGroup) as caught, ThreadGroup() as group:
        future = group.submit(threading.Event().wait)
        future.cancel()
        future.result()
    assert [type(error) for error in caught.value.exceptions] == [CancelledError]


def test_what_could_not_be_started_has_not_been_submitted():
    class Never(Task):
        def start(self):
            raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch, ThreadGroup() as group:
        assert group.submit(str, 1).result() == "1"
        patch.setattr("interruption._group.Task", Never)
        with pytest.raises(RuntimeError, match="can't start"):
            group.submit(str, 2)
        patch.undo()
        assert group.submit(str, 3).result() == "3"
        assert group.results() == ["1", "3"]


def test_the_first_is_not_waited_for_while_another_one_s_callback_runs():
    go = threading.Event()
    with pytest.raises(BaseExceptionGroup) as caught, ThreadGroup(keep_going=True) as group:
        fails, begun = threading.Event(), threading.Event()
        future = group.submit(lambda: (fails.wait(), 1 / 0))
        future.add_done_callback(lambda _: (begun.set(), go.wait(PATIENCE)))
        fails.set()
        assert begun.wait(PATIENCE)
        try:
            group.first()
        finally:
            assert not go.is_set()
            go.set()
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


def test_a_task_that_cannot_enter_a_scope_fails():
    class Full:
        def _enter(self):
            raise MemoryError

        def _has_raised(self, _):
            return False

    with pytest.raises(ExceptionGroup) as caught, ThreadGroup() as group:
        group._outer.append(Full())
        future = group.submit(pytest.fail)
    assert isinstance(future.exception(), MemoryError)
    assert [type(error) for error in caught.value.exceptions] == [MemoryError]

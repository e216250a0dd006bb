"""S28: ThreadGroup."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import math
import pickle
import sys
import threading
import time
import types
import weakref
from concurrent.futures import CancelledError

import pytest
from chance import scaled
from delivery_parts import statements
from interruption import (
    Scope,
    ThreadExit,
    ThreadGroup,
    clear_interrupt,
    current_deadline,
    defer_interruption,
    explain,
    interrupt,
    interrupt_all_threads,
    move_on_after,
    shutdown,
    timeout,
)
from support import PATIENCE, Started, in_thread, until, until_blocked

SOON = 0.02


class Stop(BaseException):
    pass


class Worker:
    """A task that waits until it is stopped, and cleans up then."""

    def __init__(self, cleanup=lambda: None, *, runs=False):
        self.begun, self.ended = threading.Event(), threading.Event()
        self.cleanup, self.runs = cleanup, runs
        self.thread, self.stops = None, []

    def __call__(self):
        self.thread = threading.current_thread()
        try:
            self.begun.set()
            while self.runs:
                statements()
            threading.Event().wait()
        except BaseException as stop:
            self.stops.append(stop)
            raise
        finally:
            self.cleanup()
            self.ended.set()

    def submitted(self, group):
        future = group.submit(self)
        assert self.begun.wait(PATIENCE)
        return future


def fail(error, *events):
    for event in events:
        assert event.wait(PATIENCE)
    raise error


@contextlib.contextmanager
def warnings_of_threads():
    """What a thread's callback raises is told by the hook."""
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        yield
    finally:
        threading.excepthook = hook


def complaint_of(what):
    with pytest.raises(RuntimeError) as raised:
        what()
    return str(raised.value)


def errors_of(raised):
    return list(raised.value.exceptions)


# What it is for. ----------------------------------------------------------------------------------


def test_leaving_waits_for_all_and_the_results_are_there():  # S28
    with ThreadGroup() as group:
        slow = group.submit(lambda: time.sleep(SOON) or "slow")
        futures = [group.submit(pow, number, exp=2) for number in range(10)]
    assert slow.done()
    assert [future.result() for future in futures] == [number**2 for number in range(10)]
    assert group.results() == ["slow", *(number**2 for number in range(10))]


def test_no_thread_is_left():
    before = set(threading.enumerate())
    with ThreadGroup() as group:
        for _ in range(20):
            group.submit(int)
    assert set(threading.enumerate()) <= before


def test_names_tell_the_group_and_the_function():
    def look():
        return threading.current_thread().name

    with ThreadGroup(name="fetch") as group:
        assert [group.submit(look).result() for _ in range(2)] == [
            "fetch-0 (look)",
            "fetch-1 (look)",
        ]
    with ThreadGroup() as group:
        assert group.submit(look).result().startswith("ThreadGroup-")
    assert "left" in repr(group)


def test_each_task_has_a_copy_of_the_callers_context():
    variable = contextvars.ContextVar("variable", default="none")

    def look():
        found = variable.get()
        variable.set("a task's")
        return found

    variable.set("before")
    with ThreadGroup() as group:
        variable.set("in the block")
        assert group.submit(look).result() == "in the block"
        assert group.submit(look).result() == "in the block"
    assert variable.get() == "in the block"


def test_tasks_may_submit_to_their_group_and_to_those_around():
    def leaf(number):
        return number

    def task(outer):
        with ThreadGroup() as inner:
            ours = inner.submit(outer.submit, leaf, 1).result()
            return [ours.result(), outer.submit(leaf, 2).result()]

    with ThreadGroup() as group:
        assert group.submit(task, group).result() == [1, 2]


def test_a_task_may_submit_while_the_group_is_being_left():
    go, seen = threading.Event(), []

    def task(group):
        go.wait()
        group.submit(seen.append, "late")

    def body(started):
        with ThreadGroup() as group:
            group.submit(task, group)
            started.ready.set()

    leaving = Started(body).until_blocked()
    go.set()
    leaving.finish()
    assert seen == ["late"]


# Failures. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [False, True])
def test_a_task_that_fails_interrupts_the_others_and_the_block(runs):  # S28
    def body():
        error, workers = ValueError(), [Worker(runs=runs) for _ in range(3)]
        with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
            futures = [worker.submitted(group) for worker in workers]
            failed = group.submit(fail, error)
            threading.Event().wait()
        assert errors_of(raised) == [error]
        assert all(worker.ended.is_set() for worker in workers)
        assert all(future.cancelled() for future in futures)
        assert failed.exception() is error
        assert {worker.stops[0].reason for worker in workers} == {"a task of the group has failed"}

    in_thread(body)


def test_the_block_fails_and_its_error_comes_first():
    def cleanup_fails():
        raise OSError

    worker = Worker(cleanup_fails)
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        worker.submitted(group)
        raise KeyError
    assert [type(error) for error in errors_of(raised)] == [KeyError, OSError]
    assert raised.value.__cause__ is None


def test_an_error_that_the_block_has_by_a_future_comes_once():
    error = ValueError()
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        group.submit(fail, error).result()
    assert errors_of(raised) == [error]


def test_all_errors_come_out():
    barrier = threading.Barrier(3)

    def task(number):
        try:
            with defer_interruption:
                barrier.wait()
        finally:
            raise ValueError(number)

    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        for number in range(3):
            group.submit(task, number)
    assert sorted(error.args for error in errors_of(raised)) == [(0,), (1,), (2,)]


def test_errors_that_are_equal_are_two():
    class EqualError(Exception):
        def __eq__(self, other):
            return True

        __hash__ = Exception.__hash__

    both = threading.Barrier(2)

    def task():
        with defer_interruption:
            both.wait()
            raise EqualError

    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        group.submit(task)
        group.submit(task)
    assert len(errors_of(raised)) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ThreadExit, Stop])
def test_what_is_no_exception_comes_out_of_the_block_as_it_is(error):  # S28
    worker, raised = Worker(), error()
    with pytest.raises(error) as came, ThreadGroup() as group:
        future = worker.submitted(group)
        raise raised
    assert came.value is raised
    assert future.cancelled()


def test_ctrl_c_wins_over_errors_and_a_request_does_not():
    def cleanup_fails():
        raise OSError

    with pytest.raises(KeyboardInterrupt), ThreadGroup() as group:
        Worker(cleanup_fails).submitted(group)
        raise KeyboardInterrupt
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        Worker(cleanup_fails).submitted(group)
        raise ThreadExit
    assert [type(error) for error in errors_of(raised)] == [OSError]
    assert isinstance(raised.value.__cause__, ThreadExit)


def test_exits_of_tasks_are_errors():
    with pytest.raises(BaseExceptionGroup) as raised, ThreadGroup() as group:
        group.submit(fail, SystemExit(3))
    assert errors_of(raised)[0].code == 3


def test_a_thousand_tasks_and_one_fails():
    count = scaled(10_000)
    begun, workers = threading.Semaphore(0), []

    def task():
        begun.release()
        threading.Event().wait()

    go = threading.Event()
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        workers += [group.submit(task) for _ in range(count)]
        group.submit(fail, ValueError(), go)
        for _ in range(count):
            begun.acquire()
        go.set()
    assert len(errors_of(raised)) == 1
    assert all(worker.cancelled() for worker in workers)


def test_a_second_failure_leaves_cleanup_alone():  # S8
    cleaning, go, steps = threading.Event(), threading.Event(), []

    def cleanup():
        cleaning.set()
        go.wait()
        steps.append("cleaned up")

    def second():
        cleaning.wait()
        try:
            raise OSError
        finally:
            go.set()

    def body():
        with ThreadGroup() as group:
            Worker(cleanup).submitted(group)

            def late():
                with defer_interruption:
                    second()

            group.submit(late)
            raise KeyError

    with pytest.raises(ExceptionGroup):
        body()
    assert steps == ["cleaned up"]


# Cancelling a task. -------------------------------------------------------------------------------


@pytest.mark.parametrize("exc_type", [None, Stop, KeyError])
def test_a_task_that_is_cancelled_is_no_failure(exc_type):
    worker = Worker()
    with ThreadGroup() as group:
        future, other = worker.submitted(group), group.submit(int)
        assert future.cancel(exc_type, reason="enough")
    assert future.cancelled()
    assert other.result() == 0
    assert isinstance(worker.stops[0], exc_type or ThreadExit)
    with pytest.raises(CancelledError):
        group.results()


def test_a_task_that_goes_on_has_its_result():
    def task(begun):
        try:
            begun.set()
            threading.Event().wait()
        except ThreadExit:
            return "gone on"

    begun = threading.Event()
    with ThreadGroup() as group:
        future = group.submit(task, begun)
        begun.wait()
        future.cancel()
    assert future.result() == "gone on"


# From outside. ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["in the block", "while it is left"])
@pytest.mark.parametrize("limit", [timeout, move_on_after])
def test_a_limit_around_it_stops_tasks_and_block(limit, where):
    def body():
        worker, went_on = Worker(), False
        ends = pytest.raises(TimeoutError) if limit is timeout else contextlib.nullcontext()
        with ends, limit(1000) as scope:
            with ThreadGroup() as group:
                future = worker.submitted(group)
                assert group.submit(current_deadline).result() == scope.when()
                threading.Timer(0, scope.reschedule, [0]).start()
                if where == "in the block":
                    threading.Event().wait()
            went_on = True
        assert not went_on
        assert scope.expired()
        assert worker.stops[0].reason == "deadline"
        assert future.cancelled()

    in_thread(body)


def test_tasks_stop_with_the_limit_while_the_block_is_shielded():  # S28
    def body():
        worker = Worker()
        with pytest.raises(TimeoutError), timeout(1000) as limit, ThreadGroup() as group:
            worker.submitted(group)
            with defer_interruption:
                limit.reschedule(0)
                assert worker.ended.wait(PATIENCE)
            pytest.fail("it goes on behind the shield")

    in_thread(body)


def test_stopped_by_a_limit_just_as_it_is_left():  # S28
    def once():
        with timeout(0.001), ThreadGroup() as group:
            group.submit(threading.Event().wait)
        pytest.fail("it went on without results")

    def body():
        for _ in range(scaled(1000)):
            with pytest.raises(TimeoutError):
                once()

    in_thread(body)


@pytest.mark.parametrize("exc_type", [None, Stop, KeyError])
def test_a_scope_around_it_reaches_the_tasks(exc_type):
    def body():
        worker = Worker()
        with Scope() as scope:
            with ThreadGroup() as group:
                worker.submitted(group)
                scope.interrupt(exc_type, reason="enough")
            pytest.fail("it goes on")
        assert type(worker.stops[0]) is (exc_type or ThreadExit)
        assert len(worker.stops) == 1

    in_thread(body)


@pytest.mark.parametrize("shielded", [False, True])
def test_a_request_to_the_thread_reaches_the_tasks(shielded):  # S28
    worker = Worker()

    def body(started):
        with ThreadGroup() as group:
            worker.submitted(group)
            if shielded:
                with defer_interruption:
                    started.ready.set()
                    started.go.wait()
            started.ready.set()

    opened = Started(body).until_ready()
    interrupt(opened.thread, reason="enough")
    opened.go.set()
    opened.thread.join()
    assert isinstance(opened.raised, ThreadExit)
    assert worker.stops[0].reason == "enough"


def test_a_request_that_is_repeated_while_it_is_left_insists():  # S8
    cleaning = threading.Event()

    def cleanup():
        cleaning.set()
        threading.Event().wait()

    worker = Worker(cleanup)

    def body(started):
        with ThreadGroup() as group:
            worker.submitted(group)
            started.ready.set()

    opened = Started(body).until_blocked()
    interrupt(opened.thread)
    assert cleaning.wait(PATIENCE)
    until_blocked(worker.thread)
    until_blocked(opened.thread)
    interrupt(opened.thread)
    opened.thread.join()
    assert isinstance(opened.raised, ThreadExit)


def test_all_threads_are_asked_and_cleanup_is_asked_once():
    steps = []

    def cleanup():
        time.sleep(SOON)
        steps.append("cleaned up")

    workers = [Worker(cleanup) for _ in range(5)]

    def body(started):
        with ThreadGroup() as group:
            for worker in workers:
                worker.submitted(group)
            started.ready.set()

    opened = Started(body).until_blocked()
    interrupt_all_threads("end")
    opened.thread.join()
    assert isinstance(opened.raised, ThreadExit)
    assert steps == ["cleaned up"] * 5


def test_a_task_that_is_stopped_by_itself_stops_who_needs_it():
    worker, went_on = Worker(), []
    with pytest.raises(ThreadExit) as raised, ThreadGroup() as group:
        future = worker.submitted(group)
        other = group.submit(lambda: time.sleep(SOON) or "done")
        interrupt(worker.thread, reason="that one")
        assert other.result() == "done"
        went_on.append("the block")
    assert raised.value.reason == "that one"
    assert future.cancelled()
    assert went_on == ["the block"]


# In cleanup. --------------------------------------------------------------------------------------


def test_a_group_that_is_opened_in_a_shield_is_shielded():  # S24, S28
    steps = []

    def task():
        time.sleep(SOON)
        steps.append("task")

    def body(started):
        with timeout(1000) as limit:
            with defer_interruption:
                with ThreadGroup() as group:
                    group.submit(task)
                    limit.reschedule(0)
                    started.ready.set()
                    interrupt_all_threads()
                    interrupt(started.thread)
                steps.append("block")
            pytest.fail("it goes on")

    opened = Started(body)
    opened.thread.join()
    assert isinstance(opened.raised, (ThreadExit, TimeoutError))
    assert steps == ["task", "block"]
    clear_interrupt()


def test_a_group_in_a_shield_is_stopped_by_its_own_failures():
    worker = Worker()
    with pytest.raises(ExceptionGroup), defer_interruption, ThreadGroup() as group:
        worker.submitted(group)
        group.submit(fail, ValueError())
        threading.Event().wait()
    assert worker.ended.is_set()


def test_cleanup_that_a_limit_has_begun_may_use_a_group():  # S25
    def body():
        done = []
        with pytest.raises(TimeoutError), timeout(0):
            try:
                threading.Event().wait()
            finally:
                with ThreadGroup() as group:
                    group.submit(lambda: time.sleep(SOON) or done.append("cleaned up"))
        assert done == ["cleaned up"]

    in_thread(body)


def test_a_scope_that_is_asked_again_stops_a_group_in_its_cleanup():  # S8, S23
    def body():
        with Scope() as scope:
            try:
                scope.interrupt(KeyError)
                threading.Event().wait()
            finally:
                with ThreadGroup():
                    scope.interrupt(KeyError)
                    threading.Event().wait()
        return "no error of the group's"

    assert in_thread(body)


def test_a_limit_of_its_own_ends_cleanup_in_a_shield():
    def body():
        worker = Worker()
        with move_on_after(1000, shield=True) as limit, ThreadGroup() as group:
            worker.submitted(group)
            limit.reschedule(0)
        assert limit.expired()
        assert worker.stops[0].reason == "deadline"

    in_thread(body)


# Joiners. -----------------------------------------------------------------------------------------


def test_results_wait_and_are_in_order():
    with ThreadGroup() as group:
        assert group.results() == []
        for number in range(5):
            group.submit(lambda number=number: time.sleep(SOON / (number + 1)) or number)
        assert group.results() == [0, 1, 2, 3, 4]
        group.submit(lambda: 5)
        assert group.results() == [0, 1, 2, 3, 4, 5]


def test_results_of_a_group_that_fails():
    error = ValueError()
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
        Worker().submitted(group)
        group.submit(fail, error)
        group.results()
    assert errors_of(raised) == [error]


def test_first_is_the_first_result_and_the_others_are_interrupted():
    worker = Worker()
    with ThreadGroup() as group:
        slow = worker.submitted(group)
        group.submit(lambda: "fast")
        assert group.first() == "fast"
        assert group.first() == "fast"
        with pytest.raises(RuntimeError, match="first to return"):
            group.submit(int)
    assert slow.cancelled()


def test_first_of_those_that_go_on():
    go = threading.Event()
    with ThreadGroup(keep_going=True) as group:
        failed = group.submit(fail, ValueError())
        until(failed.done)
        group.submit(lambda: go.wait() and "one")
        go.set()
        assert group.first() == "one"
    assert isinstance(failed.exception(), ValueError)


@pytest.mark.parametrize("keep_going", [False, True])
def test_first_where_all_fail(keep_going):
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup(keep_going=keep_going) as group:
        group.submit(fail, ValueError())
        group.first()
    assert [type(error) for error in errors_of(raised)] == [ValueError]


def test_first_where_there_is_none():
    with ThreadGroup() as group:
        with pytest.raises(RuntimeError, match="nothing has been submitted"):
            group.first()
        Worker().submitted(group).cancel()
        with pytest.raises(CancelledError):
            group.first()


def test_those_that_go_on_tell_all_errors_at_the_end():
    with pytest.raises(ExceptionGroup) as raised, ThreadGroup(keep_going=True) as group:
        for number in range(3):
            group.submit(fail, ValueError(number))
        ended = group.submit(lambda: time.sleep(SOON) or "done")
        assert ended.result() == "done"
    assert sorted(error.args for error in errors_of(raised)) == [(0,), (1,), (2,)]


# Bad use. -----------------------------------------------------------------------------------------


def test_submitting_to_a_group_that_has_been_asked():
    def body():
        error, refused = ValueError(), []
        with pytest.raises(ExceptionGroup) as raised, ThreadGroup() as group:
            with defer_interruption:
                until(group.submit(fail, error).done)
                try:
                    group.submit(int)
                except RuntimeError as refusal:
                    refused.append(str(refusal))
                    raise
        assert errors_of(raised) == [error]
        assert refused == ["the group has been asked to stop: a task of the group has failed"]

    in_thread(body)


def test_what_is_not_to_be_done_is_told():
    group = ThreadGroup()
    with pytest.raises(RuntimeError, match="was not entered"):
        group.submit(int)
    with pytest.raises(RuntimeError, match="was not entered"):
        group.results()
    with pytest.raises(RuntimeError, match="left once"):
        group.__exit__(None, None, None)
    with group:
        with pytest.raises(RuntimeError, match="entered before"):
            group.__enter__()
        with pytest.raises(RuntimeError, match="only the thread that has entered"):
            in_thread(lambda: group.submit(int))
        assert "may wait for its tasks" in group.submit(complaint_of, group.results).result()
    with pytest.raises(RuntimeError, match="entered before"):
        group.__enter__()
    for what in (group.first, lambda: group.submit(int)):
        with pytest.raises(RuntimeError, match="has been left"):
            what()
    with pytest.raises(RuntimeError, match="only the thread that has entered"):
        in_thread(lambda: group.submit(int))
    with pytest.raises(RuntimeError, match="left once"):
        group.__exit__(None, None, None)
    assert in_thread(group.results) == group.results()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ThreadGroup(name=3),
        lambda: ThreadGroup(keep_going="yes"),
        lambda: ThreadGroup("name"),
    ],
)
def test_what_it_cannot_be_made_of(wrong):
    with pytest.raises(TypeError):
        wrong()


def test_what_cannot_be_called_is_not_submitted():
    with ThreadGroup() as group:
        with pytest.raises(TypeError, match="a function to call, not int"):
            group.submit(3)
        with pytest.raises(TypeError):
            group.submit()
        assert group.results() == []


async def coroutine_function():
    pass


async def asynchronous_generator_function():
    yield


def generator_function():
    yield


def as_method(function):
    return types.MethodType(function, 1)


def as_object(function):
    return type("Called", (), {"__call__": function})()


@pytest.mark.parametrize("wrapped", [lambda it: it, functools.partial, as_method, as_object])
@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (coroutine_function, r"a coroutine function, .* submit asyncio\.run"),
        (asynchronous_generator_function, "an asynchronous generator function"),
        (generator_function, r"a generator function, .*\(list, "),
    ],
)
def test_what_does_not_run_when_it_is_called_is_not_submitted(function, hint, wrapped):
    with ThreadGroup() as group:
        with pytest.raises(TypeError, match=hint):
            group.submit(wrapped(function))
        assert group.results() == []


def test_in_coroutines_and_generators():
    async def coroutine():
        with ThreadGroup():
            pass

    def generator():
        with ThreadGroup():
            yield

    with pytest.raises(RuntimeError, match=r"asyncio\.TaskGroup"):
        asyncio.run(coroutine())
    with pytest.raises(RuntimeError, match="generator"):
        next(generator())


def test_left_out_of_order_or_by_another_thread():
    with ThreadGroup() as group:
        with pytest.raises(RuntimeError, match="by the thread that has entered"):
            in_thread(lambda: group.__exit__(None, None, None))
        assert group.submit(int).result() == 0


def test_left_before_a_scope_inside_of_it_it_is_to_be_left_again():  # S21
    def body():
        worker, group, inner = Worker(), ThreadGroup(), Scope()
        group.__enter__()
        future = worker.submitted(group)
        inner.__enter__()
        future.cancel()
        with pytest.raises(RuntimeError, match="out of order"):
            group.__exit__(None, None, None)
        assert future.cancelled()
        inner.__exit__(None, None, None)
        group.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="left once"):
            group.__exit__(None, None, None)
        return current_deadline()

    assert in_thread(body) == math.inf


def test_by_exit_stacks_and_context_managers():
    @contextlib.contextmanager
    def workers():
        with ThreadGroup() as group:
            yield group

    def body():
        worker = Worker()
        with pytest.raises(ExceptionGroup), workers() as group:
            worker.submitted(group)
            group.submit(fail, ValueError())
            threading.Event().wait()
        with pytest.raises(ExceptionGroup), contextlib.ExitStack() as stack:
            group = stack.enter_context(ThreadGroup())
            group.submit(fail, ValueError())
            threading.Event().wait()

    in_thread(body)


def test_explain_tells_the_groups_of_a_task():  # S19
    workers = []

    def task():
        with ThreadGroup(name="inner") as inner:
            worker = Worker()
            worker.submitted(inner)
            workers.append(worker)

    with ThreadGroup(name="outer") as outer:
        future = outer.submit(task)
        until(lambda: workers)
        for thread in (workers[0].thread, workers[0].thread.ident):
            found = explain(thread)
            inner, around = found.groups
            assert inner.startswith(f"inner, opened at {__file__}:")
            assert inner.endswith("by outer-0 (task)")
            assert around.startswith("outer, opened at ")
            assert "MainThread" in around
            assert f"; of {inner}" in found.reason
        assert explain(threading.current_thread()).groups == ()
        future.cancel()


def test_explain_tells_where_scopes_were_entered_and_groups_opened():  # S22
    def body(started):
        with Scope():
            first = sys._getframe().f_lineno - 1  # noqa: SLF001
            with defer_interruption, move_on_after(1000), ThreadGroup() as group:
                started.task = Worker()
                future = started.task.submitted(group)
                started.ready.set()
                started.go.wait()
                future.cancel()
        return first

    with Started(body) as opened:
        found = explain(opened.thread).scopes
        task = explain(opened.task.thread)
    first = opened.finish()
    lines = [(place.filename, place.lineno, place.function) for place in found]
    assert lines == [(__file__, line, body.__qualname__) for line in (first, first + 2, first + 2)]
    assert task.scopes == ()  # it is in those of its group
    assert pickle.loads(pickle.dumps(task)).groups == task.groups  # noqa: S301
    assert explain(threading.current_thread()).scopes == ()


@pytest.mark.parametrize("stops", [False, True])
def test_the_report_of_a_shutdown_tells_the_groups(stops):
    def body(started):
        with defer_interruption if not stops else contextlib.nullcontext():
            with ThreadGroup(name="workers") as group:
                started.worker = Worker()
                future = started.worker.submitted(group)
                started.ready.set()
                if not stops:
                    started.go.wait()
                    future.cancel()

    opened = Started(body).until_ready()
    thread = opened.worker.thread
    reports = shutdown(PATIENCE if stops else 0.01, abandon=False).threads
    with contextlib.suppress(ThreadExit):
        opened.finish()
    (report,) = [report for report in reports if report.ident == thread.ident]
    assert report.stopped == stops
    (group,) = report.groups
    assert group.startswith(f"workers, opened at {__file__}:")
    assert f"; of {group}" in str(report)
    (opener,) = [report for report in reports if report.name == opened.thread.name]
    assert opener.groups == ()


# What it keeps. -----------------------------------------------------------------------------------


def test_a_group_that_lives_long_forgets_its_tasks():
    class Result:
        pass

    with ThreadGroup() as group:
        futures = []
        for _ in range(100):
            future = group.submit(int)
            futures.append(weakref.ref(future))
            future.result()
        del future
        until(lambda: gc.collect() is not None and sum(f() is not None for f in futures) < 40)


def test_a_group_that_was_left_is_freed():
    def made():
        group = ThreadGroup()
        with contextlib.suppress(ExceptionGroup), group:
            group.submit(fail, ValueError())
            group.submit(int)
        return weakref.ref(group)

    found = made()
    until(lambda: gc.collect() is not None and found() is None)


def test_a_callback_that_fails_keeps_nobody_from_being_stopped():
    def callback(future):
        if future.cancelled():
            raise Stop

    def body():
        workers = [Worker() for _ in range(3)]
        with pytest.raises(ExceptionGroup), ThreadGroup() as group:
            for worker in workers:
                worker.submitted(group).add_done_callback(callback)
            raise KeyError
        assert all(worker.ended.is_set() for worker in workers)

    with warnings_of_threads():
        in_thread(body)

"""ThreadPoolExecutor: as the standard one, and a task that runs can be cancelled."""

# ruff: noqa: SLF001  (the standard executor's names)

from __future__ import annotations

import concurrent.futures
import contextlib
import inspect
import queue
import re
import sqlite3
import threading
import time
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path

import pytest
from executor_parts import Busy, outcome, start_waiting
from interruption import (
    ThreadExit,
    ThreadPoolExecutor,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    interruption_requested,
    on_interrupt,
)
from support import PATIENCE, Started, expect_script, run_python, until, until_blocked

STANDARD = concurrent.futures.ThreadPoolExecutor


# In the place of the standard one. ----------------------------------------------------------------


def test_it_is_the_standard_executor_by_type_name_and_signature(pool):
    assert isinstance(pool, STANDARD)
    assert ThreadPoolExecutor.__name__ == STANDARD.__name__
    for name in ("__init__", "submit", "map", "__enter__", "__exit__"):
        ours, theirs = getattr(ThreadPoolExecutor, name), getattr(STANDARD, name)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )
    assert inspect.signature(ThreadPoolExecutor) == inspect.signature(STANDARD)
    shutdown = inspect.signature(ThreadPoolExecutor.shutdown).parameters
    assert [name for name in shutdown if name not in ("cancel_running", "timeout")] == list(
        inspect.signature(STANDARD.shutdown).parameters
    )
    assert ThreadPoolExecutor.submit.__doc__ == STANDARD.submit.__doc__


def test_futures_are_standard_and_shown_as_those(pool):
    future = pool.submit(pow, 2, 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 8
    assert repr(future) == f"<Future at {id(future):#x} state=finished returned int>"
    busy = Busy()
    future = busy.submitted(pool)
    assert repr(future) == f"<Future at {id(future):#x} state=running>"
    future.cancel()
    wait([future])
    assert repr(future) == f"<Future at {id(future):#x} state=cancelled>"


def test_workers_are_shown_as_the_standard_ones():
    with STANDARD(1, "prefix") as standard, ThreadPoolExecutor(1, "prefix") as ours:
        theirs = repr(standard.submit(threading.current_thread).result(PATIENCE))
        shown = repr(ours.submit(threading.current_thread).result(PATIENCE))
    assert re.sub(r"\d+\)>$", "", shown) == re.sub(r"\d+\)>$", "", theirs)
    assert shown.startswith("<Thread(prefix_0, started ")


def test_it_is_imported_only_by_those_who_use_it():
    expect_script(
        """
        import sys, interruption
        assert "concurrent.futures" not in sys.modules
        from interruption import ThreadPoolExecutor
        assert interruption.ThreadPoolExecutor is ThreadPoolExecutor
        try:
            interruption.no_such_name
        except AttributeError as error:
            print(error)
        """,
        stdout="module 'interruption' has no attribute 'no_such_name'\n",
    )


def test_map_initializer_and_names():
    local = threading.local()

    def initialize(value):
        local.value = value

    with ThreadPoolExecutor(2, "prefix", initialize, ("set",)) as executor:
        assert list(executor.map(lambda number: (number, local.value), range(5))) == [
            (number, "set") for number in range(5)
        ]
        names = {thread.name for thread in executor._threads}
    assert names <= {"prefix_0", "prefix_1"}


def test_a_python_that_has_not_got_what_is_used_is_told_so(monkeypatch):
    ThreadPoolExecutor(1).shutdown()
    monkeypatch.delattr("concurrent.futures.thread._threads_queues")
    with pytest.raises(NotImplementedError, match=r"no _threads_queues: use concurrent\.futures"):
        ThreadPoolExecutor(1)


# Cancelling what runs. ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda: time.sleep(PATIENCE),
        queue.Queue().get,
        queue.SimpleQueue().get,
        threading.Event().wait,
    ],
    ids=["sleep", "queue", "simple queue", "event"],
)
def test_a_waiting_task_is_woken_and_cancelled(single, function):  # S10
    future = start_waiting(single, function)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(PATIENCE)


def test_a_query_is_broken_off_and_the_next_ones_are_not(single):  # S10
    endless = (
        "with recursive r(n) as (select 1 where begun() is null union all select n + 1 from r) "
        "select count(*) from r"
    )
    begun = threading.Event()

    def query(text):
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.create_function("begun", 0, begun.set)  # from here on it can be broken off
            with on_interrupt(connection.interrupt):
                return connection.execute(text).fetchone()

    future = single.submit(query, endless)
    assert begun.wait(PATIENCE)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert single.submit(query, "select 1").result(PATIENCE) == (1,)


def test_the_future_is_done_when_the_task_has_cleaned_up(pool):
    cleaning, go = threading.Event(), threading.Event()

    def cleanup():
        cleaning.set()
        while not go.is_set():
            pass

    future = Busy(cleanup=cleanup).submitted(pool)
    assert future.cancel()
    assert cleaning.wait(PATIENCE)
    assert future.running()
    assert not future.done()
    for look in (future.result, future.exception):
        with pytest.raises(concurrent.futures.TimeoutError):
            look(0.01)
    assert not wait([future], 0.01).done
    go.set()
    assert wait([future], PATIENCE).done == {future}
    assert outcome(future) == "cancelled"


def test_whoever_waits_for_it_is_told(pool):
    busy, told = Busy(), []
    future = busy.submitted(pool)
    future.add_done_callback(lambda done: told.append((done, done.cancelled())))
    waiters = [
        Started(lambda started, look=look: (started.ready.set(), look())[1])
        for look in (
            lambda: wait([future], PATIENCE).done,
            lambda: set(as_completed([future], PATIENCE)),
            lambda: {(future.exception(PATIENCE) is None)},
        )
    ]
    for waiter in waiters:
        waiter.until_blocked()
    future.cancel()
    assert waiters[0].finish() == {future}
    assert waiters[1].finish() == {future}
    with pytest.raises(CancelledError):
        waiters[2].finish()
    until(lambda: told)
    future.add_done_callback(lambda done: told.append((done, done.cancelled())))
    assert told == [(future, True)] * 2


@pytest.mark.parametrize("arguments", [(), (KeyError, "late")])
def test_pending_and_finished_futures_are_as_ever(single, arguments):
    busy = Busy(result=1)
    running = busy.submitted(single)
    pending = single.submit(int)
    assert pending.cancel(*arguments) is True
    assert pending.cancel(*arguments) is True
    assert outcome(pending) == "cancelled"
    busy.go.set()
    assert running.result(PATIENCE) == 1
    assert running.cancel(*arguments) is False
    assert running.result() == 1


def test_the_others_are_left_alone(pool):
    first, second = Busy(), Busy(result=2)
    cancelled, other = first.submitted(pool), second.submitted(pool)
    assert cancelled.cancel()
    wait([cancelled])
    assert other.running()
    second.go.set()
    assert other.result(PATIENCE) == 2
    assert second.seen == ["cleaned up"]
    assert outcome(cancelled) == "cancelled"


def test_a_task_may_cancel_itself(single):
    futures = queue.SimpleQueue()
    seen = []

    def task():
        future = futures.get()
        seen.append(future.cancel())
        while True:
            pass

    future = single.submit(task)
    futures.put(future)
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert seen == [True]


def test_a_task_in_another_s_result_is_cancelled_alone(pool):
    inner = Busy(result=3)
    future_of_inner = inner.submitted(pool)
    outer = start_waiting(pool, future_of_inner.result)
    assert outer.cancel()
    wait([outer])
    assert outcome(outer) == "cancelled"
    assert future_of_inner.running()
    inner.go.set()
    assert future_of_inner.result(PATIENCE) == 3


# What comes of it. --------------------------------------------------------------------------------


def test_a_shielded_task_runs_on_until_its_shield_ends(single):  # S12
    begun, go, seen = threading.Event(), threading.Event(), []

    def task():
        with defer_interruption:
            begun.set()
            while not go.is_set():
                pass
            seen.append("whole")
        seen.append("never")

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    assert future.cancel() is True
    assert future.cancel() is True
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.02)
    assert future.running()
    go.set()
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert seen == ["whole"]


def test_a_task_that_returns_all_the_same_has_a_result(single):
    begun = threading.Event()

    def task():
        try:
            begun.set()
            while True:
                pass
        except ThreadExit:
            return "saved"

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    assert future.cancel() is True
    assert future.result(PATIENCE) == "saved"
    assert future.cancelled() is False
    assert single.submit(interruption_requested).result(PATIENCE) is False


def test_a_task_that_clears_the_request_carries_on(single):  # S6
    begun = threading.Event()

    def task():
        try:
            begun.set()
            while True:
                pass
        except ThreadExit:
            cleared = clear_interrupt()
        check_interrupt()
        return cleared

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    future.cancel()
    assert future.result(PATIENCE) is True


def test_a_task_that_swallows_it_is_asked_again_by_another_cancel(single):  # S8
    begun, again = threading.Event(), threading.Event()

    def task():
        try:
            begun.set()
            while True:
                pass
        except ThreadExit:
            pass
        again.set()
        while True:
            pass

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    assert future.cancel()
    assert again.wait(PATIENCE)
    assert future.running()
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(PATIENCE)


def test_cleanup_waits_unharmed_unless_cancelled_again(single):  # S10c
    cleaning, go = threading.Event(), threading.Event()
    ended = []

    def cleanup():
        cleaning.set()
        ended.append(go.wait(PATIENCE))

    future = Busy(cleanup=cleanup).submitted(single)
    (worker,) = single._threads
    future.cancel()
    assert cleaning.wait(PATIENCE)
    until_blocked(worker)
    assert future.running()
    go.set()
    wait([future])
    assert ended == [True]

    cleaning.clear()
    go.clear()
    future = Busy(cleanup=cleanup).submitted(single)
    future.cancel()
    assert cleaning.wait(PATIENCE)
    until_blocked(worker)
    future.cancel()
    wait([future], PATIENCE)
    assert outcome(future) == "cancelled"
    assert ended == [True]


def test_what_cleanup_raises_is_the_outcome(single):
    def cleanup():
        raise LookupError("cleanup failed")

    future = Busy(cleanup=cleanup).submitted(single)
    assert future.cancel()
    with pytest.raises(LookupError, match="cleanup failed") as caught:
        future.result(PATIENCE)
    assert isinstance(caught.value.__context__, ThreadExit)
    assert outcome(future) == "failed"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError, CancelledError])
def test_what_a_task_raises_of_itself_is_raised_as_ever(single, error):
    def task():
        raise error("own")

    with pytest.raises(error, match="own"):
        single.submit(task).result(PATIENCE)
    assert single.submit(int).result(PATIENCE) == 0


# CPython's own tests. -----------------------------------------------------------------------------


def test_cpython_s_own_tests_pass():
    """Those of them that take no seconds; all: tests/cpython/executor.py."""
    runner = Path(__file__).parent / "cpython" / "executor.py"
    words = (
        "test_init FutureTests test_cancel_futures test_thread_names test_submit test_saturation "
        "test_map_exception test_free_reference test_no_stale test_idle_thread test_shutdown_race"
    )
    chosen = [part for word in words.split() for part in ("-k", word)]
    done = run_python(runner, *chosen, timeout=5 * PATIENCE)
    if done.returncode == 2:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr

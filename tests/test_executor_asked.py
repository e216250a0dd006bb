"""ThreadPoolExecutor: workers whose thread is asked to stop."""

# ruff: noqa: SLF001  (the standard executor's names)

from __future__ import annotations

import sys
import threading
from concurrent.futures import CancelledError, wait

import pytest
from chance import scaled
from executor_parts import Busy, outcome
from interruption import (
    ThreadPoolExecutor,
    _executor,
    _interruption,
    interrupt,
    interrupt_all_threads,
)
from support import PATIENCE, until, until_blocked


def test_a_worker_that_is_asked_ends_and_its_task_is_cancelled(pool):
    first, second = Busy(), Busy(result=2)
    asked, other = first.submitted(pool), second.submitted(pool)
    assert interrupt(first.thread, reason="why") is True
    with pytest.raises(CancelledError):  # not ThreadExit, which would end the caller
        asked.result(PATIENCE)
    first.thread.join(PATIENCE)
    assert not first.thread.is_alive()
    assert pool._threads == {second.thread}
    second.go.set()
    assert other.result(PATIENCE) == 2
    barrier = threading.Barrier(2)  # there are two workers again when two are needed
    for future in [pool.submit(barrier.wait, PATIENCE) for _ in range(2)]:
        future.result(PATIENCE)


def test_what_it_is_asked_to_raise_is_the_outcome(single):  # S2
    class TooSlow(Exception):
        pass

    busy = Busy()
    future = busy.submitted(single)
    interrupt(busy.thread, TooSlow)
    with pytest.raises(TooSlow):
        future.result(PATIENCE)
    busy.thread.join(PATIENCE)
    assert not busy.thread.is_alive()


def test_an_idle_worker_that_is_asked_ends(single, caplog):
    (worker,) = {single.submit(threading.current_thread).result(PATIENCE)}
    until_blocked(worker)
    interrupt(worker, LookupError)
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert single._threads == set()
    assert single.submit(pow, 2, 2).result(PATIENCE) == 4
    assert not caplog.records


def test_the_last_worker_that_is_asked_cancels_what_waits(pool):
    tasks = [Busy(), Busy()]
    running = [task.submitted(pool) for task in tasks]
    pending = [pool.submit(int) for _ in range(5)]
    told = []
    pending[0].add_done_callback(lambda _: sys.exit("callback"))  # harms no other
    pending[-1].add_done_callback(lambda _: told.append(pool.submit(pow, 2, 2)))  # no deadlock
    for task in tasks:
        interrupt(task.thread)
    assert wait([*running, *pending], PATIENCE).not_done == set()
    assert {outcome(future) for future in running + pending} == {"cancelled"}
    until(lambda: told)
    assert told[0].result(PATIENCE) == 4


def test_others_go_on_with_what_waits(pool):
    first, second = Busy(), Busy()
    first.submitted(pool)
    second.submitted(pool)
    pending = [pool.submit(pow, 2, number) for number in range(5)]
    interrupt(first.thread)
    first.thread.join(PATIENCE)
    second.go.set()
    assert [future.result(PATIENCE) for future in pending] == [1, 2, 4, 8, 16]


def test_what_is_submitted_after_an_idle_worker_was_asked_is_run(single):
    """The worker wakes by the request, by the task, or by both: again and again."""
    for number in range(scaled(300)):
        worker = single.submit(threading.current_thread).result(PATIENCE)
        until_blocked(worker)
        interrupt(worker)
        for _ in range(number % 30 * 10):  # it is anywhere on its way out
            pass
        assert single.submit(pow, number, 2).result(PATIENCE) == number**2
        worker.join(PATIENCE)
        assert not worker.is_alive()


def test_what_was_submitted_before_an_idle_worker_was_asked_is_cancelled(single):
    """All of it: what the worker had not begun, and what waited behind that."""
    for _ in range(scaled(100)):
        worker = single.submit(threading.current_thread).result(PATIENCE)
        until_blocked(worker)
        ran = []
        futures = [single.submit(ran.append, number) for number in range(3)]
        interrupt(worker)
        wait(futures, PATIENCE)
        kinds = [outcome(future) for future in futures]
        assert kinds == ["done"] * len(ran) + ["cancelled"] * (3 - len(ran))
        worker.join(PATIENCE)
        assert not worker.is_alive()


@pytest.mark.parametrize("order", ["in time", "late"])
def test_a_task_goes_past_a_worker_that_is_on_its_way_out(single, monkeypatch, order):
    """Submitted when the worker has woken by a request, or when it has left the executor."""
    worker = single.submit(threading.current_thread).result(PATIENCE)
    until_blocked(worker)
    original = _executor._Pool.leave
    left, go = threading.Event(), threading.Event()

    def halt(of):
        left.set()
        assert go.wait(PATIENCE)
        original(of)

    monkeypatch.setattr(_executor._Pool, "leave", halt)
    with single._shutdown_lock:  # it cannot say that it waits no more
        interrupt(worker)
        until_blocked(worker)
    if order == "late":
        assert left.wait(PATIENCE)
    future = single.submit(pow, 2, 2)
    assert future.result(PATIENCE) == 4
    assert worker.is_alive()
    assert worker not in single._threads
    go.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert single.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_worker_that_a_task_went_past_ends_though_its_request_is_taken_back(single):  # S29
    origin = 1 << 40
    for number in range(scaled(100)):
        worker = single.submit(threading.current_thread).result(PATIENCE)
        until_blocked(worker)
        _interruption._ask(worker, None, origin)
        future = single.submit(pow, number, 2)
        _interruption._take_back(worker, origin, True)
        assert future.result(PATIENCE) == number**2
        worker.join(PATIENCE)
        assert not worker.is_alive()
        assert worker not in single._threads


def test_shutting_down_runs_what_was_submitted_after_a_request():
    for number in range(scaled(100)):
        executor = ThreadPoolExecutor(1)
        worker = executor.submit(threading.current_thread).result(PATIENCE)
        until_blocked(worker)
        interrupt(worker)
        futures = [executor.submit(pow, number, power) for power in range(3)]
        assert executor.shutdown() is True
        assert [future.result(0) for future in futures] == [1, number, number**2]


def test_tasks_that_need_each_other_run_when_an_idle_worker_was_asked(pool):
    """As many workers are there as the executor may have, not one less."""
    for _ in range(scaled(50)):
        barrier = threading.Barrier(2)
        threads = [
            future.result(PATIENCE)
            for future in [pool.submit(meet, barrier, threading.current_thread) for _ in range(2)]
        ]
        for worker in threads:
            until_blocked(worker)
        interrupt(threads[0])
        futures = [pool.submit(meet, barrier, int) for _ in range(2)]
        assert [future.result(PATIENCE) for future in futures] == [0, 0]
        assert len(pool._threads) == 2


def meet(barrier, function):
    barrier.wait(PATIENCE)
    return function()


def test_all_threads_asked_at_once_end_an_executor_s_work(pool):
    tasks = [Busy(), Busy()]
    futures = [task.submitted(pool) for task in tasks] + [pool.submit(int) for _ in range(3)]
    assert interrupt_all_threads() >= 2
    assert wait(futures, PATIENCE).not_done == set()
    assert {outcome(future) for future in futures} == {"cancelled"}
    for task in tasks:
        task.thread.join(PATIENCE)
        assert not task.thread.is_alive()


def test_an_initializer_is_interrupted_and_the_executor_is_not_broken():
    begun = threading.Event()

    def initialize():
        if not begun.is_set():
            begun.set()
            while True:
                pass

    with ThreadPoolExecutor(1, initializer=initialize) as executor:
        future = executor.submit(pow, 2, 2)
        assert begun.wait(PATIENCE)
        interrupt(*executor._threads)
        wait([future], PATIENCE)
        assert outcome(future) == "cancelled"
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8

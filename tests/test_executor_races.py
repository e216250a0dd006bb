"""ThreadPoolExecutor: cancels at the wrong moment, and what fails."""

# ruff: noqa: SLF001  (the standard executor's names)

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import logging
import sys
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest
from chance import scaled, seeded
from executor_parts import Busy, outcome
from interruption import (
    Scope,
    ThreadExit,
    ThreadPoolExecutor,
    _executor,
    _future,
    check_interrupt,
    defer_interruption,
    interrupt,
    interruption_requested,
    protect,
    unprotect,
)
from support import PATIENCE, Started, in_thread

STANDARD = concurrent.futures.ThreadPoolExecutor


# The orders that matter. --------------------------------------------------------------------------


def test_cancelled_before_its_region_it_does_not_run(single, monkeypatch):  # S7
    running, go = threading.Event(), threading.Event()
    original = _executor.Future.set_running_or_notify_cancel
    seen = []

    def halt_when_running(future):
        answer = original(future)
        running.set()
        assert go.wait(PATIENCE)
        return answer

    monkeypatch.setattr(_executor.Future, "set_running_or_notify_cancel", halt_when_running)
    future = single.submit(seen.append, "ran")
    assert running.wait(PATIENCE)
    assert future.cancel() is True
    go.set()
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert seen == []
    assert single.submit(interruption_requested).result(PATIENCE) is False


class HaltingScope:
    """A real scope, whose worker halts when it is about to leave it, and when it has left."""

    halts = None  # (where, reached, go)

    def __init__(self):
        self.scope = Scope()
        self._enter = self.scope._enter
        self.interrupt = self.scope.interrupt

    def _leave(self):
        self.halt("before")
        self.scope._leave()
        self.halt("after")

    def halt(self, where):
        halts = self.halts
        if halts is not None and halts[0] == where:
            halts[1].set()
            while not halts[2].is_set():
                pass


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_cancel_that_comes_after_the_last_statement_hits_nobody(
    single, monkeypatch, request, where
):
    reached, go = threading.Event(), threading.Event()
    protect(__name__)  # as the package is: between its statements nothing is raised
    request.addfinalizer(lambda: unprotect(__name__))
    monkeypatch.setattr(_future, "Scope", HaltingScope)
    monkeypatch.setattr(HaltingScope, "halts", (where, reached, go))
    first = single.submit(pow, 2, 2)
    second = single.submit(lambda: [interruption_requested() for _ in range(1000)])
    assert reached.wait(PATIENCE)
    assert first.running()
    assert first.cancel() is (where == "before")
    monkeypatch.setattr(HaltingScope, "halts", None)
    go.set()
    assert first.result(PATIENCE) == 4
    assert first.cancelled() is False
    assert not any(second.result(PATIENCE))


def test_a_cancel_between_two_tasks_hits_neither(single):
    seen = []

    def callback(done):  # in the worker, between the tasks
        seen.append(in_thread(done.cancel))
        seen.append(interruption_requested())
        check_interrupt()

    first = Busy(result=1)
    future = first.submitted(single)
    future.add_done_callback(callback)
    later = single.submit(interruption_requested)
    first.go.set()
    assert later.result(PATIENCE) is False
    assert future.result() == 1
    assert seen == [False, False]


@pytest.mark.parametrize("order", ["cancel first", "thread first"])
def test_a_cancel_takes_no_request_of_others_with_it(single, order):
    begun, go = threading.Event(), threading.Event()

    def task():
        with contextlib.suppress(ThreadExit), defer_interruption:
            begun.set()
            while not go.is_set():
                pass
        return interruption_requested()

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    (worker,) = single._threads
    asks = [future.cancel, lambda: interrupt(worker, reason="others")]
    for ask in asks if order == "cancel first" else asks[::-1]:
        assert ask() is True
    go.set()
    assert future.result(PATIENCE) is True
    worker.join(PATIENCE)  # it has kept the request, so it ends
    assert not worker.is_alive()
    assert single.submit(int).result(PATIENCE) == 0


def test_who_asks_is_told_by_the_exception(single):  # S2
    begun, go, seen = threading.Event(), threading.Event(), []

    def task():
        try:
            with defer_interruption:
                begun.set()
                while not go.is_set():
                    pass
        except ThreadExit as error:
            seen.append(error.reason)
            raise

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    future.cancel()
    interrupt(*single._threads, reason="others")
    go.set()
    wait([future])
    assert seen == ["others"]
    assert outcome(future) == "cancelled"


# What fails. --------------------------------------------------------------------------------------


def test_an_initializer_that_fails_breaks_the_executor(caplog):
    with ThreadPoolExecutor(1, initializer=divmod, initargs=(1, 0)) as executor:
        with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
            future = executor.submit(int)
            with pytest.raises(concurrent.futures.thread.BrokenThreadPool):
                future.result(PATIENCE)
            with pytest.raises(concurrent.futures.BrokenExecutor):
                executor.submit(int)
    assert "Exception in initializer" in caplog.text


def test_an_initializer_that_fails_leaves_no_future_behind(caplog):
    """Also not behind one that was cancelled; and callbacks run without the executor's locks."""
    begun, go, told = threading.Event(), threading.Event(), []

    def initialize():
        begun.set()
        assert go.wait(PATIENCE)
        raise LookupError

    def callback(_):
        with contextlib.suppress(concurrent.futures.BrokenExecutor):
            executor.submit(int)
        told.append("told")
        sys.exit("callback")

    executor = ThreadPoolExecutor(1, initializer=initialize)
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        cancelled, failed, last = (executor.submit(int) for _ in range(3))
        assert begun.wait(PATIENCE)
        assert cancelled.cancel()
        failed.add_done_callback(callback)
        go.set()
        assert wait([cancelled, failed, last], PATIENCE).not_done == set()
    assert [outcome(future) for future in (cancelled, failed, last)] == [
        "cancelled",
        "failed",
        "failed",
    ]
    assert isinstance(last.exception(), concurrent.futures.thread.BrokenThreadPool)
    assert executor.shutdown() is True
    assert told == ["told"]
    assert caplog.text.count("Exception in a callback") == 1  # that of the one that failed


def test_an_initializer_that_fails_after_the_executor_is_dropped_fails_what_waits():
    begun, go = threading.Event(), threading.Event()

    def initialize():
        begun.set()
        assert go.wait(PATIENCE)
        raise LookupError

    future = ThreadPoolExecutor(1, initializer=initialize).submit(int)
    assert begun.wait(PATIENCE)
    gc.collect()
    go.set()
    with pytest.raises(concurrent.futures.thread.BrokenThreadPool):
        future.result(PATIENCE)


def test_an_initializer_that_fails_during_shutdown_keeps_no_other_worker():
    begun, go = threading.Event(), threading.Event()
    first = threading.Event()

    def initialize():
        if first.is_set():
            begun.set()
            assert go.wait(PATIENCE)
            raise LookupError
        first.set()

    executor = ThreadPoolExecutor(2, initializer=initialize)
    busy = Busy(result=1)
    future = busy.submitted(executor)
    executor.submit(int)
    assert begun.wait(PATIENCE)
    executor.shutdown(wait=False)  # wakes nobody yet: both workers are at work
    broken = executor._threads - {busy.thread}
    go.set()
    for worker in broken:
        worker.join(PATIENCE)
    busy.go.set()
    assert future.result(PATIENCE) == 1
    busy.thread.join(PATIENCE)
    assert not busy.thread.is_alive()


def test_a_task_that_there_is_no_memory_for_has_failed(single, monkeypatch):
    assert single.submit(int).result(PATIENCE) == 0

    def no_memory():
        raise MemoryError

    monkeypatch.setattr(_future, "Scope", no_memory)
    with pytest.raises(MemoryError):
        single.submit(int).result(PATIENCE)
    monkeypatch.undo()
    assert single.submit(int).result(PATIENCE) == 0


def test_what_no_worker_can_be_started_for_is_not_submitted(pool, monkeypatch):
    busy, seen = Busy(result=1), []
    future = busy.submitted(pool)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            pool.submit(seen.append, "ran")
    busy.go.set()
    assert future.result(PATIENCE) == 1
    assert pool.submit(pow, 2, 2).result(PATIENCE) == 4
    assert seen == []


def test_a_future_that_somebody_else_has_ended_stays_so(single, caplog):
    busy = Busy()
    future = busy.submitted(single)
    future.set_result("theirs")
    assert future.cancel()  # its task is asked all the same
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        assert single.submit(threading.current_thread).result(PATIENCE) is busy.thread
    assert outcome(future) == "done"
    assert future.result() == "theirs"
    assert "InvalidStateError" in caplog.text

    waits = Busy()
    waits.submitted(single)
    future = single.submit(int)
    future.set_result("theirs")
    assert single.shutdown(cancel_futures=True, timeout=PATIENCE) is True
    assert future.result() == "theirs"


def test_a_callback_that_raises_ends_no_worker(single, caplog):
    def callback(_):
        raise SystemExit("callback")

    busy = Busy()
    future = busy.submitted(single)
    future.add_done_callback(callback)
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        busy.go.set()
        assert single.submit(threading.current_thread).result(PATIENCE) is busy.thread
    assert "Exception in worker" in caplog.text


# Stress. ------------------------------------------------------------------------------------------


class Failure(Exception):
    pass


class Stress:
    """Tasks of all kinds, cancelled at random; seed: 6.

    Invariant: every future is exactly one of done, cancelled and failed; a task is hit only by its
    own cancel; no worker is lost.
    """

    def __init__(self, count, workers):
        self.count, self.workers = count, workers
        self.asked = [False] * count
        self.wrong = []
        self.futures = []
        self.over = False

    def task(self, number):
        try:
            if number % 5 == 1:
                time.sleep(0.0001)
            elif number % 5 == 2:
                for _ in range(200):
                    pass
            elif number % 5 == 3:
                with defer_interruption:
                    for _ in range(50):
                        check_interrupt()
            elif number % 5 == 4:
                raise Failure(number)
        except ThreadExit:
            if not self.asked[number]:
                self.wrong.append(("hit", number))
            raise
        return number

    def cancel_at_random(self, seed):
        choose = seeded(seed)
        while not self.over:
            newest = len(self.futures)
            if newest:
                number = max(0, newest - 1 - choose.randrange(4 * self.workers))
                time.sleep(choose.choice([0, 0, 0.0001]))
                self.asked[number] = True
                self.futures[number].cancel()

    def check(self, number, future):
        kind = outcome(future)
        if kind == "cancelled":
            right = self.asked[number]
        elif kind == "failed":
            right = number % 5 == 4 and future.exception().args == (number,)
        else:
            right = number % 5 != 4 and future.result() == number
        if not right:
            self.wrong.append((kind, number))
        return kind

    def run(self):
        with ThreadPoolExecutor(self.workers) as executor:
            cancellers = [Started(lambda _, n=n: self.cancel_at_random(n)) for n in (6, 7)]
            for number in range(self.count):
                self.futures.append(executor.submit(self.task, number))
                if number % (4 * self.workers) == 0:
                    wait(self.futures[-self.workers :], PATIENCE)
            assert wait(self.futures, PATIENCE).not_done == set()
            self.over = True
            for canceller in cancellers:
                canceller.finish()
            threads = set(executor._threads)
            barrier = threading.Barrier(self.workers)
            for future in [executor.submit(barrier.wait, PATIENCE) for _ in range(self.workers)]:
                future.result(PATIENCE)
            assert executor._threads == threads
            assert len(threads) == self.workers
        return [self.check(number, future) for number, future in enumerate(self.futures)]


def test_tasks_cancelled_at_random():
    stress = Stress(scaled(5_000), 4)
    kinds = stress.run()
    assert stress.wrong == []
    assert set(kinds) == {"done", "cancelled", "failed"}

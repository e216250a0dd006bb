"""ThreadPoolExecutor: shutting down, being dropped, forks, and the interpreter's exit."""

# ruff: noqa: SLF001  (the standard executor's names)

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref
from concurrent.futures import wait

import pytest
from executor_parts import Busy, outcome
from interruption import (
    ThreadExit,
    ThreadPoolExecutor,
    allow_interruption,
    defer_interruption,
    interrupt,
    interruption_requested,
)
from support import HAS_GIL, PATIENCE, Started, expect_script, until

STANDARD = concurrent.futures.ThreadPoolExecutor


# Shutting down. -----------------------------------------------------------------------------------


def test_shutdown_with_a_timeout_interrupts_what_runs(pool):
    tasks = [Busy(), Busy()]
    futures = [task.submitted(pool) for task in tasks] + [pool.submit(int) for _ in range(3)]
    assert pool.shutdown(cancel_futures=True, timeout=PATIENCE) is True
    assert {outcome(future) for future in futures} == {"cancelled"}
    assert [task.seen for task in tasks] == [["asked", "cleaned up"]] * 2
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(int)


def test_shutdown_gives_up_when_the_time_is_up_and_can_be_called_again(single):
    begun, go = threading.Event(), threading.Event()

    @defer_interruption
    def task():
        begun.set()
        while not go.is_set():
            pass

    future = single.submit(task)
    assert begun.wait(PATIENCE)
    before = time.monotonic()
    assert single.shutdown(cancel_futures=True, timeout=0.05) is False
    assert time.monotonic() - before >= 0.05
    assert single.shutdown(wait=False, cancel_futures=True, timeout=5) is False
    assert future.running()
    go.set()
    assert single.shutdown(cancel_futures=True, timeout=float("inf")) is True
    assert outcome(future) == "done"  # it was whole


def test_shutdown_without_a_timeout_is_the_standard_one(single):
    busy = Busy(result=5)
    future = busy.submitted(single)
    pending = [single.submit(int) for _ in range(3)]
    assert single.shutdown(wait=False) is False
    waiting = Started(lambda _: wait(pending, PATIENCE).not_done)
    assert single.shutdown(wait=False, cancel_futures=True) is False
    assert waiting.finish() == set()  # who waits for what was cancelled is told
    assert {outcome(one) for one in pending} == {"cancelled"}
    assert future.running()
    assert single.shutdown(timeout=0.01) is False
    busy.go.set()
    assert single.shutdown() is True
    assert future.result(0) == 5


def test_a_task_that_shuts_down_is_not_interrupted_by_that(pool):
    other = Busy()
    cancelled = other.submitted(pool)

    def task():
        pool.shutdown(wait=False, cancel_futures=True, timeout=0)
        return [number for number in range(1000) if interruption_requested()]

    assert pool.submit(task).result(PATIENCE) == []
    wait([cancelled])
    assert outcome(cancelled) == "cancelled"


def test_who_is_asked_while_it_shuts_down_forgets_no_future(single):
    def callback(_):
        interrupt(threading.current_thread())
        time.sleep(0)  # where it could be raised

    busy = Busy()
    running = busy.submitted(single)
    pending = [single.submit(int) for _ in range(3)]
    for future in pending:
        future.add_done_callback(callback)

    def body(_):
        with allow_interruption:
            single.shutdown(wait=False, cancel_futures=True)
            pytest.fail("the request was lost")

    with pytest.raises(ThreadExit):  # when all are cancelled, not in a callback
        Started(body).finish()
    assert {outcome(future) for future in pending} == {"cancelled"}
    assert running.running()
    busy.go.set()
    assert running.result(PATIENCE) is None


def test_a_wrong_timeout_is_refused(single):
    with pytest.raises(ValueError, match="NaN"):
        single.shutdown(timeout=float("nan"))
    with pytest.raises(ValueError, match="timeout must be zero or more seconds"):
        single.shutdown(timeout=-1)
    for wrong in ("soon", "1", True):
        with pytest.raises(TypeError, match="timeout must be a number of seconds or None, not"):
            single.shutdown(timeout=wrong)
    assert single.submit(int).result(PATIENCE) == 0  # nothing has changed
    assert single.shutdown(timeout=1e300) is True


def test_map_that_ends_early_cancels_what_is_left(single):
    tasks = [Busy(), Busy()]
    results = single.map(lambda task: task(), tasks, timeout=0.01)
    assert tasks[0].started.wait(PATIENCE)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    assert single.submit(int).result(PATIENCE) == 0
    assert tasks[0].seen == ["asked", "cleaned up"]
    # It is cancelled a moment later, in which the worker may have begun it.
    assert tasks[1].seen == (tasks[0].seen if tasks[1].started.is_set() else [])


# Ends. --------------------------------------------------------------------------------------------


def test_an_executor_that_is_dropped_ends_its_workers():
    executor = ThreadPoolExecutor(2)
    assert executor.submit(int).result(PATIENCE) == 0
    (worker,) = executor._threads
    alive = weakref.ref(executor)
    del executor
    gc.collect()
    until(lambda: alive() is None)  # its worker looks at it after each task
    worker.join(PATIENCE)
    assert not worker.is_alive()


@pytest.mark.parametrize("how", ["done", "failed", "cancelled"])
def test_nothing_of_a_task_is_kept_alive(single, how):
    class Thing:
        pass

    begun = threading.Event()

    def task(thing):
        begun.set()
        if how == "failed":
            raise LookupError(repr(thing))
        while how == "cancelled":
            pass

    thing = Thing()
    alive = weakref.ref(thing)
    gc.collect()
    gc.disable()
    try:
        future = single.submit(task, thing)
        del thing
        assert begun.wait(PATIENCE)
        if how == "cancelled":
            future.cancel()
        wait([future])
        assert outcome(future) == how
        del future
        if not HAS_GIL:
            single.submit(int).result()  # who has made an object lets go of it while it runs
        until(lambda: alive() is None)  # the worker idles: no other task takes its place
    finally:
        gc.enable()


def test_the_interpreter_s_exit_waits_for_what_was_submitted():
    expect_script(
        """
        import threading, time
        from interruption import ThreadPoolExecutor

        said = threading.Event()

        def task(number):
            said.wait()
            time.sleep(0.05)
            print(number, flush=True)

        executor = ThreadPoolExecutor(1)
        for number in range(3):
            executor.submit(task, number)
        print("end", flush=True)
        said.set()
        """,
        stdout="end\n0\n1\n2\n",
    )


def test_a_request_to_all_lets_the_interpreter_exit():
    expect_script(
        """
        import threading
        from interruption import ThreadPoolExecutor, interrupt_all_threads

        begun = threading.Event()

        def task():
            try:
                begun.set()
                while True:
                    pass
            finally:
                print("cleaned up", flush=True)

        executor = ThreadPoolExecutor(1)
        futures = [executor.submit(task) for _ in range(3)]
        begun.wait()
        interrupt_all_threads(reason="exit")
        """,
        stdout="cleaned up\n",
    )


def test_submitting_at_exit_is_refused_as_ever():
    expect_script(
        """
        import threading
        from interruption import ThreadPoolExecutor

        def late():
            threading.main_thread().join()
            try:
                ThreadPoolExecutor(1).submit(int)
            except RuntimeError as error:
                print(error)

        ThreadPoolExecutor(1)
        threading.Thread(target=late).start()
        """,
        stdout="cannot schedule new futures after interpreter shutdown\n",
    )


def test_the_child_of_a_fork_has_an_executor_without_workers():  # S18
    expect_script(
        """
        import os, threading
        from interruption import ThreadPoolExecutor

        def in_child(executor, future):
            assert executor._threads == set()
            assert executor.submit(pow, 2, 3).result(60) == 8
            future.cancel()  # its thread is the parent's
            del future
            assert executor.shutdown() is True

        def forked(executor, future):
            pid = os.fork()
            if pid == 0:
                in_child(executor, future)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0

        begun, go = threading.Event(), threading.Event()

        def task():
            begun.set()
            go.wait()
            return "whole"

        executor = ThreadPoolExecutor(2)
        future = executor.submit(task)
        begun.wait()
        queued = executor.submit(int)
        forked(executor, future)                            # by another thread
        executor.submit(forked, executor, future).result()  # by a worker
        go.set()
        assert future.result() == "whole" and queued.result() == 0
        executor.shutdown()
        """
    )


def test_a_worker_that_forks_and_returns_ends_in_the_child():  # S18
    expect_script(
        """
        import os
        from interruption import ThreadPoolExecutor

        def fork():
            return os.fork()

        def task():
            print("ran in", "parent" if os.getpid() == parent else "child", flush=True)

        parent = os.getpid()
        with ThreadPoolExecutor(1) as executor:
            pid = executor.submit(fork)
            queued = executor.submit(task)
            assert os.waitpid(pid.result(), 0)[1] == 0
            queued.result()
        """,
        stdout="ran in parent\n",
    )


@pytest.mark.parametrize("then", ["leave the block", "go on to the exit"])
def test_a_worker_whose_start_a_signal_handler_breaks_off_ends_too(then):
    """It has started; who starts it does not come to say so."""
    expect_script(
        f"""
        import signal, sys, threading
        from interruption import ThreadPoolExecutor

        wait = threading.Event.wait

        def wait_and_be_told(self, timeout=None):  # as Thread.start() waits for the thread
            answer = wait(self, timeout)
            threading.Event.wait = wait
            signal.raise_signal(signal.SIGINT)
            return answer

        executor = ThreadPoolExecutor(4)
        try:
            threading.Event.wait = wait_and_be_told
            executor.submit(int)
        except KeyboardInterrupt:
            print("Ctrl-C")
        if {then == "leave the block"}:
            executor.shutdown()
            for thread in set(threading.enumerate()) - {{threading.main_thread()}}:
                thread.join()
        """,
        stdout="Ctrl-C\n",
    )


def test_a_worker_that_forks_ends_in_the_child_whatever_others_held_then():  # S18
    expect_script(
        """
        import os, threading
        from concurrent.futures import _base
        from interruption import ThreadPoolExecutor

        begun, go, has_forked = (threading.Event() for _ in range(3))
        os.register_at_fork(after_in_parent=has_forked.set)

        def fork():
            begun.set()
            go.wait()
            return os.fork()

        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(fork)
            begun.wait()
            (worker,) = executor._threads
            waiter = _base._AsCompletedWaiter()     # of as_completed()
            future._waiters.append(waiter)
            # As result(), as_completed() and shutdown() have them, each for a moment.
            with future._condition, waiter.lock, worker.ended._cond:
                go.set()
                has_forked.wait()
            assert os.waitpid(future.result(), 0)[1] == 0
            assert waiter.finished_futures == [future]
        """
    )


def test_a_worker_that_forks_takes_no_task_of_an_executor_that_was_dropped():  # S18
    expect_script(
        """
        import gc, os
        from interruption import ThreadPoolExecutor

        def fork():
            gc.collect()
            return os.fork()

        def task():
            print("ran in", "parent" if os.getpid() == parent else "child", flush=True)

        def submitted():
            executor = ThreadPoolExecutor(1)
            return executor.submit(fork), executor.submit(task)

        parent = os.getpid()
        pid, queued = submitted()
        assert os.waitpid(pid.result(), 0)[1] == 0
        queued.result()
        """,
        stdout="ran in parent\n",
    )


def test_asyncio_cancels_the_task_that_its_future_is_of():
    stopped = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = Busy(cleanup=stopped.set)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(None, busy), 0.05)
        return await asyncio.to_thread(interruption_requested)

    assert asyncio.run(main()) is False
    assert stopped.is_set()

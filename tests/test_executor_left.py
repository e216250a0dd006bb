"""ThreadPoolExecutor: left by an exception, or in a coroutine."""

# ruff: noqa: SLF001  (the standard executor's names)

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from chance import scaled, seeded
from executor_parts import Busy, outcome, start_waiting
from interruption import (
    ThreadExit,
    ThreadPoolExecutor,
    _executor,
    allow_interruption,
    interrupt,
    interruption_requested,
)
from support import PATIENCE, Started, expect_script, until, until_blocked

# Left by an exception. ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit, ThreadExit])
def test_left_by_an_exception_it_interrupts_what_runs_and_cancels_what_waits(error):  # S29
    running = [Busy(), Busy()]
    with pytest.raises(error), ThreadPoolExecutor(2) as executor:
        futures = [busy.submitted(executor) for busy in running]
        waiting = [executor.submit(pytest.fail, "run") for _ in range(5)]
        raise error
    assert [busy.seen for busy in running] == [["asked", "cleaned up"]] * 2
    assert {outcome(future) for future in futures + waiting} == {"cancelled"}
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


def test_left_by_an_exception_it_waits_for_cleanup_and_says_why():  # S8, S29
    told, ended = [], threading.Event()

    def task(started):
        try:
            started.set()
            time.sleep(3600)
        except ThreadExit as stop:
            told.append(stop.reason)
            time.sleep(0.05)
            ended.set()
            raise

    started = threading.Event()
    with pytest.raises(KeyError), ThreadPoolExecutor(1) as executor:
        executor.submit(task, started)
        assert started.wait(PATIENCE)
        raise KeyError
    assert ended.is_set()
    assert told == ["the executor was left by KeyError"]


def test_left_by_an_exception_an_initializer_is_interrupted():  # S29
    begun = threading.Event()

    def initialize():
        begun.set()
        time.sleep(3600)

    with pytest.raises(KeyError), ThreadPoolExecutor(1, initializer=initialize) as executor:
        future = executor.submit(int)
        assert begun.wait(PATIENCE)
        raise KeyError
    assert outcome(future) == "cancelled"


def test_it_waits_for_workers_that_have_left_it_already(monkeypatch):  # S29
    """As they were asked: they are not in the executor's list any more."""
    left, go = threading.Event(), threading.Event()
    original = _executor._Pool.leave

    def halt(pool):
        original(pool)
        left.set()
        assert go.wait(PATIENCE)

    monkeypatch.setattr(_executor._Pool, "leave", halt)

    class Own(ThreadPoolExecutor):
        def shutdown(self, **options):
            assert left.wait(PATIENCE)
            return super().shutdown(**options)

    def body(_):
        with pytest.raises(KeyError), Own(1) as executor:
            start_waiting(executor, time.sleep, 3600)
            raise KeyError

    leaver = Started(body)
    assert left.wait(PATIENCE)
    until_blocked(leaver.thread)
    assert leaver.thread.is_alive()
    go.set()
    leaver.finish()


def test_left_normally_it_waits_for_what_was_submitted():  # S29
    with ThreadPoolExecutor(1) as executor:
        futures = [executor.submit(time.sleep, 0.02) for _ in range(3)]
        last = executor.submit(interruption_requested)
    assert [outcome(future) for future in futures] == ["done"] * 3
    assert last.result(0) is False


def test_an_exception_while_it_waits_interrupts_what_runs():  # S29
    """Most often that is where Ctrl-C comes."""
    busy = Busy()

    def leave(started):
        with allow_interruption, ThreadPoolExecutor(1) as executor:
            future = busy.submitted(executor)
            started.returned = future
            started.ready.set()

    with pytest.raises(ThreadExit), Started(leave) as other:
        other.until_blocked()
        assert interrupt(other.thread)
        other.finish()
    assert busy.seen == ["asked", "cleaned up"]


def test_ctrl_c_ends_a_program_whose_tasks_block():  # S29
    expect_script(
        """
        import os, signal, sys, threading, time
        sys.path.insert(0, sys.argv[1])
        from interruption import ThreadPoolExecutor
        from support import until_blocked

        begun = threading.Semaphore(0)

        def task():
            try:
                begun.release()
                time.sleep(3600)
            finally:
                time.sleep(0.01)  # gh-90882: nobody waited for the first
                print("task", flush=True)

        def press():
            begun.acquire()
            begun.acquire()
            while "shut down" not in repr(executor):
                time.sleep(0.001)
            until_blocked(threading.main_thread())
            os.kill(os.getpid(), signal.SIGINT)

        try:
            with ThreadPoolExecutor(2) as executor:
                for _ in range(5):
                    executor.submit(task)
                threading.Thread(target=press, daemon=True).start()
        except KeyboardInterrupt:
            print("pressed", flush=True)
        """,
        str(Path(__file__).parent),
        stdout="task\ntask\npressed\n",
    )


def test_who_insists_waits_no_longer():
    """A second exception, while it waits for a cleanup that takes its time."""
    hold, cleaning = threading.Event(), threading.Event()

    def clean():
        cleaning.set()
        hold.wait(PATIENCE)

    busy = Busy(cleanup=clean)

    def leave(started):
        with allow_interruption, ThreadPoolExecutor(1) as executor:
            busy.submitted(executor)
            started.ready.set()
            while True:
                pass

    with Started(leave) as other:
        assert interrupt(other.thread)
        assert cleaning.wait(PATIENCE)
        other.until_blocked()
        assert interrupt(other.thread)
        with pytest.raises(ThreadExit):
            other.finish()
    assert "cleaned up" not in busy.seen
    hold.set()
    until(lambda: not busy.thread.is_alive())


def test_a_subclass_with_a_shutdown_of_its_own_is_left_as_ever():
    calls = []

    class Own(ThreadPoolExecutor):
        def shutdown(self, wait=True):  # noqa: FBT002
            calls.append(wait)
            return super().shutdown(wait)

    busy = Busy()
    with pytest.raises(KeyError), Own(1) as executor:
        future = busy.submitted(executor)
        raise KeyError
    assert calls == [True]
    assert outcome(future) == "cancelled"


def test_one_in_a_task_of_another_is_left_by_the_same_interruption():  # S29
    inner_tasks = [Busy(), Busy()]

    def task():
        with ThreadPoolExecutor(2) as inner:
            for busy in inner_tasks:
                busy.submitted(inner)

    with pytest.raises(KeyError), ThreadPoolExecutor(1) as outer:
        future = outer.submit(task)
        for busy in inner_tasks:
            assert busy.started.wait(PATIENCE)
        raise KeyError
    assert outcome(future) == "cancelled"
    assert [busy.seen for busy in inner_tasks] == [["asked", "cleaned up"]] * 2


def test_a_generator_that_is_closed_leaves_it_by_an_exception():  # S29
    def generator(busy):
        with ThreadPoolExecutor(1) as executor:
            yield busy.submitted(executor)

    items = generator(Busy())
    future = next(items)
    items.close()
    assert outcome(future) == "cancelled"


def test_shutdown_interrupts_what_runs_if_it_is_told_so(single):  # S29
    first = Busy()
    future = first.submitted(single)
    waiting = single.submit(pow, 2, 3)
    assert single.shutdown(cancel_running=True) is True
    assert (outcome(future), waiting.result(0)) == ("cancelled", 8)


def test_shutdown_without_waiting_interrupts_at_once(single):  # S29
    future = start_waiting(single, time.sleep, 3600)
    waiting = single.submit(int)
    single.shutdown(wait=False, cancel_futures=True, cancel_running=True)
    assert single.shutdown() is True
    assert (outcome(future), outcome(waiting)) == ("cancelled", "cancelled")


def test_shutdown_with_a_timeout_may_leave_alone_what_runs(single):
    busy = Busy(result=1)
    future = busy.submitted(single)
    assert single.shutdown(cancel_futures=True, cancel_running=False, timeout=0.01) is False
    busy.go.set()
    assert future.result(PATIENCE) == 1
    assert "asked" not in busy.seen


# In a coroutine. ----------------------------------------------------------------------------------


def say_and_sleep(running):
    running.set()
    time.sleep(3600)


def test_left_in_a_coroutine_cancelled_calls_are_stopped():  # S29
    """The event loop could pass the cancel on only when the block is left."""

    async def main():
        loop = asyncio.get_running_loop()
        running, queued = threading.Event(), []
        with ThreadPoolExecutor(1) as executor:
            first = loop.run_in_executor(executor, say_and_sleep, running)
            queued = [loop.run_in_executor(executor, time.sleep, 3600) for _ in range(3)]
            kept = loop.run_in_executor(executor, pow, 2, 3)
            while not running.is_set():
                await asyncio.sleep(0)
            for future in (first, *queued):
                future.cancel()
        await asyncio.sleep(0)
        return first.cancelled(), await kept

    assert asyncio.run(main()) == (True, 8)


async def awaited(call):
    return await call


@pytest.mark.parametrize("how", ["task", "gather", "wait", "timeout"])
def test_left_in_a_coroutine_what_asyncio_itself_cancels_is_stopped(how):  # S29
    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(3) as executor:
            calls = [loop.run_in_executor(executor, say_and_sleep, event) for event in running]
            while not all(event.is_set() for event in running):
                await asyncio.sleep(0)
            if how == "task":
                calls = [asyncio.create_task(awaited(call)) for call in calls]
                await asyncio.sleep(0)
                for task in calls:
                    task.cancel()
            elif how == "gather":
                asyncio.gather(*calls, return_exceptions=True).cancel()
            elif how == "wait":
                _, pending = await asyncio.wait(calls, timeout=0)
                for call in pending:
                    call.cancel()
            else:
                for call in calls:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(call, 0.001)
        return [await asyncio.wait([call]) and call.cancelled() for call in calls]

    running = [threading.Event() for _ in range(3)]
    assert asyncio.run(main()) == [True] * 3


def test_a_cancelled_coroutine_leaves_it_by_an_exception():  # S29
    stopped = threading.Event()

    async def call():
        busy = Busy(cleanup=stopped.set)
        with ThreadPoolExecutor(1) as executor:
            await asyncio.get_running_loop().run_in_executor(executor, busy)

    async def main():
        task = asyncio.create_task(call())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert stopped.is_set()


def test_left_in_a_coroutine_what_is_not_cancelled_is_done():
    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as executor:
            future = loop.run_in_executor(executor, interruption_requested)
            others = executor.submit(interruption_requested)
        assert others.result(0) is False
        return await future

    assert asyncio.run(main()) is False


def test_a_call_that_is_cancelled_in_another_loop_is_left_to_that_one():
    """It passes the cancel on by itself; done twice it would insist."""

    async def shut_down(executor):
        return executor.shutdown(timeout=0.01)

    busy = Busy()
    other = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as executor:
        wrapped = asyncio.wrap_future(busy.submitted(executor), loop=other)
        wrapped.cancel()
        assert asyncio.run(shut_down(executor)) is False
        assert busy.seen == []
        other.run_until_complete(asyncio.sleep(0))
        until(lambda: busy.seen == ["asked", "cleaned up"])
    other.close()


# What it looks like. ------------------------------------------------------------------------------


def test_it_shows_what_it_has_to_do():
    with ThreadPoolExecutor(2, "mine") as executor:
        assert repr(executor) == (
            "<ThreadPoolExecutor 'mine': 0 of 0 workers at work (at most 2), 0 tasks in the queue>"
        )
        running = [Busy(), Busy()]
        for busy in running:
            busy.submitted(executor)
        executor.submit(int)
        assert "2 of 2 workers at work (at most 2), 1 tasks in the queue>" in repr(executor)
        for busy in running:
            busy.go.set()
    assert repr(executor).endswith("0 tasks in the queue, shut down>")


# At random. ---------------------------------------------------------------------------------------


def test_nobody_is_left_and_nothing_torn_whenever_the_block_is_left():  # S29
    """Each task that began has cleaned up, each future has one outcome, no worker lives on."""
    choose = seeded("left", anew=True)

    def task(what, log):
        log.append("in")
        try:
            if what == "waits":
                threading.Event().wait()
            while what == "runs":
                pass
            if what == "fails":
                raise OSError
            return what
        finally:
            log.append("out")

    for turn in range(scaled(300)):
        log, futures = [], []
        whats = [choose.choice(["waits", "runs", "fails", "returns"]) for _ in range(8)]
        with pytest.raises(KeyError), ThreadPoolExecutor(choose.randrange(1, 5)) as executor:
            futures = [executor.submit(task, what, log) for what in whats]
            for future in futures:
                if choose.random() < 0.2:
                    future.cancel(choose.choice([None, KeyError]))
            time.sleep(choose.random() * 0.002)
            workers = set(executor._threads)
            raise KeyError
        assert log.count("in") == log.count("out"), turn
        for what, future in zip(whats, futures, strict=True):
            expected = {"cancelled", {"fails": "failed", "returns": "done"}.get(what, "cancelled")}
            assert outcome(future) in expected, (turn, what)
        assert not any(worker.is_alive() for worker in workers), turn

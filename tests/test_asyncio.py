"""interruption.asyncio: functions in threads whose task is cancelled (S29)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref

import interruption.asyncio
import pytest
from chance import scaled
from interruption import ThreadExit, ThreadPoolExecutor, defer_interruption, interrupt
from interruption.asyncio import to_thread
from support import PATIENCE, expect_script, until, until_blocked
from to_thread_parts import BODIES, Work, is_set, one_that_swallows, sleep, spin

MOST_THREADS = 32  # of an executor that is not told how many


@pytest.fixture(autouse=True)
def _no_threads_are_left():
    """They end with their loop, when that is collected; other tests count the threads."""
    yield
    for thread in threads():
        interrupt(thread)
        thread.join(PATIENCE)


def threads():
    names = ("to_thread", "overdue")
    return {each for each in threading.enumerate() if each.name.startswith(names)}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_cancelling_stops_the_function_and_waits_for_its_cleanup(body):
    async def main():
        gate = threading.Event()
        work = Work(body, cleanup=lambda: gate.wait(PATIENCE))
        task = asyncio.create_task(to_thread(work))
        await is_set(work.begun, asyncio.sleep)
        task.cancel("enough")
        await is_set(work.cleans, asyncio.sleep)
        await asyncio.sleep(0)
        assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert work.log == ["clean"]
        assert work.reason == "enough"

    asyncio.run(main())


def test_it_is_asyncios_otherwise():
    variable = contextvars.ContextVar("variable", default=0)

    def function(*args, **kwargs):
        seen = variable.get()
        variable.set(2)
        return seen, args, kwargs

    def fails():
        raise KeyError("mine")

    async def main():
        variable.set(1)
        assert await to_thread(function, 1, x=2) == (1, (1,), {"x": 2})
        assert variable.get() == 1
        with pytest.raises(KeyError, match="mine"):
            await to_thread(fails)
        assert await to_thread(function, func=1) == (1, (), {"func": 1})
        with pytest.raises(TypeError, match="func"):
            await to_thread()

    asyncio.run(main())


def test_what_is_cancelled_without_a_message_says_why():
    async def main():
        work = Work(spin)
        task = asyncio.create_task(to_thread(work))
        await is_set(work.begun, asyncio.sleep)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.reason == "its task has been cancelled"

    asyncio.run(main())


def test_a_timeout_is_a_timeout_and_counts_right():
    async def main():
        task = asyncio.current_task()
        work = Work(spin)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await to_thread(work)
        assert work.log == ["clean"] or not work.begun.is_set()
        assert task.cancelling() == 0
        work = Work(sleep)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(to_thread(work), 0.02)
        assert work.log == ["clean"] or not work.begun.is_set()
        assert task.cancelling() == 0

    asyncio.run(main())


def test_a_timeout_around_a_timeout_that_cleans_up():
    """The outer one is the second cancel: it breaks off the cleanup, and is what comes out."""

    async def main():
        work = Work(spin, cleanup=sleep)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE) as outer:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE) as inner:
                        asyncio.get_running_loop().create_task(reschedule(work, inner, outer))
                        await to_thread(work)
        assert outer.expired()
        assert asyncio.current_task().cancelling() == 0

    async def reschedule(work, inner, outer):
        now = asyncio.get_running_loop().time()
        await is_set(work.begun, asyncio.sleep)
        inner.reschedule(now)
        await is_set(work.cleans, asyncio.sleep)
        until_blocked(work.thread)
        outer.reschedule(now)

    asyncio.run(main())


def test_a_second_cancel_breaks_off_a_wait_of_the_cleanup():
    async def main():
        work = Work(spin, cleanup=sleep)
        task = asyncio.create_task(to_thread(work))
        await is_set(work.begun, asyncio.sleep)
        task.cancel()
        await is_set(work.cleans, asyncio.sleep)
        until_blocked(work.thread)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 2
        assert work.log == []

    asyncio.run(main())


def test_what_is_queued_never_runs():
    ran = []

    async def main():
        gate = threading.Event()
        busy = [asyncio.create_task(to_thread(gate.wait)) for _ in range(MOST_THREADS)]
        queued = asyncio.create_task(to_thread(ran.append, 1))
        await asyncio.sleep(0)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        gate.set()
        await asyncio.gather(*busy)
        await to_thread(int)

    asyncio.run(main())
    assert ran == []


def test_a_group_stops_its_other_functions():
    async def main():
        work = Work(spin)

        async def fails():
            await is_set(work.begun, asyncio.sleep)
            raise ValueError("x")

        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as group:
                group.create_task(to_thread(work))
                group.create_task(fails())
        assert [type(error) for error in raised.value.exceptions] == [ValueError]
        assert work.log == ["clean"]

    asyncio.run(main())


def test_a_shielded_call_goes_on():
    async def main():
        gate = threading.Event()
        work = Work(gate.wait)
        inner = asyncio.create_task(to_thread(work))
        outer = asyncio.create_task(_awaits(asyncio.shield(inner)))
        await is_set(work.begun, asyncio.sleep)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        gate.set()
        assert await inner is True

    asyncio.run(main())


async def _awaits(what):
    return await what


def test_a_function_in_a_shield_is_left_to_the_shields_end():
    async def main():
        gate = threading.Event()
        ended = []

        def function():
            with defer_interruption:
                begun.set()
                gate.wait()
                ended.append(1)
            ended.append(2)

        begun = threading.Event()
        task = asyncio.create_task(to_thread(function))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]

    asyncio.run(main())


def test_a_value_that_comes_after_the_cancel_is_dropped_and_an_error_is_not():
    def swallows(then):
        try:
            begun.set()
            spin()
        except ThreadExit:
            return then()

    async def cancelled(then):
        begun.clear()
        task = asyncio.create_task(to_thread(swallows, then))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        return await task

    def fails():
        raise OSError("the cleanup has failed")

    begun = threading.Event()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled(int))
    with pytest.raises(OSError, match="the cleanup has failed"):
        asyncio.run(cancelled(fails))


def test_a_function_that_swallows_it_is_reported_by_its_name(monkeypatch, caplog):
    monkeypatch.setattr(interruption.asyncio, "report_after", 0.02)
    swallows, begun, go, said = one_that_swallows()

    async def main():
        task = asyncio.create_task(to_thread(swallows))
        await is_set(begun, asyncio.sleep)
        task.cancel("enough")
        while not caplog.records:
            await asyncio.sleep(0.001)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    asyncio.run(main())
    (record,) = caplog.records
    assert record.name == "interruption.asyncio"
    assert f"{said}enough)" in record.getMessage()
    assert "go.wait()" in record.getMessage()


def test_a_thread_that_somebody_else_asks_cancels_its_call_only():
    async def main():
        work = Work(spin)
        task = asyncio.create_task(to_thread(work))
        await is_set(work.begun, asyncio.sleep)
        interrupt(work.thread)
        with pytest.raises(asyncio.CancelledError, match="its thread has been asked to stop"):
            await task
        assert await to_thread(lambda: 7) == 7

    asyncio.run(main())


def test_a_coroutine_that_is_closed_asks_and_does_not_wait():
    async def main():
        work = Work(spin)
        coroutine = to_thread(work)
        coroutine.send(None)
        await is_set(work.begun, asyncio.sleep)
        coroutine.close()
        while not work.log:
            await asyncio.sleep(0.001)
        assert work.reason == "nobody awaits it any more"

    asyncio.run(main())


def test_cancels_that_race_with_the_result_hit_nobody_else():
    async def main():
        outcomes = {"value": 0, "cancelled": 0}
        for number in range(scaled(5000)):
            task = asyncio.create_task(to_thread(lambda: 7))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
            try:
                assert await task == 7
                outcomes["value"] += 1
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1
            assert await to_thread(lambda: 8) == 8
        assert outcomes["cancelled"] > 0

    asyncio.run(main())


def test_loops_leave_no_threads_and_no_cycles():
    async def main():
        await to_thread(int)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(to_thread(spin), 0.01)

        class Mine(Exception):
            pass

        def fails():
            raise Mine

        try:
            await to_thread(fails)
        except Mine as error:
            return weakref.ref(error), threads()

    gc.disable()
    try:
        error, workers = asyncio.run(main())
        until(lambda: error() is None)  # its thread may be in the middle of letting it go
    finally:
        gc.enable()
    assert workers
    gc.collect()  # the loop; asyncio has cycles of its own
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()


def test_ctrl_c_in_asyncio_run_stops_the_function():
    expect_script(
        """
        import asyncio, signal, threading
        from interruption.asyncio import to_thread

        begun = threading.Event()

        def work():
            try:
                begun.set()
                while True:
                    pass
            finally:
                print("clean")

        async def main():
            task = asyncio.create_task(to_thread(work))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            signal.raise_signal(signal.SIGINT)
            await task

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        """,
        stdout="clean\nKeyboardInterrupt\n",
    )


def test_under_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def main():
        work = Work(spin)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await to_thread(work)
        return await to_thread(lambda: 7)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == 7


def test_run_in_executor_stops_the_function_and_does_not_wait_for_it():
    async def main():
        gate = threading.Event()
        work = Work(spin, cleanup=gate.wait)
        with ThreadPoolExecutor() as executor:
            future = asyncio.get_running_loop().run_in_executor(executor, work)
            await is_set(work.begun, asyncio.sleep)
            future.cancel("enough")
            with pytest.raises(asyncio.CancelledError):
                await future
            await is_set(work.cleans, asyncio.sleep)
            assert work.log == []
            gate.set()
        assert work.log == ["clean"]

    asyncio.run(main())

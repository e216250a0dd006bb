"""interruption.trio.to_thread and interruption.anyio.to_thread: cancelling stops the function."""

from __future__ import annotations

import contextvars
import gc
import threading
import types
import weakref

import pytest
from chance import scaled
from interruption import ThreadExit, defer_interruption, interrupt, move_on_after
from support import PATIENCE, expect_script, until, until_blocked
from to_thread_parts import BODIES, Work, is_set, one_that_swallows, sleep, spin

KINDS = ["trio", "anyio on asyncio", "anyio on trio"]


@pytest.fixture(params=KINDS)
def kind(request) -> types.SimpleNamespace:
    """The names that Trio and anyio share, and those that they do not."""
    library, _, backend = request.param.partition(" on ")
    for name in filter(None, (library, backend)):
        pytest.importorskip(name)
    if library == "trio":
        import trio as lib
        from interruption.trio import to_thread

        run, group = lib.run, lib.open_nursery
    else:
        import anyio as lib
        from interruption.anyio import to_thread

        def run(main):
            return lib.run(main, backend=backend)

        group = lib.create_task_group
    return types.SimpleNamespace(
        name=request.param, lib=lib, run=run, group=group, module=to_thread,
        run_sync=to_thread.run_sync,
    )  # fmt: skip


@pytest.fixture
def own_threads():
    """The frameworks' idle threads end by themselves, some time."""
    return ("Trio thread", "trio.", "AnyIO worker thread", "None from", "_Call from")


class Cancellable:
    """A call in a task and a scope of its own, and what came of it."""

    def __init__(self, kind, function, *args, **options):
        self.kind = kind
        self.scope = kind.lib.CancelScope()
        self.outcome = "not over"
        self._call = (function, args, options)

    async def run(self):
        function, args, options = self._call
        with self.scope:
            try:
                self.outcome = await self.kind.run_sync(function, *args, **options)
            except Exception as error:  # noqa: BLE001  (looked at)
                self.outcome = error
            await self.kind.lib.sleep(0)
            return
        self.outcome = ("cancelled", self.outcome)

    @property
    def cancelled(self):
        return self.outcome == ("cancelled", "not over")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_cancelling_stops_the_function_and_waits_for_its_cleanup(kind, body):
    async def main():
        gate = threading.Event()
        work = Work(body, cleanup=lambda: gate.wait(PATIENCE))
        call = Cancellable(kind, work)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(work.begun, kind.lib.sleep)
            call.scope.cancel()
            await is_set(work.cleans, kind.lib.sleep)
            await kind.lib.sleep(0)
            assert call.outcome == "not over"
            gate.set()
        assert call.cancelled
        assert work.log == ["clean"]
        assert "cancel" in work.reason

    kind.run(main)


def test_values_errors_and_context(kind):
    variable = contextvars.ContextVar("variable", default="unset")

    def fails():
        raise OSError("of the function's own")

    def looks():
        found, _ = variable.get(), variable.set("inner")
        return found

    async def main():
        assert await kind.run_sync(lambda *args: args, 1, 2) == (1, 2)
        with pytest.raises(OSError, match="of the function's own"):
            await kind.run_sync(fails)
        variable.set("outer")
        assert await kind.run_sync(looks) == "outer"
        assert variable.get() == "outer"
        with pytest.raises(RuntimeError, match="has been asked to stop"):  # never ThreadExit
            await kind.run_sync(lambda: (_ for _ in ()).throw(ThreadExit))

    kind.run(main)


def test_the_function_is_told_the_reason(kind):
    async def main():
        work = Work(spin)
        call = Cancellable(kind, work)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(work.begun, kind.lib.sleep)
            if kind.name == "trio":
                call.scope.cancel(reason="nobody wants it")
            else:
                call.scope.cancel("nobody wants it")
        assert work.reason == "nobody wants it"

    kind.run(main)


def test_a_deadline_stops_it(kind):
    async def main():
        work = Work(spin)
        with kind.lib.move_on_after(0.02) as scope:
            await kind.run_sync(work)
        assert scope.cancelled_caught
        assert work.log == ["clean"] or not work.begun.is_set()

    kind.run(main)


def test_a_shielded_call_goes_on(kind):
    async def main():
        gate = threading.Event()
        work = Work(gate.wait)

        async def shielded():
            with kind.lib.CancelScope(shield=True):
                results.append(await kind.run_sync(work))

        results = []
        async with kind.group() as group:
            group.start_soon(shielded)
            await is_set(work.begun, kind.lib.sleep)
            group.cancel_scope.cancel()
            gate.set()
        assert results == [True]
        assert work.log == ["clean"]

    kind.run(main)


def test_a_function_in_a_shield_is_left_to_the_shields_end(kind):
    async def main():
        begun, gate, ended = threading.Event(), threading.Event(), []

        def function():
            with defer_interruption:
                begun.set()
                gate.wait()
                ended.append(1)
            ended.append(2)

        call = Cancellable(kind, function)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(begun, kind.lib.sleep)
            call.scope.cancel()
            await kind.lib.sleep(0.01)
            assert call.outcome == "not over"
            gate.set()
        assert call.cancelled
        assert ended == [1]

    kind.run(main)


def test_what_comes_after_the_cancel_comes_out(kind):
    def swallows(then):
        try:
            begun.set()
            spin()
        except ThreadExit:
            return then()

    def fails():
        raise OSError("the cleanup has failed")

    async def cancelled(then):
        begun.clear()
        call = Cancellable(kind, swallows, then)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(begun, kind.lib.sleep)
            call.scope.cancel()
        assert call.outcome[0] == "cancelled"  # by the next checkpoint
        return call.outcome[1]

    begun = threading.Event()
    assert kind.run(lambda: cancelled(lambda: 7)) == 7
    assert str(kind.run(lambda: cancelled(fails))) == "the cleanup has failed"


def test_what_is_queued_is_cancelled_at_once_and_a_place_is_kept_to_the_end(kind):
    async def main():
        limiter = kind.lib.CapacityLimiter(1)
        gate = threading.Event()
        work = Work(spin, cleanup=gate.wait)
        first = Cancellable(kind, work, limiter=limiter)
        ran = []
        second = Cancellable(kind, ran.append, 1, limiter=limiter)
        async with kind.group() as group:
            group.start_soon(first.run)
            await is_set(work.begun, kind.lib.sleep)
            group.start_soon(second.run)
            while not limiter.statistics().tasks_waiting:
                await kind.lib.sleep(0)
            second.scope.cancel()
            while second.outcome == "not over":
                await kind.lib.sleep(0)
            first.scope.cancel()
            await is_set(work.cleans, kind.lib.sleep)
            assert limiter.borrowed_tokens == 1
            gate.set()
        assert first.cancelled
        assert second.cancelled
        assert limiter.borrowed_tokens == 0
        assert ran == []

    kind.run(main)


def test_the_loop_can_be_called_from_the_thread(kind):
    async def add(one, other):
        await kind.lib.sleep(0)
        return one + other

    def calls():
        from_thread = kind.lib.from_thread
        from_thread.check_cancelled()
        return from_thread.run(add, 1, 2), from_thread.run_sync(lambda: 4)

    def calls_in_cleanup():
        try:
            begun.set()
            spin()
        finally:
            found.append(calls_without_looking())
            with pytest.raises(BaseException, match=r"(?i)cancel"):
                kind.lib.from_thread.check_cancelled()

    def calls_without_looking():
        return kind.lib.from_thread.run_sync(lambda: 4)

    async def main():
        assert await kind.run_sync(calls) == (3, 4)
        call = Cancellable(kind, calls_in_cleanup)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(begun, kind.lib.sleep)
            call.scope.cancel()
        assert call.cancelled
        assert found == [4]

    begun, found = threading.Event(), []
    kind.run(main)


def test_a_function_that_waits_for_the_loop_is_stopped(kind):
    async def waits():
        begun.set()
        try:
            await kind.lib.sleep(PATIENCE)
        finally:
            ended.append(1)

    async def main():
        work = Work(lambda: kind.lib.from_thread.run(waits))
        call = Cancellable(kind, work)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(begun, kind.lib.sleep)
            call.scope.cancel()
        assert work.log == ["clean"]
        while kind.name == "anyio on asyncio" and not ended:
            await kind.lib.sleep(0)

    begun, ended = threading.Event(), []
    kind.run(main)
    assert ended


def test_an_abandoned_function_is_asked_and_not_waited_for(kind):
    async def main():
        gate = threading.Event()
        work = Work(spin, cleanup=gate.wait)
        call = Cancellable(kind, work, abandon_on_cancel=True)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(work.begun, kind.lib.sleep)
            call.scope.cancel()
        assert call.cancelled
        assert work.log == []
        gate.set()
        while not work.log:
            await kind.lib.sleep(0.001)

    kind.run(main)


@pytest.mark.parametrize("abandon", [False, True])
def test_one_that_swallows_it_is_reported_by_its_name(kind, abandon, monkeypatch, caplog):
    monkeypatch.setattr(kind.module, "report_after", 0.02)
    swallows, begun, go, said = one_that_swallows()

    async def main():
        call = Cancellable(kind, swallows, abandon_on_cancel=abandon)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(begun, kind.lib.sleep)
            call.scope.cancel()
            while not caplog.records:
                await kind.lib.sleep(0.001)
            go.set()

    kind.run(main)
    (record,) = caplog.records
    assert record.name == kind.module.__name__
    assert said in record.getMessage()
    assert "go.wait()" in record.getMessage()


def test_a_thread_that_somebody_else_asks_fails_its_call_only(kind):
    async def main():
        work = Work(spin)
        call = Cancellable(kind, work)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(work.begun, kind.lib.sleep)
            interrupt(work.thread, reason="of somebody")
        assert isinstance(call.outcome, RuntimeError)
        assert call.outcome.__cause__.reason == "of somebody"
        assert work.reason == "of somebody"
        thread = await kind.run_sync(threading.current_thread)
        assert thread is work.thread

    kind.run(main)


def test_a_limit_of_its_own_ends_a_cleanup_that_hangs(kind):
    def cleanup():
        with move_on_after(0.01):
            sleep()

    async def main():
        work = Work(spin, cleanup=cleanup)
        call = Cancellable(kind, work)
        async with kind.group() as group:
            group.start_soon(call.run)
            await is_set(work.begun, kind.lib.sleep)
            call.scope.cancel()
        assert call.cancelled
        assert work.log == ["clean"]

    kind.run(main)


def test_cancels_that_race_with_the_result_hit_nobody_else(kind):
    async def main():
        outcomes = {"value": 0, "cancelled": 0}
        for number in range(scaled(3000)):
            call = Cancellable(kind, lambda: 7)
            async with kind.group() as group:
                group.start_soon(call.run)
                for _ in range(number % 9):
                    await kind.lib.sleep(0)
                call.scope.cancel()
            outcomes["cancelled" if call.cancelled else "value"] += 1
            assert call.cancelled or call.outcome in (7, ("cancelled", 7))
            assert await kind.run_sync(lambda: 8) == 8
        assert outcomes["cancelled"] > 0

    kind.run(main)


def test_nothing_is_left_to_the_garbage_collector(kind):
    async def main():
        await kind.run_sync(int)

        class Mine(Exception):
            pass

        def fails():
            raise Mine

        try:
            await kind.run_sync(fails)
        except Mine as error:
            return weakref.ref(error)

    gc.disable()
    try:
        error = kind.run(main)
        until(lambda: error() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize("then", ["raise", "return"])
def test_ctrl_c_stops_the_function_and_is_not_lost(kind, then):
    library, _, backend = kind.name.partition(" on ")
    run = f"run(main, backend={backend!r})" if backend else "run(main)"
    expect_script(
        f"""
        import signal, threading
        import {library} as lib
        from interruption.{library} import to_thread

        begun, cleans = threading.Event(), threading.Event()

        def work():
            try:
                begun.set()
                while True:
                    pass
            except BaseException:
                {then}
            finally:
                print("clean")

        async def ask():
            while not begun.is_set():
                await lib.sleep(0.001)
            signal.raise_signal(signal.SIGINT)

        async def main():
            start = lib.open_nursery if hasattr(lib, "open_nursery") else lib.create_task_group
            async with start() as group:
                group.start_soon(ask)
                await to_thread.run_sync(work)

        try:
            lib.{run}
        except* KeyboardInterrupt:
            print("KeyboardInterrupt")
        """,
        stdout="clean\nKeyboardInterrupt\n",
    )


def test_trio_names_the_thread_and_refuses_coroutine_functions():
    trio = pytest.importorskip("trio")
    from interruption.trio.to_thread import current_default_thread_limiter, run_sync

    def named():
        return threading.current_thread().name

    async def is_async():
        pass

    async def main():
        assert (await run_sync(named)).startswith("named from ")
        assert await run_sync(named, thread_name="mine") == "mine"
        with pytest.raises(TypeError, match=r"is_async. appears to be asynchronous"):
            await run_sync(is_async)
        assert current_default_thread_limiter().borrowed_tokens == 0

    trio.run(main)


def test_a_second_cancel_of_asyncios_own_breaks_off_a_wait_of_the_cleanup():
    anyio = pytest.importorskip("anyio")
    import asyncio

    from interruption.anyio.to_thread import run_sync

    async def main():
        work = Work(spin, cleanup=sleep)
        task = asyncio.create_task(run_sync(work))
        await is_set(work.begun, asyncio.sleep)
        task.cancel()
        await is_set(work.cleans, asyncio.sleep)
        until_blocked(work.thread)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.log == []
        # What is raised once is not dropped for a value.
        begun = threading.Event()
        task = asyncio.create_task(run_sync(swallows, begun))
        await is_set(begun, asyncio.sleep)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.warns(DeprecationWarning, match="cancellable"):
            assert await run_sync(int, cancellable=True) == 0

    def swallows(begun):
        try:
            begun.set()
            spin()
        except ThreadExit:
            return 7

    anyio.run(main)


def test_a_second_ctrl_c_breaks_off_a_wait_of_the_cleanup_on_trio():
    pytest.importorskip("trio")
    expect_script(
        """
        import os, signal, sys, threading, time, trio
        sys.path.insert(0, sys.argv[1])
        from interruption.trio import to_thread
        from support import until_blocked

        class Job:
            begun, cleans = threading.Event(), threading.Event()

        def work():
            Job.thread = threading.current_thread()
            try:
                Job.begun.set()
                while True:
                    pass
            finally:
                Job.cleans.set()
                time.sleep(3600)

        def ask():
            Job.begun.wait()
            os.kill(os.getpid(), signal.SIGINT)
            Job.cleans.wait()
            until_blocked(Job.thread)
            os.kill(os.getpid(), signal.SIGINT)

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            trio.run(to_thread.run_sync, work)
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        asker.join()
        """,
        str(__import__("pathlib").Path(__file__).parents[1]),
        stdout="KeyboardInterrupt\n",
    )


def test_ctrl_c_is_not_lost_for_a_function_that_returns_on_trio():
    pytest.importorskip("trio")
    expect_script(
        """
        import os, signal, threading, trio
        from interruption.trio import to_thread

        begun = threading.Event()

        def work():
            try:
                begun.set()
                while True:
                    pass
            except BaseException:
                return 7

        def ask():
            begun.wait()
            os.kill(os.getpid(), signal.SIGINT)

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            print(trio.run(to_thread.run_sync, work))
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        asker.join()
        """,
        stdout="KeyboardInterrupt\n",
    )

"""interrupt_on_signal() beside asyncio (S30): tasks are cancelled, its threads asked."""

from __future__ import annotations

import signal

import pytest
from on_signal_parts import run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_coroutine_under_asyncio_is_cancelled(number):
    """Where the signal comes between two of its steps, also while other tasks run."""
    status, said, told = run(f"""
        import asyncio
        interrupt_on_signal()
        start()
        async def tick():
            try:
                while True:
                    await asyncio.sleep(0)
            finally:
                say("tick finally")
        async def main():
            task = asyncio.create_task(tick())
            await asyncio.sleep(0.01)
            kill({int(number)})
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                say("cancelled")
                raise
        asyncio.run(main())
    """)
    assert status == -number, told
    assert sorted(said) == sorted(
        ["cancelled", "tick finally", f"stopped by {signal.Signals(number).name}"]
    )
    assert ("KeyboardInterrupt" in told) == (number == signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_coroutine_that_does_not_stop_gets_the_second(number):
    status, _, _ = run(f"""
        import asyncio
        interrupt_on_signal()
        async def main():
            while True:
                try:
                    kill({int(number)})
                    for _ in range(10):
                        await asyncio.sleep(60)
                except asyncio.CancelledError:
                    say("no")
        asyncio.run(main())
    """)
    assert status == -number


def test_a_thread_of_asyncio_is_asked():
    status, said, _ = run("""
        import asyncio
        interrupt_on_signal()
        async def main():
            task = asyncio.create_task(asyncio.to_thread(work))
            while not begun.acquire(blocking=False):
                await asyncio.sleep(0.001)
            kill()
            await task
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    assert (status, said) == (-15, ["stopped by SIGTERM"])


def test_handlers_of_an_event_loop_are_called_whoever_came_first():
    assert run("""
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            stop = asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            with interrupt_on_signal(signal.SIGTERM):
                worker = start()
                kill()
                await stop.wait()
                worker.join()
            loop.remove_signal_handler(signal.SIGTERM)
        asyncio.run(main())
    """) == (0, ["stopped by SIGTERM"], "")


@pytest.mark.parametrize("then", ["the end", "more"])
def test_a_signal_in_the_last_step_lets_the_loop_be_shut_down(then):  # S30
    """A server raises again, at its end, what it has handled: all that asyncio still does is done,
    and the main thread is stopped behind it.
    """
    status, said, told = run(f"""
        import asyncio
        interrupt_on_signal(timeout=10)
        generators = []
        async def ticks():
            try:
                yield
            finally:
                await asyncio.sleep(0)
                say("generator closed")
        async def serve():
            await asyncio.to_thread(int)
            generators.append(ticks())
            await anext(generators[0])
            caught = []
            before = signal.signal(signal.SIGTERM, lambda *_: caught.append(1))
            kill()
            while not caught:
                await asyncio.sleep(0)
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)
            return "served"
        say(asyncio.run(serve()))
        if {then!r} == "more":
            try:
                time.sleep(60)
            except SignalExit:
                say("stopped")
                raise
    """)
    expected = ["generator closed", "served", "stopped"][: 2 + (then == "more")]
    assert (status, said, told) == (-15, expected, "")


def test_tasks_that_end_all_the_time_do_not_keep_it():
    status, said, told = run("""
        import asyncio
        interrupt_on_signal()
        async def nothing():
            pass
        async def main():
            try:
                kill()
                while True:
                    await asyncio.gather(*(asyncio.create_task(nothing()) for _ in range(3)))
            finally:
                say("finally")
        asyncio.run(main())
    """)
    assert (status, said, told) == (-15, ["finally"], "")


def test_the_loop_is_run_again():
    """By the program, not to be shut down: the exception is not lost."""
    status, said, _ = run("""
        import asyncio
        interrupt_on_signal()
        async def last():
            signal.raise_signal(signal.SIGTERM)
        async def more():
            try:
                await asyncio.sleep(60)
            finally:
                say("finally")
        with asyncio.Runner() as runner:
            runner.run(last())
            runner.run(more())
    """)
    assert (status, said) == (-15, ["finally"])

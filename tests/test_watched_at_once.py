"""S9: what the standard library's code calls through C is watched when a request comes.

When a thread is asked in an event loop, no code of the program's is on its stack, or only far out;
what runs next is called by C code, which is given a task's step, a future's wake-up, a partial. The
scripts ask in such a moment, with the re-arm timer ended: what is not watched at
once, is not interrupted.
"""

import pytest
from support import expect_script

COMMON = """
    import asyncio
    import functools
    import logging
    import threading

    import interruption._interruption
    from interruption import ThreadExit, allow_interruption, interrupt

    interruption._interruption._stop_rearming()
    logging.getLogger("asyncio").disabled = True  # nobody asks for the interrupted task's result
    turns = 0

    def turn():
        "At most a hundred, so that the script ends."
        global turns
        turns += 1
        return turns < 100

    def ask_soon():
        "Between two steps: the innermost frame is the event loop's, which calls this C function."
        global turns
        turns = 0
        asyncio.get_running_loop().call_soon(interrupt, threading.get_ident())

    async def sleeper():
        while turn():
            await asyncio.sleep(0)
"""

RUN = """
    async def run():
        task = asyncio.create_task(main())
        for _ in range(5):
            await asyncio.sleep(0)  # all of its code has been entered then
        ask_soon()
        await task

    try:
        with allow_interruption:
            asyncio.run(run())
    except ThreadExit:
        assert turns <= 2, turns  # of the one that asked, and of the one after
    else:
        raise AssertionError("not interrupted")
"""

MAINS = {
    "a task's step": "main = sleeper",
    "what a task awaits": """
    async def middle():
        await sleeper()

    async def main():
        await middle()
    """,
    "another task": """
    async def main():
        await asyncio.wait([asyncio.create_task(sleeper())])
    """,
    "a future's wake-up": """
    async def main():
        loop = asyncio.get_running_loop()
        while turn():
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future
    """,
    "a generator that is awaited": """
    class Awaitable:
        def __await__(self):
            while turn():
                yield

    async def main():
        await Awaitable()
    """,
    "a callback": """
    def again(loop, done):
        if turn():
            loop.call_soon(again, loop, done)
        else:
            done.set_result(None)

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        again(loop, done)
        await done
    """,
    "a partial": """
    def again(loop, done):
        if turn():
            loop.call_soon(functools.partial(again, loop, done))
        else:
            done.set_result(None)

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        again(loop, done)
        await done
    """,
    "an object that is callable": """
    class Again:
        def __init__(self):
            self.loop = asyncio.get_running_loop()
            self.done = self.loop.create_future()

        def __call__(self):
            if turn():
                self.loop.call_soon(self)
            else:
                self.done.set_result(None)

    async def main():
        again = Again()
        again()
        await again.done
    """,
}


@pytest.mark.parametrize("main", MAINS.values(), ids=MAINS)
def test_an_event_loop_is_interrupted_at_its_next_turn(main):  # S9
    expect_script(COMMON + "\n    " + main + RUN)


def test_a_task_in_python_is_too():  # S9
    factory = """
    def factory(loop, coroutine, **options):
        return asyncio.tasks._PyTask(coroutine, loop=loop, **options)

    async def middle():
        await sleeper()

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.create_task(middle())
    """
    expect_script(COMMON + factory + RUN)


def test_what_a_method_in_c_is_bound_to_is_watched():  # S9
    """Other event loops call the ``send`` of a coroutine; so does this scheduler."""
    script = """
    import sched

    def inner():
        while turn():
            yield

    def outer():
        yield from inner()

    scheduler = sched.scheduler(delayfunc=abs)
    resume = outer().send
    resume(None)
    try:
        with allow_interruption:
            scheduler.enterabs(0, 0, interrupt, (threading.get_ident(),))
            for number in range(1, 50):
                scheduler.enterabs(0, number, resume, (None,))
            scheduler.run()
    except ThreadExit:
        assert turns <= 2, turns
    else:
        raise AssertionError("not interrupted")
    """
    expect_script(COMMON + script)

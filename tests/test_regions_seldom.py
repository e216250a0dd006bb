"""S9, S18, S21 where several things come together: forks, suspended generators, requests."""

from __future__ import annotations

import asyncio
import os
import textwrap
import threading
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest
from interruption import ThreadExit, allow_interruption, interrupt
from support import PATIENCE, Started, expect_script, in_thread

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


# Suspended. ---------------------------------------------------------------------------------------


def inner(go_on: Callable[[], bool]) -> Generator[str]:
    yield "begun"
    while go_on():
        pass
    yield "not interrupted"


@types.coroutine
def step() -> Generator[str]:
    yield "begun"


async def inner_coroutine(go_on: Callable[[], bool]) -> None:
    await step()
    while go_on():
        pass


def outer(go_on: Callable[[], bool]) -> Generator[str]:
    with allow_interruption:
        yield from inner(go_on)


async def outer_coroutine(go_on: Callable[[], bool]) -> None:
    with allow_interruption:
        await inner_coroutine(go_on)


@pytest.mark.parametrize("kind", [outer, outer_coroutine])
@pytest.mark.parametrize("asked", ["before it is resumed", "while it runs"])
def test_who_is_resumed_deep_in_a_region_is_interrupted_there(kind: Any, asked: str) -> None:
    """S21: asked while it is suspended, when nothing is open; it is raised where the code goes on,
    in what the owner of the region waits for. Not in who resumes it."""

    def body() -> str:
        rounds = 0

        def go_on() -> bool:
            nonlocal rounds
            rounds += 1
            if asked == "while it runs" and rounds == 10:
                interrupt(threading.current_thread())
            return rounds < 1_000_000

        running = kind(go_on)
        assert running.send(None) == "begun"
        if asked == "before it is resumed":
            interrupt(threading.current_thread())
        for _ in range(1000):  # nothing is open here
            pass
        try:
            running.send(None)
        except ThreadExit as error:
            traceback = error.__traceback__
            names = []
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            assert "inner" in names[-1] or names[-1] == "go_on"
            assert rounds < 1_000_000
            return "raised"
        return "not raised"

    assert in_thread(body) == "raised"


def test_a_decorated_async_generator_may_have_nothing_to_give() -> None:  # S14
    @allow_interruption
    async def nothing(values: list[int]) -> AsyncGenerator[int]:
        for value in values:
            yield value

    async def collected(values: list[int]) -> list[int]:
        return [value async for value in nothing(values)]

    assert asyncio.run(collected([])) == []
    assert asyncio.run(collected([1, 2])) == [1, 2]


def test_a_generator_may_outlive_the_thread_that_entered_its_region() -> None:  # S21
    """Its blocks are over with that thread. To leave them in another is an error, which changes
    nothing there."""

    def suspended() -> Generator[str]:
        with allow_interruption:
            yield "in it"

    kept = [suspended() for _ in range(20)]  # more than a thread has room for at first
    in_thread(lambda: [next(each) for each in kept])
    for each in kept:
        with pytest.raises(RuntimeError):
            each.close()

    def body() -> str:
        with allow_interruption:
            interrupt(threading.current_thread())
            while True:
                pass

    with pytest.raises(ThreadExit):
        in_thread(body)


class Waits:
    """Waits in `__del__`, where an exception would come to nothing."""

    def __init__(self, started: Started, ended: list[bool]) -> None:
        self.started = started
        self.ended = ended

    def __del__(self) -> None:
        self.started.ready.set()
        self.ended.append(wait_for(self.started.go))


def wait_for(event: threading.Event) -> bool:
    return event.wait(PATIENCE)


def test_a_wait_in_a_del_is_not_interrupted() -> None:  # S9, S10
    ended: list[bool] = []

    def body(started: Started) -> None:
        with allow_interruption:
            held = [Waits(started, ended)]
            held.clear()
            while True:
                pass

    waiting = Started(body).until_blocked()
    interrupt(waiting.thread)
    waiting.until_blocked()
    with pytest.raises(ThreadExit):
        waiting.finish()
    assert ended == [True]


# Forked. ------------------------------------------------------------------------------------------


# Does the interpreter tell us of that code? From 3.12 on one can look.
ARMED = """
    import sys

    def is_armed(code):
        monitoring = getattr(sys, "monitoring", None)
        return monitoring is not None and any(
            monitoring.get_tool(number) == "interruption"
            and monitoring.get_local_events(number, code) != 0
            for number in range(6)
        )
"""


@needs_fork
def test_a_fork_in_a_finally_leaves_the_request_to_the_parent() -> None:  # S18, S9
    """The thread was about to be interrupted, which waits for the end of the `finally`."""
    expect_script(
        textwrap.dedent(ARMED)
        + textwrap.dedent("""
        import os, threading
        from interruption import *

        def body():
            child = None
            try:
                with allow_interruption:
                    try:
                        threading.get_ident()
                    finally:
                        interrupt(threading.current_thread())
                        assert is_armed(body.__code__) == (sys.version_info >= (3, 12))
                        child = os.fork()
                        if child == 0:
                            asked = interruption_requested() or is_armed(body.__code__)
                    for _ in range(100_000):
                        pass
            except ThreadExit:
                asked = True
            if child == 0:
                os._exit(1 if asked else 0)
            assert asked
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print("done")

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """),
        stdout="done\n",
    )


KEPT = textwrap.dedent("""
    import ctypes, os, threading
    from interruption import *

    state_dictionary = ctypes.pythonapi.PyThreadState_GetDict
    state_dictionary.restype = ctypes.c_void_p
    keep = ctypes.pythonapi.Py_IncRef
    keep.argtypes = [ctypes.c_void_p]

    def wait(ready, region):
        with region:
            ready.release()
            go.wait()
            ready.release()

    def wait_and_be_kept(ready, region):
        keep(state_dictionary())
        wait(ready, region)

    def start(region, *bodies):
        threads = [threading.Thread(target=body, args=(ready, region)) for body in bodies]
        for thread in threads:
            thread.start()
            ready.acquire()
        return threads

    go = threading.Event()
    ready = threading.Semaphore(0)
""")


@needs_fork
def test_a_child_knows_no_thread_of_its_parent_whose_dictionary_is_kept() -> None:  # S18
    """By that dictionary one learns that a thread is over; a C library may keep it. The threads
    have been asked, and wait where only statements are interrupted."""
    expect_script(
        KEPT
        + textwrap.dedent(ARMED)
        + textwrap.dedent("""
        statements = allow_interruption(io_interrupt=False)
        threads = start(statements, wait, wait_and_be_kept, wait_and_be_kept, wait)
        for thread in threads:
            interrupt(thread)
        assert is_armed(wait.__code__) == (sys.version_info >= (3, 12))
        child = os.fork()
        if child == 0:
            alone = not is_armed(wait.__code__) and interrupt_all_threads() == 0
            raised = False
            try:
                with allow_interruption:
                    interrupt(threading.current_thread())
                    while True:
                        pass
            except ThreadExit:
                raised = True
            clear_interrupt()
            [new] = start(allow_interruption, wait)
            interrupt(new)
            new.join()
            os._exit(0 if alone and raised else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go.set()
        for thread in threads:
            thread.join()
        assert not ready.acquire(blocking=False)  # nobody has come past the wait
        print("done")
        """),
        stdout="done\n",
    )


def test_a_thread_whose_dictionary_is_kept_can_be_asked_no_more() -> None:  # S1
    expect_script(
        KEPT
        + textwrap.dedent("""
        threads = start(allow_interruption, wait, wait_and_be_kept, wait_and_be_kept, wait)
        for thread in threads:
            assert interrupt(thread)
        for thread in threads:
            thread.join()
            assert not interrupt(thread)
        assert interrupt_all_threads() == 0
        print("done")
        """),
        stdout="done\n",
    )

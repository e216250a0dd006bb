"""S9: a request that waits keeps nothing alive: no frame, no local, no code object.

Somebody looks at the thread again and again meanwhile. What the thread leaves is gone at the moment
at which it would have gone without a request.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref

import pytest
from delivery_parts import ask_myself
from interruption import ThreadExit, allow_interruption
from support import HAS_GIL, in_thread

LOOKS = 0.1  # seconds, in which the thread is looked at several times


class Value:
    pass


def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def while_a_request_waits(body):
    """What ``body()`` returns, called with a request that a lock keeps waiting."""

    def in_region():
        lock = threading.Lock()
        with pytest.raises(ThreadExit), allow_interruption:
            with lock:
                ask_myself()
                busy(0.005)  # to be looked at more than once
                result.append(body())
            busy(60)

    result = []
    in_thread(in_region)
    return result[0]


def handle(kept, seconds):
    value = Value()
    kept.append(weakref.ref(value))
    busy(seconds)


def alive(kept):
    return sum(reference() is not None for reference in kept)


def test_locals_go_when_their_function_returns():  # S9
    def body():
        kept = []
        found = []
        until = time.monotonic() + LOOKS
        while time.monotonic() < until:
            handle(kept, 0.003)
            found.append(alive(kept))
        return found

    assert set(while_a_request_waits(body)) == {0}


def test_locals_go_when_their_function_raises():  # S9
    def raises(kept):
        handle(kept, 0)
        value = Value()
        kept.append(weakref.ref(value))
        busy(0.003)
        raise ValueError

    def body():
        kept, found = [], []
        until = time.monotonic() + LOOKS
        while time.monotonic() < until:
            try:
                raises(kept)
            except ValueError:
                pass
            found.append(alive(kept))
        return found

    assert set(while_a_request_waits(body)) == {0}


def generator(kept, closed):
    value = Value()
    kept.append(weakref.ref(value))
    try:
        while True:
            busy(0.003)
            yield
    finally:
        closed.append(True)


def test_a_generator_that_is_dropped_is_closed_at_once():  # S9
    def body():
        kept, found = [], []
        until = time.monotonic() + LOOKS
        while time.monotonic() < until:
            closed = []
            made = generator(kept, closed)
            next(made)
            next(made)
            del made
            found.append((closed, alive(kept)))
        return found

    found = while_a_request_waits(body)
    assert all(item == ([True], 0) for item in found)


def test_a_finished_coroutine_keeps_nothing():  # S9
    async def step(kept):
        value = Value()
        kept.append(weakref.ref(value))
        busy(0.003)
        await asyncio.sleep(0)

    async def steps():
        kept, found = [], []
        for _ in range(20):
            await step(kept)
            found.append(alive(kept))
        return found

    assert set(while_a_request_waits(lambda: asyncio.run(steps()))) == {0}


def test_an_async_generator_that_is_dropped_goes_at_once():  # S9
    async def agenerator(kept):
        value = Value()
        kept.append(weakref.ref(value))
        busy(0.003)
        yield

    def body():
        kept, found = [], []
        for _ in range(20):
            made = agenerator(kept)
            with pytest.raises(StopIteration):
                made.asend(None).send(None)
            del made
            found.append(alive(kept))
        return found

    assert set(while_a_request_waits(body)) == {0}


@pytest.mark.skipif(
    not HAS_GIL and sys.version_info < (3, 14), reason="threads make code that is never freed"
)
def test_code_that_is_run_once_goes():  # S9
    def body():
        kept = []
        for number in range(300):
            names = {}
            exec(f"def function():\n    return {number}\nfunction()\n", names)  # noqa: S102
            kept.append(weakref.ref(names.pop("function").__code__))
        gc.collect()
        return alive(kept)

    assert while_a_request_waits(body) == 0


def test_code_that_goes_and_comes_again_is_armed_again():  # S9
    """Another code object has the address of one that was armed and is gone."""

    def loop_in_new_code():
        names = {"busy": busy}
        for number in range(200):
            exec(f"def function():\n    return {number}\nfunction()\n", names)  # noqa: S102
        return names

    def body():
        loop_in_new_code()
        return True

    for _ in range(5):
        assert while_a_request_waits(body)

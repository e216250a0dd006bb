"""Generators and coroutines that Cython has compiled: S21 holds of them, too."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    interrupt,
)
from support import PATIENCE, Started, in_thread

pytest.importorskip("Cython")
pytest.importorskip("setuptools")
SOURCE = Path(__file__).with_name("compiled_generators.pyx")
SETUP = """
from Cython.Build import cythonize
from setuptools import setup
setup(name="compiled", ext_modules=cythonize("compiled_generators.pyx", quiet=True))
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    (folder / SOURCE.name).write_bytes(SOURCE.read_bytes())
    (folder / "setup.py").write_text(SETUP)
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace"]
    environment = {**os.environ, "CFLAGS": "-O1 -w"}
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("compiled_generators")
    finally:
        sys.path.remove(str(folder))


def endless():
    while True:
        pass


@pytest.fixture(params=["generator", "outer", "by_a_stack", "by_hand"])
def make(request, compiled):
    return getattr(compiled, request.param)


def test_a_suspended_generators_region_opens_nothing(make):  # S21
    def body():
        values = make(allow_interruption, statements)
        next(values)
        ask_myself("for the generator")
        statements()  # the consumer is in no region
        time.sleep(0)
        with pytest.raises(ThreadExit) as caught:
            next(values)
        statements()
        return caught.value.reason

    assert in_thread(body) == "for the generator"


def test_a_suspended_generators_shield_shields_nothing(make):  # S21
    def body():
        values = make(defer_interruption, statements)
        next(values)
        with pytest.raises(ThreadExit):
            with allow_interruption:
                ask_myself()
                statements()
        values.close()
        ask_myself()
        statements()
        return "raised"

    assert in_thread(body) == "raised"


def test_a_generators_shield_holds_while_it_runs(make):  # S12, S21
    def body():
        values = make(defer_interruption, lambda: [ask_myself(), statements()])
        with pytest.raises(ThreadExit):
            with allow_interruption:
                next(values)
                assert next(values) == 2
                statements()
        values.close()
        return "raised"

    assert in_thread(body) == "raised"


def test_generators_may_be_left_in_any_order(make, compiled):  # S21
    def body():
        with allow_interruption:
            first = make(allow_interruption, statements)
            second = compiled.generator(defer_interruption, statements)
            third = make(allow_interruption, statements)
            for values in (first, second, third):
                next(values)
            for values in (first, third, second):
                values.close()
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_the_same_block_in_the_consumer_and_in_the_generator(make):  # S21
    def body():
        values = make(allow_interruption, statements)
        with allow_interruption:
            next(values)
            with allow_interruption:
                assert next(values) == 2
            assert list(values) == []
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


@pytest.mark.parametrize("name", ["region", "shield"])
def test_through_a_compiled_context_manager_it_lasts_until_its_exit(compiled, name):  # S21
    def body():
        manager = getattr(compiled, name)
        if name == "region":
            with pytest.raises(ThreadExit):
                with manager():
                    ask_myself()
                    statements()
            return "raised"
        with pytest.raises(ThreadExit):
            with allow_interruption:
                with manager():
                    ask_myself()
                    statements()
                    went.append("on")
                went.append("too far")
        return went

    went: list[str] = []
    assert in_thread(body) == ("raised" if name == "region" else ["on"])


def test_a_context_manager_in_a_compiled_generator(compiled):  # S21
    @contextlib.contextmanager
    def plain():
        with allow_interruption:
            yield

    def body():
        values = compiled.of(plain, statements)
        next(values)
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            next(values)
        return "raised"

    assert in_thread(body) == "raised"


def test_a_function_keeps_its_block_like_any_other(compiled):  # S9
    def body():
        with pytest.raises(ThreadExit):
            compiled.function(allow_interruption, lambda: [ask_myself(), statements()])
        statements()
        clear_interrupt()
        ask_myself()
        statements()
        return "raised"

    assert in_thread(body) == "raised"


def test_a_blocking_call_of_a_compiled_generator_is_woken(compiled):  # S10, S21
    def body(started):
        def work():
            started.ready.set()
            time.sleep(PATIENCE)

        values = compiled.generator(allow_interruption, work)
        next(values)
        with pytest.raises(ThreadExit):
            next(values)
        return "woken"

    started = Started(body).until_blocked()
    interrupt(started.thread)
    assert started.finish() == "woken"


def test_python_and_compiled_generators_in_turn(compiled):  # S21
    def plain(work):
        with allow_interruption:
            yield 1
            work()
            yield 2

    def body():
        values = compiled.outer(allow_interruption, lambda: next(inner))
        inner = plain(statements)
        assert next(values) == 1
        assert next(inner) == 1
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            next(values)
        return "raised"

    assert in_thread(body) == "raised"


def test_a_region_in_a_compiled_coroutine_does_not_leak_into_the_loop(compiled):  # S21
    async def main():
        release = asyncio.Event()
        task = asyncio.create_task(compiled.coroutine(allow_interruption, release.wait(), endless))
        await asyncio.sleep(0)
        ask_myself("for the task")
        statements()
        await asyncio.sleep(0)
        release.set()
        await task

    def body():
        with pytest.raises(ThreadExit) as caught:
            asyncio.run(main())
        return caught.value.reason

    assert in_thread(body) == "for the task"


def test_a_region_in_a_compiled_asynchronous_generator(compiled):  # S21
    async def main():
        values = compiled.asynchronous(allow_interruption, asyncio.sleep(0), statements)
        assert await anext(values) == 1
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            await anext(values)
        return "raised"

    assert in_thread(lambda: asyncio.run(main())) == "raised"


def test_coroutines_that_take_turns(compiled):  # S21
    async def main():
        gate = asyncio.Event()
        blocks = [allow_interruption, defer_interruption] * 10
        tasks = [
            asyncio.create_task(compiled.coroutine(block, gate.wait(), statements))
            for block in blocks
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        ask_myself()
        statements()
        return "ran"

    assert in_thread(lambda: asyncio.run(main())) == "ran"


def test_a_dropped_generator_leaves_its_block(make):  # S21
    def body():
        values = make(allow_interruption, statements)
        next(values)
        del values
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_left_in_another_thread_is_an_error(compiled):  # S21
    values = compiled.generator(allow_interruption, statements)

    def left():
        with pytest.raises(RuntimeError, match="greenlet, that has entered it"):
            values.close()

    def body():
        next(values)
        thread = threading.Thread(target=left)
        thread.start()
        thread.join()
        return "left"

    assert in_thread(body) == "left"

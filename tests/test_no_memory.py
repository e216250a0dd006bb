"""One allocation after the other fails: MemoryError, or it works; and afterwards all works (S20).

The blocking calls are tried in test_blocking_faults.py. Each operation is tried in threads that
have not used the library before, and in children of a fork: an allocation fails once in each.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocking_calls.base import FREE_THREADED
from chance import scaled
from support import PATIENCE, Started, run_script

pytestmark = [
    pytest.mark.skipif(
        hasattr(sys, "gettotalrefcount") and sys.version_info >= (3, 14),
        reason="a debug build asserts, in its own comprehensions, that there is memory",
    ),
    pytest.mark.skipif(FREE_THREADED, reason="its allocators cannot be exchanged meanwhile"),
    pytest.mark.skipif(
        (3, 12) <= sys.version_info < (3, 14),
        reason="without memory it crashes by itself, where it makes a function",
    ),
    pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="no _testcapi"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"),
]

MOST = 3000  # allocations, one after the other
FOR_EVER = 0  # where failures stop, for _testcapi
VAIN = 25  # so many in a row that came to nothing: the operation has fewer


@contextlib.contextmanager
def failing(count: int, stop: int | None = None) -> Iterator[None]:
    """The allocation after so many fails, whoever makes it, or all of them up to another."""
    import _testcapi

    restore = _testcapi.remove_mem_hooks
    _testcapi.set_nomemory(count, count + 1 if stop is None else stop)
    try:
        yield
    finally:
        restore()


LOOPS = """
def loops(region, ask):
    with region:
        ask()
        for _ in range(1000):
            try:
                len("")
            finally:
                len("")
    return "not raised"
"""


def rest(say: Callable[[], object], take: Callable[[], object], give: Callable[[], object]) -> None:
    """What the other threads do. Once it has said so it allocates nothing: it takes no failure."""
    say()
    take()
    give()


class Tools:
    """What an operation needs, made while there is memory."""

    def __init__(self) -> None:
        import interruption

        self.api = interruption
        self.me = threading.current_thread()
        self.gate, said = threading.Lock(), threading.Lock()
        self.gate.acquire()
        said.acquire()
        steps = said.release, self.gate.acquire, self.gate.release
        self.others = [threading.Thread(target=rest, args=steps, daemon=True) for _ in range(3)]
        for other in self.others:
            other.start()
            said.acquire()
        names: dict[str, Any] = {}
        exec(compile(LOOPS, "fresh", "exec"), names)  # noqa: S102  (code that nobody has seen)
        self.loops = names["loops"]
        self.lock = threading.RLock()

    def ask(self) -> None:
        self.api.interrupt(self.me)

    def generator(self) -> Iterator[int]:
        with self.api.allow_interruption:
            yield 1

    def close(self) -> None:
        self.gate.release()
        for other in self.others:
            other.join(PATIENCE)


def look(tools: Tools) -> None:
    assert not tools.api.interruption_requested()
    tools.api.check_interrupt()
    assert not tools.api.clear_interrupt()


def ask_with_reason(tools: Tools) -> None:
    assert tools.api.interrupt(tools.me, reason="why")
    assert tools.api.interruption_requested()
    with contextlib.suppress(tools.api.ThreadExit):
        tools.api.check_interrupt()


def ask_by_ident(tools: Tools) -> None:
    tools.api.interrupt(threading.get_ident(), KeyboardInterrupt)


def ask_others(tools: Tools) -> None:
    for other in tools.others:
        assert tools.api.interrupt(other, reason="why")


def ask_all(tools: Tools) -> None:
    assert tools.api.interrupt_all_threads(reason="why") >= len(tools.others)


def regions(tools: Tools) -> None:
    with tools.api.allow_interruption, tools.api.defer_interruption:
        with tools.api.allow_interruption(io_interrupt=False), tools.lock:
            with tools.api.allow_interruption(async_interrupt=False):
                pass


def generators(tools: Tools) -> None:
    running = [tools.generator() for _ in range(20)]
    for each in running:
        next(each)
    for each in running:
        each.close()


def deliver(tools: Tools) -> None:
    """It may also be that nothing is raised: what has no memory to look waits on."""
    with contextlib.suppress(tools.api.ThreadExit):
        tools.loops(tools.api.allow_interruption, tools.ask)


def decorated(tools: Tools) -> None:
    region = tools.api.allow_interruption
    assert region(abs)(-1) == 1
    assert next(region(tools.generator)()) == 1


def wait(tools: Tools) -> None:
    assert not tools.api.wait_for_interruption(0)
    assert tools.api.interruption_fd() >= 0


def explain(tools: Tools) -> None:
    for other in tools.others:
        assert tools.api.explain(other)
    with tools.api.allow_interruption, tools.lock:
        assert tools.api.explain(tools.me)


def protect(tools: Tools) -> None:
    tools.api.protect("of.nobody", missing_ok=True)
    tools.api.unprotect("of.nobody")


def callback(tools: Tools) -> None:
    with tools.api.on_interrupt(tools.ask):
        pass


def limits(tools: Tools) -> None:
    limit = tools.api.timeout(1000)
    with limit, tools.api.move_on_after(1000, shield=True), tools.api.timeout_at(math.inf):
        with tools.lock, tools.api.timeout(1000), tools.api.timeout(1000), tools.lock:
            assert limit.reschedule(tools.api.current_deadline() + 1000)
            assert not limit.expired()


def scopes(tools: Tools) -> None:
    with tools.api.Scope() as scope, tools.api.Scope(), tools.api.defer_interruption:
        assert scope.interrupt(reason="why")


def limit_function(tools: Tools) -> None:
    assert tools.api.timeout(1000)(abs)(-1) == 1


def switch(tools: Tools) -> None:
    tools.api.blocking.disable()
    tools.api.blocking.enable()
    assert tools.api.blocking.status().enabled


OPERATIONS: list[Callable[[Tools], None]] = [
    look,
    ask_with_reason,
    ask_by_ident,
    ask_others,
    ask_all,
    regions,
    generators,
    deliver,
    decorated,
    wait,
    explain,
    protect,
    callback,
    limits,
    scopes,
    limit_function,
    switch,
]


def check(tools: Tools) -> None:
    """All is as it should be, in the thread that had no memory."""
    tools.api.clear_interrupt()
    tools.api.blocking.enable()
    with tools.api.defer_interruption:
        pass
    try:
        tools.loops(tools.api.allow_interruption, tools.ask)
    except tools.api.ThreadExit:
        tools.api.clear_interrupt()
    else:
        raise AssertionError("it is not interrupted any more")
    with tools.api.allow_interruption:
        pass
    assert not tools.api.interruption_requested()
    assert tools.api.current_deadline() == math.inf
    order = []
    with tools.api.move_on_after(0) as limit:
        tools.loops(limit, list)
        order.append("not stopped")
    assert limit.expired()
    assert order == []


def tried(operation: Callable[[Tools], None], count: int) -> bool:
    """Try it in a thread of its own. Was there a MemoryError?"""
    results: list[Any] = []
    begin, over = threading.Lock(), threading.Lock()
    begin.acquire()
    over.acquire()

    def body() -> None:
        tools = Tools()
        begin.acquire()
        try:
            with failing(count):
                operation(tools)
            results.append(False)
        except MemoryError:
            results.append(True)
        except SystemError as error:  # of CPython up to 3.11, where it calls a function
            assert str(error) == "error return without exception set"  # noqa: PT017
            assert sys.version_info < (3, 12)
            results.append(True)
        finally:
            over.release()
        check(tools)
        results.append("checked")
        tools.close()

    thread = threading.Thread(target=body)
    thread.start()
    let_go, wait_for_it = begin.release, over.acquire
    let_go()  # from here on we allocate nothing: the failure is not for us
    wait_for_it()
    thread.join(PATIENCE)
    assert results[1:] == ["checked"], (operation.__name__, count, results)
    return bool(results[0])


def each_in_threads(name: str, step: int) -> None:
    import interruption

    for each in interruption.__all__:  # what imports a module, which Python itself fails to read
        getattr(interruption, each)
    with interruption.allow_interruption:  # all that is done once is done
        interruption.timeout(1)(abs)
    operation = next(each for each in OPERATIONS if each.__name__ == name)
    vain = 0
    for count in range(sys.version_info.minor % step, MOST, step):
        vain = 0 if tried(operation, count) else vain + 1
        if vain == VAIN // step:
            break
    print("done")  # noqa: T201


def run(call: str) -> None:
    folder = str(Path(__file__).parent)
    source = f"import sys; sys.path.insert(0, {folder!r}); import test_no_memory as it; it.{call}"
    result = run_script(source)
    # Without memory CPython itself may have something to say on stderr.
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
def test_without_memory_it_says_so_and_works_afterwards(
    operation: Any, percent: int
) -> None:  # S20
    run(f"each_in_threads({operation.__name__!r}, {100 // percent})")


# What is done once in a process. ------------------------------------------------------------------


def import_it() -> None:
    pass


def first_region() -> None:
    from interruption import allow_interruption

    with allow_interruption:
        pass


def each_in_children(name: str, step: int) -> None:
    if name == "first_region":
        import interruption

        del interruption
    operation = {"import_it": import_it, "first_region": first_region}[name]
    vain = 0
    for count in range(sys.version_info.minor % step, MOST, step):
        child = os.fork()
        if child == 0:
            os._exit(of_a_child(operation, count))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 7), (name, count, status)
        vain = 0 if status == 7 else vain + 1
        if vain == VAIN:
            break
    print("done")  # noqa: T201


def of_a_child(operation: Callable[[], None], count: int) -> int:
    """7: it had no memory, and said so. Then it works at the second attempt."""
    try:
        with failing(count):
            operation()
        failed = 0
    except (MemoryError, ImportError):
        failed = 7
    try:
        operation()
        tools = Tools()
        check(tools)
        tools.close()
    except BaseException:  # noqa: BLE001  (a test has failed)
        import traceback

        traceback.print_exc()
        return 1
    return failed


@pytest.mark.parametrize("name", ["import_it", "first_region"])
def test_what_is_done_once_can_be_done_when_there_is_memory_again(name: str) -> None:
    step = 1 if scaled(100) >= 100 else 7
    run(f"each_in_children({name!r}, {step})")


# What the library does in threads of its own, which have no thread state. -------------------------


def second_look() -> None:
    """Without memory while the thread is in C; it is found when it runs on, in a loop."""
    import _testcapi

    import interruption

    libc, gate = ctypes.CDLL(None), threading.Lock()
    told, tell = os.pipe()
    gate.acquire()

    def body(started: Started) -> None:
        byte = ctypes.create_string_buffer(1)
        with interruption.allow_interruption:
            started.ready.set()
            libc.read(told, byte, 1)
            while True:
                pass

    other = Started(body).until_blocked()
    assert interruption.interrupt(other.thread, reason="enough")
    # In one frame: looks switch events on for all that is entered, which takes memory (from 3.12).
    _testcapi.set_nomemory(0, FOR_EVER)
    gate.acquire(True, 0.2)  # looks are 64 ms apart, or less
    _testcapi.remove_mem_hooks()
    os.write(tell, b".")
    with pytest.raises(interruption.ThreadExit, match="enough"):
        other.finish()
    print("done")  # noqa: T201


def thread_of_a_shutdown() -> None:
    """It starts when there is memory: the first allocation here is that of the thread."""
    from interruption import _interruption

    done = threading.Lock()
    done.acquire()
    start, take, give = _interruption._start_thread, done.acquire, done.release  # noqa: SLF001
    with failing(1, 20):
        start(give)
        came = take(True, PATIENCE)
    assert came
    print("done")  # noqa: T201


@pytest.mark.parametrize("body", ["second_look", "thread_of_a_shutdown"])
def test_without_memory_for_a_thread_state_it_is_done_later(body: str) -> None:  # S20
    run(f"{body}()")

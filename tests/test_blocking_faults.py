"""S10 where something fails: a clear error or what the original does; no hang, no crash.

Without memory and without descriptors whole processes are, each with a family of the calls of
blocking_calls (see blocking_faults.py).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from blocking_calls import CALLS, Call, family_of, files, made, outcome, sockets
from blocking_calls.base import FREE_THREADED
from interruption import ThreadExit, allow_interruption, interrupt
from region_parts import waiting, waits
from support import PATIENCE, Started, in_thread, run_script

SHARES = 5

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")


def each_family(*left_out: str) -> pytest.MarkDecorator:
    """The test has the names of calls of a family: of a fifth, and then, as stress, of the others.

    Each version begins with another fifth than the next version.
    """
    kinds = [kind for kind in CALLS if kind.__name__ != "SleepAnIndex"]  # which takes a second
    cases = []
    for family in sorted({family_of(kind) for kind in kinds}):
        shares: dict[bool, list[str]] = {True: [], False: []}
        for number, kind in enumerate(kinds):
            if family_of(kind) == family and kind.__name__ not in left_out:
                shares[(number - sys.version_info.minor) % SHARES == 0].append(kind.__name__)
        cases.append(pytest.param(shares[True], id=family))
        cases.append(pytest.param(shares[False], id=f"{family}, others", marks=pytest.mark.stress))
    return pytest.mark.parametrize("names", [case for case in cases if case.values[0]])


def run_part(part: str, *arguments: str) -> None:
    folder = str(Path(__file__).parent)
    source = f"import sys; sys.path.insert(0, {folder!r}); import blocking_faults as faults"
    result = run_script(f"{source}; faults.{part}(*{arguments!r})")
    # Without memory CPython itself may have something to say on stderr.
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


@needs_proc
@pytest.mark.skipif(FREE_THREADED, reason="its allocators cannot be exchanged meanwhile")
@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 14),
    reason="without memory it crashes by itself, where it makes a function",
)
@pytest.mark.skipif(
    hasattr(sys, "gettotalrefcount") and sys.version_info >= (3, 14),
    reason="a debug build asserts, in its own comprehensions, that there is memory",
)
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="no _testcapi")
@each_family(  # what is put goes through a thread, which ends without memory
    "ProcessQueuePut", "ProcessQueueOfOnePut", "JoinableQueuePut"
)
def test_without_memory_nothing_is_lost(names: list[str]) -> None:  # S10a
    """One allocation after the other fails. The call raises MemoryError, or what was asked, or has
    its result, or waits as the original; whoever comes next gets what there is.
    """
    run_part("no_memory", *names)


@needs_proc
@pytest.mark.parametrize("part", ["few_descriptors", "main_without_descriptors"])
@each_family()
def test_without_descriptors_it_is_woken_all_the_same(
    names: list[str], part: str
) -> None:  # S10, S10e
    """Or it says that there are none: no wake-up descriptor can be made."""
    run_part(part, *names)


def test_calls_are_interposed_without_a_free_descriptor() -> None:
    run_part("first_region_without_descriptors")


# A descriptor that goes. --------------------------------------------------------------------------

WITH_DESCRIPTORS = [
    kind
    for kind in CALLS
    if issubclass(kind, (files._Ends, sockets.pair._Pair))  # noqa: SLF001
]


@pytest.fixture(params=WITH_DESCRIPTORS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Call]:
    return request.param


def descriptor_of(call: Any) -> int:
    """What it waits for."""
    if isinstance(call, files._Write):  # noqa: SLF001
        return call.writer
    return call.reader if isinstance(call, files._Ends) else call.near.fileno()  # noqa: SLF001


def close_descriptor(call: Any) -> None:
    """Behind the back of what has it."""
    os.close(descriptor_of(call))


def forget(call: Any) -> None:
    """What has it need not close it."""
    if isinstance(call, sockets.pair._Pair):  # noqa: SLF001
        call.near.detach()
    else:
        call.closed.add(descriptor_of(call))


def of_closed(kind: type[Call], region: Any) -> tuple[Any, ...]:
    def body() -> tuple[Any, ...]:
        with region:
            return outcome(call, call.wait)

    with made(kind) as call:
        close_descriptor(call)
        try:
            return in_thread(body)
        finally:
            forget(call)


def test_what_was_closed_before_fails_as_outside(kind: type[Call]) -> None:
    if issubclass(kind, (sockets.watching.Epoll, sockets.watching.Selector)):
        pytest.skip("it does not know it any more, and waits")
    expected = of_closed(kind, allow_interruption(io_interrupt=False, async_interrupt=False))
    assert of_closed(kind, waits) == expected
    assert of_closed(kind, allow_interruption) == expected


def check_interrupted(call: Call, started: Started) -> None:
    """It has raised, what was asked or what is wrong; or it has that as its result."""
    interrupt(started.thread)
    started.thread.join(PATIENCE)
    assert not started.thread.is_alive(), "it hangs"
    if started.raised is None:
        assert isinstance(call, sockets.watching._Watches)  # noqa: SLF001
    else:
        assert isinstance(started.raised, (ThreadExit, OSError, ValueError)), repr(started.raised)


def test_what_is_closed_meanwhile_can_be_interrupted(kind: type[Call]) -> None:  # S10
    with made(kind) as call:
        started = waiting(call.wait)
        close_descriptor(call)
        check_interrupted(call, started)
        forget(call)


def test_another_file_of_the_same_number_is_left_alone(kind: type[Call]) -> None:  # S10a
    """Nothing is read from it, nor written to it, when the wait is interrupted."""
    reader, writer = os.pipe()
    os.write(writer, b"not yours")
    try:
        with made(kind) as call:
            started = waiting(call.wait)
            other = writer if isinstance(call, files._Write) else reader  # noqa: SLF001
            os.dup2(other, descriptor_of(call))
            check_interrupted(call, started)
            assert os.read(reader, 100) == b"not yours"
    finally:
        os.close(reader)
        os.close(writer)

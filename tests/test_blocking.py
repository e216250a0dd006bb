"""S10: each call of the table in blocking_calls is woken, where it may be, and loses nothing.

The calls themselves wait in regions that let nothing in but waits, so that what is raised is raised
by them. No time is measured: what should not be woken is asked, seen asleep again, and then ended.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocking_calls import CALLS, Call, family_of, made, outcome
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    blocking,
    defer_interruption,
    interrupt,
    wait_for_interruption,
)
from region_parts import waiting, waits
from support import PATIENCE, Started, expect_script, in_thread, told

BRIEF = 0.05  # seconds that a wait takes which has to time out

no_waits = allow_interruption(async_interrupt=False, io_interrupt=False)


class Shielded:
    """In a region, in a shield."""

    def __enter__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(waits)
        self.stack.enter_context(defer_interruption)

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(ThreadExit):
            self.stack.close()


CLOSED: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "outside": contextlib.nullcontext,
    "io_interrupt=False": lambda: no_waits,
    "shielded": Shielded,
}


def each(applies: Callable[[type[Call]], Any] = lambda _: True) -> pytest.MarkDecorator:
    """The test is one of each call of the table that this applies to."""
    kinds = [kind for kind in CALLS if applies(kind)]
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


def is_there_early(kind: type[Call]) -> bool:
    """What is waited for can be there before anybody waits."""
    return kind.end is not None and kind.remembers


@pytest.fixture
def call(kind: type[Call]) -> Iterator[Call]:
    with made(kind) as one:
        yield one


def ways(call: Call) -> Iterator[Callable[[], Any]]:
    """To wait for so long that only an interruption, or the end, ends it.

    First with a time limit: what does not end the wait is seen by what that returns.
    """
    if call.timed is not None:
        yield lambda: call.timed(PATIENCE / 4)
    if call.end is not None:
        yield call.wait


def end(call: Call, started: Started) -> Any:
    """Let it end normally; what the wait has returned."""
    if call.end is not None:
        call.end()
    return call.shown(started.finish())


def normally(kind: type[Call], region: contextlib.AbstractContextManager[Any]) -> Any:
    """What the wait returns when it is not interrupted."""
    with made(kind) as call:
        if call.end is None:
            return call.shown(in_thread(lambda: call.timed(BRIEF)))
        return end(call, waiting(call.wait, region))


@functools.cache
def result_of(kind: type[Call]) -> Any:
    """What it returns where there is no region."""
    return normally(kind, contextlib.nullcontext())


def check_the_next(call: Call, expected: Any) -> None:
    """Nothing is left behind, and whoever comes next gets what there was to get."""
    call.check_untouched()
    if call.end is not None:
        assert end(call, waiting(call.wait, contextlib.nullcontext())) == expected


class WithoutWaits(Thread):
    def __init__(self, **options: Any) -> None:
        super().__init__(interruptible=True, **options)
        self.enable_async_interrupt = self.enable_io_interrupt = False


# Woken, or not. -----------------------------------------------------------------------------------


@each()
def test_it_is_woken_in_an_open_region_and_whoever_comes_next_gets_it(
    kind: type[Call],
) -> None:  # S10, S10a
    expected = result_of(kind)
    with made(kind) as call:
        for wait in ways(call):
            started = waiting(wait, waits)
            assert interrupt(started.thread, reason="enough")
            with pytest.raises(ThreadExit) as caught:
                started.finish()
            assert caught.value.reason == "enough"
            call.check_untouched()
        check_the_next(call, expected)


@each()
def test_it_is_woken_where_statements_are_interrupted_too(call: Call) -> None:  # S10, S14
    for wait in ways(call):
        started = waiting(wait, allow_interruption)
        interrupt(started.thread, KeyError)
        with pytest.raises(KeyError):
            started.finish()
        call.check_untouched()


@each(lambda kind: kind.end is not None and kind.shared)
def test_whoever_waits_behind_gets_it(kind: type[Call]) -> None:  # S10a, S10d
    """One in a region and one outside wait for the same thing, in either order."""
    expected = result_of(kind)
    for regions in ((waits, contextlib.nullcontext()), (contextlib.nullcontext(), waits)):
        with made(kind) as call:
            both = [waiting(call.wait, region) for region in regions]
            interrupted = both.pop(regions.index(waits))
            interrupt(interrupted.thread)
            with pytest.raises(ThreadExit):
                interrupted.finish()
            assert end(call, both.pop()) == expected


@each()
def test_it_is_not_woken_where_that_is_not_allowed(kind: type[Call]) -> None:  # S10, S14
    expected = result_of(kind)
    for where, region in CLOSED.items():
        with told(where), made(kind) as call:
            wait = call.wait if call.end is not None else functools.partial(call.timed, 10 * BRIEF)
            started = waiting(wait, region())
            interrupt(started.thread)
            if call.end is not None:
                started.until_blocked()
            assert end(call, started) == expected


@each(lambda kind: kind.end is not None)
def test_it_is_not_woken_in_a_thread_without_waits(call: Call) -> None:  # S14
    started = waiting(call.wait, contextlib.nullcontext(), thread_type=WithoutWaits)
    interrupt(started.thread)
    end(call, started.until_blocked())


@each(lambda kind: not kind.keeps)  # nothing is raised while the thread holds what it got
def test_a_request_in_a_shield_is_raised_when_it_ends(kind: type[Call]) -> None:  # S10, S12
    expected = result_of(kind)
    with made(kind) as call:
        results = []

        def wait() -> None:
            with defer_interruption:
                results.append(call.wait() if call.end is not None else call.timed(10 * BRIEF))
            results.append("after the shield")

        started = waiting(wait, allow_interruption)
        interrupt(started.thread)
        with pytest.raises(ThreadExit):
            end(call, started)
        assert [call.shown(result) for result in results] == [expected]


# As without us. -----------------------------------------------------------------------------------


@contextlib.contextmanager
def originals() -> Iterator[None]:
    """Nothing is interposed."""
    blocking.disable()
    try:
        yield
    finally:
        blocking.enable()


@each()
def test_its_end_is_as_outside(kind: type[Call]) -> None:
    with originals():
        expected = normally(kind, contextlib.nullcontext())
    assert result_of(kind) == expected
    assert normally(kind, waits) == expected
    assert normally(kind, allow_interruption) == expected


@each(lambda kind: kind.end is not None)
def test_a_wait_goes_on_in_the_original_when_interposing_ends(kind: type[Call]) -> None:
    expected = result_of(kind)
    for limited in (False, True) if kind.timed is not None else (False,):
        with made(kind) as call:
            wait = functools.partial(call.timed, PATIENCE) if limited else call.wait
            started = waiting(wait, waits)
            with originals():
                started.until_blocked()
                result = end(call, started)
            assert limited or result == expected


@each(lambda kind: kind.timed is not None)
def test_its_timeout_is_as_outside(kind: type[Call]) -> None:
    outside = contextlib.nullcontext()
    for seconds in (0, 0.0, 1e-9, BRIEF):
        may_hang = kind.hangs_when_late and seconds > 0
        with originals():
            (expected,) = timed_out(kind, 0 if may_hang else seconds, outside)
        regions = () if may_hang else (outside, no_waits)
        for result in timed_out(kind, seconds, *regions, waits, allow_interruption):
            assert result == expected


def timed_out(kind: type[Call], seconds: float, *regions: Any) -> list[Any]:
    """What comes of it in each of the regions, in threads side by side."""

    def body(call: Call, region: Any) -> Any:
        begun = time.monotonic()
        with region:
            result = outcome(call, lambda: call.timed(seconds))
        assert time.monotonic() - begun >= seconds
        return result

    with contextlib.ExitStack() as stack:
        started = []
        for region in regions:
            call = stack.enter_context(made(kind))
            started.append(Started(lambda _, call=call, region=region: body(call, region)))
        return [one.finish() for one in started]


# The result, and a request. -----------------------------------------------------------------------


@each(is_there_early)
def test_one_that_takes_something_in_raises_on_entry(kind: type[Call]) -> None:  # S10b
    expected = result_of(kind)
    with made(kind) as call:
        call.end()

        def body() -> Any:
            with waits:
                interrupt(threading.get_ident())
                return call.wait()

        if kind.takes:
            with pytest.raises(ThreadExit):
                in_thread(body)
            assert call.shown(in_thread(call.wait)) == expected
        else:
            assert call.shown(in_thread(body)) == expected


@each(is_there_early)
def test_in_cleanup_none_raises_on_entry(kind: type[Call]) -> None:  # S10b
    expected = result_of(kind)
    for cleanup in CLEANUPS.values():
        with made(kind) as call:
            call.end()
            results: list[Any] = []

            def body(cleanup: Any = cleanup, call: Call = call, results: Any = results) -> None:
                with waits:
                    interrupt(threading.get_ident())
                    cleanup(lambda: results.append(call.wait()))

            in_thread(body)
            assert [call.shown(result) for result in results] == [expected]


@each(lambda kind: kind.end is not None and kind.whole)  # of several the next one is interrupted
def test_the_result_wins_over_a_request(kind: type[Call]) -> None:  # S10a
    """It is there first; the waiter looks when both are there, if it gets the GIL late."""
    expected = result_of(kind)
    for interval in (1e-6, 1000):
        with told(f"switching after {interval} s"), made(kind) as call, switching(interval):
            wait = call.wait
            started = waiting(lambda wait=wait: (wait(), wait_for_interruption(PATIENCE)), waits)
            call.end()
            assert interrupt(started.thread)
            result, asked = started.finish()
            assert call.shown(result) == expected
            assert asked


@contextlib.contextmanager
def switching(interval: float) -> Iterator[None]:
    """Let running threads give up the GIL after so many seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


# In cleanup. --------------------------------------------------------------------------------------


def in_finally(clean_up: Callable[[], Any]) -> None:
    try:
        waits  # noqa: B018  (compilers leave out a `try` that does nothing)
    finally:
        clean_up()


def in_except(clean_up: Callable[[], Any]) -> None:
    try:
        raise ValueError
    except ValueError:
        clean_up()


class Exit:
    def __init__(self, clean_up: Callable[[], Any]) -> None:
        self.clean_up = clean_up

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        self.clean_up()


def in_exit_of_ours(clean_up: Callable[[], Any]) -> None:
    with Exit(clean_up):
        pass


CLEANUPS = {function.__name__: function for function in (in_finally, in_except, in_exit_of_ours)}


@each()
def test_a_wait_in_cleanup_is_woken(call: Call) -> None:  # S10c
    """By the first request, but for a mutex, which is given up at the second."""
    for name, cleanup in CLEANUPS.items():
        for wait in ways(call):
            with told(name):
                started = waiting(functools.partial(cleanup, wait), waits)
                assert interrupt(started.thread, reason="once")
                if call.mutex:
                    started.until_blocked()
                    assert not interrupt(started.thread, reason="twice"), "the first is not pending"
                with pytest.raises(ThreadExit):
                    started.finish()
                call.check_untouched()


@each(lambda kind: kind.mutex)
def test_a_mutex_in_cleanup_is_acquired_though_one_asks(kind: type[Call]) -> None:  # S10c
    expected = result_of(kind)
    with made(kind) as call:
        results: list[Any] = []
        started = waiting(lambda: in_finally(lambda: results.append(call.wait())), waits)
        interrupt(started.thread)
        started.until_blocked()
        end(call, started)
        assert [call.shown(result) for result in results] == [expected]


@each(lambda kind: kind.end is not None)
def test_what_cleans_up_after_a_delivery_is_left_alone(kind: type[Call]) -> None:  # S8
    """The region has delivered; a new request wakes it again."""
    expected = result_of(kind)
    with made(kind) as call:
        results = []

        def wait() -> None:
            interrupt(threading.get_ident())
            try:
                time.sleep(0)
                call.wait()
            except ThreadExit:
                results.append(call.wait())

        started = waiting(wait, waits)
        call.end()
        started.finish()
        assert [call.shown(result) for result in results] == [expected]


# The main thread, forks, and the end. -------------------------------------------------------------


def run_part(part: str, kinds: list[type[Call]]) -> None:
    """In a process of their own: see blocking_parts.py."""
    folder = str(Path(__file__).parent)
    source = f"import sys; sys.path.insert(0, {folder!r}); import blocking_parts as parts"
    names = [kind.__name__ for kind in kinds]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)  # what its threads are in when it ends is removed here
        expect_script(f"{source}; parts.run(parts.{part}, *{names!r})", stdout="done\n")


FAMILIES = sorted({family_of(kind) for kind in CALLS})


@pytest.mark.parametrize("part", ["handlers", "control_c", "exit_while_parked"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_main_thread(family: str, part: str) -> None:  # S10e, S18
    run_part(part, [kind for kind in CALLS if family_of(kind) == family])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("part", ["fork_while_parked", "fork_in_a_handler"])
@pytest.mark.parametrize("family", sorted({family_of(kind) for kind in CALLS if kind.forks}))
def test_forks(family: str, part: str) -> None:  # S18
    run_part(part, [kind for kind in CALLS if kind.forks and family_of(kind) == family])


def test_the_status_is_short_where_it_is_shown_and_long_where_it_is_printed():
    expect_script(
        """
        import dataclasses
        from interruption import allow_interruption, blocking
        assert repr(blocking.status()) == "<Status: nothing is interposed>"
        with allow_interruption:
            pass
        status = blocking.status()
        assert "; " in repr(status) and " of modules not imported yet" in repr(status)
        assert len(repr(status)) < 200 < len(str(status))
        import fcntl, queue, select, socket, ssl, _multiprocessing
        blocking.enable()
        status = blocking.status()
        count = len(status.families)
        others = "1 of modules not imported yet"  # greenlet
        assert repr(status) == f"<Status: {count - 1} of {count} families interposed; {others}>"
        odd = dataclasses.replace(status.families[0], interposed=False, reason="it is odd")
        changed = dataclasses.replace(status, families=(odd, *status.families[1:]))
        shown = f"{count - 2} of {count} families interposed; {others}; refused: {odd.name}"
        assert repr(changed) == f"<Status: {shown}>"
        """
    )

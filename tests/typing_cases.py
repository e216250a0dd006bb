"""Read by mypy, never run: what users write has the types that they expect."""

import signal
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from typing import Any, assert_type

import interruption
from interruption import (
    Explanation,
    Installation,
    Scope,
    ShutdownReport,
    SignalExit,
    Thread,
    ThreadExit,
    ThreadGroup,
    ThreadPoolExecutor,
    ThreadReport,
    blocking,
    check_interrupt,
    current_deadline,
    explain,
    explain_all,
    interrupt,
    interrupt_all_threads,
    interrupt_on_exit,
    interrupt_on_signal,
    interruption_fd,
    interruption_requested,
    move_on_after,
    on_interrupt,
    protect,
    run_in_process,
    shutdown,
    timeout,
    timeout_at,
    unprotect,
    wait_for_interruption,
)
from interruption._interruption import allow_interruption, defer_interruption


def cases(ident: int) -> None:
    """One line for each public name."""
    thread = Thread(target=print, args=(1,), name="n", daemon=True)
    assert_type(thread.interrupt(), bool)
    assert_type(thread.interrupt(ValueError, reason="r"), bool)
    assert_type(thread.interruption_requested, bool)
    assert_type(interrupt(thread), bool)
    assert_type(interrupt(ident, KeyboardInterrupt, reason=None), bool)
    assert_type(interrupt_all_threads(reason="r"), int)
    assert_type(interruption_requested(), bool)
    assert_type(wait_for_interruption(0.5), bool)
    assert_type(wait_for_interruption(), bool)
    assert_type(interruption_fd(), int)
    assert_type(ThreadExit("r").reason, str | None)
    assert_type(interruption.get_include(), str)
    check_interrupt()
    interrupt("name")  # type: ignore[arg-type]
    interrupt(ident, ValueError())  # type: ignore[arg-type]
    interrupt(ident, reason=3)  # type: ignore[arg-type]


def groups(number: int) -> None:
    """Of tasks."""
    with ThreadGroup(name="n", keep_going=True) as group:
        assert_type(group, ThreadGroup)
        future = group.submit(divmod, number, 2)
        assert_type(future.result(), tuple[int, int])
        assert_type(future.cancel(ValueError, reason="r"), bool)
        group.submit(len, 3)  # type: ignore[arg-type]
        assert_type(group.results(), list[Any])
        assert_type(group.first(), Any)
    assert_type(explain(number).groups, tuple[str, ...])


def of_one(number: int) -> list[Any]:
    """A group may be left by a return, and swallows no exception."""
    with ThreadGroup() as group:
        group.submit(divmod, number, 2)
        return group.results()


def pooled() -> str:
    """A pool may be left by an exception, and swallows none."""
    with ThreadPoolExecutor(2) as executor:
        future = executor.submit(pow, 2, 3)
        assert_type(future.result(), int)
        assert_type(future.cancel(), bool)
        assert_type(future.cancel(TimeoutError, "why"), bool)
        assert_type(future.cancel(exc_type=None, reason="why"), bool)
        future.cancel("why")  # type: ignore[arg-type]
        assert_type(executor.shutdown(cancel_running=True, timeout=5), bool)
        return "reached"


def explained(thread: Thread, ident: int) -> str:
    """Data for programs, a text for people."""
    found = explain(thread)
    assert_type(found, Explanation)
    assert_type(explain(ident).reason, str)
    assert_type(explain_all(), list[Explanation])
    assert_type(found.thread, threading.Thread | int)
    assert_type(found.stack, traceback.StackSummary)
    if found.state == "shielded" and found.place is not None:
        assert_type(found.place.filename, str)
        assert_type(found.place.lineno, int)
        assert_type(found.place.function, str)
    if found.state == "no such state":  # type: ignore[comparison-overlap]
        return ""
    found.state = "finished"  # type: ignore[misc]
    explain("name")  # type: ignore[arg-type]
    return str(found)


def switched() -> None:
    """What only this Thread has."""
    thread = Thread(target=print, interruptible=True)
    assert_type(thread.enable_async_interrupt, bool)
    assert_type(thread.enable_io_interrupt, bool)
    thread.enable_async_interrupt = False
    thread.enable_io_interrupt = "no"  # type: ignore[assignment]


def protected() -> None:
    """Modules, by themselves and by name."""
    protect(interruption)
    protect("package.module", missing_ok=True)
    unprotect("package.module")
    protect(b"package")  # type: ignore[arg-type]
    protect(name="package")  # type: ignore[call-arg]


@allow_interruption
def function(count: int, *, name: str = "") -> str:
    """Keep it short."""
    return name * count


@allow_interruption(async_interrupt=False)
def generator(count: int) -> Generator[int, str, bytes]:
    """Run in a region with options."""
    sent: str = yield count
    return sent.encode()


@defer_interruption
async def coroutine(count: int) -> str:
    """Run in a shield."""
    return str(count)


@defer_interruption()
async def async_generator(count: int) -> AsyncGenerator[int, str]:
    """Run in a shield that was called."""
    yield count


class Methods:
    """All kinds of them."""

    @allow_interruption
    def method(self, count: int) -> str:
        """Bind."""
        return str(count)

    @allow_interruption
    async def async_method(self, count: int) -> str:
        """Bind, too."""
        return str(count)

    @defer_interruption
    @staticmethod
    def outside_static(count: int) -> str:
        """Decorate the staticmethod."""
        return str(count)

    @staticmethod
    @defer_interruption
    def inside_static(count: int) -> str:
        """Decorate the function."""
        return str(count)

    @defer_interruption
    @classmethod
    def outside_class(cls, count: int) -> str:
        """Decorate the classmethod."""
        return str(count)

    @property
    @allow_interruption
    def value(self) -> int:
        """Decorate the getter."""
        return 1


async def decorated(methods: Methods) -> None:
    """What is decorated has the type that it had."""
    exactly: Callable[[int], str] = allow_interruption(methods.method)
    assert_type(exactly(1), str)
    assert_type(function(1, name="n"), str)
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(await coroutine(1), str)
    as_it_was: Callable[[int], Coroutine[Any, Any, str]] = coroutine
    assert_type(await as_it_was(1), str)
    assert_type(async_generator(1), AsyncGenerator[int, str])
    iterator: AsyncIterator[int] = async_generator(1)
    assert_type(await anext(iterator), int)
    assert_type(methods.method(1), str)
    assert_type(await methods.async_method(1), str)
    assert_type(Methods.outside_static(1), str)
    assert_type(methods.inside_static(1), str)
    assert_type(Methods.outside_class(1), str)
    assert_type(methods.value, int)
    assert_type(allow_interruption(len)("sized"), int)
    function("1")  # type: ignore[arg-type]
    function(1, "n")  # type: ignore[misc]
    methods.method("1")  # type: ignore[arg-type]
    allow_interruption(1)  # type: ignore[call-overload]
    defer_interruption(async_interrupt=True)  # type: ignore[call-overload]
    allow_interruption(io_interrupt=1)  # type: ignore[call-overload]


def regions() -> int:
    """A region and a shield swallow nothing: what follows is reached or not, as ever."""
    with allow_interruption as region, region(async_interrupt=True, io_interrupt=False) as inner:
        inner(io_interrupt=True)
    with defer_interruption as shield, shield():
        return 1


def blocked() -> str:
    """Results and arguments of a function in a process are its own; an on_interrupt block swallows
    nothing.
    """
    assert_type(run_in_process(len, "sized"), int)
    assert_type(run_in_process(function, 1, name="n"), str)
    run_in_process(function, "1")  # type: ignore[arg-type]
    run_in_process(function, 1, size=2)  # type: ignore[call-arg]
    on_interrupt(1)  # type: ignore[arg-type]
    status = blocking.status()
    assert_type(status, blocking.Status)
    assert_type(status.families[0].calls, tuple[str, ...])
    assert_type(status.families[0].reason, str | None)
    status.enabled = False  # type: ignore[misc]
    blocking.enable()
    blocking.disable()
    with on_interrupt(lambda: None) as block:
        assert_type(block, on_interrupt)
        return "reached"


def stopped() -> str:
    """What asks on a signal or at the end swallows nothing; a report is data."""
    with interrupt_on_signal(signal.SIGTERM, timeout=1, reason="stop") as installation:
        assert_type(installation, Installation)
        assert_type(installation.signals, tuple[int, ...])
    interrupt_on_signal("SIGTERM")  # type: ignore[arg-type]
    interrupt_on_signal(10)  # type: ignore[arg-type]
    interrupt_on_exit(timeout=1.5, at_end=True, report_after=None).close()
    report = shutdown(1, daemon=True)
    assert_type(report, ShutdownReport)
    assert_type(report.running, tuple[ThreadReport, ...])
    assert_type(report.threads[0].explanation, Explanation | None)
    assert_type(SignalExit(signal.SIGTERM).signum, int)
    shutdown(1, "reason")  # type: ignore[misc]
    with interrupt_on_exit():
        return "reached"


def limited() -> int:
    """A time limit swallows nothing; what may be gone on from returns None then."""
    with timeout(1), timeout_at(2.5) as limit:
        assert_type(limit, timeout_at)
        assert_type(limit.when(), float | None)
        assert_type(limit.reschedule(None), bool)
        assert_type(limit.expired(), bool)
        return int(current_deadline())


def moved_on(scope: Scope) -> int | None:
    """It may be gone on from."""
    with scope, move_on_after(None, shield=True):
        assert_type(scope.interrupt(ValueError, reason="r"), bool)
        return 1
    return None


@timeout(1)
def function_with_limit(size: int) -> str:
    """As without."""
    return str(size)


@move_on_after(1)
def function_for_a_moment(size: int) -> str:
    """Its result, or None."""
    return str(size)


def call_limited() -> None:
    """What they return."""
    assert_type(function_with_limit(1), str)
    assert_type(function_for_a_moment(1), str | None)
    timeout("1")  # type: ignore[arg-type]
    Scope(1)  # type: ignore[call-arg]

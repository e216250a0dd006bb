"""Regions for the threads of a program that knows of none: ``run --region all``.

``threading.Thread.start`` is replaced, so that ``run()`` is a region from its first line to its
last. The work of a thread pool is made of tasks, and each of these is a
region instead: one that was not begun is cancelled, and what its worker does in between is left
alone.

Threads that the standard library starts for itself are no regions: that which feeds a queue of
``multiprocessing``, manages a pool of processes, writes a log. They are ended by who has begun
them; stopped half way, they would leave others waiting for ever. So are the threads that an
installed package starts for itself, but what they call of the program's is stopped (S30).
"""

# ruff: noqa: SLF001  (what `threading` and `concurrent.futures` have no public name for)

import concurrent.futures
import concurrent.futures.thread
import dataclasses
import functools
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from .. import _thread
from .._interruption import (
    ThreadExit,
    _allow_in_program,
    _cancel_futures,
    _is_installed,
    _is_protected,
    _is_told,
    allow_interruption,
)
from .._shutdown.shutdown import ShutdownReport, ThreadReport

_work_item: Any = concurrent.futures.thread._WorkItem

# Of the standard library, but they are there to run code of the program's.
_CARRIERS = frozenset(
    {
        ("threading", "Thread.run"),
        ("threading", "Timer.run"),
        ("socketserver", "ThreadingMixIn.process_request_thread"),
        ("multiprocessing.pool", "worker"),
    }
)

_start = threading.Thread.start
_run_task = _work_item.run
_set_exception = concurrent.futures.Future.set_exception


def _first_function(thread: threading.Thread) -> Any:
    """What the thread is there to call."""
    function: Any = thread.run
    if getattr(function, "__func__", None) is threading.Thread.run:
        function = getattr(thread, "_target", None) or function
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__func__", function)


def _region_of(thread: threading.Thread) -> AbstractContextManager[Any] | None:
    """Where the thread may be stopped; None: nowhere.

    Threads that the standard library starts for itself are ended by who has begun them. So are
    those of an installed package, but for what they call of the program's.
    """
    function = _first_function(thread)
    code = getattr(function, "__code__", None)
    if code is None or (function.__module__, function.__qualname__) in _CARRIERS:
        return allow_interruption
    if _is_protected(code, function.__globals__):
        return None
    return _allow_in_program if _is_installed(code, function.__globals__) else allow_interruption


def _is_ours(entry: TracebackType) -> bool:
    names = entry.tb_frame.f_globals
    return names is globals() or names is vars(_thread)


def take_out_our_frames(entry: TracebackType | None) -> None:
    """Let a traceback go from `threading` straight to the program, and the other way round."""
    while entry is not None:
        while (inner := entry.tb_next) is not None and _is_ours(inner):
            entry.tb_next = inner.tb_next
        entry = entry.tb_next


def without_our_frames(report: ShutdownReport) -> ShutdownReport:
    """The report, with stacks that go from `threading` straight to the program."""
    return dataclasses.replace(
        report, threads=tuple(_report_without_our_frames(thread) for thread in report.threads)
    )


def _report_without_our_frames(thread: ThreadReport) -> ThreadReport:
    found = thread.explanation
    if found is None:
        return thread
    files = (_run_in_region.__code__.co_filename, _thread.start_running.__code__.co_filename)
    stack = traceback.StackSummary.from_list(
        [frame for frame in found.stack if frame.filename not in files]
    )
    return dataclasses.replace(thread, explanation=dataclasses.replace(found, stack=stack))


def _run_in_region(region: AbstractContextManager[Any], run: Callable[[], object]) -> None:
    with region:
        run()


def _start_in_region(self: threading.Thread) -> None:
    """In the place of ``threading.Thread.start``."""
    is_new = getattr(self, "_initialized", False) and self.ident is None  # else it fails
    # What the cleanup of a thread that was stopped starts would not even begin in a region.
    region = None if not is_new or _is_told() else _region_of(self)
    if region is None:
        _start(self)
        return
    if hasattr(sys.modules.get("asyncio"), "run"):  # it has been imported
        _cancel_futures()
    thread: Any = self
    tell = thread._invoke_excepthook  # of an exception that nobody handles

    def tell_without_our_frames(thread: threading.Thread) -> None:
        error = sys.exception()
        if error is not None:
            take_out_our_frames(error.__traceback__)
        tell(thread)

    thread._invoke_excepthook = tell_without_our_frames
    run = functools.partial(_run_in_region, region)
    _thread.start_running(self, run, functools.partial(_start, self))


def _run_task_in_region(self: Any, *arguments: Any) -> None:
    """In the place of the ``run`` of a task of a thread pool. Called by a worker."""
    future = self.future
    try:
        with allow_interruption:
            _run_task(self, *arguments)
    except ThreadExit:
        # What the task raises is its future's. So this comes from the entry: it has not begun, nor
        # will any other in this thread. Or from a callback of a future that is done.
        if future.cancel():
            future.set_running_or_notify_cancel()


def _set_exception_of_task(
    self: concurrent.futures.Future[Any], exception: BaseException | None
) -> None:
    """In the place of ``Future.set_exception``: a task that was stopped stops nobody else.

    ``ThreadExit`` would end whoever asks for the result.
    """
    if isinstance(exception, ThreadExit):
        exception = concurrent.futures.CancelledError(*exception.args)
    _set_exception(self, exception)


def make_regions() -> None:
    """Let every thread of the program that is started from now on be a region. For good."""
    threading.Thread.start = _start_in_region  # type: ignore[method-assign]
    _work_item.run = _run_task_in_region
    concurrent.futures.Future.set_exception = _set_exception_of_task  # type: ignore[method-assign]

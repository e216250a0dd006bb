"""Functions in threads, for asyncio: cancelling the task stops the function, too."""

import asyncio
import contextlib
import contextvars
import functools
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, ParamSpec, TypeVar

from . import ThreadPoolExecutor
from .overdue import Watch

__all__ = ["report_after", "to_thread"]

report_after = 10.0  # seconds; a function that goes on so long after a cancel is logged, by name

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# A loop's executor, as the loop has one itself: it goes, and its idle threads end, with the loop.
_executors: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor]
_executors = weakref.WeakKeyDictionary()
_guard = threading.Lock()  # of _executors: there is a loop a thread


def _executor_of(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    with _guard:
        executor = _executors.get(loop)
        if executor is None:
            executor = _executors[loop] = ThreadPoolExecutor(thread_name_prefix="to_thread")
        return executor


def _tell(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event, _: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(stopped.set)


def _run(watch: Watch, context: contextvars.Context, func: Callable[[], _Result]) -> _Result:
    with watch:
        return context.run(func)


async def to_thread(
    func: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """As ``asyncio.to_thread()``; but cancelling interrupts the function, and waits for it (S29).

    The function runs in a region, in a copy of the task's context. When the task is cancelled, by
    ``asyncio.timeout()``, a ``TaskGroup`` or whatever, the function is asked to stop, and only it:
    it raises ``ThreadExit`` where it runs or waits, whose ``reason`` is the message of the cancel.
    ``CancelledError`` is raised here when it has stopped, cleanup and all. What it uses is free
    then. One that is not running yet never does.

    Cancelled again while it cleans up, it is asked once more, and waits of its cleanup are broken
    off (S8). It is left to its end while it is in ``with defer_interruption:``.

    A function that returns after it has been asked has done so in vain: asyncio raises
    ``CancelledError``, and the result is dropped. If it raises something else than ``ThreadExit``,
    that is raised here, as a coroutine's own would be.

    A function that has not stopped ``report_after`` seconds later is logged, with its place.

    A coroutine that is closed instead of cancelled cannot wait: it asks the function to stop.

    As many run at once as ``asyncio.to_thread()`` allows; they have threads of their own.
    """
    loop = asyncio.get_running_loop()
    watch = Watch(func, __name__, report_after)
    run = functools.partial(func, *args, **kwargs)
    call = _executor_of(loop).submit(_run, watch, contextvars.copy_context(), run)
    stopped = asyncio.Event()
    call.add_done_callback(functools.partial(_tell, loop, stopped))
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await stopped.wait()
            break
        except asyncio.CancelledError as error:
            cancelled, reason = error, _reason(error)
            call.cancel(reason=reason)
            watch.expect_end(reason)
        except BaseException:
            call.cancel(reason="nobody awaits it any more")
            watch.expect_end("nobody awaits it any more")
            raise
    try:
        result = call.result()
    except CancelledError:
        raise (cancelled or asyncio.CancelledError("its thread has been asked to stop")) from None
    else:
        if cancelled is not None:
            raise cancelled
        return result
    finally:
        del call, cancelled  # what they raise has this frame


def _reason(error: asyncio.CancelledError) -> str:
    message: Any = error.args[0] if error.args else None
    return message if isinstance(message, str) else "its task has been cancelled"

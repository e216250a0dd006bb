"""``anyio.to_thread``, of which cancelling stops the function, too."""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, TypeVarTuple, cast

import anyio.to_thread
from anyio.lowlevel import current_token
from anyio.to_thread import current_default_thread_limiter

from interruption import Scope, ThreadExit, clear_interrupt
from interruption.overdue import Watch

__all__ = ["current_default_thread_limiter", "report_after", "run_sync"]
report_after = 10.0  # seconds; a function that goes on so long after a cancel is logged, by name

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")

_original = anyio.to_thread.run_sync


class _NoLimit(contextlib.nullcontext[None]):
    # In place of a limiter: anyio gives that back when it is cancelled, before the thread ends.
    async def acquire_on_behalf_of(self, borrower: object) -> None: ...

    def release_on_behalf_of(self, borrower: object) -> None: ...


_NO_LIMIT = cast("anyio.CapacityLimiter", _NoLimit())


class _Call:
    """One call of a function, in a thread of anyio's that has others before and after it."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.ended: Future[None] = Future()
        self._result: Any = None
        self._error: BaseException | None = None  # ThreadExit: it has been stopped
        self._run = run
        self._scope = Scope()
        self._watch = Watch(run, __name__, report_after)

    def __call__(self) -> None:
        if not self.ended.set_running_or_notify_cancel():
            return
        self._error = ThreadExit()
        try:
            with self._watch, self._scope:
                self._result = self._run()
                self._error = None
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            if isinstance(error, ThreadExit):  # somebody has asked the thread,
                clear_interrupt()  # and not for its next call
            self._error = error
        self.ended.set_result(None)

    def stop(self, cancelled: BaseException) -> bool:
        if self.ended.cancel():  # it has not begun, and never does
            return False
        said = getattr(cancelled, "reason", None) or str(cancelled).rpartition("; reason: ")[2]
        self._scope.interrupt(reason=said or "cancelled")
        self._watch.expect_end(said or "cancelled")
        return True

    async def wait(self) -> None:
        token, over = current_token(), anyio.Event()

        def tell(_: object) -> None:
            with contextlib.suppress(anyio.RunFinishedError):
                token.backend_class.run_sync_soon(over.set, (), token.native_token)

        self.ended.add_done_callback(tell)
        await over.wait()

    def end(self, name: str, cancelled: BaseException | None) -> Any:
        error, self._error = self._error, None  # its frames have this call
        try:
            if isinstance(error, ThreadExit):
                if cancelled is None:
                    raise RuntimeError(f"the thread of {name} has been asked to stop") from error
                raise cancelled
            if error is not None:
                raise error
            # A scope's cancel is raised again by the next checkpoint; asyncio's own is not.
            if cancelled is None or anyio.current_effective_deadline() == -math.inf:
                return self._result
            raise cancelled
        finally:
            del error, cancelled  # what they raise has this frame


async def run_sync(
    func: Callable[[*_Arguments], _Result],
    *args: *_Arguments,
    abandon_on_cancel: bool = False,
    cancellable: bool | None = None,
    limiter: anyio.CapacityLimiter | None = None,
) -> _Result:
    """As ``anyio.to_thread.run_sync()``; but cancelling interrupts the function, and waits for it.

    The function runs in a scope of its own. When the task is cancelled the function is asked to
    stop, and only it (S29): it raises ``ThreadExit`` where it runs or waits. When it has stopped,
    cleanup and all, the cancel is raised here. One that is not running yet never does.

    If the function returns, or raises something else, after it has been asked, that comes out, and
    the next checkpoint raises the cancel; but asyncio's own ``Task.cancel()`` drops a result. One
    that has not stopped ``report_after`` seconds later is logged, with its place.

    ``Task.cancel()``, or Ctrl-C on Trio, once more while it cleans up, asks again: a wait is broken
    off (S8). A cancel scope asks once; cleanup that may hang needs a limit of its own in there.

    abandon_on_cancel: ask it, and raise the cancel without waiting. ``cancellable``: its old name.

    RuntimeError: the function has been stopped because somebody has asked its thread.
    """
    if cancellable is not None:
        abandon_on_cancel = cancellable
        warnings.warn("`cancellable` is `abandon_on_cancel` now", DeprecationWarning, stacklevel=2)
    call = _Call(functools.partial(func, *args))
    cancelled: BaseException | None = None
    limiter = limiter or current_default_thread_limiter()
    try:
        limiter.acquire_on_behalf_of_nowait(call)
    except anyio.WouldBlock:
        await limiter.acquire_on_behalf_of(call)
    try:
        # anyio is not to wait for the thread itself: it would not tell of a cancel before.
        await _original(call, abandon_on_cancel=True, limiter=_NO_LIMIT)
    except (anyio.get_cancelled_exc_class(), KeyboardInterrupt) as error:
        if not call.stop(error) or abandon_on_cancel:
            raise
        cancelled = error
        with anyio.CancelScope(shield=True):
            while not call.ended.done():
                try:
                    await call.wait()
                except (anyio.get_cancelled_exc_class(), KeyboardInterrupt) as again:
                    call.stop(again)
                    cancelled = again
    finally:
        limiter.release_on_behalf_of(call)
    try:
        return cast("_Result", call.end(getattr(func, "__name__", repr(func)), cancelled))
    finally:
        del call, cancelled  # as there

"""``trio.to_thread``, of which cancelling stops the function, too."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

import trio
from trio.to_thread import current_default_thread_limiter

from interruption import Scope, ThreadExit, clear_interrupt
from interruption.overdue import Watch

__all__ = ["current_default_thread_limiter", "report_after", "run_sync"]

report_after = 10.0  # seconds; a function that goes on so long after a cancel is logged, by name

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class _Call:
    """One call of a function, in a thread of Trio's that has others before and after it.

    It is the limiter that Trio is given, too: so it is told when the thread is free again.
    """

    def __init__(self, run: functools.partial[Any], limiter: trio.CapacityLimiter) -> None:
        name = getattr(run.func, "__name__", None)
        self.__name__ = self.__qualname__ = name  # Trio's name for the thread, and in errors
        self.begun = False  # it has its place in the limiter
        self.ended = trio.Event()
        self.result: Any = None
        self.error: BaseException | None = None  # ThreadExit: it has been stopped
        self._run = run
        self._limiter = limiter
        self._scope = Scope()
        self._asked = False
        self._watch = Watch(run, __name__, report_after)

    def __call__(self) -> Any:
        self.error = ThreadExit()
        try:
            if not self._asked:
                with self._watch, self._scope:
                    self.result = self._run()
                    self.error = None
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            if isinstance(error, ThreadExit):  # somebody has asked the thread,
                clear_interrupt()  # and not for its next call
            self.error = error
        return self.result

    def stop(self, cancelled: BaseException) -> None:
        reason = getattr(cancelled, "reason", None) or str(cancelled) or type(cancelled).__name__
        self._asked = True
        self._scope.interrupt(reason=reason)
        self._watch.expect_end(reason)

    def end(self, cancelled: BaseException | None) -> Any:
        """Return, or raise, what has come of it."""
        error, self.error = self.error, None  # its frames have this call
        try:
            if error is None:
                if isinstance(cancelled, KeyboardInterrupt):
                    raise cancelled
                return self.result
            if not isinstance(error, ThreadExit):
                raise error
            if cancelled is not None:
                raise cancelled
            raise RuntimeError(f"the thread of {self.__name__} has been asked to stop") from error
        finally:
            del error, cancelled  # what they raise has this frame

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._limiter.acquire_on_behalf_of(borrower)
        self.begun = True

    def release_on_behalf_of(self, borrower: object) -> None:
        self._limiter.release_on_behalf_of(borrower)
        self.ended.set()


@trio.lowlevel.enable_ki_protection
async def run_sync(
    sync_fn: Callable[[*_Arguments], _Result],
    *args: *_Arguments,
    thread_name: str | None = None,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> _Result:
    """As ``trio.to_thread.run_sync()``; but cancelling interrupts the function, and waits for it.

    The function runs in a scope of its own. When the task is cancelled the function is asked to
    stop, and only it (S29): it raises ``ThreadExit`` where it runs or waits. ``Cancelled`` is
    raised here when it has stopped, cleanup and all. One that is not running yet never does.

    A function that returns, or raises something else, after it has been asked has done so: that is
    what comes out, and the task's next checkpoint raises ``Cancelled``. One that has not stopped
    ``report_after`` seconds later is logged, with its place.

    abandon_on_cancel: ask the function to stop, and raise ``Cancelled`` without waiting for it.

    Trio cancels a task once, so its cleanup is asked again by Ctrl-C alone; let cleanup that may
    hang have a limit of its own, as ``with move_on_after(5):`` in the function.

    RuntimeError: the function has been stopped because somebody has asked its thread.
    """
    call = _Call(functools.partial(sync_fn, *args), limiter or current_default_thread_limiter())
    cancelled: BaseException | None = None
    try:
        # Trio is not to wait for the thread itself: it would not tell of a cancel before its end.
        await trio.to_thread.run_sync(
            call,
            thread_name=thread_name,
            abandon_on_cancel=True,
            limiter=cast("trio.CapacityLimiter", call),
        )
    except (trio.Cancelled, KeyboardInterrupt) as error:
        call.stop(error)
        if abandon_on_cancel or not call.begun:
            raise
        cancelled = error
        with trio.CancelScope(shield=True):
            while not call.ended.is_set():
                try:
                    await call.ended.wait()
                except KeyboardInterrupt as again:
                    call.stop(again)
                    cancelled = again
    try:
        return cast("_Result", call.end(cancelled))
    finally:
        del call, cancelled  # as there

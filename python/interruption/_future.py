"""A future whose task can be cancelled while it runs, and the task: parts of the executor.

A task runs in a scope of its own (``Scope``), which is a region: a request to it reaches it or
nobody.
"""

# ruff: noqa: SLF001  (_executor._check_standard says what of the standard library's is used)

import concurrent.futures
import sys
import threading
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ._interruption import Scope, ThreadExit, _check_request, check_interrupt

if TYPE_CHECKING:
    from types import FrameType

_Result = TypeVar("_Result")

_DONE = (_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED, _base.FINISHED)


class Future(concurrent.futures.Future[_Result]):
    """A ``concurrent.futures.Future`` that can be cancelled while its task runs."""

    # Written by the worker before the state is RUNNING, and that under the future's lock.
    _scope: Scope | None = None
    # Classes that cancel() has asked for; written under the future's lock, before the scope is
    # asked: a worker that finds its scope asked finds them here.
    _asked_for: tuple[type[BaseException], ...] = ()

    def cancel(
        self, exc_type: type[BaseException] | None = None, reason: str | None = None
    ) -> bool:
        """Cancel the future; a task that runs is interrupted, and only that task (S29).

        exc_type: what the running task raises, as for ``interrupt()``; ``ThreadExit`` unless given.
        reason: a text that the exception carries, or None.

        Returns True if the future is cancelled, or if its running task has been asked to stop: the
        future stays ``running()`` until the task has stopped, cleanup and all, and is cancelled
        then. A task has stopped if it ends by a ``ThreadExit`` or by ``exc_type``: ``result()``
        raises ``CancelledError`` for either, and callbacks are called at that moment. One that
        goes on to return, or to raise something else, has done so: then that is the outcome. While
        a call has not reached the task yet, another changes nothing; later it asks once more, and
        may break off cleanup (S8).

        Returns False if it is too late: the task has come to its end, and nothing happens.

        TypeError: ``exc_type`` is no class of exceptions that can be made without arguments, or
        ``reason`` no str. Then nothing has happened either.
        """
        _check_request(exc_type, reason)
        if super().cancel():
            return True
        scope = self._scope
        if scope is None:
            return False
        if exc_type is not None:
            with self._condition:
                self._asked_for = (*self._asked_for, exc_type)
        return scope.interrupt(exc_type, reason=reason)

    def is_given_up(self, loop: Any) -> bool:
        """Whether what awaits it in that event loop is cancelled, which the loop will pass on."""
        for callback in tuple(cast("Any", self)._done_callbacks):
            # asyncio's own, made by wrap_future() and run_in_executor().
            names: tuple[str, ...] = getattr(getattr(callback, "__code__", None), "co_freevars", ())
            if callback.__module__ == "asyncio.futures" and "destination" in names:
                awaited = callback.__closure__[names.index("destination")].cell_contents
                if awaited.cancelled() and awaited.get_loop() is loop:
                    return True
        return False

    def forget_others(self) -> None:
        """In the child of a fork: nobody waits for it, or has its lock."""
        self._condition = threading.Condition()
        self._waiters = []

    def _is_done(self) -> bool:
        """As ``done()``, without the lock, which somebody may have left taken."""
        return self._state in _DONE

    def _is_mine(self) -> bool:
        """Whether this thread has the lock."""
        condition: Any = self._condition
        mine: bool = condition._is_owned()
        return mine

    def _give_back(self) -> None:
        """Release the lock, if this thread has it: nothing that it is at needs it.

        A ``with`` in the standard library has been broken off by a signal handler (gh-148874). See
        ``are_in_use``.
        """
        while self._is_mine():
            self._condition.release()

    def _end_cancelled(self) -> None:
        """The task ran, and has been stopped. By its worker."""
        with self._condition:
            if self._state != _base.RUNNING:  # as set_result()
                raise concurrent.futures.InvalidStateError(f"{self._state}: {self!r}")
            self._state = _base.CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        cast("Any", self)._invoke_callbacks()


def are_in_use() -> bool:
    """Whether the caller is what a signal handler does, in what takes the locks of futures."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is vars(_base) or frame.f_code is Future.cancel.__code__:
            return True
        frame = frame.f_back
    return False


class Task:
    """A call and its future, in the queue or being run."""

    __slots__ = ("call", "future")

    def __init__(self, future: Future[Any], call: Any) -> None:
        self.future = future
        self.call = call

    def run(self, context: Any) -> None:
        """Run it in the calling thread, a worker."""
        future = self.future
        try:
            scope = Scope()
            scope._enter()
        except BaseException as error:  # noqa: BLE001  (no memory; result() raises it)
            self.fail(error)
            return
        # Before the future is running: who finds that it is, finds the scope, too. What is asked
        # of it, or of this thread, before the task begins is raised then.
        future._scope = scope
        try:
            if not future.set_running_or_notify_cancel():
                scope._leave()
                return
            check_interrupt()
            result = context.run(self.call)
        except ThreadExit:
            scope._leave()
            future._end_cancelled()
        except BaseException as error:  # noqa: BLE001  (it is raised by result())
            if scope._leave() and isinstance(error, future._asked_for):
                future._end_cancelled()
            else:
                future.set_exception(error)
            self = None  # type: ignore[assignment]  # noqa: PLW0642  (its traceback has this frame)
            future = None  # type: ignore[assignment]
        else:
            scope._leave()
            future.set_result(result)

    def cancel(self) -> None:
        """It is not to be run: not in the queue any more, and nobody else has it."""
        try:
            self.future.cancel()
        except BaseException:  # noqa: BLE001  (a callback's; other tasks are to be cancelled, too)
            _base.LOGGER.critical("Exception in a callback", exc_info=True)
        if self.future.cancelled():
            self.future.set_running_or_notify_cancel()  # for wait() and as_completed()

    def fail(self, error: BaseException) -> None:
        """It is not to be run, because of that error. As above."""
        try:
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)
        except BaseException:  # noqa: BLE001  (as above)
            _base.LOGGER.critical("Exception in a callback", exc_info=True)

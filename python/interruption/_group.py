"""Threads that are started, stopped and waited for together (S28).

A task runs in a thread of its own, in the scopes that the group was opened in and, inside of them,
in one of its own, by which the group and its future stop it. So does the body, in the group's.
"""

# ruff: noqa: SLF001  (of this package's own; and of futures what _executor._check_standard names)

import concurrent.futures
import contextlib
import contextvars
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, _base
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from ._arguments import flag
from ._future import Future
from ._interruption import (
    Scope,
    ThreadExit,
    _requested_of,
    _scopes,
    _until_all_are_asked,
    check_interrupt,
    defer_interruption,
)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_numbers = itertools.count(1)
_NOTHING = object()  # in the place of a result


class _Process:
    """Of which there is another one in the child of a fork."""

    current = object()

    @classmethod
    def forked(cls) -> None:
        cls.current = object()


os.register_at_fork(after_in_child=_Process.forked)


class _Task(threading.Thread):
    """A thread that runs one task of a group."""

    # Mangled names: what Thread calls its own differs from version to version.

    def __init__(self, group: "ThreadGroup", number: int, call: _Call) -> None:
        what = getattr(call[0], "__name__", type(call[0]).__name__)
        super().__init__(name=f"{group.name}-{number} ({what})")
        self.group = group
        self.future: Future[Any] = Future()
        self.number = number  # no other task of the group has it
        self.__own = Scope()
        self.__call: _Call | None = call
        self.__context = contextvars.copy_context()

    def run(self) -> None:
        """Run the task, and tell the group that it has ended."""
        try:
            if self.group._shielded:
                with defer_interruption:
                    self.__run()
            else:
                self.__run()
        finally:
            self.group._end(self)

    def __run(self) -> None:
        group, future, own = self.group, self.future, self.__own
        scopes = [*group._outer, own]
        entered: list[Scope] = []
        error: BaseException | None = None
        result, claimed = None, False
        try:
            for scope in scopes:
                scope._enter()
                entered.append(scope)
            # Before it is running: who finds that it is, finds the scope, too. What is asked before
            # the task begins is raised then.
            future._scope = own
            claimed = future.set_running_or_notify_cancel()
            if claimed:
                check_interrupt()
                function, args, kwargs = cast("_Call", self.__call)
                result = self.__context.run(function, *args, **kwargs)
        except BaseException as raised:  # noqa: BLE001  (the group and the future raise it)
            error = raised
        try:
            self.__call = None
            asked = [scope._leave(error) for scope in reversed(entered)]
            if len(entered) < len(scopes):  # no memory
                asked = [False]
                claimed = future.set_running_or_notify_cancel()
            if not claimed or not group._is_here():
                pass
            elif error is None:
                group._note(self, result)
                future.set_result(result)
            elif own._has_raised(error) or (asked[0] and group._is_request(error, future)):
                future._end_cancelled()
            elif group._is_outer(error):
                group._stopped = error
                future._end_cancelled()
            else:
                group._fail(error)
                future.set_exception(error)
        finally:  # its traceback has this frame
            del self, group, future, error, result


class ThreadGroup:
    """Threads that are started in a block, and have all ended when it is left (S28).

        with ThreadGroup() as group:
            one = group.submit(fetch, "a")
            other = group.submit(fetch, "b")
        print(one.result(), other.result())

    If a task or the block fails, the other tasks and the block are interrupted, and waited for. All
    errors come out as an ``ExceptionGroup``, the block's first; who was merely interrupted has made
    none. What is no ``Exception`` comes out of the block as it is: ``KeyboardInterrupt``,
    ``SystemExit``, what stopped the block from outside.

    Tasks are in the scopes and time limits that the group is opened in, and are stopped with them;
    and, if that is in a shield, shielded. A request to the thread that is in the block reaches the
    tasks when it leaves. If a task was stopped from outside of the group, leaving raises, too.

    name: what the names of the threads begin with; ``"ThreadGroup-1"`` and so on unless given.
    keep_going: True: a task that fails interrupts nobody. The errors come out at the end all the
        same, unless ``first()`` has found a result.

    A group is for one ``with`` statement. In a coroutine: ``asyncio.TaskGroup``.

    TypeError: the name is no str, or ``keep_going`` no bool.
    """

    def __init__(self, *, name: str | None = None, keep_going: bool = False) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is a str, not {type(name).__name__}")
        self.name = f"ThreadGroup-{next(_numbers)}" if name is None else name
        self._keep_going = flag(keep_going, "keep_going")
        # Written when it is entered, and constant from then on.
        self._owner: threading.Thread | None = None
        self._process = _Process.current
        self._opened: tuple[str, int, str] | None = None
        self._shielded = False
        self._outer: list[Scope] = []
        self._body = Scope()
        self._started = itertools.count()
        self._all_ended: queue.SimpleQueue[None] = queue.SimpleQueue()  # told, if waited for
        self._stopped: BaseException | None = None  # by what a task was from outside; by any task
        # A signal handler, too, may use the group.
        self._lock = threading.RLock()
        # Guarded by it:
        self._running: dict[_Task, None] = {}
        self._ending: list[_Task] = []  # they have told so; to be joined
        self._enough = 16  # so many of these, and they are looked through
        self._waited_for = False
        self._left = False
        self._asked: str | None = None  # why: nothing is submitted any more
        self._asked_again = False
        self._results: dict[int, Any] = {}  # by the task's number, in the order of submit()
        self._first: int | None = None  # the number of the first one's task
        self._found = False  # by first()
        self._errors: list[BaseException] = []
        # What it has raised itself for those, or for being asked:
        self._told: list[BaseException] = []

    def __repr__(self) -> str:
        """For people: with its name, and how many tasks run."""
        state = "left" if self._left else f"{len(self._running)} running"
        return f"<interruption.ThreadGroup {self.name!r} {state}>"

    # Submitting. ----------------------------------------------------------------------------------

    def submit(
        self,
        function: Callable[_Parameters, _Result],
        /,
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Future[_Result]:
        """Call ``function(*args, **kwargs)`` in a thread of its own, and return its future.

        By the thread that is in the block, and by tasks. The task has a copy of the caller's
        context. ``future.cancel(exc_type, reason)`` interrupts it; that is no failure.

        RuntimeError: the group was not entered, or has been left; it has been asked to stop; who
        calls is not in it; or no thread can be started. Then nothing has been submitted.
        TypeError: it cannot be called.
        """
        if not callable(function):
            raise TypeError(f"give a function to call, not {type(function).__name__}")
        self._check_inside()  # before the lock: in a fork, who has that may not be there
        task = _Task(self, next(self._started), (function, args, kwargs))
        # There is no thread that nobody knows of, whatever comes in between: who is asked is told
        # at the end; and what else is raised finds the task waiting to be run, and takes it back,
        # or in the group.
        with defer_interruption:
            try:
                self._admit(task)
                task.start()
            except BaseException:
                if concurrent.futures.Future.cancel(task.future):
                    with self._lock:
                        self._running.pop(task, None)
                        self._results.pop(task.number, None)
                raise
        return task.future

    def _admit(self, task: _Task) -> None:
        with self._lock:
            if self._left:
                raise RuntimeError("the group has been left: nothing can be submitted any more")
            if self._asked is not None:
                refusal = RuntimeError(f"the group has been asked to stop: {self._asked}")
                self._told.append(refusal)
                raise refusal
            self._results[task.number] = _NOTHING
            self._running[task] = None

    def _is_here(self) -> bool:
        """Whether this is the process that the group was made in, and not a fork of it."""
        return self._process is _Process.current

    def _check_inside(self) -> None:
        """Whether the caller is in the block, or in a task; of a group inside of it perhaps."""
        if self._owner is None:
            raise RuntimeError("the group was not entered: `with ThreadGroup() as group:`")
        if not self._is_here():
            raise RuntimeError("the group was entered before a fork: its tasks are not here")
        thread: threading.Thread | None = threading.current_thread()
        while isinstance(thread, _Task) and thread.group is not self and thread is not self._owner:
            thread = thread.group._owner
        if thread is not self._owner and not isinstance(thread, _Task):
            raise RuntimeError(
                "only the thread that has entered the group and its tasks may submit to it, not "
                f"{threading.current_thread().name!r}"
            )

    # Results. -------------------------------------------------------------------------------------

    def results(self) -> list[Any]:
        """Wait for what has been submitted, and return the results, in that order.

        By the thread that is in the block; by any, when it has been left. A task that fails has the
        block interrupted; with ``keep_going`` its error is raised here. ``CancelledError``: a task
        was cancelled.

        RuntimeError: as ``submit()``.
        """
        if not self._left:
            self._check_owner()
        with self._lock:
            numbers = list(self._results)
            running = list(self._running)
        for task in running:
            task.future.result()
        with self._lock:
            results = [self._results[each] for each in numbers if each in self._results]
            if self._errors:
                raise self._errors[0]
        if any(result is _NOTHING for result in results):
            raise CancelledError
        return results

    def first(self) -> Any:
        """Wait for the first task that returns, interrupt the others, and return its result.

        By the thread that is in the block. A task that fails before that has the block interrupted;
        with ``keep_going`` it is passed over, unless it is the last one: then an ``ExceptionGroup``
        of all errors is raised. ``CancelledError``: all were cancelled.

        RuntimeError: as ``submit()``, or nothing has been submitted.
        """
        self._check_owner()
        while True:
            with self._lock:
                found = self._first
                # One that is done may be in a callback yet.
                running = [task.future for task in self._running if not task.future.done()]
                if found is not None or not running:
                    break
            concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        if found is not None:
            self._found = True
            self._ask("another task has been the first to return")
            return self._results[found]
        if not self._results:
            raise RuntimeError("nothing has been submitted to the group")
        if self._errors:
            none = BaseExceptionGroup("no task has returned", list(self._errors))
            self._told.append(none)
            raise none
        raise CancelledError

    def _check_owner(self) -> None:
        self._check_inside()
        if threading.current_thread() is not self._owner:
            raise RuntimeError("only the thread that has entered the group may wait for its tasks")
        if self._left:
            raise RuntimeError("the group has been left")

    # What becomes of tasks. By their threads. -----------------------------------------------------

    def _is_request(self, error: BaseException, future: Future[Any]) -> bool:
        return isinstance(error, (ThreadExit, *future._asked_for)) and not self._is_marked(error)

    def _is_outer(self, error: BaseException) -> bool:
        """Whether it stops the thread for what was asked outside of the group."""
        return isinstance(error, ThreadExit) or self._is_marked(error)

    def _is_marked(self, error: BaseException) -> bool:
        return any(scope._has_raised(error) for scope in self._outer)

    def _note(self, task: _Task, result: Any) -> None:
        """Before its future says so."""
        with self._lock:
            self._results[task.number] = result
            if self._first is None:
                self._first = task.number

    def _fail(self, error: BaseException) -> None:
        """The same of an error."""
        with self._lock:
            self._errors.append(error)
        if not self._keep_going:
            reason = "a task of the group has failed"
            try:
                self._ask(reason)
            except BaseException:  # noqa: BLE001  (a callback's: the block is to be stopped, too)
                _base.LOGGER.critical("Exception in a callback", exc_info=True)
            self._body.interrupt(reason=reason)

    def _end(self, task: _Task) -> None:
        if not self._is_here():
            return
        with self._lock:
            self._running.pop(task, None)
            self._ending.append(task)
            if len(self._ending) > self._enough:
                self._ending = [ending for ending in self._ending if ending.is_alive()]
                self._enough = 2 * len(self._ending) + 16
            last = self._waited_for and not self._running
        if last:
            self._all_ended.put(None)

    # Stopping. ------------------------------------------------------------------------------------

    def _ask(self, reason: str, *, again: bool = False) -> None:
        """Interrupt the tasks; if they have been before, only if that is asked ``again`` (S8)."""
        with self._lock:
            before = self._asked_again
            if self._asked is not None and not again:
                return
            self._asked = self._asked or reason
            self._asked_again = before or again
            running = list(self._running)
        raised: BaseException | None = None
        if again:
            _until_all_are_asked()
        for task in running:
            # Whoever stops the thread in the block may have asked all threads, and meant once.
            if again and not before and task.ident is not None and _requested_of(task):
                continue
            try:
                task.future.cancel(reason=reason)
            except BaseException as error:  # noqa: BLE001  (Ctrl-C, or a callback's: after others)
                raised = error
        if raised is not None:
            raise raised

    def _pass_on(self, error: BaseException) -> None:
        """Stop the tasks, for the thread that is in the block has raised that."""
        if self._is_marked(error):  # they are asked by that scope, too
            with self._lock:
                self._asked = self._asked or "a scope that it is in has been asked"
        elif isinstance(error, Exception):
            self._ask("the group's block has failed")
        else:
            reason = error.reason if isinstance(error, ThreadExit) else None
            self._ask(reason or "the group's block has been stopped", again=True)

    # Entering and leaving. ------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Enter it; raises what the thread has been asked, as ``allow_interruption`` (S7)."""
        with self._lock:
            if self._owner is not None:
                raise RuntimeError(
                    "the group has been entered before: make one for each `with` statement"
                )
            self._owner = threading.current_thread()
        self._opened = _place_of(sys._getframe(1))
        self._shielded, self._outer = _scopes()
        try:
            self._body.__enter__()
        except BaseException:
            self._owner = None
            with contextlib.suppress(RuntimeError):  # it may be Ctrl-C that has come in between
                self._body._leave()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Leave it when all tasks have ended."""
        if threading.current_thread() is not self._owner or self._left:
            raise RuntimeError("a group is left once, by the thread that has entered it")
        if not self._is_here():
            self._lock = threading.RLock()
            self._running.clear()
            self._ending.clear()
        by_group = exc is not None and self._body._has_raised(exc)
        late: BaseException | None = None
        ends = False
        try:
            late = self._wait(exc)
        finally:
            last = late or exc
            ends = self._body.__exit__(type(last) if last else None, last, None)
        raised = [error for error in (exc, late) if error is not None]
        if by_group and (late is not None or ends):
            del raised[0]
        try:
            self._raise_what_came(raised, exc)
            return not raised
        finally:  # what comes out has this frame
            del exc, late, last, raised

    def _wait(self, error: BaseException | None) -> BaseException | None:
        """Wait for all tasks. Returns what the thread has raised meanwhile, the last of it."""
        late: BaseException | None = None
        news = error
        while True:
            try:
                if news is not None:
                    passed, news = news, None
                    if not self._body._has_raised(passed):
                        late = late if passed is error else passed
                        self._pass_on(passed)
                self._wait_for_all()
            except BaseException as raised:  # noqa: BLE001  (it is raised when all have ended)
                news = raised
            else:
                return late

    def _wait_for_all(self) -> None:
        while not self._left:
            with self._lock:
                self._waited_for = True
                self._left = not self._running
            if not self._left:
                self._all_ended.get()
        with defer_interruption:  # they end at once
            while self._ending:
                self._ending[-1].join()
                self._ending.pop()

    def _raise_what_came(
        self, raised: list[BaseException], from_block: BaseException | None
    ) -> None:
        """Raise what comes out of the block, unless it is what that has raised itself.

        Its own errors before those of tasks; what was asked of it only if there are none.
        """
        passing = [error for error in raised if self._passes(error)]
        last = passing[-1] if passing else None
        if last is None or isinstance(last, ThreadExit) or self._is_marked(last):
            errors = _without(raised, passing)
            if not (self._keep_going and self._found):
                errors += _without(self._errors, errors)
            others = _without(errors, self._told)
            if self._stopped:  # who waited for what was stopped from outside has not failed
                others = [error for error in others if not isinstance(error, CancelledError)]
            if others or passing or self._stopped:
                errors = others
            if errors:
                raise BaseExceptionGroup(f"errors in {self.name}", errors) from last
        if last is not None:
            if last is not from_block:
                raise last
        elif self._stopped is not None:
            for scope in self._outer:
                scope._raise_asked()
            raise self._stopped

    def _passes(self, error: BaseException) -> bool:
        """Whether it comes out of the block as it is."""
        return not isinstance(error, Exception) or self._is_marked(error)


def _without(errors: list[BaseException], others: list[BaseException]) -> list[BaseException]:
    return [error for error in errors if not any(error is other for other in others)]


def groups_of(thread: object) -> tuple[str, ...]:
    """Those that the thread runs a task of, innermost first, for people (S19)."""
    found = []
    while isinstance(thread, _Task):
        group = thread.group
        thread = group._owner
        filename, line, function = group._opened or ("?", 0, "?")
        by = thread.name if thread else "?"
        found.append(f"{group.name}, opened at {filename}:{line} in {function} by {by}")
    return tuple(found)


def _place_of(frame: FrameType) -> tuple[str, int, str]:
    return (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)

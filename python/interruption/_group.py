"""Threads that are started, stopped and waited for together (S28).

A task runs in a thread of its own, in the scopes that the group was opened in and, inside of them,
in one of its own, by which the group and its future stop it. So does the body, in the group's.
"""

# ruff: noqa: SLF001  (of this package's own; and of futures what _executor._check_standard names)

import concurrent.futures
import contextlib
import functools
import itertools
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from ._arguments import flag
from ._future import Future, are_in_use
from ._group_task import Process, Task, check_function
from ._interruption import (
    Scope,
    ThreadExit,
    _Group,
    _requested_of,
    _scopes,
    _until_all_are_asked,
    defer_interruption,
)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
_Waiting = list[queue.SimpleQueue[None]]  # each is of one call that waits

MANY = 16  # threads that have ended are joined when there are more

_numbers = itertools.count(1)
_NOTHING = object()  # in the place of a result


class ThreadGroup(_Group):
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

    # Written when it is entered, and constant from then on.
    _owner: threading.Thread | None = None
    _opened: tuple[CodeType, int] | None = None  # by which code, at which instruction
    _shielded = False
    _outer: list[Scope]  # which the tasks are in, too
    _around: list[Scope]  # all of them
    # Of the thread that is in the block.
    _asks = False  # it has begun to ask the tasks, and has not come to the end
    _asked_again = False
    _found = False  # by first()
    # Of all threads: see __init__.
    _left = False
    _asked: str | None = None  # why: nothing is submitted any more
    _stopped: BaseException | None = None  # by what a task was from outside; by any task

    def __init__(self, *, name: str | None = None, keep_going: bool = False) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is a str, not {type(name).__name__}")
        self.name = f"ThreadGroup-{next(_numbers)}" if name is None else name
        self._keep_going = flag(keep_going, "keep_going")
        self._process = Process.current
        self._body = Scope()
        self._started = itertools.count()
        # There is no lock: a signal handler may raise when one has just been taken (gh-148874), and
        # may use the group itself. Each step on one of these is whole. Who says what concerns the
        # tasks (`_asked`, `_left`, that it waits) says it, and looks then who they are; who comes
        # or goes is put there, or taken out, and looks then what is said: one sees the other.
        self._running: dict[Task, None] = {}
        self._ending: deque[Task] = deque()  # they have told so; to be joined
        # Who waits, to be told: for a future that is done, and for the last task to end.
        self._for_one: _Waiting = []
        self._for_all: _Waiting = []
        self._tell = functools.partial(_tell, self._for_one)
        self._not_entered, self._not_asked = [None], [None]  # see _claim
        self._results: dict[int, Any] = {}  # by the task's number, in the order of submit()
        self._returned: list[int] = []  # the number of the first one's task; it may have followers
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
        TypeError: it cannot be called, or is a coroutine or generator function.
        """
        check_function(function)
        by_owner = self._check_inside()
        call = (function, args, kwargs)
        task = Task(self, next(self._started), call, by_owner=by_owner)
        # There is no thread that nobody knows of, whatever comes in between: who is asked is told
        # at the end; and what else is raised finds the task waiting to be run, and takes it back,
        # or in the group.
        with defer_interruption:
            try:
                self._admit(task)
                task.start()
            except BaseException:
                self._take_back(task)
                raise
        return task.future

    def _admit(self, task: Task) -> None:
        self._running[task] = None
        self._results[task.number] = _NOTHING
        if self._left and threading.current_thread() not in self._running:
            raise RuntimeError("the group has been left: nothing can be submitted any more")
        if self._asked is not None:
            refusal = RuntimeError(f"the group has been asked to stop: {self._asked}")
            self._told.append(refusal)
            raise refusal

    def _take_back(self, task: Task) -> None:
        """It could not be submitted; if it runs already, it stays."""
        if concurrent.futures.Future.cancel(task.future):
            task.future._give_back()
            self._results.pop(task.number, None)
            self._remove(task)

    def _is_here(self) -> bool:
        """Whether this is the process that the group was made in, and not a fork of it."""
        return self._process is Process.current

    def _check_inside(self) -> bool:
        """Whether the caller is in the block, or in a task; of a group inside of it perhaps.

        Returns whether it is the thread that is in the block.
        """
        if self._owner is None:
            raise RuntimeError("the group was not entered: `with ThreadGroup() as group:`")
        if not self._is_here():
            raise RuntimeError("the group was entered before a fork: its tasks are not here")
        caller = threading.current_thread()
        thread: threading.Thread | None = caller
        while isinstance(thread, Task) and thread.group is not self and thread is not self._owner:
            thread = thread.group._owner
        if thread is not self._owner and not isinstance(thread, Task):
            raise RuntimeError(
                "only the thread that has entered the group and its tasks may submit to it, not "
                f"{caller.name!r}"
            )
        return caller is self._owner

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
        numbers = list(self._results)
        for task in list(self._running):
            if task.is_beneath():
                numbers = [each for each in numbers if each != task.number]
                continue
            self._until(task.says_so, self._for_one)
            if self._results.get(task.number) is _NOTHING:
                break  # it has no result; one that could not be started is not there any more
        if self._errors:
            raise self._errors[0]
        found = self._results.copy()
        results = [found[each] for each in numbers if each in found]
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
        self._until(self._is_decided, self._for_one)
        if self._returned:
            self._found = True
            self._ask("another task has been the first to return")
            return self._results[self._returned[0]]
        if not self._results:
            raise RuntimeError("nothing has been submitted to the group")
        if self._errors:
            none = BaseExceptionGroup("no task has returned", list(self._errors))
            self._told.append(none)
            raise none
        raise CancelledError

    def _is_decided(self) -> bool:
        """Whether a task has returned, or none will."""
        # One that is over may be in a callback yet; it has been noted before.
        tasks = list(self._running)
        running = [task for task in tasks if not (task.is_over or task.is_beneath())]
        return bool(self._returned or not running)

    def _until(self, so: Callable[[], bool], waiting: _Waiting) -> None:
        """Wait until that is so; those who are in the list are told when it may be.

        In C, and by what only this call has: whatever a signal handler breaks off here, or does
        with the group, nobody else waits for it.
        """
        if so():
            return
        told: queue.SimpleQueue[None] = queue.SimpleQueue()
        waiting.append(told)
        try:
            if waiting is self._for_all or not are_in_use():
                for task in list(self._running):
                    task.future._give_back()
            while not so():
                told.get()
        finally:
            waiting.remove(told)

    def _check_owner(self) -> None:
        if not self._check_inside():
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
        marks = [scope for scope in self._around if scope._has_raised(error)]
        return bool(marks)

    def _note(self, task: Task, result: Any) -> None:
        """Before its future says so."""
        self._results[task.number] = result
        if not self._returned:
            self._returned.append(task.number)

    def _fail(self, error: BaseException) -> None:
        """The same of an error."""
        self._errors.append(error)
        if not self._keep_going:
            reason = "a task of the group has failed"
            self._ask(reason, by_owner=False)
            self._body.interrupt(reason=reason)

    def _end(self, task: Task) -> None:
        if not self._is_here():
            return
        self._ending.append(task)
        if len(self._ending) > MANY:
            self._let_go()
        self._remove(task)

    def _remove(self, task: Task) -> None:
        self._running.pop(task, None)
        for told in self._for_one.copy() if self._running else self._for_one + self._for_all:
            told.put(None)

    def _none_runs(self) -> bool:
        return not self._running.copy()

    def _let_go(self) -> None:
        """Of two threads, if they have ended: one more than is added each time."""
        with contextlib.suppress(IndexError):  # others do the same
            for _ in range(2):
                ended = self._ending.popleft()
                if ended.is_alive():
                    self._ending.append(ended)

    # Stopping. ------------------------------------------------------------------------------------

    def _ask(self, reason: str, *, again: bool = False, by_owner: bool = True) -> None:
        """Interrupt the tasks; if they have been before, only if that is asked ``again`` (S8)."""
        if by_owner:
            again, self._asks = again or self._asks, True
        self._asked = self._asked or reason
        before = self._asked_again
        if again:
            self._asked_again = True
            _until_all_are_asked()
        if _claim(self._not_asked) or again:
            for task in list(self._running):
                # Whoever stops the thread in the block may have asked all threads, and meant once.
                if not (again and not before and task.ident and _requested_of(task)):
                    task.own.interrupt(reason=reason)
        if by_owner:
            self._asks = False

    def _pass_on(self, error: BaseException) -> None:
        """Stop the tasks, for the thread that is in the block has raised that."""
        if self._is_marked(error):  # they are asked by that scope, too
            self._asked = self._asked or "a scope that it is in has been asked"
        elif isinstance(error, Exception):
            self._ask("the group's block has failed")
        else:
            reason = error.reason if isinstance(error, ThreadExit) else None
            self._ask(reason or "the group's block has been stopped", again=True)

    # Entering and leaving. ------------------------------------------------------------------------

    # `__enter__` is that of _Group: it calls `_open`, enters the scope of the block, and notes the
    # owner. No handler comes between these two, so a group that has one has been entered.

    def _open(self) -> threading.Thread:
        """All of entering that may be broken off. Returns who enters."""
        if not _claim(self._not_entered):
            raise RuntimeError(
                "the group has been entered before: make one for each `with` statement"
            )
        frame = sys._getframe(1)
        self._opened = (frame.f_code, frame.f_lasti)
        self._shielded, self._outer, self._around = _scopes()
        return threading.current_thread()

    # `__exit__` is that of _Group: it calls `_wait`, leaves the scope of the block, and calls
    # `_outcome`. It calls either again, if a signal handler has raised in it, with all that has
    # been raised so far: the first is the block's, or None. So each step can be done twice.

    def _wait(self, raised: list[BaseException | None]) -> BaseException | bool | None:
        """Wait for all tasks, having passed on to them what was raised last.

        Returns that by which the block is left, if any; True: it has no other outcome than that of
        its scope; False: it is not this thread's to leave.
        """
        if not self._body._is_entered():
            return False
        if not self._is_here():
            self._running.clear()
            self._ending.clear()
        news = raised[-1]
        if news is not None and (self._asks or not self._body._has_raised(news)):
            self._pass_on(news)
        elif self._asks:  # first() was broken off in the midst of it, and the block went on
            self._ask(self._asked or "the group has been asked to stop")
        self._wait_for_all()
        if news is None and not self._errors and self._stopped is None:
            return True
        return [raised[0], *self._late(raised)][-1]

    def _late(self, raised: list[BaseException | None]) -> list[BaseException]:
        """What was raised while the group was left, but not for the group."""
        return [error for error in raised[1:] if error and not self._body._has_raised(error)]

    def _wait_for_all(self) -> None:
        for task in list(self._running):
            if task.by_owner and task.ident is None:  # submit() was broken off, and that again
                self._take_back(task)
        while True:
            self._until(self._none_runs, self._for_all)
            self._left = True
            if self._none_runs():
                break
            self._left = False  # a task of a group around it has submitted meanwhile
        # They end at once. No loop in the block: from its jump 3.13 does not come to the exit.
        with defer_interruption:
            self._join()

    def _join(self) -> None:
        ending = self._ending
        while ending:
            ending[0].join()
            ending.popleft()

    def _outcome(
        self,
        raised: list[BaseException | None],
        ends: bool | None,  # noqa: FBT001  (called by position)
    ) -> BaseException | bool:
        """What comes out of the block, as the next; all that was raised is reachable from it."""
        outcome = self._choose(raised, ends)
        error = outcome if isinstance(outcome, BaseException) else raised[0]
        if error and outcome is not True:
            _put_before(error, [raised[0], *self._late(raised)])
        return outcome

    def _choose(
        self,
        raised: list[BaseException | None],
        ends: bool | None,  # noqa: FBT001  (called by position)
    ) -> BaseException | bool:
        """What comes out of the block; else, whether that by which it was left goes no further.

        Its own errors before those of tasks; what was asked of it only if there are none.

        ends: whether the scope of the block has ended that by which it was left; None: it has
            raised something else.
        """
        late, from_block = self._late(raised), raised[0]
        came = [] if from_block is None else [from_block]
        if from_block is not None and self._body._has_raised(from_block) and (late or ends):
            came = []
        came += late
        passing = [error for error in came if self._passes(error)]
        if ends is None:
            passing += _without(came[-1:], passing)
        # Ctrl-C is not lost behind what has been asked, whichever came first.
        own = [error for error in passing if not self._is_outer(error)] or passing
        exits = [error for error in own if isinstance(error, (KeyboardInterrupt, SystemExit))]
        last = (exits[:1] or own[-1:] or [None])[0]
        if last is None or self._is_outer(last):
            errors = _without(came, passing)
            if not (self._keep_going and self._found):
                errors += _without(self._errors, errors)
            others = _without(errors, self._told)
            if self._stopped:  # who waited for what was stopped from outside has not failed
                others = [error for error in others if not isinstance(error, CancelledError)]
            if others or passing or self._stopped:
                errors = others
            if errors:
                group = BaseExceptionGroup(f"errors in {self.name}", errors)
                group.__cause__ = last
                return group
        if last is None and self._stopped is not None:
            last = self._stopped_as(self._stopped)
        return not came if last is None or last is from_block else last

    def _stopped_as(self, task: BaseException) -> BaseException:
        """What stops the block, because that from outside has stopped a task."""
        try:
            for scope in self._outer:
                scope._raise_asked()
        except BaseException as stop:  # noqa: BLE001  (it comes out of the block)
            return stop
        return task

    def _passes(self, error: BaseException) -> bool:
        """Whether it comes out of the block as it is."""
        return not isinstance(error, Exception) or self._is_marked(error)


def _tell(waiting: _Waiting, _: object = None) -> None:
    for told in waiting.copy():
        told.put(None)


def _claim(once: list[None]) -> bool:
    """Whether the caller is the first. One step, for other threads and for signal handlers."""
    try:
        once.pop()
    except IndexError:
        return False
    return True


def _without(errors: list[BaseException], others: list[BaseException]) -> list[BaseException]:
    # No generator: what a signal handler raises while one is closed is lost.
    known = {id(other) for other in others}
    return [error for error in errors if id(error) not in known]


def _put_before(error: BaseException, others: list[BaseException | None]) -> None:
    """Make those contexts of the error that are none, the last one the nearest."""
    known: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in known:
        known.add(id(each))
        each = each.__context__
    for other in others:
        if other is None or id(other) in known:
            continue
        end, each = other, other
        while each is not None and id(each) not in known:  # in front of what both came after
            known.add(id(each))
            end, each = each, each.__context__
        end.__context__ = error.__context__
        error.__context__ = other


def groups_of(thread: object) -> tuple[str, ...]:
    """Those that the thread runs a task of, innermost first, for people (S19)."""
    found = []
    while isinstance(thread, Task):
        group = thread.group
        thread = group._owner
        place, by = "?", thread.name if thread else "?"
        if group._opened is not None:
            code, at = group._opened
            line = next(line for begin, end, line in code.co_lines() if begin <= at < end)
            place = f"{code.co_filename}:{line} in {code.co_qualname}"
        found.append(f"{group.name}, opened at {place} by {by}")
    return tuple(found)

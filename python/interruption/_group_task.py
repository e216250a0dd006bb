"""A task of a group, and the thread that runs it (S28): parts of ``_group``.

How a thread is started without a lock is here, and what a task does with its future and its scopes.
"""

# ruff: noqa: SLF001  (of this package's own; and of threading what _starter names)

import contextvars
import functools
import operator
import os
import queue
import sys
import threading
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType
from typing import TYPE_CHECKING, Any

from ._future import Future
from ._interruption import Scope, check_interrupt, defer_interruption

if TYPE_CHECKING:
    from ._group import ThreadGroup

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

# What a call of such a function does not run: by flags of its code, as `inspect` has them.
_RUNS_LATER = {
    0x80: "a coroutine function, whose coroutine nobody would await: submit asyncio.run and that, "
    "`group.submit(asyncio.run, work())`, or use asyncio.TaskGroup",
    0x200: "an asynchronous generator function: submit a function that goes through it",
    0x20: "a generator function, of which nothing runs when it is called: submit a function that "
    "goes through it, `group.submit(list, work())`",
}


class Process:
    """Of which there is another one in the child of a fork."""

    current = object()

    @classmethod
    def forked(cls) -> None:
        cls.current = object()


os.register_at_fork(after_in_child=Process.forked)


class Task(threading.Thread):
    """A thread that runs one task of a group."""

    # Mangled names: what Thread calls its own differs from version to version.

    def __init__(
        self, group: "ThreadGroup", number: int, call: _Call, *, by_owner: bool = True
    ) -> None:
        what = getattr(call[0], "__name__", type(call[0]).__name__)
        name, context = f"{group.name}-{number} ({what})", contextvars.copy_context()
        if sys.version_info >= (3, 14):
            super().__init__(name=name, context=context)
        else:
            super().__init__(name=name)
        self.group = group
        self.future: Future[Any] = Future()
        self.future.add_done_callback(group._tell)
        self.begins: queue.SimpleQueue[None] = queue.SimpleQueue()  # told when it is running
        # Written by its thread: its future is running; the group knows its outcome.
        self.is_running = self.is_over = False
        self.number = number  # no other task of the group has it
        self.by_owner = by_owner  # the thread that is in the block has submitted it
        self.own = self.future._scope = Scope()
        self.__call: Any = call
        # From 3.14 the whole thread runs in it.
        has_context = sys.version_info >= (3, 14)
        self.__call_in: Callable[..., Any] = operator.call if has_context else context.run

    def start(self) -> None:
        """As ``Thread.start()``, but without locks, and waiting in C.

        A lock that a signal handler's exception leaves taken (gh-148874) would be in the way of all
        threads that start and end.
        """
        standard = vars(threading)
        if type(standard["get_ident"]) is not BuiltinFunctionType:
            raise RuntimeError(
                "threads are greenlets here, by the patching of gevent or eventlet, and a group is "
                "of threads of the system: use a pool of that library (gevent.pool.Group), or do "
                "not let it patch threads (gevent.monkey.patch_all(thread=False))"
            )
        is_known = sys.version_info < (3, 16)
        replaced = getattr(threading.Thread.start, "__globals__", None) is not standard
        if not is_known or replaced or self.ident is not None:  # else somebody is to know; it fails
            super().start()
            return
        limbo: dict[threading.Thread, threading.Thread] = standard["_limbo"]
        begun: list[object] = []
        try:
            start = _starter(self)
            limbo[self] = self
            # Started and noted, or neither: no handler runs in between.
            begun.extend(map(operator.call, (start,)))
        except BaseException:
            if not begun:
                limbo.pop(self, None)
            raise
        self.begins.get()

    def _bootstrap(self) -> None:
        """All that the thread does, by ``threading``."""
        try:
            getattr(super(), "_bootstrap")()  # noqa: B009  (no type knows it)
        finally:
            self.begins.put(None)
            self.future._give_back()
            if self in self.group._running:
                self.__make_up()

    def __make_up(self) -> None:
        """End it, for ``run()`` could not: a trace or profile function has raised in it.

        CPython calls that no more then, so this is as if there were none.
        """
        group, future = self.group, self.future
        if not group._is_here():
            return
        try:
            if not future._is_done():
                self.is_running = self.is_over = True
                error = RuntimeError(
                    "the thread of a task has been broken off in the code of the group, by a trace "
                    "or profile function perhaps: threading.excepthook was told by what"
                )
                group._fail(error)
                future.set_exception(error)
        finally:
            group._end(self)

    def run(self) -> None:
        """Run the task, and tell the group that it has ended."""
        group = self.group
        try:
            if group._shielded:
                with defer_interruption:
                    self.__run(group)
            else:
                self.__run(group)
        finally:
            if self.future._is_done():
                group._end(self)

    def __run(self, group: "ThreadGroup") -> None:
        future, own, outer = self.future, self.own, group._outer
        error: BaseException | None = None
        result, claimed, asked, entered = None, False, False, 0
        finish: Callable[[], Any] = int
        try:
            for scope in outer:
                scope._enter()
                entered += 1
            own._enter()
            entered += 1
            # Who finds that it is running finds it in its scope. What is asked before the task
            # begins is raised then.
            self.is_running = claimed = future.set_running_or_notify_cancel()
            self.begins.put(None)
            if claimed:
                check_interrupt()
                function, args, kwargs = self.__call
                result = self.__call_in(function, *args, **kwargs)
        except BaseException as raised:  # noqa: BLE001  (the group and the future raise it)
            error = raised
        try:
            self.__call = None
            if entered > len(outer):
                asked = own._leave(error)
            else:  # no memory
                self.is_running = claimed = future.set_running_or_notify_cancel()
            for scope in outer[entered - 1 :: -1] if entered and outer else ():
                scope._leave(error)
            if not claimed or not group._is_here():
                pass
            elif error is None:
                group._note(self, result)
                finish = functools.partial(future.set_result, result)
            elif own._has_raised(error) or (asked and group._is_request(error, future)):
                finish = future._end_cancelled
            elif group._is_outer(error):
                group._stopped = error
                finish = future._end_cancelled
            else:
                group._fail(error)
                finish = functools.partial(future.set_exception, error)
            # The future's lock may be with the thread that waits, see `says_so`.
            self.is_over = True
            group._tell()
            finish()
        finally:  # its traceback has this frame
            del self, group, future, error, result, finish

    def says_so(self) -> bool:
        """Whether its future is done; by the thread that is in the block.

        It will be, when this is what a signal handler does in a method of the future, and that goes
        on and releases the lock. So after ``submit()`` the lock is needed at the very end only.
        """
        return self.future._is_done() or (self.is_over and self.future._is_mine())

    def is_beneath(self) -> bool:
        """Whether this is what a signal handler does in ``submit()``; by the same thread."""
        return self.by_owner and not self.is_running


def _starter(thread: threading.Thread) -> Callable[[], object]:
    """What starts that thread, in C."""
    standard, its = vars(threading), vars(thread)
    bootstrap: Any = getattr(thread, "_bootstrap")  # noqa: B009  (no type knows it)
    if sys.version_info < (3, 13):
        return functools.partial(standard["_start_new_thread"], bootstrap, ())
    handle = its["_os_thread_handle" if sys.version_info >= (3, 14) else "_handle"]
    start = standard["_start_joinable_thread"]
    return functools.partial(start, bootstrap, handle=handle, daemon=thread.daemon)


def check_function(function: object) -> None:
    """Whether a call of it runs it."""
    if not callable(function):
        raise TypeError(f"give a function to call, not {type(function).__name__}")
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(type(function).__call__, "__code__", None)
    if isinstance(code, CodeType) and code.co_flags & 0x2A0:
        name = getattr(function, "__name__", type(function).__name__)
        why = next(why for flag, why in _RUNS_LATER.items() if code.co_flags & flag)
        raise TypeError(f"{name} is {why}")

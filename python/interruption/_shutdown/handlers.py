"""The handlers of the signals that ask: the program's stay in force, and the asking is beside them.

What stands in Python's table for such a signal is a ``_Handler`` around the program's. The program
sees its own, and sets others, as if ours were not there: ``signal.signal`` and ``signal.getsignal``
are interposed (signal_hook.c). So whoever looks whether a signal still has the handler of Python
finds it so, and whoever sets one of its own gets the signal.

All of it is the main thread's, but for ``_wrap`` and ``_unwrap``, which change nothing.
"""

import functools
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from .._interruption import (
    _call_handler,
    _foreign_signals,
    _hook_signals,
    _leave_word_by,
    _set_handler,
    _signal_is_answered,
    _signal_is_seen,
    _signal_later,
)

if TYPE_CHECKING:
    from .signals import State

# Libraries that take Ctrl-C by a handler of their own, because an exception that is raised anywhere
# would break them. They are left by that handler, whatever the signal.
_LEFT_BY_CTRL_C = frozenset({"trio"})

# For so long, in seconds, an event loop that has come to its end is left alone while it is shut
# down, ..
_SHUT_DOWN = 1.0

# .. and after so many turns one is left, although tasks of it end in each.
_TURNS = 100


# Signals that nobody sends, unless the program does: for messages from C.
_LAST = getattr(signal, "SIGRTMAX", 0)
_FIRST = getattr(signal, "SIGRTMIN", 1)


class _Now:
    """Which signals are looked after, for whom, and what is on its way."""

    listener: "State | None" = None
    looked_after: frozenset[int] = frozenset()  # replaced, never changed
    unless_handled: frozenset[int] = frozenset()  # those that the program's handlers have alone
    leaving: int | None = None  # the signal for which an event loop is to be left
    by_ctrl_c: int | None = None  # the signal that was passed on as Ctrl-C
    word: int | None = None  # the signal that tells of those which handlers in C have
    owed: BaseException | None = None  # what the event loop was not left by, as it ended before


class _Handler(functools.partial[Any]):
    """Stands in Python's table around the program's handler. No frame is made when it is called."""

    __slots__ = ()

    def __new__(cls, program: Any) -> "_Handler":  # noqa: PYI034  (a subclass adds no argument)
        """Around that one, which may be a number."""
        return super().__new__(cls, _call_handler, program)

    @property
    def program(self) -> Any:
        """The handler that the program has set."""
        return self.args[0]


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_number(handler: object) -> TypeGuard[int]:
    """Whether it stands for what the system does itself; plain, or as the enumeration has it."""
    return isinstance(handler, int)


def _is_default(handler: object) -> bool:
    """Whether it stands for the system's own action."""
    return _is_number(handler) and handler == signal.SIG_DFL


def _wrap(signum: object, handler: object) -> object:
    """What is to stand in Python's table when the program sets that."""
    handler = _unwrap(handler)
    if isinstance(signum, int) and signum == _Now.word and _is_main_thread():
        _find_word()  # another one: this is the program's now
    return _Handler(handler) if _is_ours(signum, handler) else handler


def _is_ours(signum: object, handler: object) -> bool:
    """Whether ours goes around that handler of the program's. One that cannot be set is not."""
    if not (isinstance(signum, int) and signum in _Now.looked_after):
        return False
    if _is_default(handler) or handler is signal.default_int_handler:
        return True
    return signum not in _Now.unless_handled and callable(handler) and not _is_number(handler)


def _unwrap(handler: object) -> object:
    """What the program is shown of what stands there."""
    while isinstance(handler, _Handler):
        handler = handler.program
    return handler


def _find_word() -> None:
    """Choose a signal that nobody has a handler for, nor sends."""
    last = _Now.word or _LAST + 1
    _forget_word()
    for signum in range(last - 1, _FIRST - 1, -1):
        if _is_default(signal.getsignal(signum)):
            _leave_word_by(signum, _Word(signal.SIG_DFL), True)  # noqa: FBT003  (in C)
            _Now.word = signum
            return


def _forget_word() -> None:
    if _Now.word is not None:
        _leave_word_by(_Now.word, int(signal.SIG_DFL), False)  # noqa: FBT003  (in C)
        _Now.word = None


def _see(program: Any, signum: int, frame: FrameType | None) -> Any:
    """See to a signal: what is to be called now, by C, or to be raised; or None."""
    listener = _Now.listener
    owed, _Now.owed = _Now.owed, None
    if listener is None:
        return None
    if owed is not None and listener.may_raise(frame):
        return owed
    alone = True
    counts, foreign = _signal_is_seen(signum, listener.count() == 0)
    try:
        if counts and signum in _Now.looked_after:
            alone = listener.on_signal(signum, frame)
    finally:
        _signal_is_answered()
    if not _is_default(program) and program is not signal.default_int_handler:
        return program
    if not (alone and listener.may_raise(frame)):
        return None
    if not _is_default(program):
        return program
    # Else a handler in C stands in the place of the system's action.
    return None if foreign else _what_stops_main_thread(listener, signum, frame)


class _Word(_Handler):
    """Called when a handler in C has had a signal, of which Python may never hear otherwise."""

    __slots__ = ()

    def __call__(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """See to those that nobody has seen to yet."""
        listener = _Now.listener
        if listener is None:
            return
        try:
            for each in _foreign_signals():
                counts, _ = _signal_is_seen(each, listener.count() == 0)
                if counts and each in _Now.looked_after:
                    listener.on_signal(each, frame)
        finally:
            _signal_is_answered()


def look_after(signum: int, listener: "State", *, unless_handled: bool) -> None:
    """Tell the listener of that signal from now on, whatever handlers the program sets.

    unless_handled: but not while it has one of its own.
    """
    _Now.listener = listener
    if not _Now.looked_after:
        _hook_signals((_wrap, _unwrap, _see))
        _find_word()
    if unless_handled and signum not in _Now.looked_after:
        _Now.unless_handled |= {signum}
    elif not unless_handled:
        _Now.unless_handled -= {signum}
    _Now.looked_after |= {signum}
    program = signal.getsignal(signum)
    if _is_ours(signum, program):
        _set_handler(signum, _Handler(program), True)  # noqa: FBT003  (a function in C)


def let_go(signum: int) -> None:
    """Tell of it no more: what the program has set is in force alone."""
    if signum not in _Now.looked_after:
        return
    _Now.looked_after -= {signum}
    _Now.unless_handled -= {signum}
    program = signal.getsignal(signum)
    if program is not None:
        program = int(program) if _is_number(program) else program
        _set_handler(signum, program, False)  # noqa: FBT003  (a function in C)
    if not _Now.looked_after:
        _forget_word()
        _hook_signals(None)


def forget() -> None:
    """Nothing is on its way any more."""
    _Now.by_ctrl_c = _Now.owed = None


def signal_that_ends(error: BaseException | None) -> int | None:
    """The signal that the main program has been ended by, if any.

    error: the exception that it ended with, which nobody has handled; or None. What was raised
        for a signal may come out of it in a group, or as the cause of another.
    """
    if _Now.leaving is not None:
        return _Now.leaving
    seen: set[int] = set()
    left = [error, _Now.owed]  # which the program has ended before
    while left:
        found = left.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        signum = getattr(found, "signum", None)
        if isinstance(found, SystemExit) and isinstance(signum, int):
            return signum
        if isinstance(found, KeyboardInterrupt) and _Now.by_ctrl_c is not None:
            return _Now.by_ctrl_c
        left += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            left += found.exceptions
    return None


# A signal that would have ended the process. ------------------------------------------------------


def _what_stops_main_thread(listener: "State", signum: int, frame: FrameType | None) -> Any:
    """What the main thread is stopped by: to be called, or raised; None: it has been seen to."""
    error = listener.exception(signum)
    ctrl_c: Any = signal.getsignal(signal.SIGINT)
    if str(getattr(ctrl_c, "__module__", "")).partition(".")[0] in _LEFT_BY_CTRL_C:
        _Now.by_ctrl_c = signum
        try:
            ctrl_c(signal.SIGINT, frame)
        except KeyboardInterrupt:
            return error
        return None
    loop = _running_loop()
    if loop is None or listener.count() != 1:
        return error
    _Now.leaving = signum
    loop.call_soon_threadsafe(_Leave(loop, error, signum, frame))
    return None


def _running_loop() -> Any | None:
    """The event loop of asyncio that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def _frame_of_run(frame: FrameType | None) -> FrameType | None:
    """That of the method by which asyncio runs its event loop: another one for each run."""
    code = sys.modules["asyncio"].BaseEventLoop.run_forever.__code__
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


class _Leave:
    """Leaves an event loop by an exception, between two steps of its tasks, which are cancelled.

    But not one that stops already, as what it was run for has come to its end. That would be heard
    of later, when asyncio runs it again to shut it down, which it would break off. A loop that
    stops does so within a turn, so it is left when no task has ended for one. If it has stopped,
    the exception is raised as soon as it has been shut down.
    """

    def __init__(
        self, loop: Any, error: BaseException, signum: int, frame: FrameType | None
    ) -> None:
        self._loop = loop
        self._error: BaseException | None = error
        self._signum = signum
        self._run: tuple[object, int] | None = None
        inside = _frame_of_run(frame)
        if inside is not None:
            self._run = inside, 0
        self._tasks: Any = None
        self._turns = 0
        self._stopped_at: float | None = None

    def __call__(self) -> None:
        """Called by the event loop."""
        frame = sys._getframe(1)  # noqa: SLF001  (documented as such)
        inside = _frame_of_run(frame)
        run = (frame, frame.f_lasti) if inside is None else (inside, 0)  # uvloop's has no frames
        self._run = self._run or run
        if run != self._run:
            self._wait_for_shutdown()
            return
        self._turns += 1
        before = self._tasks
        self._tasks = sys.modules["asyncio"].all_tasks(self._loop)
        if self._turns > _TURNS or (before is not None and not any(t.done() for t in before)):
            self._leave()
        self._loop.call_soon(self)

    def _wait_for_shutdown(self) -> None:
        now = time.monotonic()
        self._stopped_at = self._stopped_at or now
        if now > self._stopped_at + _SHUT_DOWN:
            self._leave()  # it is no shutdown
        self._loop.call_later(_SHUT_DOWN / 20, self)

    def _leave(self) -> NoReturn:
        error, self._error = self._error, None
        _Now.leaving = None
        self._tasks = self._run = None
        assert error is not None  # noqa: S101  (it is called once)
        raise error

    def __del__(self) -> None:
        """The loop has been closed."""
        if self._error is not None and _Now.leaving is not None:
            _Now.owed, self._error = self._error, None
            _Now.leaving = None
            _signal_later(self._signum)

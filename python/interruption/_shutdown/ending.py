"""The end of the main program: how it came, waiting for the threads there, and not for all of them.

The interpreter calls ``threading._shutdown()`` when the main program has ended, however it has, and
then waits for the threads that are not daemons. While somebody wants to know of that moment, a
function of this module stands in its place. All that depends on the version of Python is here.

What is in ``_Now`` is the main thread's: written and read by it alone, but for what is said there.
"""

import opcode
import sys
import threading
import time
from _weakrefset import WeakSet
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from .._interruption import _make_daemon

if TYPE_CHECKING:
    from .signals import State

_threading = cast("Any", threading)  # for what has no place in its types

# From 3.13 the threads are waited for by this function, which only an exception leaves early.
_HAS_C_WAIT = hasattr(threading, "_thread_shutdown")

# A thread that has not begun so many seconds after it was first seen will never begin: its start()
# was left by an exception, and `threading` has it in its list for ever.
BEGINS_WITHIN = 1.0

# Threads that nobody waits for any more. Added to by whoever gives one up, never taken from; for
# the others each operation is one step.
_given_up: set[threading.Thread] = set()

# Threads that are to be given up at the end, if they have not ended by then. The same.
_abandoned: WeakSet[threading.Thread] = WeakSet()  # of `weakref`, which is dear to import


class _Now:
    """What is in place: ``watcher``, and the frame that the main program ends with."""

    watcher: "State | None" = None
    outermost: FrameType | None = None
    in_place = False  # our functions, in `threading`
    shutdown: Callable[[], None] | None = None  # what was there before, for good:
    wait: Callable[[], None] | None = None  # somebody may have taken ours for the original


def outermost_frame(frame: FrameType | None = None) -> FrameType:
    """The one that no other Python code has called: below that frame, or of the calling thread."""
    frame = frame or sys._getframe()  # noqa: SLF001  (documented as such)
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def _ended_by_exception(frame: FrameType | None) -> bool:
    """Whether an exception has left that frame.

    Nobody is told of a ``SystemExit``: the interpreter takes it, and is about to exit when Python
    code runs next. But a frame knows its last instruction, and that is a return or it is not. A
    frame that still runs has not ended: somebody calls ``threading._shutdown()`` for reasons of
    their own, as the processes of ``multiprocessing`` do.
    """
    if frame is None or frame is outermost_frame():
        return False
    last = opcode.opname[frame.f_code.co_code[frame.f_lasti]]
    return not last.startswith("RETURN")


def watch(watcher: "State") -> None:
    """Tell the watcher of the end of the main program, from now on. In the main thread."""
    _Now.watcher = watcher
    _Now.outermost = outermost_frame()
    _put_in_place()


def _put_in_place() -> None:
    if _Now.in_place:
        return  # somebody's function over ours calls ours
    _Now.shutdown = _threading._shutdown  # noqa: SLF001  (the interpreter calls it by name)
    _threading._shutdown = _shutdown  # noqa: SLF001
    if _HAS_C_WAIT:
        _Now.wait = _threading._thread_shutdown  # noqa: SLF001
        _threading._thread_shutdown = _wait_for_threads  # noqa: SLF001
    _Now.in_place = True


def stop_watching() -> None:
    """Forget the watcher, and put back what was there. In the main thread.

    Not if somebody has put something of their own over ours meanwhile: then ours goes on to what
    was there. Nor when a thread has been given up, for which the original would wait.
    """
    _Now.watcher = _Now.outermost = None
    if (
        _Now.in_place
        and not _given_up
        and not _abandoned
        and _threading._shutdown is _shutdown  # noqa: SLF001
        and (not _HAS_C_WAIT or _threading._thread_shutdown is _wait_for_threads)  # noqa: SLF001
    ):
        _threading._shutdown = _Now.shutdown  # noqa: SLF001
        if _HAS_C_WAIT:
            _threading._thread_shutdown = _Now.wait  # noqa: SLF001
        _Now.in_place = False


def after_fork_in_child() -> None:
    """The child has none of the threads."""
    _given_up.clear()
    _abandoned.clear()
    stop_watching()


def _shutdown() -> None:
    """In the place of ``threading._shutdown``."""
    original = cast("Callable[[], None]", _Now.shutdown)
    watcher = _Now.watcher
    for thread in tuple(_abandoned):
        if thread.is_alive() and thread is not threading.main_thread():
            give_up(thread)
    if watcher is None:
        original()
        return
    by_exception = _ended_by_exception(_Now.outermost)
    _Now.outermost = None
    try:
        watcher.main_has_ended(by_exception=by_exception)
        original()
        if not _HAS_C_WAIT:
            _join_others()
    finally:
        watcher.threads_have_ended()


def is_at_end(frame: FrameType) -> bool:
    """Whether that is a frame of ours, which the interpreter has called at its end."""
    return frame.f_code is _shutdown.__code__


def _wait_for_threads() -> None:
    """In the place of ``threading._thread_shutdown``: stops waiting for a thread given up."""
    _join_others()
    if not _given_up:
        # Those that have left `threading`, but not Python yet.
        cast("Callable[[], None]", _Now.wait)()


def _join_others() -> None:
    """Wait for all threads that are no daemons, and have not been given up.

    Up to 3.12 ``threading._shutdown`` does that, but for a thread that has been started and does
    not run yet: one whose ``start()`` was left by Ctrl-C.
    """
    me = threading.current_thread()
    patience = time.monotonic() + BEGINS_WITHIN
    while True:
        waited_for = [
            thread
            for thread in threading.enumerate()
            if not (thread.daemon or thread is me or thread in _given_up)
            and _is_to_begin(thread, patience)
        ]
        if not waited_for:
            break
        for thread in waited_for:
            _join(thread)


def _handle_of(thread: threading.Thread) -> Any | None:
    """What a thread is joined by, from 3.13 (gh-114271)."""
    return getattr(thread, "_os_thread_handle", None) or getattr(thread, "_handle", None)


def _is_to_begin(thread: threading.Thread, patience: float) -> bool:
    """Whether there is a thread to wait for, or will be.

    One whose ``start()`` was left by an exception, as by Ctrl-C, before the system was asked for a
    thread, stays in the list of `threading` for ever. One that another thread is about to start is
    seen when that has ended.

    patience: until when to believe in it if nothing tells, on the clock of time.monotonic().
    """
    if thread.ident is not None:
        return True
    handle = _handle_of(thread)
    if handle is None:
        return time.monotonic() < patience
    return bool(handle.ident != 0 and not handle.is_done())


def _join(thread: threading.Thread) -> None:
    try:
        if thread.ident is not None:
            thread.join()
            return
    except RuntimeError:
        pass  # it has an ident, but has not said yet that it is started
    time.sleep(0.001)  # it is being started


def is_given_up(thread: threading.Thread) -> bool:
    """Whether nobody is to wait for that thread any more."""
    return thread in _given_up


def abandon(thread: threading.Thread) -> None:
    """Do not wait for that thread at the end; until then it is a thread as any. In any thread."""
    _abandoned.add(thread)
    _put_in_place()


def give_up(thread: threading.Thread) -> None:
    """Wait for that thread no more: it counts as a daemon, and for ``join`` as ended.

    Whoever waits for it goes on: the interpreter at its end, ``Thread.join``, the exit of an
    executor. Any thread may call it.
    """
    _given_up.add(thread)
    _make_daemon(cast("int", thread.ident))
    handle = _handle_of(thread)
    if handle is not None:
        handle._set_done()  # noqa: SLF001  (as `threading` does with the main thread, at the end)
        return
    lock = getattr(thread, "_tstate_lock", None)  # held by the thread as long as it lives
    try:
        if lock is not None:
            lock.release()
    except RuntimeError:
        pass  # it has just ended

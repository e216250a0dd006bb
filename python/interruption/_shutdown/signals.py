"""Signals and the end of the main program ask all threads to stop.

All of it happens in the main thread: signal handlers, and what the interpreter does at its end. So
what is in ``_state`` is guarded by being the main thread's; a handler can come between any two
lines, which ``State.on_signal`` is made for. The thread that waits for the others has an
``UnderWay`` of its own, and looks at nothing else.
"""

import contextlib
import math
import os
import signal
import sys
import threading
import time
from _weakrefset import WeakSet
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, cast

from .._arguments import flag
from .._interruption import (
    _ask,
    _begin_shutdown,
    _end_by_signal,
    _end_shutdown,
    _end_within,
    _watch_signal,
)
from . import ending, handlers
from .shutdown import REPORT_AFTER, new_origin, prepare_log, take_back
from .under_way import MARGIN, Options, UnderWay

# The signals that mean "stop", on systems that have them.
_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")

# What a program has a handler for, if at all, which reads its configuration again.
_RELOADING = getattr(signal, "SIGHUP", None)

_GIVE_UP = 3  # what the third signal means

_plain_code: Any = vars(SystemExit)["code"]


class SignalExit(SystemExit):
    """Raised in the main thread for a signal whose default action would end the process.

    It is a ``SystemExit``, as ``ThreadExit`` is (S13), and as ``KeyboardInterrupt`` it is raised
    wherever the main thread is. Unhandled, it ends the program: when all ``finally`` and ``atexit``
    functions have run, the process ends by that very signal, which a shell shows as 128 and the
    signal's number.

    signum: the signal.
    """

    __module__ = "interruption"

    def __init__(self, signum: int) -> None:
        if not isinstance(signum, int) or isinstance(signum, bool):
            raise TypeError(f"give a signal, as signal.SIGTERM, not {signum!r}")
        if not 0 < signum < signal.NSIG:
            raise ValueError(f"no signal has the number {signum}")
        super().__init__(128 + signum)
        self.signum = signum

    @property
    def code(self) -> Any:
        """128 and the signal's number, unless it has been set to something else."""
        code = _plain_code.__get__(self)
        try:
            sys._getframe(1)  # noqa: SLF001  (documented as such)
        except ValueError:
            # No Python code has asked for it: it is the interpreter, which exits by this exception.
            _state.exits_by = self
            if code == 128 + self.signum:
                _end_as(self.signum)
        return code

    @code.setter
    def code(self, code: Any) -> None:
        _plain_code.__set__(self, code)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew of its signal, not of its arguments."""
        return type(self), (self.signum,), {**vars(self), "code": _plain_code.__get__(self)}


_code_getter = vars(SignalExit)["code"].fget.__code__


def _end_as(signum: int) -> None:
    """Let the process end by that signal; if that cannot be, then as it will."""
    with contextlib.suppress(RuntimeError):
        _end_by_signal(signum)


def _name(signum: int) -> str:
    """SIGTERM; of a signal without a name, its number."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


class State:
    """What has come so far, and what is installed: of the main thread.

    Its handlers (``handlers``), and the end of the main program (``ending``), tell it and ask it.
    """

    def __init__(self) -> None:
        self.signals: list[tuple[Options, int]] = []  # those that have come
        self._done = 0  # how many of them have been seen to
        self._busy = False  # with one of them
        self.past_end = False  # the main program has ended
        self.status = 1  # with which the process ends that has to be ended without a signal
        self._over = False  # and so has the wait for its threads
        self.under_way: UnderWay | None = None  # the last that has begun
        self._begun: list[UnderWay] = []  # whose threads may still run
        self._asks_late_threads = 0  # how many have begun that let threads be born asked
        self.installed: list[Installation] = []  # the latest last
        self.unaware = False  # the program does not know of SignalExit
        self._raised_for: int | None = None  # the signal that has raised one
        self._origin = new_origin()  # of what is asked because of signals
        # Who is no longer asked since a block was left that signals had come in, and for what.
        self._spared: WeakSet[threading.Thread] = WeakSet()
        self._reason = ""
        self.exits_by: SignalExit | None = None  # what has left the main program, if it was one

    def begin(
        self, options: Options, reason: str, *, goes_on: bool = False, once: bool = False
    ) -> None:
        """Ask all threads, and wait for them in the background.

        goes_on: for whom has come since an earlier one has ended.
        once: but for those that have been asked already.
        """
        earlier = self.under_way if self.signals else None
        under_way = UnderWay(options, reason, self._origin if self.signals else 0)
        if earlier is not None:
            under_way.deadline = earlier.deadline
        self._asks_late_threads += not goes_on
        for each in tuple(self._begun):
            if each.is_done():
                with contextlib.suppress(ValueError):  # a handler has just done so
                    self._begun.remove(each)
        under_way.begin(self._begun, goes_on=goes_on, once=once)
        self.under_way = under_way

    def count(self) -> int:
        """How many signals have come."""
        return len(self.signals)

    def may_raise(self, frame: FrameType | None) -> bool:
        """Whether the main thread has something to be stopped in."""
        self.past_end = self.past_end or _is_past_end(frame)
        return not self.past_end

    def exception(self, signum: int) -> BaseException:
        """What a signal raises that would have ended the process."""
        self._raised_for = self._raised_for or signum
        return SignalExit(signum)

    def on_signal(self, signum: int, frame: FrameType | None) -> bool:
        """The first asks, the second asks again, with the third nobody waits any longer.

        False: it has come while another was being seen to, which sees to this one as well.
        """
        self.past_end = self.past_end or _is_past_end(frame)
        options = self._options_of(signum)
        if options is None:
            return True
        self.signals.append((options, signum))
        if self._busy:
            return False
        self._busy = True
        try:
            while self._done < len(self.signals):
                self._done += 1
                self._see_to(*self.signals[self._done - 1])
        finally:
            self._busy = False
        return True

    def _options_of(self, signum: int) -> Options | None:
        """What the latest installation that is in force for that signal was asked for."""
        for installation in reversed(self.installed):
            if installation.in_force and signum in installation.signals:
                return installation.on_signal
        return None

    def let_go(self, signals: Iterable[int]) -> None:
        """Leave those signals alone for which no installation is in force any more."""
        for signum in signals:
            options = self._options_of(signum)
            if options is None:
                handlers.let_go(signum)
            else:
                _watch(signum, options)

    def _see_to(self, options: Options, signum: int) -> None:
        if self._done == 1 and not self._over:
            self.under_way = None  # one that an exit from a block has begun is not a signal's
            self.begin(options, _name(signum))
            self._bound_process(signum)
        else:
            _begin_shutdown(options.reason or _name(signum), self._origin, False, False)  # noqa: FBT003
        if self._done == _GIVE_UP:
            if self.under_way is not None:
                self.under_way.stop_waiting()
                self._bound_process(signum)
            for installation in tuple(self.installed):
                installation.put_back()  # the next one does what it did before
        if self.past_end:
            _end_as(signum)

    def _bound_process(self, signum: int) -> None:
        """Let the process have ended by that signal soon after the deadline, in any case (S30).

        signum: 0 if it ends without one.

        At a prompt Ctrl-C ends a statement, not the program.
        """
        under_way = self.under_way
        if under_way is None or under_way.options.process_ends_within(fatal=False) == math.inf:
            return
        if not (signum == signal.SIGINT and hasattr(sys, "ps1")):
            left = max(0.0, under_way.deadline - time.monotonic())
            _end_within(left + MARGIN, signum, self.status)

    def main_has_ended(self, *, by_exception: bool) -> None:
        """Ask, if that is wanted: the threads are waited for next, whoever has asked them."""
        self.past_end = True
        error = _unhandled() if by_exception else None
        signum = handlers.signal_that_ends(error)
        if self.unaware and not by_exception:
            signum = signum or self._raised_for
        if signum is not None and self.signals:
            _end_as(signum)
        if self.signals:
            if self.under_way is not None and self.under_way.is_done() and _there_are_threads():
                self.begin(self.under_way.options, "exit", goes_on=True)
            return
        for installation in reversed(self.installed):
            if installation.on_exit is not None:
                if by_exception or installation.at_end:
                    self.begin_exit(installation.on_exit)
                    self._bound_process(0)
                return
        self._ask_spared(error)

    def begin_exit(self, options: Options) -> None:
        """The program ends: ask all threads, but for those that clean up since a signal (S8)."""
        self.begin(options, "exit", once=not all(each.is_done() for each in self._begun))

    def _ask_spared(self, error: BaseException | None) -> None:
        """Ask those again who are no longer asked: the program ends by what a signal has raised."""
        ended_by = None if hasattr(sys, "ps1") else self.exits_by or error  # else a statement
        if isinstance(ended_by, (SignalExit, KeyboardInterrupt)):
            for thread in tuple(self._spared):
                with contextlib.suppress(RuntimeError, ValueError):  # it has just ended
                    _ask(thread, self._reason, self._origin)

    def threads_have_ended(self) -> None:
        """Nobody is waited for any more: what runs now, runs as if we were not there.

        No thread of ours is left, as CPython may crash where one runs Python beyond its end. A
        signal that comes until the handlers are back begins nothing that had to be waited for.
        """
        self._over = True
        for under_way in self._begun:
            under_way.stop_waiting()
        for under_way in self._begun:
            under_way.until_done()
        for installation in tuple(self.installed):
            installation.close()

    def leave(self, installation: "Installation") -> None:
        """That one is no more. With the last for signals, everything begins anew."""
        if installation in self.installed:
            self.installed.remove(installation)
        if not any(each.signals and each.in_force for each in self.installed):
            self._forget_signals()
        done = all(each.is_done() for each in self._begun)
        if done and not (self.installed or self._spared):
            ending.stop_watching()

    def _forget_signals(self) -> None:
        """The program goes on: nobody is asked any more, nor will be (S29)."""
        came, self.signals, self._done = self.signals, [], 0
        self._raised_for = None
        handlers.forget()
        if not self._over:
            _end_within(math.inf)
        while self._asks_late_threads:
            self._asks_late_threads -= 1
            _end_shutdown()
        if self.under_way is not None:
            self.under_way.leave_newcomers_alone()
        if came and not self.past_end:
            origin, self._origin = self._origin, new_origin()
            self._spared = WeakSet(take_back(origin, who_polls=False))
            self._reason = came[0][0].reason or _name(came[0][1])
            for each in tuple(self._begun):
                each.let_be(self._spared)

    def forget_spared(self) -> None:
        """The program has gone on: what signals have asked before is over for good."""
        self._spared.clear()

    def after_fork_in_child(self) -> None:
        """The child has no other threads, and no part in what is done about the parent's."""
        for installation in tuple(self.installed):
            installation.put_back()
        self.__init__()  # type: ignore[misc]
        ending.after_fork_in_child()


def _watch(signum: int, options: Options) -> None:
    """See to it that the signal is seen, or the process ends."""
    _watch_signal(signum, *(options.process_ends_within(fatal=fatal) for fatal in (False, True)))


def _unhandled() -> BaseException | None:
    """The exception that the interpreter has last shown as unhandled; never a ``SystemExit``."""
    name = "last_exc" if sys.version_info >= (3, 12) else "last_value"
    return cast("BaseException | None", getattr(sys, name, None))


def _there_are_threads() -> bool:
    """Whether the end of the interpreter has somebody to wait for."""
    main = threading.main_thread()
    return any(
        not (thread is main or thread.daemon or ending.is_given_up(thread))
        for thread in threading.enumerate()
    )


_state = State()
os.register_at_fork(after_in_child=_state.after_fork_in_child)


def _is_past_end(frame: FrameType | None) -> bool:
    """Whether the interpreter is on its way to its end already, with the frame on its stack."""
    if frame is None:
        return False
    outermost = ending.outermost_frame(frame)
    return outermost.f_code is _code_getter or ending.is_at_end(outermost)


class Installation:
    """What ``interrupt_on_signal`` or ``interrupt_on_exit`` has put in force, until ``close``.

    While it is, all threads are asked when the program is to end, as by
    ``interrupt_all_threads`` (S3). As a context manager it is closed at the end of the block.
    """

    def __init__(
        self,
        signals: Iterable[int] = (),
        *,
        on_signal: Options | None = None,
        on_exit: Options | None = None,
        at_end: bool = False,
    ) -> None:
        self._signals = tuple(signals)
        self.on_signal = on_signal
        self.in_force = True  # for its signals
        self.on_exit = on_exit
        self.at_end = at_end

    @property
    def signals(self) -> tuple[int, ...]:
        """The signals that it handles; without those that were ignored before."""
        return self._signals

    def __repr__(self) -> str:
        """What it does, and whether it is still in force."""
        does = [_name(signum) for signum in self.signals]
        if self.on_exit is not None:
            does.append("the end of the program" if self.at_end else "an exit by an exception")
        state = "" if self in _state.installed else ", closed"
        return f"<interruption asks all threads on {', '.join(does) or 'nothing'}{state}>"

    def __reduce__(self) -> NoReturn:
        """It is this process's."""
        raise TypeError("an Installation cannot be copied or pickled: it belongs to its process")

    def close(self) -> None:
        """Put everything back as it was before; again: nothing.

        The handlers that the program has set meanwhile are in force, and nothing beside them. With
        the last installation that is closed, the count of signals begins anew, and threads are no
        longer born asked. Who is waited for already is waited for until the deadline.

        RuntimeError: called in another thread than the main one.
        """
        _check_main_thread("close()")
        self.put_back()
        _state.leave(self)

    def put_back(self) -> None:
        """Leave the signals to the program's handlers. In the main thread."""
        self.in_force = False
        _state.let_go(self._signals)

    def __enter__(self) -> Self:
        if self not in _state.installed:
            raise RuntimeError(
                "this installation is closed, and asks nobody any more: call interrupt_on_signal() "
                "or interrupt_on_exit() again"
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """The end of the block is that of the program, for what asks on exit."""
        asks = exc_type is not None or self.at_end
        if asks and self.on_exit is not None and self in _state.installed and not _state.signals:
            _state.begin_exit(self.on_exit)
        self.close()


def _check_main_thread(what: str) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"call {what} in the main thread: only there Python handles signals, and only that "
            "thread's end is the program's"
        )


def _check_signal(signum: object) -> Any:
    """Its handler. ValueError or TypeError if it cannot have one of ours."""
    if not isinstance(signum, signal.Signals):
        number = isinstance(signum, int | float) and not isinstance(signum, bool)
        hint = f" (if a time is meant: timeout={signum!r})" if number else ""
        raise TypeError(
            f"give signals of the `signal` module, as signal.SIGTERM, not {signum!r}{hint}; "
            "signal.Signals(number) makes one of a number"
        )
    if signum in (getattr(signal, "SIGKILL", 0), getattr(signal, "SIGSTOP", 0)):
        raise ValueError(f"{_name(signum)} cannot be handled: the system does not let anybody")
    previous = signal.getsignal(signum)
    if previous is None:
        raise ValueError(
            f"{_name(signum)} has a handler of a library in C, which Python cannot call: leave "
            "that signal out, or set a handler by signal.signal() first"
        )
    return previous


def _ask_on_exit(options: Options, *, at_end: bool) -> Installation:
    prepare_log()
    installation = Installation(on_exit=options, at_end=at_end)
    _state.installed.append(installation)
    ending.watch(_state)
    return installation


def _heed(signals: tuple[signal.Signals, ...], options: Options) -> Installation:
    by_default = not signals
    if not signals:
        signals = tuple(signal.Signals[name] for name in _STOPPING if hasattr(signal, name))
    before = {signum: _check_signal(signum) for signum in signals}
    heeded = [signum for signum, handler in before.items() if handler is not signal.SIG_IGN]
    prepare_log()
    installation = Installation(heeded, on_signal=options)
    _state.forget_spared()
    _state.installed.append(installation)
    ending.watch(_state)
    try:
        for signum in heeded:
            unless_handled = by_default and signum == _RELOADING
            handlers.look_after(signum, _state, unless_handled=unless_handled)
            _watch(signum, options)
    except BaseException:
        installation.close()
        raise
    return installation


def exits_with(code: object) -> None:
    """Note what the main program gives to ``sys.exit()``."""
    _state.status = 0 if code is None else code & 0xFF if isinstance(code, int) else 1


def interrupt_for_run(timeout: float, *, given: bool, report_after: float | None) -> None:
    """Do what both of the next two do, for an unchanged program.

    given: the timeout was given for this program, so that it is for the whole process (S30). Else
        it is for threads alone: a cleanup that takes longer, and ends, is not cut off.

    The program does not know of ``SignalExit``, but its libraries may catch every ``SystemExit``:
    if it comes to its plain end, it ends by the signal that it was told to end by.
    """
    _state.unaware = True
    options = Options(timeout, None, report_after, bounds_all=given)
    _heed((), options)
    _ask_on_exit(options, at_end=False)


def interrupt_on_signal(
    *signals: signal.Signals,
    timeout: float | None = None,
    reason: str | None = None,
    report_after: float | None = REPORT_AFTER,
) -> Installation:
    """Ask all threads to stop when one of the signals comes, whatever the main thread is doing.

    signals: of the ``signal`` module, as ``signal.SIGTERM``, no plain numbers; SIGINT, SIGTERM and
        SIGHUP unless given. One that is ignored stays so, as ``nohup`` wants it.
    timeout: how many seconds from the first signal on the process waits for threads that do not
        stop; None: until they stop. Then they count as daemons, and it goes on without them. Two
        seconds later the process is ended, whatever it is doing (S30). With None it is only if
        nobody else has had the GIL for ten seconds, after a signal that ends a plain program; with
        ``math.inf`` not then either.
    reason: a text that the threads' ``ThreadExit`` carries; the signal's name unless given.
    report_after: after how many seconds those that still run are logged; None: not while waiting.

    The *first* signal asks all threads, and those that are started from now on are born asked. Then
    it does what it did before. Ctrl-C raises ``KeyboardInterrupt`` in the main thread, or cancels
    the main task of ``asyncio.run``. A signal that would have ended the process raises
    ``SignalExit`` there. A handler of the program's own is called. When the main program has ended
    already, nothing is raised. The *second* signal asks again (S8). After the *third* nobody is
    waited for, and a further one does what it did without this function.

    The process ends with the status that shells and supervisors expect: killed by the signal, 130
    for SIGINT, 143 for SIGTERM. Which threads have stopped or not, and why, is logged by
    ``interruption.shutdown``, as by ``shutdown()``.

    Returns what undoes it: call its ``close()``, or use it as a context manager. It belongs to this
    process: a child of a fork has the handlers that were there before.

    RuntimeError: called in another thread than the main one. TypeError, ValueError: an argument is
    not as above, or the signal cannot be handled; then nothing has changed.
    """
    _check_main_thread("interrupt_on_signal()")
    options = Options(timeout, reason, report_after)
    return _heed(signals, options)


def interrupt_on_exit(
    *,
    timeout: float | None = None,
    reason: str | None = None,
    at_end: bool = False,
    report_after: float | None = REPORT_AFTER,
) -> Installation:
    """Ask all threads to stop when the main program is ended by an exception.

    By ``sys.exit()``, that is, or an exception that nobody handles. Threads are asked, as by
    ``interrupt_all_threads`` (S3), before the interpreter waits for them, and before the executors
    of ``concurrent.futures`` do. At its plain end the main program leaves its threads working,
    unless ``at_end`` is true.

    timeout, report_after: as for ``interrupt_on_signal``; from the end of the main program on.
    reason: a text that the threads' ``ThreadExit`` carries; "exit" unless given.

    Returns what undoes it: call its ``close()``, or use it as a context manager. Then the end of
    the block stands for that of the program: left by an exception, the threads are asked there.

    The exit status stays what it is. Not seen are ``os._exit()``, and what is typed at a prompt.

    RuntimeError: called in another thread than the main one. TypeError, ValueError: an argument is
    not as above; then nothing has changed.
    """
    _check_main_thread("interrupt_on_exit()")
    options = Options(timeout, reason, report_after)
    return _ask_on_exit(options, at_end=flag(at_end, "at_end"))

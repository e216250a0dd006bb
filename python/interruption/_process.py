"""Run a function in a process of its own, which can be stopped whatever it does (S10)."""

import contextlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from ._interruption import defer_interruption, on_interrupt

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


_BEGUN = b""  # sent before the answer

_GUARD = (
    "A new process imports the program's main module first. So what that does when it is run, "
    'run_in_process() among it, belongs under `if __name__ == "__main__":`'
)


class _RemoteTracebackError(Exception):
    """The traceback of the other process: the cause of what was raised there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Child:
    """The process, from its making to when it has been reaped."""

    def __init__(self, process: "SpawnProcess") -> None:
        self._process = process
        self._killed = False
        self.begun = False  # it has come as far as the function

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with defer_interruption:  # it ends at once
            if exc_type is not None:
                self.kill()
            if self._process.pid is not None:
                self._process.join()
            self._process.close()

    def start(self) -> None:
        """Start it; with a request that comes meanwhile, end it again."""
        with defer_interruption:  # or there would be a process that nobody knows
            self._process.start()
        if self._killed:
            self._process.kill()

    def kill(self) -> None:
        """By anybody, until it is reaped; before it is started, too."""
        self._killed = True
        if self._process.pid is not None:
            self._process.kill()

    def answer(self, receiver: "Connection") -> bytes | None:
        """Wait until it has ended, and return what it has sent before that, or None."""
        from multiprocessing.connection import wait  # noqa: PLC0415

        answer = None
        with contextlib.suppress(EOFError):
            while not answer and (
                receiver in wait([receiver, self._process.sentinel]) or receiver.poll()
            ):
                answer = receiver.recv_bytes()
                self.begun = True
        wait([self._process.sentinel])
        return answer

    def reap(self) -> int:
        """Its exit code; it has ended."""
        with defer_interruption:
            self._process.join()
        return cast("int", self._process.exitcode)


def run_in_process(
    function: Callable[_Parameters, _Result],
    /,
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> _Result:
    """Call ``function(*args, **kwargs)`` in a new process, and return what it returns (S10).

    For code that nothing else can stop: C code without a way to break it off, endless regular
    expressions. In an open region the wait is interrupted at once, and the process killed and
    reaped; so it is for every other exception, as ``KeyboardInterrupt`` in the main thread. Nothing
    of the process is left behind then, but what it has done outside of itself.

    Function and arguments must be picklable, and so must the result be. The process is made by
    ``multiprocessing``'s "spawn": it begins anew and imports what it needs, the program's main
    module among it. "fork" would copy a process whose other threads may hold any lock; "forkserver"
    would leave a server behind.

    What ``function`` raises is raised here, with the traceback of over there as its ``__cause__``.

    TypeError: function cannot be called, or it or its arguments cannot be pickled.
    ChildProcessError: the process ended without an answer; the message has its exit code, as in
    ``subprocess`` (-9: killed by signal 9). RuntimeError: what it returned or raised cannot be
    sent; or this is called while a new process imports the main module, which has to keep what it
    does under ``if __name__ == "__main__":``.
    """
    import multiprocessing  # noqa: PLC0415  (costs more than all of this package)

    if not callable(function):
        raise TypeError(f"give a function to call, not {type(function).__name__}")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"run_in_process() is called while a new process begins. {_GUARD}")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_answer, args=(sender, function, args, kwargs), daemon=True, name=_name(function)
    )
    with receiver, sender, _Child(process) as child, on_interrupt(child.kill):
        _start(child, function)
        sender.close()
        answer = child.answer(receiver)
        if not answer:
            code = child.reap()
            if not child.begun and code > 0:
                raise ChildProcessError(
                    f"the process that was to run {_name(function)} ended before it had begun, "
                    f"with exit code {code}: it has written to stderr why. {_GUARD}"
                )
            raise ChildProcessError(
                f"the process that ran {_name(function)} ended without an answer, with exit code "
                f"{code}"
            )
    return cast("_Result", _result(answer))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)


def _start(child: _Child, function: Callable[..., Any]) -> None:
    try:
        child.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"{_name(function)} and its arguments are sent to another process, so they must be "
            f"picklable, and the function importable: {error}"
        ) from error


def _result(answer: bytes) -> Any:
    returned, value, text = pickle.loads(answer)  # noqa: S301  (from our own child)
    if returned:
        return value
    value.__cause__ = _RemoteTracebackError(text)
    try:
        raise value
    finally:
        del value  # its traceback has this frame


# In the child. ------------------------------------------------------------------------------------


def _answer(
    sender: "Connection",
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Call the function, and send ``(True, result, "")`` or ``(False, exception, traceback)``."""
    import multiprocessing  # noqa: PLC0415

    multiprocessing.current_process().daemon = False  # it may have children of its own
    _die_with_parent()
    signal.signal(signal.SIGINT, _leave_to_parent)
    sender.send_bytes(_BEGUN)
    try:
        answer = (True, function(*args, **kwargs), "")
    except BaseException as error:  # noqa: BLE001  (it is raised over there)
        answer = _failure(error)
    with sender:
        sender.send_bytes(_pickled(answer, function))


def _leave_to_parent(*_: object) -> None:
    """Ctrl-C reaches all processes of a terminal; the parent kills this one."""


def _die_with_parent() -> None:
    """Be killed when the parent's thread is no more: it was killed itself, say."""
    from multiprocessing import parent_process  # noqa: PLC0415

    parent = cast("Any", parent_process())
    if not _ask_system_to_kill():
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()
    elif os.getppid() != parent.pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_system_to_kill() -> bool:
    """On Linux: it does so also to a process that is in C and keeps the GIL."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes  # noqa: PLC0415  (not everywhere)

        set_death_signal = 1  # PR_SET_PDEATHSIG
        return bool(ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _watch(sentinel: int) -> None:
    from multiprocessing.connection import wait  # noqa: PLC0415

    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _failure(error: BaseException) -> tuple[bool, Any, str]:
    return (False, error, "".join(traceback.format_exception(error)))


def _pickled(answer: tuple[bool, Any, str], function: Callable[..., Any]) -> bytes:
    """The answer; or if it would not arrive, that it would not."""
    try:
        pickled = pickle.dumps(answer)
        pickle.loads(pickled)  # noqa: S301  (exceptions often cannot be made anew)
    except Exception as error:  # noqa: BLE001  (whatever its classes do)
        returned, value, text = answer
        what = "returned" if returned else f"raised {type(value).__qualname__}: {value}"
        unsent = RuntimeError(f"what {_name(function)} {what}, cannot be sent back: {error}")
        return pickle.dumps((False, unsent, text or _failure(error)[2]))
    return pickled

"""``%load_ext interruption``: "interrupt kernel", and Ctrl-C, stop the threads of a cell, too."""

import functools
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from . import allow_interruption, interrupt
from .overdue import Watch

__all__ = ["load_ipython_extension", "report_after", "unload_ipython_extension"]

report_after = 10.0  # seconds; a thread that goes on so long after an interrupt is logged, by name

_WHY = "the cell was interrupted"
_INSTALLED = ("/site-packages/", "/dist-packages/")


def _in_region(run: Callable[[], object], watch: Watch) -> None:
    with watch, allow_interruption:
        run()


def _is_started_by_program(frame: FrameType | None) -> bool:
    """Whether the first caller that is not of the standard library is not installed either."""
    while frame is not None:
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top not in sys.stdlib_module_names or top == "__main__":
            return not any(folder in frame.f_code.co_filename for folder in _INSTALLED)
        frame = frame.f_back
    return False


class _Extension:
    """Knows the threads that the running cell has begun."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.events = {"pre_run_cell": self.begin, "post_run_cell": self.end}
        self.runs = False  # a cell; the next two belong to it
        self.handler: Any = None  # who had the signal
        self.threads: weakref.WeakKeyDictionary[threading.Thread, Watch]
        self.threads = weakref.WeakKeyDictionary()
        self.start = threading.Thread.start
        extension = self

        @functools.wraps(self.start)
        def start(self: threading.Thread) -> None:
            if (
                extension.has(threading.current_thread())
                and self.ident is None  # else it fails
                and _is_started_by_program(sys._getframe(1))  # noqa: SLF001  (documented)
            ):
                watch = extension.threads[self] = Watch(self.name, __name__, report_after)
                run = functools.partial(_in_region, self.run, watch)
                self.run = run  # type: ignore[method-assign]
            extension.start(self)

        self.replacement = start

    def load(self) -> None:
        for name, function in self.events.items():
            self.shell.events.register(name, function)
        threading.Thread.start = self.replacement  # type: ignore[method-assign]

    def unload(self) -> None:
        self.end(None)
        for name, function in self.events.items():
            self.shell.events.unregister(name, function)
        if threading.Thread.start is self.replacement:  # else somebody calls it, in vain
            threading.Thread.start = self.start  # type: ignore[method-assign]

    def has(self, thread: threading.Thread) -> bool:
        """Whether what that thread starts belongs to the running cell."""
        return self.runs and (thread is threading.main_thread() or thread in self.threads)

    def begin(self, _: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # no subshell
            self.threads.clear()
            self.handler = signal.signal(signal.SIGINT, self.interrupt)
            self.runs = True

    def end(self, _: Any) -> None:
        if self.runs and threading.current_thread() is threading.main_thread():
            self.runs = False
            if signal.getsignal(signal.SIGINT) == self.interrupt:  # else the cell has set its own
                signal.signal(signal.SIGINT, self.handler)

    def interrupt(self, number: int, frame: FrameType | None) -> Any:
        """The cell is interrupted: its threads first, then what IPython does."""
        for thread, watch in list(self.threads.items()):
            if thread.is_alive():
                interrupt(thread, reason=_WHY)
                watch.expect_end(_WHY)
        return self.handler(number, frame) if callable(self.handler) else None


_extensions: dict[Any, _Extension] = {}


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext interruption``: from the next cell on.

    A thread that a cell's code begins may be interrupted in all that it does, as in ``with
    allow_interruption``. On "interrupt kernel" it raises ``ThreadExit``, as the cell raises
    ``KeyboardInterrupt``. Threads that libraries begin for themselves are left alone.
    """
    if shell not in _extensions:
        _extensions[shell] = _Extension(shell)
        _extensions[shell].load()


def unload_ipython_extension(shell: Any) -> None:
    """Called by ``%unload_ext interruption``."""
    extension = _extensions.pop(shell, None)
    if extension is not None:
        extension.unload()

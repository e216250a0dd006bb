"""A ``threading.Thread`` that can be interrupted by a method of its own."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._arguments import flag
from ._interruption import (
    ThreadExit,
    _requested_of,
    _switch,
    allow_interruption,
)
from ._interruption import interrupt as _interrupt


class _Run:
    """Stands in the place of a thread's ``run`` until it runs.

    Whatever ``run`` is by now, a subclass's or the instance's own: it is replaced where it is
    looked up last, and put back before it runs.
    """

    def __init__(
        self, thread: threading.Thread, function: Callable[[Callable[[], object]], object]
    ) -> None:
        self.broken_off: bool = False  # the start() that it is made for
        self.own: Any = vars(thread).get("run")
        self.run: Callable[[], object] = thread.run
        while isinstance(self.own, _Run) and self.own.broken_off:
            self.own, self.run = self.own.own, self.own.run
        self.thread = thread
        self.function = function

    def put_back(self) -> None:
        if self.own is None:
            vars(self.thread).pop("run", None)
        else:
            self.thread.run = self.own  # type: ignore[method-assign]

    def __call__(self) -> None:
        self.put_back()
        self.function(self.run)


def _has_not_begun(thread: threading.Thread) -> bool:
    """Whether ``start()`` has failed; not whether it was broken off while the thread begins."""
    # It is taken out of there by a start that fails, and by itself when it has an ident.
    return thread not in vars(threading)["_limbo"] and thread.ident is None


def start_running(
    thread: threading.Thread,
    function: Callable[[Callable[[], object]], object],
    start: Callable[[], None],
) -> None:
    """Start a thread that calls ``function(run)``, where it would have called ``run()``.

    start: the method of the thread that starts it.
    """
    if thread.ident is not None:
        start()  # which fails, and changes nothing
        return
    run = _Run(thread, function)
    thread.run = run  # type: ignore[method-assign]
    try:
        start()
    except BaseException:
        # Also what a signal handler raises here, when the thread is on its way already.
        run.broken_off = True
        if vars(thread).get("run") is run and _has_not_begun(thread):
            run.put_back()
        raise


class Thread(threading.Thread):
    """A ``threading.Thread`` with ``interrupt()`` and what goes with it.

    interruptible: True makes the whole of ``run()`` a region, as by ``with allow_interruption:``:
        the thread stops between two statements of its own, too. A thread that has been asked before
        it begins does not run at all (S7).

    All else is as in ``threading.Thread``. Any other thread can be interrupted as well, by
    ``interruption.interrupt(thread)``.
    """

    def __init__(  # noqa: PLR0913  (those of threading.Thread)
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        interruptible: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(group, target, name, args, kwargs, **options)
        self._interruptible = flag(interruptible, "interruptible")
        self._async_interrupt = True
        self._io_interrupt = True

    def start(self) -> None:
        """Start the thread's activity, as in ``threading.Thread``."""
        if "_interruptible" not in vars(self):
            super().start()  # says that __init__ was not called
            return

        def run_switched(run: Callable[[], object]) -> None:
            self._apply_switches()
            if self._interruptible:
                with allow_interruption:
                    run()
            else:
                run()

        start_running(self, run_switched, super().start)

    def _apply_switches(self) -> None:
        """Tell the running thread's switches to what interrupts it."""
        if self.ident is not None:
            _switch(self, self._async_interrupt, self._io_interrupt)

    @property
    def enable_async_interrupt(self) -> bool:
        """Whether the thread's regions let requests in between statements (S14).

        True unless set; by anybody, at any time. A request that waits meanwhile is not lost.
        """
        return self._async_interrupt

    @enable_async_interrupt.setter
    def enable_async_interrupt(self, enabled: bool) -> None:
        self._async_interrupt = flag(enabled, "enable_async_interrupt")
        self._apply_switches()

    @property
    def enable_io_interrupt(self) -> bool:
        """Whether the thread's regions let requests in while a call blocks (S14).

        True unless set; by anybody, at any time.
        """
        return self._io_interrupt

    @enable_io_interrupt.setter
    def enable_io_interrupt(self, enabled: bool) -> None:
        self._io_interrupt = flag(enabled, "enable_io_interrupt")
        self._apply_switches()

    # Both are installed in threading.Thread too (S17): they use nothing that is this class's own.

    def interrupt(
        self,
        exc_type: type[BaseException] = ThreadExit,
        *,
        reason: str | None = None,
    ) -> bool:
        """Ask this thread to stop: ``interruption.interrupt(self, exc_type, reason=reason)``.

        Returns True if the request is new; False if one was waiting to be delivered already, or if
        the thread has finished (S1, S2).

        RuntimeError: the thread was not started. TypeError: ``exc_type`` is no class of exceptions
        that can be made without arguments, or ``reason`` no str.
        """
        return _interrupt(self, exc_type, reason=reason)

    @property
    def interruption_requested(self) -> bool:
        """Whether this thread has been asked to stop and has not cleared the request (S4).

        False before it is started and after it has finished.
        """
        try:
            return _requested_of(self)
        except RuntimeError:  # not started
            return False

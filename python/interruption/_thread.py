"""A ``threading.Thread`` that can be interrupted by a method of its own."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._interruption import (
    ThreadExit,
    _requested_of,
    _switch,
    allow_interruption,
)
from ._interruption import interrupt as _interrupt


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
        self._interruptible = bool(interruptible)
        self._async_interrupt = True
        self._io_interrupt = True

    def start(self) -> None:
        """Start the thread's activity, as in ``threading.Thread``."""
        if "_interruptible" not in vars(self):
            super().start()  # says that __init__ was not called
            return
        # Whatever `run` is by now, a subclass's or the instance's own: it is wrapped where it is
        # looked up last, and unwrapped before it runs.
        run = self.run
        own = vars(self).get("run")

        def restore() -> None:
            if own is None:
                vars(self).pop("run", None)
            else:
                self.run = own  # type: ignore[method-assign]

        def run_switched() -> None:
            restore()
            self._apply_switches()
            if self._interruptible:
                with allow_interruption:
                    run()
            else:
                run()

        if self.ident is None:  # else it fails, and changes nothing
            self.run = run_switched  # type: ignore[method-assign]
        try:
            super().start()
        except BaseException:
            if vars(self).get("run") is run_switched:
                restore()
            raise

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
        self._async_interrupt = bool(enabled)
        self._apply_switches()

    @property
    def enable_io_interrupt(self) -> bool:
        """Whether the thread's regions let requests in while a call blocks (S14).

        True unless set; by anybody, at any time.
        """
        return self._io_interrupt

    @enable_io_interrupt.setter
    def enable_io_interrupt(self, enabled: bool) -> None:
        self._io_interrupt = bool(enabled)
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
        the thread has finished (S1, S2). RuntimeError: the thread was not started.
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

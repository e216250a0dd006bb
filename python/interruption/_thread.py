"""A ``threading.Thread`` that can be interrupted by a method of its own."""

import threading

from ._interruption import ThreadExit, _requested_of
from ._interruption import interrupt as _interrupt


class Thread(threading.Thread):
    """A ``threading.Thread`` with ``interrupt()`` and ``interruption_requested``.

    All else is as in ``threading.Thread``. Any other thread can be interrupted as well, by
    ``interruption.interrupt(thread)``.
    """

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

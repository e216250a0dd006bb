"""A ``threading.Thread`` that can be interrupted by a method of its own."""

import threading

from ._interruption import ThreadExit, _requested_of
from ._interruption import interrupt as _interrupt


def interrupt(
    self: threading.Thread,
    exc_type: type[BaseException] = ThreadExit,
    *,
    reason: str | None = None,
) -> bool:
    """Ask this thread to stop: ``interruption.interrupt(self, exc_type, reason=reason)`` (S1, S2).

    Returns True if the request is new; False if one was waiting to be delivered already, or if the
    thread has finished. RuntimeError: the thread was not started.
    """
    return _interrupt(self, exc_type, reason=reason)


def _get_interruption_requested(self: threading.Thread) -> bool:
    try:
        return _requested_of(self)
    except RuntimeError:  # not started
        return False


interruption_requested = property(
    _get_interruption_requested,
    doc="""Whether this thread has been asked to stop and has not cleared the request (S4).

False before it is started and after it has finished.
""",
)


class Thread(threading.Thread):
    """A ``threading.Thread`` with ``interrupt()`` and ``interruption_requested``.

    All else is as in ``threading.Thread``. Any other thread can be interrupted as well, by
    ``interruption.interrupt(thread)``.
    """

    interrupt = interrupt
    interruption_requested = interruption_requested

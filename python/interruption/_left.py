"""What threads that were stopped have left locked (S31): kept with them, told at their end."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._interruption import _Left

_NAME = "_interruption_left"  # among the attributes of a thread


class _Kept:
    """Of one thread: what each of its regions was left with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left: list[_Left] = []  # replaced as a whole, by the thread

    def places(self) -> list[tuple[str, int, str]]:
        """Where what is still locked was taken: file, line, function."""
        return [place for left in self.left for place in left.places()]

    def tell(self) -> None:
        """The thread ends: warn of it, at the place itself."""
        places = self.places()
        if places:
            import warnings  # noqa: PLC0415

            text = f"{self.name} was stopped with the lock that it took here, which stays locked"
            for filename, line, _ in places:
                warnings.warn_explicit(text, ResourceWarning, filename, line)


def keep(left: _Left) -> _Kept:
    """The calling thread has left a region so. Returns all that is kept of it."""
    thread = vars(threading)["_active"].get(threading.get_ident())  # without making a dummy
    kept: _Kept | None = None if thread is None else vars(thread).get(_NAME)
    if kept is None:
        kept = _Kept("a thread" if thread is None else thread.name)
        if thread is not None:
            vars(thread)[_NAME] = kept
    kept.left = [*(each for each in kept.left if each.places()), left]
    return kept


def locked_by(thread: threading.Thread | int) -> list[tuple[str, int, str]]:
    """Where that thread took what it has left locked, and what nobody has released since."""
    kept: _Kept | None = vars(thread).get(_NAME) if isinstance(thread, threading.Thread) else None
    return [] if kept is None else kept.places()

"""What threads that were stopped have left locked (S31): kept with them, told at their end.

It is noted in C (`left_locked.c`): what a signal handler raises meanwhile would be lost in Python.
"""

from __future__ import annotations

import threading

from ._interruption import _left_places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    # For each region: the thread's name then, and what is known in C.
    _Kept: TypeAlias = tuple[tuple[str | None, object], ...]

_NAME = "_interruption_left"  # among the attributes of a thread: what each region was left with


def _places(kept: _Kept) -> list[tuple[str, int, str]]:
    """Where what is still locked was taken: file, line, function."""
    return [place for _, left in kept for place in _left_places(left)]


def tell(kept: _Kept) -> None:
    """The thread ends: warn of it, at the place itself."""
    places = _places(kept)
    if places:
        import warnings  # noqa: PLC0415

        name = kept[0][0] or "a thread"
        text = f"{name} was stopped with the lock that it took here, which stays locked"
        for filename, line, _ in places:
            warnings.warn_explicit(text, ResourceWarning, filename, line)


def locked_by(thread: threading.Thread | int) -> list[tuple[str, int, str]]:
    """Where that thread took what it has left locked, and what nobody has released since."""
    kept: _Kept | None = None
    if isinstance(thread, threading.Thread):
        kept = vars(thread).get(_NAME)
    return [] if kept is None else _places(kept)

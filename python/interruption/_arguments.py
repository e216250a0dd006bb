"""Arguments that users have given."""

from __future__ import annotations

from . import _interruption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def flag(value: object, name: str) -> bool:
    """True or False; anything else is a TypeError: what is meant by ``"no"`` is not known."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be True or False, not {value!r}")


# What the compiled types of these names are called with, if not with one thing by position.


def timeout(delay: Any) -> Any:
    """Make one."""
    return _interruption.timeout(delay)


def timeout_at(when: Any) -> Any:
    """Make one."""
    return _interruption.timeout_at(when)


def move_on_after(delay: Any, *, shield: Any = False) -> Any:
    """Make one."""
    return _interruption.move_on_after(delay, shield=shield)

"""What makes blocking calls interruptible, and switching it off and on (S10).

In a region a thread is woken from a blocking call because the built-in functions that block are
*interposed*: their entry points in C lead to this library first, which outside of regions goes on
to the original at once. That is done when the first region of the process is entered, or by
``enable()``; calls of a module that is imported later follow then. ``disable()`` puts everything
back, and ``status()`` tells what there is.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from . import _interruption

__all__ = ["Family", "Status", "disable", "enable", "status"]


_ABSENT, _INTERPOSED = 0, 3  # how a row stands: interpose.h
_NOT_IMPORTED = "has not been imported"  # how the reason of a family ends that waits for a module


@dataclass(frozen=True)
class Family:
    """Calls that are interposed together or not at all.

    name: what they are.
    interposed: whether they are, now.
    calls: the interposed calls, as ``"module.type.method"`` or ``"module.function"``.
    missing: calls that were looked for and do not exist in this version of Python, or on this
        system.
    reason: why the family is not interposed, and so not interruptible, although the others are: it
        was refused, its module has not been imported yet, or another library has replaced one of
        its calls; else ``None``.
    """

    name: str
    interposed: bool
    calls: tuple[str, ...]
    missing: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, repr=False)
class Status:
    """What ``status()`` found; ``str()`` of it is for people.

    enabled: whether blocking calls are interposed, but for refused families.
    families: all of them.
    refused: what else of this interpreter is not as this library knows it, and what is not
        interrupted because of that, a sentence each; empty if all is well.
    """

    enabled: bool
    families: tuple[Family, ...]
    refused: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """How many there are, and which are not interposed."""
        if not self.enabled:
            return "<Status: nothing is interposed>"
        others = [family for family in self.families if not family.interposed]
        refused = [each for each in others if not (each.reason or "").endswith(_NOT_IMPORTED)]
        parts = [f"{len(self.families) - len(others)} of {len(self.families)} families interposed"]
        if len(others) > len(refused):
            parts.append(f"{len(others) - len(refused)} of modules not imported yet")
        if refused:
            parts.append(f"refused: {', '.join(family.name for family in refused)}")
        return f"<Status: {'; '.join(parts)}>"

    def __str__(self) -> str:
        """A line for each family, and for what else was refused."""
        return "\n".join(
            [
                "blocking calls are interposed" if self.enabled else "nothing is interposed",
                *(f"  {family.name}: {_words(family)}" for family in self.families),
                *(f"refused: {refusal}" for refusal in self.refused),
            ]
        )


def _words(family: Family) -> str:
    if family.interposed:
        missing = f" (there is no {', '.join(family.missing)})" if family.missing else ""
        return ", ".join(family.calls) + missing
    return "not interposed" if family.reason is None else f"not interposed: {family.reason}"


def enable() -> None:
    """Make blocking calls interruptible in regions, as the first region does (S10).

    For those who want it done at a time of their own, and again after ``disable()``. A family of
    calls that is not as expected on this interpreter is refused as a whole, and left as it was:
    ``status()`` tells why. Enabling twice is enabling once, but that refused families are tried
    again.

    A thread that is in a region already may hold locks that nobody has noted: it is interrupted in
    its blocking calls, but between statements only when it has left its outermost region (S9).
    """
    _interruption._blocking_enable()  # noqa: SLF001


def disable() -> None:
    """Put the blocking calls back as they were, for the whole process (S10).

    From now on they block as if this library did not exist. A thread that waits for a lock, or for
    something else that another thread gives, goes on waiting in the original call and is not
    interrupted there; one that sleeps or waits for a descriptor is interruptible until its call
    returns.

    Nothing is raised between statements either, because it is not known which locks a thread holds
    (S9). ``check_interrupt()`` and entering a region raise as ever. Regions do not enable it again:
    only ``enable()`` does.
    """
    _interruption._blocking_disable()  # noqa: SLF001


def status() -> Status:
    """Tell which blocking calls are interposed on this interpreter, and which are not (S10).

    Before the first region or ``enable()`` nothing has been looked for: no family has calls.
    """
    enabled, families = _interruption._blocking_status()  # noqa: SLF001
    return Status(enabled, tuple(_family(*family) for family in families), tuple(_refused()))


def _family(
    name: str,
    interposed: bool,  # noqa: FBT001
    reason: str | None,
    rows: list[tuple[str, str | None, str, int]],
) -> Family:
    def named(state: int) -> tuple[str, ...]:
        return tuple(".".join(filter(None, row[:3])) for row in rows if row[3] == state)

    missing = named(_ABSENT) if interposed else ()
    return Family(name, interposed, named(_INTERPOSED), missing, reason)


def _refused() -> Iterator[str]:
    """Whose name the table of what is never left half-made has, and which is not there (S31)."""
    reason = _interruption._refused  # noqa: SLF001
    if reason is not None:
        version = sys.version.split()[0]
        yield f"nothing is raised between statements, because Python {version} is unknown: {reason}"
    for module, function, _, state in _interruption._makers():  # noqa: SLF001
        if state == "gone":
            owner = f"{module}.{function}".rpartition(".")[0]
            yield (
                f"{module}.{function} is not there: it cannot be told what must not be left "
                f"half-made, so no wait within {owner} is interrupted"
            )

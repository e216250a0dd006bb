"""Why a thread that was asked to stop has not stopped yet (S19)."""

import sys
import threading
import traceback
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

from ._interruption import Scope, _inspect
from ._left import locked_by

State = Literal[
    "finished",
    "not asked",
    "delivered",
    "not in a region",
    "shielded",
    "switched off",
    "locks unknown",
    "refused",
    "in a package's own code",
    "in protected code",
    "in cleanup",
    "importing",
    "in a callback",
    "holding a lock",
    "running",
]

_HERE = __file__.removesuffix("_explain.py")  # what is entered here is ours: a task's own scope

# By the numbers of mod_cleanup in safepoints.h.
_SUSPENDED = (
    "the thread is not in a region that is in force: one is that of a generator, coroutine or "
    "greenlet, and not in force while that is suspended; open a region around the work, or use "
    "Thread(interruptible=True). It was entered at"
)

_CLEANUPS = {
    1: "in a `finally`",
    2: "in an `except`",
    3: "entering a `with`",
    4: "leaving a `with`",
    5: "in code that cannot be understood",
}

_REASONS: dict[str, str] = {
    "finished": "the thread has finished",
    "not asked": "the thread has not been asked to stop",
    "delivered": "the request has been raised in the thread, which is in its cleanup now, or has "
    "caught the exception and gone on",
    "not in a region": "the thread is not in a region: it stops only when it looks; open a region "
    "around its work, or use Thread(interruptible=True)",
    "shielded": "the thread is shielded by the block at",
    "switched off": "interruption between statements is switched off, for the thread or for the "
    "region at",
    "locks unknown": "the thread may hold locks that were not noted, because blocking calls are "
    "not interposed, or were not all the time (see interruption.blocking.status()), since it "
    "entered the region at",
    "refused": "this interpreter is not as this library knows it, so nothing is raised between "
    "statements (see interruption.blocking.status()); its waits are woken. It entered the region "
    "at",
    "in a package's own code": "the thread is one that an installed package has started for "
    "itself, and runs no code of the program's; `run --region NAME` makes the package the "
    "program's own",
    "in protected code": "the thread is in code that is not interrupted between its statements, of "
    "the standard library or of a protected module, at",
    "in cleanup": "the thread is",
    "importing": "the thread is importing a module, by",
    "in a callback": "the thread is in a finalizer, a weak reference's callback or a signal "
    "handler, where the exception would be lost, or in what cannot be told from one, a function "
    "that C code has called with such arguments, at",
    "holding a lock": "the thread holds the lock that it took in its region at",
    "running": "the thread will stop before its next statement; if it does not, it is in a call "
    "that does not return and that cannot be interrupted, at",
}


class Place(NamedTuple):
    """A line of source."""

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        """As tools that jump to places read it."""
        return f"{self.filename}:{self.lineno} in {self.function}"


@dataclass(frozen=True)
class Asked:
    """What a thread has been asked, or a scope that it is in (S22).

    Of several it is the outermost that waits; only what is inside of it can delay it (S24).

    scope: the scope that was asked, or whose deadline has passed; None: the thread itself, or this
        is pickled or copied.
    entered: where the thread has entered that scope; None: it is the thread itself.
    exc_type: the exception class that was asked for.
    reason: the reason that was given; ``"deadline"`` if it was the time.
    """

    scope: Scope | None
    entered: Place | None
    exc_type: type[BaseException]
    reason: str | None

    def __str__(self) -> str:
        """What it is, for people."""
        text = self.exc_type.__name__
        if self.reason is not None:
            text += f" with the reason {self.reason!r}"
        return text + (
            "" if self.entered is None else f", asked of the scope entered at {self.entered}"
        )


@dataclass(frozen=True)
class Explanation:
    """What ``explain`` found (S19); ``str()`` of it is for people.

    thread: the thread that was asked about, as it was given; in a report of ``shutdown``, and in a
        pickled or copied one, its ident.
    state: the same in a word or a few, for programs: ``"shielded"``, ``"holding a lock"``, ...
    reason: the same in a sentence, with its place.
    place: where what keeps the thread from stopping is: the shield, the ``finally``, where the lock
        was taken, ...; a tuple of ``filename``, ``lineno`` and ``function``, or None.
    stack: the thread's frames, outermost first.
    locked: where the thread took the locks that it has left locked: of one that was stopped in a
        wait, with a lock that no ``with`` and no ``finally`` gives back (S31). As ``place``.
    asked: what has been asked, and of whom; None: nothing.
    groups: the groups that it runs a task of, innermost first, each in words: its name, where it
        was opened, and by which thread (S28).
    scopes: where it has entered the scopes that it is in, outermost first, and the groups that it
        has opened (S22). A task is also in those of the thread that has opened its group.
    """

    thread: threading.Thread | int
    state: State
    reason: str
    place: Place | None
    stack: traceback.StackSummary
    locked: tuple[Place, ...] = ()
    asked: "Asked | None" = None
    groups: tuple[str, ...] = ()
    scopes: tuple[Place, ...] = ()

    def __str__(self) -> str:
        """The reason, then the stack as tracebacks show it."""
        name = self.thread.name if isinstance(self.thread, threading.Thread) else self.thread
        return "\n".join([f"{name}: {self.reason}", *(s.rstrip() for s in self.stack.format())])

    def as_data(self) -> "Explanation":
        """The same without the thread itself: nothing that keeps it, or its frames, alive."""
        thread = self.thread
        ident = (thread.ident or 0) if isinstance(thread, threading.Thread) else thread
        asked = self.asked and replace(self.asked, scope=None)
        return replace(self, thread=ident, stack=_data_of(self.stack), asked=asked)

    def __getstate__(self) -> dict[str, Any]:
        """Pickled, it goes where that thread is not, nor its files: with the lines of source."""
        data = self.as_data()
        for entry in data.stack:
            entry.line  # noqa: B018  (looks it up)
        return dict(vars(data))


def _data_of(stack: traceback.StackSummary) -> traceback.StackSummary:
    """The same; from 3.13 it may have the code objects, which cannot be pickled."""
    entries = []
    for entry in stack:
        places = {name: getattr(entry, name, None) for name in ("end_lineno", "colno", "end_colno")}
        entries.append(
            traceback.FrameSummary(
                entry.filename, cast("int", entry.lineno), entry.name, lookup_line=False, **places
            )
        )
    return traceback.StackSummary.from_list(entries)


def left_locked(thread: threading.Thread | int) -> tuple[Place, ...]:
    """Where it took what it has left locked."""
    return tuple(Place(*place) for place in locked_by(thread))


def and_locked(places: tuple[Place, ...]) -> str:
    """What to say of them after something else."""
    return "".join(f"; the lock that it took at {place} stays locked" for place in places)


def _stack(
    thread: threading.Thread | int, places: list[tuple[str, int, str]]
) -> traceback.StackSummary:
    if places:
        return traceback.StackSummary.from_list(
            [traceback.FrameSummary(*place, lookup_line=False) for place in places]
        )
    # It never was in a block, so nothing of ours keeps its frames.
    ident = thread.ident if isinstance(thread, threading.Thread) else thread
    frames = sys._current_frames()  # noqa: SLF001  (documented as such)
    frame = frames.get(cast("int", ident))
    del frames
    if frame is not None and ident == threading.get_ident():
        frame = sys._getframe(2)  # noqa: SLF001  (who called explain)
    if frame is None:
        return traceback.StackSummary()
    outermost_first = list(traceback.walk_stack(frame))[::-1]
    return traceback.StackSummary.extract(iter(outermost_first), lookup_lines=False)


def _asked(
    scope: Scope | None,
    entered: tuple[str, int, str] | None,
    exc_type: type[BaseException],
    reason: str | None,
) -> Asked:
    return Asked(scope, None if entered is None else Place(*entered), exc_type, reason)


def _and_asked(asked: Asked | None) -> str:
    """What to say of it, if it is not the thread's own: that is what one would think of."""
    return "" if asked is None or asked.scope is None else f"; the request is {asked}"


def groups_of(thread: threading.Thread | int) -> tuple[str, ...]:
    module = sys.modules.get(f"{__package__}._group")  # else there is no group
    if module is None:
        return ()
    if isinstance(thread, int):
        same = [known for known in threading.enumerate() if known.ident == thread]
        return module.groups_of(same[0]) if same else ()
    return cast("tuple[str, ...]", module.groups_of(thread))


def explain(thread: threading.Thread | int) -> Explanation:
    """Tell why that thread has not stopped yet (S19).

    thread: a ``threading.Thread``, or an ident. Returns an ``Explanation``: a word for programs, a
    sentence for people, the place of what keeps the thread from stopping, and its stack. It was
    true at a moment during the call.

    RuntimeError: the thread was not started. ValueError: no live Python thread has that ident.
    TypeError: another type of argument.
    """
    found = _inspect(thread)
    if found is None:
        locked = left_locked(thread)
        reason = _REASONS["finished"] + and_locked(locked)
        return Explanation(thread, "finished", reason, None, traceback.StackSummary(), locked)
    requested, pending, name, detail, where, frames, request, entered = found
    frames.reverse()  # outermost first, as tracebacks are shown
    asked = _asked(*request) if requested else None
    places = [place for place, _ in frames]
    state = cast("State", name)
    if not requested:
        state, where = "not asked", None
    elif not pending:
        state, where = "delivered", None
    place = None if where is None else Place(*where)
    if state == "running" and places:
        place = Place(*places[-1])
    reason = _REASONS[state]
    if state == "not in a region" and place is not None:
        reason = _SUSPENDED
    if state == "in cleanup":
        reason += f" {_CLEANUPS[detail]} at"
    if place is not None:
        reason += f" {place}"
    if state == "in protected code":
        callers = [place for place, protected in frames if not protected]
        if callers:
            reason += f", called from {Place(*callers[-1])}"
    locked = left_locked(thread)
    groups = groups_of(thread)
    scopes = tuple(Place(*each) for each, _ in entered if not each[0].startswith(_HERE))
    reason += _and_asked(asked) + and_locked(locked) + "".join(f"; of {one}" for one in groups[:1])
    stack = _stack(thread, places)
    return Explanation(thread, state, reason, place, stack, locked, asked, groups, scopes)


def explain_all() -> list[Explanation]:
    """Tell the same of every live thread that ``threading`` knows (S19).

    Returns an ``Explanation`` for each, the calling thread's among them, in the order of
    ``threading.enumerate()``. They are made one after the other; a thread that ends meanwhile
    is told to have finished.
    """
    return [explain(thread) for thread in threading.enumerate()]

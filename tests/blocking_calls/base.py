"""What an entry of the table is: see Call."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

CALLS: list[type[Call]] = []

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Folder:
    """A temporary one. It stays if the process ends: its threads may be looking for something."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp()
        self.cleanup = weakref.finalize(self, shutil.rmtree, self.name)
        self.cleanup.atexit = False


class Call:
    """A call that blocks, with all that it needs: real objects, made when this is made.

    ``wait`` is what blocks, and it may be run by any thread. All else is done by the thread that
    has made it: ``end`` lets one wait end normally, so that its result is there when it returns.
    After a wait that was interrupted, ``check_untouched`` looks whether it left anything behind;
    that the next one gets what this one did not is tried by the tests.
    """

    takes: ClassVar[bool] = True  # something in, so it raises on entry when asked (S10b)
    mutex: ClassVar[bool] = False  # not given up in cleanup by one request (S10c)
    remembers: ClassVar[bool] = True  # a wait that begins after the end() does not block
    shared: ClassVar[bool] = True  # several may wait for the same thing
    keeps: ClassVar[bool] = False  # a lock, so that there is no delivery after it (S9)
    whole: ClassVar[bool] = True  # one call: what has its result returns it (S10a)
    hangs_when_late: ClassVar[bool] = False  # the original: when its time is up before it looks
    forks: ClassVar[bool] = True  # the wait can go on in the child of a fork, too
    # wait, with a timeout in seconds. An end() of None means that only this ends it.
    timed: ClassVar[Callable[[Any, float], Any] | None] = None

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            CALLS.append(cls)

    def wait(self) -> Any:
        raise NotImplementedError

    end: Callable[[], None] | None = None

    def check_untouched(self) -> None:
        """Look whether a wait that was interrupted left anything behind."""

    def shown(self, result: Any) -> Any:
        """What it has returned, so that the results of two such objects can be compared."""
        return result

    def close(self) -> None:
        """Let go of the objects; no wait is under way."""


def family_of(kind: type[Call]) -> str:
    """The file of the table that it is in, or the folder."""
    return kind.__module__.split(".")[1]


def named(name: str) -> type[Call]:
    (kind,) = (kind for kind in CALLS if kind.__name__ == name)
    return kind


def leave_out(name: str) -> None:
    """An entry which is no call on this version or platform."""
    CALLS[:] = [kind for kind in CALLS if kind.__name__ != name]


@contextlib.contextmanager
def made(kind: type[Call]) -> Iterator[Call]:
    call = kind()
    try:
        yield call
    finally:
        call.close()


def outcome(call: Call, function: Callable[[], Any]) -> tuple[Any, ...]:
    """What it returns or raises, to be compared."""
    try:
        return "returned", call.shown(function())
    except Exception as error:  # noqa: BLE001  (that is what is compared)
        return type(error), str(error), error.args, getattr(error, "errno", None)

"""Put the API into ``threading``, where its proposal has it, and take it out again (S17)."""

import threading

from . import _interruption
from ._thread import Thread

_API: dict[str, object] = {
    name: getattr(_interruption, name)
    for name in (
        "ThreadExit",
        "allow_interruption",
        "check_interrupt",
        "clear_interrupt",
        "defer_interruption",
        "interrupt",
        "interrupt_all_threads",
        "interruption_fd",
        "interruption_requested",
        "wait_for_interruption",
    )
}
_THREAD_API: dict[str, object] = {
    name: vars(Thread)[name] for name in ("interrupt", "interruption_requested")
}

_lock = threading.RLock()  # one install or uninstall at a time; reentrant for signal handlers


def _places() -> list[tuple[object, str, object]]:
    """Every (where, name, what) of the installed API."""
    return [
        *((threading, name, what) for name, what in _API.items()),
        *((threading.Thread, name, what) for name, what in _THREAD_API.items()),
    ]


def _is_ours(found: object, what: object) -> bool:
    """Whether it is what we put there, or did before the package was imported again."""
    maker = getattr(found, "fget", found)
    return found is what or getattr(maker, "__module__", None) == Thread.__module__


def install() -> None:
    """Add the API to the ``threading`` module and to ``threading.Thread``, for all threads (S17).

    Afterwards ``from threading import interrupt_all_threads``, ``some_thread.interrupt()`` and
    ``some_thread.interruption_requested`` work as in the proposal of this API for the standard
    library. Installing twice is installing once.

    RuntimeError: one of the names is there already and means something else (a Python that has its
    own, or another library); then nothing is changed.
    """
    with _lock:
        taken = [
            f"{where.__name__}.{name}"  # type: ignore[attr-defined]
            for where, name, what in _places()
            if not _is_ours(vars(where).get(name, what), what)
        ]
        if taken:
            raise RuntimeError(
                f"not installed, because {', '.join(taken)} is there already: "
                "use the functions of `interruption` instead"
            )
        for where, name, what in _places():
            setattr(where, name, what)


def uninstall() -> None:
    """Take out of ``threading`` what ``install()`` put there (S17).

    A name that somebody has given another meaning since is left alone. Without ``install()``:
    nothing. Names that were imported from ``threading`` meanwhile go on working.
    """
    with _lock:
        for where, name, what in _places():
            if name in vars(where) and _is_ours(vars(where)[name], what):
                delattr(where, name)

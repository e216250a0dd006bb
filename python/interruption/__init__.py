"""Ask a thread to stop, and let it stop cleanly.

A thread that looks stops when it is asked::

    from interruption import Thread, interruption_requested

    def work():
        while not interruption_requested():
            ...

    worker = Thread(target=work)
    worker.start()
    worker.interrupt()
    worker.join()

``interrupt`` and ``interrupt_all_threads`` ask. ``interruption_requested``, ``check_interrupt``,
``wait_for_interruption`` and ``interruption_fd`` are the ways to look; ``clear_interrupt`` carries
on.

Code that does not look is stopped between two of its statements, where it allows that::

    with allow_interruption:
        while True:
            work()

``defer_interruption`` keeps a block whole; ``explain`` tells why a thread has not stopped yet.
"""

from importlib import resources as _resources
from pathlib import Path as _Path

from ._explain import Explanation, explain
from ._install import install, uninstall
from ._interruption import (
    _C_API as _C_API,  # found here by the C header
)
from ._interruption import (
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interrupt_all_threads,
    interruption_fd,
    interruption_requested,
    wait_for_interruption,
)
from ._protected import protect, unprotect
from ._thread import Thread

__all__ = [
    "Explanation",
    "Thread",
    "ThreadExit",
    "allow_interruption",
    "check_interrupt",
    "clear_interrupt",
    "defer_interruption",
    "explain",
    "get_include",
    "install",
    "interrupt",
    "interrupt_all_threads",
    "interruption_fd",
    "interruption_requested",
    "protect",
    "uninstall",
    "unprotect",
    "wait_for_interruption",
]

__version__ = "0.1.0"


def get_include() -> str:
    """The folder that holds ``interruption.h``, for the compiler of a C extension."""
    return str(_Path(str(_resources.files(__name__).joinpath("include", "interruption.h"))).parent)

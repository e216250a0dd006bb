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

``interrupt_on_signal`` and ``interrupt_on_exit`` ask all threads on Ctrl-C, SIGTERM and
``sys.exit()``; ``shutdown`` asks them and waits, with one deadline, and reports.
"""

from importlib import resources as _resources
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import blocking
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
    on_interrupt,
    wait_for_interruption,
)
from ._process import run_in_process
from ._protected import protect, unprotect
from ._shutdown import ShutdownReport, ThreadReport, shutdown
from ._signals import Installation, SignalExit, interrupt_on_exit, interrupt_on_signal
from ._thread import Thread

if _TYPE_CHECKING:
    from ._executor import ThreadPoolExecutor

__all__ = [
    "Explanation",
    "Installation",
    "ShutdownReport",
    "SignalExit",
    "Thread",
    "ThreadExit",
    "ThreadPoolExecutor",
    "ThreadReport",
    "allow_interruption",
    "blocking",
    "check_interrupt",
    "clear_interrupt",
    "defer_interruption",
    "explain",
    "get_include",
    "install",
    "interrupt",
    "interrupt_all_threads",
    "interrupt_on_exit",
    "interrupt_on_signal",
    "interruption_fd",
    "interruption_requested",
    "on_interrupt",
    "protect",
    "run_in_process",
    "shutdown",
    "uninstall",
    "unprotect",
    "wait_for_interruption",
]

__version__ = "0.1.0"


def get_include() -> str:
    """The folder that holds ``interruption.h``, for the compiler of a C extension."""
    return str(_Path(str(_resources.files(__name__).joinpath("include", "interruption.h"))).parent)


def __getattr__(name: str) -> object:
    """``ThreadPoolExecutor`` is imported by who uses it, as in ``concurrent.futures``."""
    if name != "ThreadPoolExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._executor import ThreadPoolExecutor  # noqa: PLC0415

    globals()[name] = ThreadPoolExecutor
    return ThreadPoolExecutor

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

``timeout``, ``timeout_at`` and ``move_on_after`` limit the time that a block may take, in any
thread; a ``Scope`` is a block that another thread can ask to stop by itself::

    with timeout(2.0):
        answer = connection.recv(1024)

``defer_interruption`` keeps a block whole; ``explain`` tells why a thread has not stopped yet.

``interrupt_on_signal`` and ``interrupt_on_exit`` ask all threads on Ctrl-C, SIGTERM and
``sys.exit()``; ``shutdown`` asks them and waits, with one deadline, and reports.

PYTEST_DONT_REWRITE: for pytest, which rewrites the assertions of what has a plugin for it. There
are none here; and a program that has imported this package before it runs pytest is not warned.
"""

import atexit as _atexit
import os as _os

from . import _broken_off as _broken_off  # called by the compiled part, wherever it waits
from . import _monitoring as _monitoring  # called by the compiled part, in the first region
from . import _protected as _protected  # tells the compiled part what is never interrupted
from . import _self_test as _self_test  # the same
from . import _thread_exit as _thread_exit  # called by it, also in __del__ and signal handlers
from ._interruption import (
    _C_API as _C_API,  # found here by the C header
)
from ._interruption import (
    Scope,
    ThreadExit,
    _after_fork_in_child,
    _stop_rearming,
    _version,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    current_deadline,
    defer_interruption,
    interrupt,
    interrupt_all_threads,
    interruption_fd,
    interruption_requested,
    move_on_after,
    on_interrupt,
    timeout,
    timeout_at,
    wait_for_interruption,
)

# What is more than that is imported when it is asked for: see _LATER. It is named here for type
# checkers, and for what makes one file of a program and follows its imports.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import _decorators as _decorators  # imported by the compiled part
    from . import blocking
    from ._executor import ThreadPoolExecutor
    from ._explain import Explanation, explain, explain_all
    from ._group import ThreadGroup
    from ._install import install, uninstall
    from ._process import run_in_process
    from ._protected import protect, unprotect
    from ._shutdown.shutdown import ShutdownReport, ThreadReport, shutdown
    from ._shutdown.signals import Installation, SignalExit, interrupt_on_exit, interrupt_on_signal
    from ._thread import Thread

__all__ = [
    "Explanation",
    "Installation",
    "Scope",
    "ShutdownReport",
    "SignalExit",
    "Thread",
    "ThreadExit",
    "ThreadGroup",
    "ThreadPoolExecutor",
    "ThreadReport",
    "allow_interruption",
    "blocking",
    "check_interrupt",
    "clear_interrupt",
    "current_deadline",
    "defer_interruption",
    "explain",
    "explain_all",
    "get_include",
    "install",
    "interrupt",
    "interrupt_all_threads",
    "interrupt_on_exit",
    "interrupt_on_signal",
    "interruption_fd",
    "interruption_requested",
    "move_on_after",
    "on_interrupt",
    "protect",
    "run_in_process",
    "shutdown",
    "timeout",
    "timeout_at",
    "uninstall",
    "unprotect",
    "wait_for_interruption",
]

__version__ = _version  # meson.build's

_os.register_at_fork(after_in_child=_after_fork_in_child)
_atexit.register(_stop_rearming)

# Where what is imported later comes from: modules that need more of the standard library than most
# programs that import this package have.
_LATER = {
    "Explanation": "_explain",
    "Installation": "_shutdown.signals",
    "ShutdownReport": "_shutdown.shutdown",
    "SignalExit": "_shutdown.signals",
    "Thread": "_thread",
    "ThreadGroup": "_group",
    "ThreadPoolExecutor": "_executor",
    "ThreadReport": "_shutdown.shutdown",
    "blocking": "blocking",
    "explain": "_explain",
    "explain_all": "_explain",
    "install": "_install",
    "interrupt_on_exit": "_shutdown.signals",
    "interrupt_on_signal": "_shutdown.signals",
    "protect": "_protected",
    "run_in_process": "_process",
    "shutdown": "_shutdown.shutdown",
    "uninstall": "_install",
    "unprotect": "_protected",
}


def get_include() -> str:
    """The folder that holds ``interruption.h``, for the compiler of a C extension."""
    from importlib import resources  # noqa: PLC0415  (imports much)
    from pathlib import Path  # noqa: PLC0415

    return str(Path(str(resources.files(__name__).joinpath("include", "interruption.h"))).parent)


def load_ipython_extension(shell: object) -> None:
    """Called by ``%load_ext interruption``: see docs/jupyter.md."""
    from . import ipython  # noqa: PLC0415  (not before it is needed)

    ipython.load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """Called by ``%unload_ext interruption``."""
    from . import ipython  # noqa: PLC0415  (as above)

    ipython.unload_ipython_extension(shell)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is public when it is first asked for."""
        if name not in _LATER:
            here = __import__("sys").modules[__name__]  # its names are suggested
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=here)
        module = __import__(f"{__name__}.{_LATER[name]}", fromlist=[name])
        value = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Also what has not been asked for yet."""
        return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})

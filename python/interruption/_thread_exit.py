"""What of ``ThreadExit``, and of what is raised in its place, need not be compiled.

Called by the compiled part (src/module/delivery/thread_exit.c).
"""

from __future__ import annotations

import threading

from ._interruption import ThreadExit, _make_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check_exc_type(exc_type: Any, reason: str | None) -> None:
    """Can a request ask for that class? It is tried once (S2).

    TypeError: no, caused by what went wrong. KeyboardInterrupt and the like come out, and a lack of
    memory, for which the class is not to blame.
    """
    if not (isinstance(exc_type, type) and issubclass(exc_type, BaseException)):
        hint = ""
        if isinstance(exc_type, BaseException):
            hint = " (give the class, not an instance)"
        elif isinstance(exc_type, str):
            hint = " (a text goes into reason=)"
        raise TypeError(f"exc_type must be a subclass of BaseException, not {exc_type!r}{hint}")
    try:
        _make_exception(exc_type, reason)
    except MemoryError:
        raise
    except Exception as error:
        raise TypeError(
            "exc_type cannot be raised in the thread: it is called without arguments and given a "
            f".reason, which failed for {exc_type!r}; give a class that allows both"
        ) from error


def excepthook(
    args: threading.ExceptHookArgs, /, *, ours: Any = ThreadExit, module: Any = threading
) -> None:
    """As the standard one, but silent for ``ThreadExit`` (S13).

    What it needs is given to it: at the end of the interpreter nothing else is left.
    """
    if not (isinstance(args.exc_type, type) and issubclass(args.exc_type, ours)):
        module.__excepthook__(args)

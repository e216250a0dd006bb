"""Imported by every interpreter that compare.py starts, its children's children too.

INTERRUPTION_SUITE says what is done: `enabled` interposes the blocking calls; `inside` also puts
the main thread and every thread that Python starts into an open region, for as long as it lives.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # plainly, not even typing is imported
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_mode = os.environ.get("INTERRUPTION_SUITE")

if _mode in ("enabled", "inside"):
    try:
        import _thread
        import threading

        from interruption import allow_interruption
    except ImportError:  # an interpreter that was told to find nothing but its own modules
        pass
    else:
        with allow_interruption:
            pass

        def _put_inside(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                with allow_interruption:
                    return function(*args, **kwargs)

            return run

        if _mode == "inside":
            run = _put_inside(threading.Thread.run)
            threading.Thread.run = run  # type: ignore[method-assign]
            _start_new_thread = _thread.start_new_thread

            def _start_inside(function: Callable[..., Any], *args: Any) -> int:
                return _start_new_thread(_put_inside(function), *args)

            _thread.start_new_thread = _start_inside
            allow_interruption.__enter__()

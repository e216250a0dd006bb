"""Read by mypy, never run: what users write has the types that they expect."""

from typing import assert_type

import interruption
from interruption import (
    Thread,
    ThreadExit,
    check_interrupt,
    interrupt,
    interrupt_all_threads,
    interruption_fd,
    interruption_requested,
    wait_for_interruption,
)


def cases(ident: int) -> None:
    """One line for each public name."""
    thread = Thread(target=print, args=(1,), name="n", daemon=True)
    assert_type(thread.interrupt(), bool)
    assert_type(thread.interrupt(ValueError, reason="r"), bool)
    assert_type(thread.interruption_requested, bool)
    assert_type(interrupt(thread), bool)
    assert_type(interrupt(ident, KeyboardInterrupt, reason=None), bool)
    assert_type(interrupt_all_threads(reason="r"), int)
    assert_type(interruption_requested(), bool)
    assert_type(wait_for_interruption(0.5), bool)
    assert_type(wait_for_interruption(), bool)
    assert_type(interruption_fd(), int)
    assert_type(ThreadExit("r").reason, str | None)
    assert_type(interruption.get_include(), str)
    check_interrupt()
    interrupt("name")  # type: ignore[arg-type]
    interrupt(ident, ValueError())  # type: ignore[arg-type]
    interrupt(ident, reason=3)  # type: ignore[arg-type]

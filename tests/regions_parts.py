"""What the test_regions files run in regions."""

from __future__ import annotations

import threading

from interruption import interrupt


def ask_myself(reason: str | None = None) -> None:
    assert interrupt(threading.get_ident(), reason=reason)


def statements(count: int = 100) -> None:
    """Run that many statements, and more instructions that jump back."""
    for _ in range(count):
        pass

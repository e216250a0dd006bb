"""Threads in regions: that run, that wait, and that are stopped there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from interruption import ThreadExit, allow_interruption, interrupt
from support import Started

waits = allow_interruption(async_interrupt=False)  # only these are interrupted


def spin() -> None:
    while True:
        pass


def inside(
    function: Callable[[], Any],
    region: contextlib.AbstractContextManager[Any] = allow_interruption,
    **options: Any,
) -> Started:
    """A thread that is in that region, about to call it."""

    def body(started: Started) -> Any:
        with region:
            started.ready.set()
            return function()

    return Started(body, **options).until_ready()


def waiting(
    function: Callable[[], Any],
    region: contextlib.AbstractContextManager[Any] = waits,
    **options: Any,
) -> Started:
    """A thread that is blocked in it, in that region."""
    return inside(function, region, **options).until_blocked()


def stopped(other: Started) -> ThreadExit:
    """Ask it; what it has raised."""
    interrupt(other.thread)
    with pytest.raises(ThreadExit) as caught:
        other.finish()
    return caught.value


def interrupted(function: Callable[[], Any]) -> ThreadExit:
    """It waits, and is interrupted."""
    return stopped(waiting(function))

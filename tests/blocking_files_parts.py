"""What the tests of files and pipes wait in."""

from __future__ import annotations

from pathlib import Path

import pytest
from interruption import ThreadExit, allow_interruption, interrupt
from support import Started

waits = allow_interruption(async_interrupt=False)
FULL = 65536  # what a pipe holds
HERE = str(Path(__file__).parent)


def waiting(function, region=waits):
    """A thread that is blocked in it."""

    def body(started):
        with region:
            started.ready.set()
            return function()

    return Started(body).until_blocked()


def interrupted(function):
    """It waits, and is interrupted."""
    started = waiting(function)
    interrupt(started.thread)
    with pytest.raises(ThreadExit):
        started.finish()

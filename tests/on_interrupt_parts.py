"""What the test_on_interrupt files wait in."""

from __future__ import annotations

import time

from interruption import allow_interruption, on_interrupt
from support import PATIENCE, Started

ONLY_WAITS = allow_interruption(async_interrupt=False)


def blocking_block(callback_of):
    """A thread that is in an open region and an on_interrupt block, and stays there till `go`."""
    calls = []

    def body(started):
        with ONLY_WAITS, on_interrupt(callback_of(calls)):
            started.ready.set()
            until(started.go.is_set)
        return calls

    return Started(body).until_ready(), calls


def until(what):
    """Wait for it in a way that no request ends."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
    return True

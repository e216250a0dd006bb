"""What the tests of ThreadPoolExecutor share: tasks that run until they are told, and outcomes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest
from interruption import ThreadExit
from support import PATIENCE, until_blocked


class Busy:
    """A task that says that it runs, and goes on until it is stopped or let go.

    It counts, between statements of its own: nothing but an interruption ends that early.
    """

    def __init__(self, *, result=None, cleanup=None):
        self.started, self.go = threading.Event(), threading.Event()
        self.thread = None
        self.seen = []
        self.result, self.cleanup = result, cleanup

    def __call__(self):
        self.thread = threading.current_thread()
        try:
            self.started.set()  # from here on it may be stopped
            while not self.go.is_set():
                pass
        except ThreadExit:
            self.seen.append("asked")
            raise
        finally:
            if self.cleanup is not None:
                self.cleanup()
            self.seen.append("cleaned up")
        return self.result

    def submitted(self, executor):
        """The future; it is running."""
        future = executor.submit(self)
        assert self.started.wait(PATIENCE)
        return future


def start_waiting(executor, function, *args):
    """Submit a call that waits; its future, when it waits."""
    thread = executor.submit(threading.current_thread).result(PATIENCE)
    future = executor.submit(function, *args)
    deadline = time.monotonic() + PATIENCE
    while not future.running():
        assert time.monotonic() < deadline
    until_blocked(thread)
    return future


def outcome(future):
    """What became of it: exactly one of the three."""
    assert future.done()
    assert not future.running()
    if future.cancelled():
        with pytest.raises(CancelledError):
            future.exception(0)
        return "cancelled"
    return "done" if future.exception(0) is None else "failed"

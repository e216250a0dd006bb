"""What is run in threads for event loops: functions that block for ever, and what became of them.

What waits here for a thread awaits, so that the loop goes on.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time

from interruption import ThreadExit
from support import PATIENCE

ONE, OTHER = socket.socketpair()  # nobody sends


class Work:
    """A function that blocks for ever, and what became of it."""

    def __init__(self, body, cleanup=None):
        self.body = body
        self.cleanup = cleanup
        self.thread: threading.Thread | None = None
        self.begun = threading.Event()
        self.cleans = threading.Event()
        self.reason: str | None = None
        self.log: list[str] = []

    def __call__(self):
        self.thread = threading.current_thread()
        try:
            self.begun.set()
            return self.body()
        except ThreadExit as request:
            self.reason = request.reason
            raise
        finally:
            if self.cleanup is not None:
                self.cleans.set()
                self.cleanup()
            self.log.append("clean")


async def is_set(event: threading.Event, sleep) -> None:
    """Wait until it is set, by the loop's own ``sleep``."""
    while not event.is_set():
        await sleep(0.001)


def spin():
    while True:
        pass


def sleep():
    time.sleep(PATIENCE)


def receive():
    ONE.recv(1)


def read():
    os.read(ONE.fileno(), 1)


def run_child():
    subprocess.run([sys.executable, "-c", f"import time; time.sleep({PATIENCE})"], check=False)


def one_that_swallows():
    """A function that swallows what stops it; events: it has begun, and it may end; and what the
    log says of it after 0.02 s."""
    begun, go = threading.Event(), threading.Event()

    def swallows():
        try:
            begun.set()
            spin()
        except BaseException:  # noqa: BLE001  (that is what is tried)
            go.wait()

    line = swallows.__code__.co_firstlineno
    said = f"swallows ({__file__}:{line}) still runs, 0.02 s after it was asked to stop ("
    return swallows, begun, go, said


BODIES = {
    "running": spin,
    "sleep": sleep,
    "queue": lambda: queue.Queue().get(),
    "condition": lambda: threading.Event().wait(),
    "socket": receive,
    "descriptor": read,
    "child": run_child,
}

"""What the tasks of these tests do; their workers, which are processes, import it.

Each task says in a file what has become of it: a line an event, with the time.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE = float(os.environ.get("INTERRUPTION_PATIENCE", "120"))
ONE, OTHER = socket.socketpair()  # nobody sends
TAKEN = threading.Lock()
TAKEN.acquire()


def say(path, *words):
    with open(path, "a") as file:
        file.write(" ".join(map(str, (*words, time.time()))) + "\n")


def spin():
    while True:
        pass


BODIES = {
    "running": spin,
    "sleep": lambda: time.sleep(PATIENCE),
    "queue": lambda: queue.Queue().get(),
    "lock": lambda: TAKEN.acquire(),
    "socket": lambda: ONE.recv(1),
    "descriptor": lambda: os.read(ONE.fileno(), 1),
    "child": lambda: subprocess.run(
        [sys.executable, "-c", f"import time; time.sleep({PATIENCE})"], check=False
    ),
    "quick": lambda: "done",
}
FOR_EVER = [kind for kind in BODIES if kind != "quick"]
# Limits are longer than a task takes to begin, on any machine: so few of them.
# Each pair at once, in two threads.
PAIRS = [("running", "sleep"), ("lock", "socket")]
LIMIT = 4  # seconds


def swallow(path):
    """Go on until the file is there that says so."""
    try:
        say(path, "begin")
        time.sleep(PATIENCE)
    except BaseException:  # noqa: BLE001  (that is what is tried)
        say(path, "swallowed")
        while not Path(f"{path}.go").exists():
            time.sleep(0.01)
    return "all the same"


def hold_a_lock(path):
    """It is not stopped before it has given it up."""
    say(path, "begin")
    lock = threading.Lock()
    with lock:
        say(path, "locked")
        while not Path(f"{path}.go").exists():
            pass
        say(path, "unlocked")
    time.sleep(PATIENCE)


def give_up(path):
    say(path, "begin")
    raise TimeoutError("its own")


# They say "begin" themselves: when they are so far that they may be interrupted.
WITH_PATH = {"holds": hold_a_lock, "swallows": swallow, "gives up": give_up}


def run(kind, path, others=None):
    with_path = WITH_PATH | (others or {})
    try:
        if kind in with_path:
            return with_path[kind](path)
        say(path, "begin")  # it may be interrupted from there on
        return BODIES[kind]()
    except BaseException as error:
        say(path, type(error).__name__, getattr(error, "reason", None))
        raise
    finally:
        time.sleep(0.01)  # cleanup that waits is whole
        say(path, "finally")

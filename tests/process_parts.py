"""What test_run_in_process.py has run. Each of its processes imports this, so it imports little."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from pathlib import Path

from interruption import run_in_process


class Awkward(Exception):
    """Pickled, it cannot be made anew."""

    def __init__(self, one, two):
        super().__init__(one + two)


def add(*args, **kwargs):
    return sum(args) + sum(kwargs.values())


def fail(error):
    raise error


def fail_awkwardly():
    raise Awkward("a", "b")


def end(code):
    os._exit(code)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def large(size):
    return b"x" * size


def unpicklable():
    return lambda: None


def stuck(path):
    """In C, with the GIL: no exception and no handler of Python's can get in."""
    Path(path).write_text(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")


def nest(path):
    return run_in_process(stuck, path)


def where_it_runs():
    return os.getpid(), multiprocessing.parent_process().pid


def linger(path):
    """Answer, and do not end."""
    threading.Thread(target=stuck, args=(path,)).start()
    return "answer"

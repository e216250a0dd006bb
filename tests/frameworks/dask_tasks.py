"""What tasks of dask do in test_dask.py and dask_stress.py beside bodies.py: workers import it."""

from __future__ import annotations

import time
from pathlib import Path

import bodies
from bodies import PATIENCE, say


def multiply(path):
    import numpy as np  # the import is not what is interrupted

    say(path, "begin")
    matrix = np.eye(50)
    while True:
        matrix = matrix @ matrix


def seceded(path):
    import distributed

    distributed.secede()
    say(path, "begin")
    time.sleep(PATIENCE)


def has_inner(path):
    import distributed

    say(path, "begin")
    with distributed.worker_client() as client:
        client.submit(run, "sleep", f"{path}.inner", pure=False).result()


OTHERS = {"numpy": multiply, "seceded": seceded, "inner": has_inner}


def run(kind, path):
    return bodies.run(kind, path, OTHERS)


def begin_again(path):
    """The first time in vain, with a cleanup that takes its time."""
    if Path(path).exists():
        say(path, "again")
        return "done"
    try:
        say(path, "begin")
        time.sleep(PATIENCE)
    finally:
        say(path, "stops")
        while not Path(f"{path}.go").exists():
            time.sleep(0.01)


def work(number, seconds, spins, path):
    """A task of dask_stress.py: it says when it is broken off."""
    try:
        end = time.monotonic() + seconds
        if spins:
            while time.monotonic() < end:
                pass
        else:
            time.sleep(seconds)
    except BaseException:
        say(path, number)
        raise
    return number

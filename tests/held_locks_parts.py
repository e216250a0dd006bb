"""Locks of all kinds, and ``tracking``: a region, in which the thread's locks are noted."""

from __future__ import annotations

import contextlib
import functools
import operator
import threading

import pytest
from interruption import allow_interruption, blocking

try:
    from interruption._interruption import _held, _held_size
except ImportError:
    pytest.skip("this was built with -Dtesting=false, as wheels are", allow_module_level=True)

try:
    import multiprocessing.synchronize
except ImportError:  # a platform without semaphores
    multiprocessing = None

LOCK_TYPES = {"lock": threading.Lock, "rlock": threading.RLock}
if multiprocessing:
    LOCK_TYPES["process lock"] = lambda: vars(multiprocessing.Lock())["_semlock"]
    LOCK_TYPES["process rlock"] = lambda: vars(multiprocessing.RLock())["_semlock"]
RECURSIVE = {"rlock", "process rlock"}
every_lock = pytest.mark.parametrize("kind", LOCK_TYPES)

PyRLock = vars(threading)["_PyRLock"]

# The ways to take and to release a lock; a type may be without some.
TAKES = {
    "acquire": lambda lock: lock.acquire(),
    "acquire, not blocking": lambda lock: lock.acquire(False),
    "acquire, keyword": lambda lock: lock.acquire(**keyword(lock, True)),
    "acquire, timeout": lambda lock: lock.acquire(True, 60),
    "acquire, keyword timeout": lambda lock: lock.acquire(timeout=60),
    "acquire_lock": lambda lock: lock.acquire_lock(),
    "__enter__": lambda lock: lock.__enter__(),
    "of the type": lambda lock: type(lock).acquire(lock),
    "map": lambda lock: list(map(lock.acquire, [True])),
    "partial": lambda lock: functools.partial(lock.acquire, True)(),
    "methodcaller": lambda lock: operator.methodcaller("acquire")(lock),
    "ExitStack": lambda lock: contextlib.ExitStack().enter_context(lock),
}
RELEASES = {
    "release": lambda lock: lock.release(),
    "release_lock": lambda lock: lock.release_lock(),
    "__exit__": lambda lock: lock.__exit__(None, None, None),
    "of the type": lambda lock: type(lock).release(lock),
    "partial": lambda lock: functools.partial(type(lock).__exit__, lock)(None, None, None),
    "methodcaller": lambda lock: operator.methodcaller("release")(lock),
}


def keyword(lock, blocking):
    return {"block" if type(lock).__name__ == "SemLock" else "blocking": blocking}


def interpose(on):
    """Have the locks interposed, or as they were."""
    (blocking.enable if on else blocking.disable)()


@contextlib.contextmanager
def tracking():
    """A region; which calls are interposed is the test's."""
    with allow_interruption:
        yield threading.get_ident()


def held():
    return [name for name, _, _ in _held()]


def size():
    return _held_size()[1]


def outcome(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001  (that is what is compared)
        return type(error), str(error)

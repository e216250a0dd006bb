"""The methods of locks, interposed, are what they were (S9).

What they answer to arguments of every kind, is in test_blocking_arguments.py.
"""

from __future__ import annotations

import inspect
import threading

import pytest
from held_locks_parts import LOCK_TYPES, every_lock, held, interpose, outcome, tracking
from interruption._interruption import _held

pytestmark = pytest.mark.usefixtures("interposed")


def traits(kind):
    return {
        name: (
            id(method),
            method.__doc__,
            getattr(method, "__text_signature__", None),
            repr(method),
            method.__qualname__,
            outcome(lambda method=method: str(inspect.signature(method))),
        )
        for name, method in vars(kind).items()
        if inspect.ismethoddescriptor(method)
    }


@every_lock
def test_interposing_changes_nothing_that_can_be_seen(kind):
    lock_type = type(LOCK_TYPES[kind]())
    interpose(False)
    before = traits(lock_type)
    interpose(True)
    assert traits(lock_type) == before
    interpose(True)  # twice is once
    assert traits(lock_type) == before
    interpose(False)
    interpose(False)
    assert traits(lock_type) == before
    lock = LOCK_TYPES[kind]()
    with tracking(), lock:
        assert held() == []


@every_lock
def test_methods_bound_and_code_specialized_before_are_covered(kind):
    interpose(False)
    lock = LOCK_TYPES[kind]()
    take, release = lock.acquire, lock.release

    def loop(count):
        seen = set()
        for _ in range(count):
            lock.acquire()
            seen.add(len(_held()))
            lock.release()
        return seen

    with tracking():
        assert loop(1000) == {0}
        interpose(True)
        assert loop(10) == {1}
        take()
        assert len(held()) == 1
        release()
        assert held() == []
        interpose(False)
        assert loop(10) == {0}


def test_a_subclass_is_covered_by_what_it_inherits():
    class Mine(threading.RLock if isinstance(threading.RLock, type) else type(threading.RLock())):
        def acquire(self, *arguments, **keywords):
            return super().acquire(*arguments, **keywords)

    lock = Mine()
    with tracking():
        lock.acquire()
        assert held() == ["Mine"]
        lock.release()
        assert held() == []

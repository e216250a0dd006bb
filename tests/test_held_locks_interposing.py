"""The methods of locks, interposed, are what they were (S9)."""

from __future__ import annotations

import inspect
import threading

import pytest
from held_locks_parts import LOCK_TYPES, RECURSIVE, every_lock, held, interpose, outcome, tracking
from interruption._interruption import _held
from support import in_thread

pytestmark = pytest.mark.usefixtures("interposed")


RAISES = type("Raises", (), {"__bool__": lambda _: 1 / 0, "__index__": lambda _: 1 / 0})()
# (method, arguments, keywords, may it block on a lock that is held)
CALLS = [
    *[
        (method, arguments, keywords, blocks)
        for method in ("acquire", "acquire_lock")
        for arguments, keywords, blocks in [
            ((), {}, True),
            ((True,), {}, True),
            ((False,), {}, False),
            ((0,), {}, False),
            (("yes",), {}, True),
            ((None,), {}, False),
            ((), {"blocking": False}, False),
            ((), {"block": False}, False),
            ((), {"timeout": 0.001}, False),
            ((), {"timeout": 0}, False),
            ((True,), {"timeout": -1}, True),
            ((), {"blocking": True, "timeout": 0.001}, False),
            ((True, 0.001), {}, False),
            ((False, 1), {}, False),
            ((), {"timeout": -2}, False),
            ((), {"timeout": 1e300}, False),
            ((), {"timeout": float("nan")}, False),
            ((), {"timeout": "x"}, False),
            ((), {"timeout": RAISES}, False),
            ((), {"timeout": None}, True),
            ((RAISES,), {}, False),
            ((1, 2, 3), {}, False),
            ((), {"bogus": 1}, False),
            ((True,), {"blocking": True}, False),
        ]
    ],
    ("__enter__", (), {}, True),
    ("__enter__", (False,), {}, False),
    ("__enter__", (), {"bogus": 1}, False),
    *[
        (method, arguments, keywords, False)
        for method in ("release", "release_lock", "__exit__", "_release_save", "_acquire_restore")
        for arguments, keywords in [
            ((), {}),
            ((None,), {}),
            ((None, None, None), {}),
            ((1, 2, 3, 4), {}),
            ((), {"bogus": 1}),
        ]
    ],
    ("_acquire_restore", (("x", "y"),), {}, False),
    ("_acquire_restore", ((1,),), {}, False),
    ("locked", (), {}, False),
]


def transcript(make, recursive):
    """What every call answers, on a free lock and on one that is held, and what it leaves."""
    answers = []
    for method, arguments, keywords, blocks in CALLS:
        for taken in (False, True):
            lock = make()
            function = getattr(lock, method, None)
            if function is None or (blocks and taken and not recursive):
                continue
            if taken:
                lock.acquire()
            if blocks and keywords.get("timeout", 0) is None and taken:
                continue
            answer = outcome(function, *arguments, **keywords)
            if method == "_release_save" and not isinstance(answer[0], type):
                answer = (answer[0], outcome(lock._acquire_restore, answer))  # noqa: SLF001
            free = in_thread(lambda lock=lock: lock.acquire(False))
            answers.append((method, arguments, taken, answer, free))
            if free and recursive:
                continue
            answers.append(outcome(lock.release))
            answers.append(outcome(lock.release))
    kind = type(make())
    for name in ("acquire", "release", "__enter__", "__exit__"):
        answers.append(outcome(getattr(kind, name)))
        answers.append(outcome(getattr(kind, name), object()))
    return answers


@every_lock
def test_every_call_answers_as_the_original(kind):
    make = LOCK_TYPES[kind]
    recursive = kind in RECURSIVE
    interpose(False)
    plain = transcript(make, recursive)
    interpose(True)
    assert transcript(make, recursive) == plain
    with tracking():
        inside = transcript(make, recursive)
    assert inside == plain
    assert len(plain) > 50


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

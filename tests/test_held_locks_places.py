"""Where the locks that a thread holds were taken (S9)."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import threading
from types import SimpleNamespace

import pytest
from chance import scaled
from held_locks_parts import PyRLock, held, tracking
from interruption._interruption import _held, _held_by, _held_place
from support import Started

pytestmark = pytest.mark.usefixtures("interposed")


def line_here(back=0):
    return inspect.currentframe().f_back.f_lineno + back


def test_the_place_is_that_of_the_innermost():  # S9, S19
    outer, inner = threading.Lock(), threading.RLock()
    with tracking():
        outer.acquire()
        first = line_here(-1)
        assert _held_place() == (__file__, first)
        with inner:
            assert _held_place() == (__file__, line_here(-1))
        assert _held_place() == (__file__, first)
        assert _held() == [("_thread.lock", __file__, first)]
        outer.release()


@pytest.mark.parametrize(
    "make", [threading.Condition, PyRLock, lambda: threading.Condition(threading.Lock())]
)
def test_the_place_is_that_of_the_caller_of_a_wrapper(make):  # S19
    lock = make()

    class Mine:
        def acquire(self):
            lock.acquire()

        def __enter__(self):
            self.acquire()

        def __exit__(self, *_):
            lock.release()

    with tracking():
        with lock:
            assert _held_place() == (__file__, line_here(-1))
        with Mine():
            assert _held_place() == (__file__, line_here(-1))
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            assert _held_place() == (__file__, line_here(-1))
        if hasattr(lock, "wait"):
            with lock:
                line = line_here(-1)
                lock.wait(0.001)
                wait = line_here(-1)
                assert _held_place()[1] in (line, wait)


def test_the_place_outlives_the_function_that_took_the_lock():  # S19
    lock = threading.Lock()
    namespace = {"lock": lock}
    exec("def take():\n\n    lock.acquire()\n", namespace)  # noqa: S102
    with tracking():
        namespace.pop("take")()
        gc.collect()
        assert _held_place() == ("<string>", 3)
        lock.release()


def test_another_thread_can_read_where_a_lock_was_taken():  # S19
    lock, extra = threading.Lock(), threading.RLock()
    told, tell = os.pipe()  # a pipe takes no locks of ours
    going, go = os.pipe()
    seen = SimpleNamespace()

    def body(_):
        with tracking() as seen.tracker:
            with lock:
                seen.line = line_here(-1)
                os.write(tell, b".")
                os.read(going, 1)
            with extra:
                os.write(tell, b".")
                os.read(going, 1)
            os.write(tell, b".")
            os.read(going, 1)

    thread = Started(body)
    os.read(told, 1)
    assert _held_by(seen.tracker) == (lock, (__file__, seen.line))
    assert held() == []
    os.write(go, b".")
    os.read(told, 1)
    assert _held_by(seen.tracker)[0] is extra
    os.write(go, b".")
    os.read(told, 1)
    assert _held_by(seen.tracker) is None
    os.write(go, b".")
    thread.finish()
    for descriptor in (told, tell, going, go):
        os.close(descriptor)


def test_reading_what_another_thread_holds_while_it_takes_and_releases():  # S19
    """Invariant: what is read is a lock that the thread takes, with its place."""
    locks = [threading.Lock() for _ in range(3)]
    source = "with locks[0], locks[1]:\n  locks[2].acquire()\nlocks[2].release()"
    seen = SimpleNamespace(tracker=None, stop=False)
    places = set()

    def body(me):
        with tracking() as seen.tracker:
            me.ready.set()
            while not seen.stop:
                exec(source, {"locks": locks})  # noqa: S102  (each time another code object)

    with Started(body):
        for _ in range(scaled(20_000)):
            found = _held_by(seen.tracker)
            if found is not None and found[0] in locks:
                places.add(found[1][0])
        seen.stop = True
    assert places <= {"<string>"}

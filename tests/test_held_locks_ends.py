"""The locks that a thread holds, where it ends, or its process, or forks (S9)."""

from __future__ import annotations

import functools
import gc
import os
import threading
import weakref

import pytest
from held_locks_parts import held, tracking
from interruption import allow_interruption
from support import expect_script, in_thread

pytestmark = pytest.mark.usefixtures("interposed")


def test_a_thread_that_ends_with_a_lock_leaves_nothing_behind():  # S9
    lock = threading.Lock()

    def end(lock):
        allow_interruption.__enter__()
        lock.acquire()
        threading.RLock().acquire()

    for _ in range(100):
        in_thread(functools.partial(end, lock))
        assert lock.locked()
        with tracking():
            assert held() == []
            lock.release()
            assert held() == []
    gone = weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None


FORK = """
    import os, sys, threading
    from interruption import _interruption as tracker, allow_interruption as region

    theirs, mine = threading.Lock(), threading.Lock()
    ready, go = threading.Event(), threading.Event()

    def hold():
        region.__enter__()
        with theirs:
            ready.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    in_region = sys.argv[1] == "1"
    if in_region:
        region.__enter__()
        mine.acquire()
    child = os.fork()
    if child == 0:
        assert len(tracker._held()) == in_region, tracker._held()
        theirs.release()  # of a thread that is not here
        if not in_region:
            region.__enter__()
            mine.acquire()
        with theirs:
            assert len(tracker._held()) == 2
            threading.Thread(target=mine.release).start()
            while mine.locked():
                pass
            assert len(tracker._held()) == 1
        region.__exit__(None, None, None)
        sys.exit(0)
    status = os.waitpid(child, 0)[1]
    go.set()
    assert status == 0
    assert len(tracker._held()) == in_region
    thread.join()
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("in_region", ["0", "1"])
def test_the_child_of_a_fork_has_its_own_locks_alone(in_region):  # S18
    expect_script(FORK, in_region, stdout="done\n")


@pytest.mark.parametrize("daemon", [False, True])
def test_an_exit_with_locks_held_is_clean(daemon):  # S18
    expect_script(
        f"""
        import threading
        from interruption import _interruption as tracker, allow_interruption as region

        ready = threading.Event()

        def hold():
            region.__enter__()
            threading.Lock().acquire()
            threading.RLock().acquire()
            locks.append(threading.Lock())
            locks[-1].acquire()
            ready.set()
            if {daemon}:
                threading.Event().wait()

        locks = []
        region.__enter__()
        threading.Thread(target=hold, daemon={daemon}).start()
        ready.wait()
        locks.append(threading.RLock())
        locks[-1].acquire()
        print("done")
        """,
        stdout="done\n",
    )

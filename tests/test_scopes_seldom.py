"""Scopes and time limits where something comes to its end, or is not to be had (S18, S22, S27)."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from interruption import Scope, allow_interruption
from interruption._interruption import _held
from support import PATIENCE, expect_script


def test_a_thread_that_ends_in_a_scope_leaves_nothing_to_the_next_of_its_ident():
    scope = Scope()
    for _ in range(1000):
        first = threading.Thread(target=scope.__enter__)
        first.start()
        first.join(PATIENCE)
        failed = []

        def enter(failed=failed):
            try:
                with scope:
                    pass
            except RuntimeError as error:
                failed.append(error)

        second = threading.Thread(target=enter)
        second.start()
        ident = second.ident
        second.join(PATIENCE)
        assert failed == []
        if ident == first.ident:
            break
    else:
        pytest.skip("the ident was not given out again")
    assert scope.interrupt() is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_nor_does_one_that_the_child_of_a_fork_has_not():  # S18
    expect_script(
        """
    import os, threading
    from interruption import Scope

    scope, ready, go = Scope(), threading.Event(), threading.Event()

    def wait():
        with scope:
            ready.set()
            go.wait()

    def enter():
        try:
            with scope:
                pass
        except RuntimeError as error:
            failed.append(error)

    first, failed = threading.Thread(target=wait), []
    first.start()
    ready.wait()
    child = os.fork()
    if child == 0:
        for _ in range(100):
            second = threading.Thread(target=enter)
            second.start()
            second.join()
        os._exit(len(failed) > 0)
    go.set()
    first.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    )


def test_a_lock_that_was_taken_in_and_out_of_a_scope_is_let_go_in_a_condition():  # S9, S24
    """All that is noted of it is put aside while the condition waits, and comes back after."""
    lock = threading.RLock()
    with allow_interruption, lock, Scope(), lock, Scope(), lock:
        assert len(_held()) == 3
        state = lock._release_save()  # noqa: SLF001  (as Condition.wait does)
        assert _held() == []
        lock._acquire_restore(state)  # noqa: SLF001
        assert len(_held()) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="by a limit on the address space")
def test_without_a_thread_for_deadlines_a_limit_is_not_entered():  # S27
    """There is an error, nothing is left of it, and the next one works."""
    expect_script(
        """
    import math, resource, threading, time
    from interruption import current_deadline, move_on_after, timeout

    with timeout(None):
        pass  # what is made once is there
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = timeout(3600)
    resource.setrlimit(resource.RLIMIT_AS, (now, before[1]))
    error = None
    try:
        with limit:
            raise AssertionError("it was entered")
    except (RuntimeError, MemoryError) as caught:
        error = caught
    resource.setrlimit(resource.RLIMIT_AS, before)
    assert isinstance(error, MemoryError) or "watches deadlines" in str(error), error
    assert current_deadline() == math.inf
    with move_on_after(0.01) as scope:
        time.sleep(3600)
    assert scope.expired()
    """
    )

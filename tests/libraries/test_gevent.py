"""Beside gevent's and eventlet's patching threads of the system are interrupted (S9, S10, S21)."""

from __future__ import annotations

import contextlib
import sys
import textwrap

import pytest
from delivery_parts import ask_myself, statements
from interruption import ThreadExit, allow_interruption
from support import expect_script, in_thread

# Threads of the system, whatever has been patched: by what the patching has left of `_thread`.
NATIVE = """
def native(body):
    done = original_lock()
    done.acquire()
    ended = []
    def run():
        try:
            with interruption.allow_interruption:
                body(begun.append)
        except interruption.ThreadExit:
            ended.append("interrupted")
        finally:
            done.release()
    begun = []
    ident = start_new_thread(run, ())
    while not begun:
        original_sleep(0.001)
    original_sleep(0.01)
    interruption.interrupt(ident)
    done.acquire()
    return ended

def spins(ready):
    ready(1)
    while True:
        pass

def sleeps(ready):
    ready(1)
    original_sleep(3600)

def locks(ready):
    lock = original_lock()
    lock.acquire()
    ready(1)
    lock.acquire()

def reads(ready):
    descriptor = os.pipe()[0]
    ready(1)
    posix.read(descriptor, 1)

def polls(ready):
    ours, _ = os.pipe()
    ready(1)
    original_select([ours], [], [])

def refused():
    return [family.name for family in interruption.blocking.status().families
            if family.reason and "has not been imported" not in family.reason]

for body in (spins, sleeps, locks, reads, polls):
    print(body.__name__, *native(body))
print(refused())
"""
WOKEN = "".join(f"{name} interrupted\n" for name in ("spins", "sleeps", "locks", "reads", "polls"))

ORIGINALS = """
import os, posix, select, threading, time, _thread
original_lock, original_sleep, original_select = _thread.allocate_lock, time.sleep, select.select
start_new_thread = _thread.start_new_thread
"""
GEVENT = "import gevent.monkey; gevent.monkey.patch_all()"
EVENTLET = (
    "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()"
)
OURS = "import interruption"
SOON = "with interruption.allow_interruption: pass"


@pytest.mark.parametrize("patching", ["gevent", "eventlet"])
@pytest.mark.parametrize(
    "order",
    ["patched, then imported", "imported, then patched", "a region, then patched"],
)
def test_native_threads_regions_work_beside_patching(patching, order):  # S9, S10
    if patching == "gevent":
        pytest.importorskip("gevent")
    else:
        _eventlet()
    patch = GEVENT if patching == "gevent" else EVENTLET
    steps = {
        "patched, then imported": [patch, OURS],
        "imported, then patched": [OURS, patch],
        "a region, then patched": [OURS, SOON, patch],
    }[order]
    expect_script("\n".join([ORIGINALS, *steps, NATIVE]), stdout=WOKEN + "[]\n")


def _eventlet() -> None:
    """It warns of itself when it is imported, and does not know every Python."""
    try:
        expect_script(EVENTLET, stdout="")
    except AssertionError:
        pytest.skip("there is no eventlet that works here")


def test_gevents_pool_of_threads_is_interruptible():  # S9, S10
    pytest.importorskip("gevent")
    expect_script(
        textwrap.dedent("""
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent, interruption, threading, time
        get_ident = gevent.monkey.get_original("_thread", "get_ident")
        sleep = gevent.monkey.get_original("time", "sleep")
        begun, ended = [], []
        def work(call):
            begun.append(get_ident())
            try:
                with interruption.allow_interruption:
                    begun.append("inside")
                    call()
            except interruption.ThreadExit:
                ended.append("interrupted")
                interruption.clear_interrupt()
            begun.clear()
        def endless():
            while True:
                pass
        pool = gevent.get_hub().threadpool
        for call in (endless, lambda: sleep(3600)):
            job = pool.spawn(work, call)
            while len(begun) < 2:
                gevent.sleep(0.001)
            interruption.interrupt(begun[0])
            job.get()
        print(*ended)
        """),
        stdout="interrupted interrupted\n",
    )


def test_gevents_greenlets_have_regions_of_their_own():  # S21
    gevent = pytest.importorskip("gevent")

    def body():
        log = []

        def allows():
            with allow_interruption:
                gevent.sleep(0)
                for _ in range(3):
                    pass
                log.append("not reached")

        def does_not():
            for _ in range(5):
                gevent.sleep(0)
                statements()
            log.append("done")

        inside, outside = gevent.spawn(allows), gevent.spawn(does_not)
        gevent.sleep(0)
        ask_myself()
        statements()
        with contextlib.suppress(ThreadExit):  # gevent hands a SystemExit on to the main greenlet
            inside.join()
        outside.join()
        gevent.get_hub().destroy(destroy_loop=True)
        return log

    if sys.version_info >= (3, 12):  # before, a switch by C code is found by the re-arm timer
        assert in_thread(body) == ["done"]
    else:
        assert in_thread(body) in (["done"], ["not reached", "done"])


def test_a_thread_that_gevent_has_made_a_greenlet_is_not_one():  # S1
    """It runs in the main thread, and its number is no thread's."""
    pytest.importorskip("gevent")
    expect_script(
        textwrap.dedent("""
        import gevent.monkey; gevent.monkey.patch_all()
        import interruption, threading, time
        thread = threading.Thread(target=time.sleep, args=(0.05,))
        thread.start()
        print(interruption.interrupt(thread))
        thread.join()
        """),
        stdout="False\n",
    )


@pytest.mark.parametrize("patching", ["gevent", "eventlet"])
def test_a_group_refuses_greenlets_by_name(patching):  # S28
    if patching == "gevent":
        pytest.importorskip("gevent")
    else:
        _eventlet()
    patch = GEVENT if patching == "gevent" else EVENTLET
    expect_script(
        patch
        + textwrap.dedent("""
        from interruption import ThreadGroup, timeout
        try:
            with timeout(1000), ThreadGroup() as group:
                try:
                    group.submit(print, "not called")
                except RuntimeError as error:
                    refusal = error
                assert group.results() == []
                raise refusal
        except ExceptionGroup as errors:
            print(str(errors.exceptions[0])[:30])
        """),
        stdout="threads are greenlets here, by\n",
    )

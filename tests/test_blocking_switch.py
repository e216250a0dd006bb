"""Blocking calls are interposed by the first region or enable(), put back by disable() (S10)."""

from __future__ import annotations

import os
import queue
import threading
import time

import pytest
from chance import scaled
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    blocking,
    check_interrupt,
    clear_interrupt,
    explain,
    interrupt,
)
from interruption._interruption import _switch
from region_parts import inside, spin, stopped
from support import HAS_GIL, PATIENCE, Started, expect_script, in_thread, until_blocked


@pytest.fixture(autouse=True)
def _enabled():
    blocking.enable()
    yield
    blocking.enable()


def family(name):
    (found,) = [one for one in blocking.status().families if one.name == name]
    return found


def waits(thread):
    """Wait until it has been asked and blocks, by the only word that there is for it."""
    deadline = time.monotonic() + PATIENCE
    while not explain(thread).stack[-1].name.endswith("blocked"):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.01)  # it is in the call by now, or will be: either is right


def waiting_for(lock):
    """A thread in a region, that waits for the lock."""

    def blocked(started):
        with allow_interruption:
            started.ready.set()
            lock.acquire()
            lock.release()
            return "taken"

    started = Started(blocked).until_ready()
    waits(started.thread)
    return started


def alone(source, stdout="done\n"):
    """In a process of its own."""
    expect_script(source, stdout=stdout)


# Enabling -----------------------------------------------------------------------------------------


def test_importing_interposes_nothing_and_a_region_does():  # S17
    alone("""
        from interruption import allow_interruption, blocking, defer_interruption
        before = blocking.status()
        assert not before.enabled and not any(f.interposed or f.calls for f in before.families)
        assert str(before).startswith("nothing is interposed\\n  locks: not interposed")
        with defer_interruption:
            assert not blocking.status().enabled
        with allow_interruption(async_interrupt=False):
            assert blocking.status().enabled
        locks = blocking.status().families[0]
        assert locks.name == "locks" and locks.interposed and locks.reason is None
        assert "_thread.LockType.acquire" in locks.calls
        assert "_thread.LockType.locked" not in locks.calls
        assert "_thread.LockType.acquire" in str(blocking.status())
        print("done")
    """)


def test_disabling_lasts_until_enabling_whatever_regions_are_entered():
    alone("""
        from interruption import allow_interruption, blocking
        blocking.disable()
        blocking.disable()
        with allow_interruption:
            assert not blocking.status().enabled
        blocking.enable()
        blocking.enable()
        assert blocking.status().enabled
        blocking.disable()
        with allow_interruption:
            assert not blocking.status().enabled
        print("done")
    """)


def test_a_status_cannot_be_changed():
    with pytest.raises(AttributeError):
        blocking.status().enabled = False
    with pytest.raises(AttributeError):
        family("locks").name = "others"
    assert blocking.status() == blocking.status()


def test_what_is_disabled_is_as_it_was_before():
    """The entry points are the originals', which C code shows in a traceback of nothing."""
    lock = threading.Lock()
    acquire = lock.acquire
    blocking.disable()
    assert acquire(timeout=0.001)
    assert not acquire(False)
    lock.release()
    blocking.enable()
    assert acquire(timeout=0.001)
    lock.release()


# Waiters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_a_waiter_goes_on_in_the_original_when_it_is_disabled(make):
    lock = make()
    lock.acquire()
    waiters = [waiting_for(lock) for _ in range(5)]
    blocking.disable()
    for waiter in waiters:  # in the original, now
        until_blocked(waiter.thread)
    interrupt(waiters[0].thread)
    lock.release()
    assert [waiter.finish() for waiter in waiters] == ["taken"] * 5
    assert lock.acquire(timeout=0)


def test_a_timed_wait_keeps_its_time_when_it_is_disabled():
    lock = threading.Lock()
    lock.acquire()
    begun = threading.Event()

    def blocked():
        with allow_interruption:
            begun.set()
            start = time.monotonic()
            assert lock.acquire(timeout=0.3) is False
            return time.monotonic() - start

    other = Started(lambda _: blocked())
    begun.wait(PATIENCE)
    time.sleep(0.05)
    blocking.disable()
    assert other.finish() >= 0.3


def test_a_waiter_that_began_before_is_not_interrupted_after():
    lock = threading.Lock()
    lock.acquire()
    waiter = waiting_for(lock)
    blocking.disable()
    until_blocked(waiter.thread)
    interrupt(waiter.thread)
    waiter.thread.join(0.05)
    assert waiter.thread.is_alive()
    lock.release()
    assert waiter.finish() == "taken"


def test_nobody_is_left_behind_however_often_it_is_switched():
    """Locks, conditions and queues under use, in regions and outside, while it goes on and off.

    Each token that is put in comes out once, and every thread comes to its end.
    """
    tokens, done = queue.Queue(), queue.Queue()
    mutex, total = threading.Lock(), [0]
    rounds = scaled(3000)
    stop = threading.Event()

    def work(region):
        for _ in range(rounds):
            if region:
                with allow_interruption:
                    done.put(tokens.get())
                    with mutex:
                        total[0] += 1
            else:
                done.put(tokens.get())
                with mutex:
                    total[0] += 1

    def switch():
        while not stop.is_set():
            blocking.disable()
            time.sleep(0.0001)
            blocking.enable()
            time.sleep(0.0001)

    switchers = [threading.Thread(target=switch) for _ in range(2)]
    workers = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(4)]
    for thread in switchers + workers:
        thread.start()
    for token in range(4 * rounds):
        tokens.put(token)
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    stop.set()
    for switcher in switchers:
        switcher.join(PATIENCE)
    assert total[0] == 4 * rounds
    assert sorted(done.get_nowait() for _ in range(4 * rounds)) == list(range(4 * rounds))


# Between statements -------------------------------------------------------------------------------


def test_nothing_is_delivered_between_statements_while_locks_are_not_seen():  # S9
    blocking.disable()
    go_on = []

    def body(started):
        with allow_interruption:
            started.ready.set()
            while not go_on:
                pass

    with Started(body) as other:
        interrupt(other.thread)
        deadline = time.monotonic() + PATIENCE
        while (found := explain(other.thread)).state != "locks unknown":
            assert time.monotonic() < deadline, found
        assert "blocking.status()" in found.reason
        assert found.place.function.endswith("body")
        time.sleep(0.02)
        go_on.append(True)
        other.finish()


def test_entering_and_looking_raise_all_the_same():  # S5, S7
    blocking.disable()

    def body():
        interrupt(threading.get_ident())
        with pytest.raises(ThreadExit):
            check_interrupt()
        clear_interrupt()
        interrupt(threading.get_ident())
        with pytest.raises(ThreadExit), allow_interruption:
            pass
        clear_interrupt()

    in_thread(body)


def test_locks_taken_meanwhile_are_not_known_until_the_region_is_left():  # S9
    """A thread that was in its region already is not stopped between statements under a lock."""
    blocking.disable()
    lock = threading.Lock()
    state = {"may_release": False, "in_second": False}

    def body(started):
        with allow_interruption:
            lock.acquire()  # seen by nobody
            started.ready.set()
            while not state["may_release"]:
                pass
            lock.release()
        try:
            with allow_interruption:
                state["in_second"] = True
        except ThreadExit:
            return "raised on entry"

    with Started(body) as other:
        blocking.enable()
        interrupt(other.thread)
        deadline = time.monotonic() + PATIENCE
        while explain(other.thread).state != "locks unknown":
            assert time.monotonic() < deadline
        assert lock.locked()
        state["may_release"] = True
        assert other.finish() == "raised on entry"
    assert not state["in_second"]
    assert not lock.locked()


def test_the_next_region_is_delivered_in_as_ever():  # S9
    blocking.disable()
    blocking.enable()

    with inside(spin) as other:
        stopped(other)


def test_blocking_calls_of_a_region_that_was_entered_before_wake():  # S10
    blocking.disable()
    lock = threading.Lock()
    lock.acquire()

    def blocked(started):
        with allow_interruption:
            started.ready.set()
            assert started.go.wait(PATIENCE)
            lock.acquire()

    started = Started(blocked).until_ready()
    blocking.enable()
    started.go.set()
    waits(started.thread)
    stopped(started)


# Refusal ------------------------------------------------------------------------------------------

DELIVERED = """
        import threading, time
        ready = threading.Event()
        stop = []

        def body():
            with allow_interruption:
                ready.set()
                while not stop:
                    pass
                return
            raise AssertionError

        def delivered():
            thread = threading.Thread(target=body)
            thread.start()
            ready.wait()
            interrupt(thread)
            thread.join(0.3)
            stopped = not thread.is_alive()
            stop.append(1)
            thread.join()
            return stopped
"""


# What its PyMethodDef says of a method: its name, its entry point, the convention to call it by.
DEFINITION = """
        import ctypes

        class Definition(ctypes.Structure):
            _fields_ = [
                ("name", ctypes.c_char_p), ("entry", ctypes.c_void_p), ("flags", ctypes.c_int)
            ]

        def definition(descriptor):
            d_method = object.__basicsize__ + 3 * ctypes.sizeof(ctypes.c_void_p)
            address = ctypes.c_void_p.from_address(id(descriptor) + d_method).value
            return Definition.from_address(address)
"""


@pytest.mark.parametrize(
    ("spoil", "words", "mend"),
    [
        (
            "sys.modules['_thread'] = types.ModuleType('_thread')",
            "RuntimeError: what sys.modules has under '_thread' is not the module in C",
            "sys.modules['_thread'] = _thread",
        ),
        (
            "is_owned.name = b'is_owner'",
            "AttributeError: type '_thread.RLock' has no built-in method '_is_owned'",
            "is_owned.name = b'_is_owned'",
        ),
        (
            "before = is_owned.flags; is_owned.flags = 0x4000",
            "RuntimeError: _thread._is_owned is called by a convention that is not known: 16384",
            "is_owned.flags = before",
        ),
    ],
)
def test_a_family_that_is_not_as_expected_is_refused_as_a_whole(spoil, words, mend):
    alone(f"""
        import sys, types
        import _multiprocessing, _thread
        from interruption import allow_interruption, blocking, interrupt
{DELIVERED}{DEFINITION}
        is_owned = definition(vars(_thread.RLock)["_is_owned"])
        {spoil}
        with allow_interruption:
            pass
        locks, process_locks = blocking.status().families[:2]
        assert blocking.status().enabled
        assert not locks.interposed and locks.calls == locks.missing == ()
        assert locks.reason.startswith({words!r}), locks.reason
        assert "locks: not interposed: " in str(blocking.status())
        assert process_locks.interposed
        assert not delivered()
        {mend}
        blocking.enable()
        assert blocking.status().families[0].interposed
        assert blocking.status().families[0].reason is None
        stop.clear()
        assert delivered()
        print("done")
    """)


def test_what_does_not_exist_is_not_missed():
    alone(f"""
        import sys
        import _multiprocessing
        from interruption import allow_interruption, blocking, interrupt
{DELIVERED}
        sys.modules["_multiprocessing"] = None
        with allow_interruption:
            pass
        locks, process_locks = blocking.status().families[:2]
        assert locks.interposed and not process_locks.interposed
        assert "Error: " in process_locks.reason
        assert delivered()
        print("done")
    """)


def test_process_locks_that_cannot_be_seen_keep_statements_whole():  # S9
    alone(f"""
        import sys, types
        import _multiprocessing
        from interruption import allow_interruption, blocking, explain, interrupt
{DELIVERED}
        sys.modules["_multiprocessing"] = types.ModuleType("_multiprocessing")
        with allow_interruption:
            pass
        assert blocking.status().families[0].interposed
        assert not delivered()
        print("done")
    """)


def test_a_method_that_somebody_else_has_replaced_is_left_to_him():
    alone("""
        import ctypes, threading, _thread
        from interruption import allow_interruption, blocking

        def entry(name):  # PyMethodDef.ml_meth of a method descriptor
            descriptor = vars(type(threading.Lock()))[name]
            d_method = object.__basicsize__ + 3 * ctypes.sizeof(ctypes.c_void_p)
            definition = ctypes.c_void_p.from_address(id(descriptor) + d_method).value
            return ctypes.c_void_p.from_address(definition + ctypes.sizeof(ctypes.c_void_p))

        with allow_interruption:
            pass
        ours = entry("release").value
        blocking.disable()
        original = entry("release").value
        assert original != ours
        strange = entry("release").value = entry("locked").value
        blocking.enable()
        locks = blocking.status().families[0]
        assert not locks.interposed
        assert locks.reason == "RuntimeError: another library has replaced one of its calls"
        assert entry("release").value == strange
        entry("release").value = original
        blocking.enable()
        assert blocking.status().families[0].interposed
        assert entry("release").value == ours
        print("done")
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(not HAS_GIL, reason="CPython's lock for stopping the world is not made anew")
def test_the_child_of_a_fork_can_switch_it():  # S18
    alone("""
        import os, threading, time
        from interruption import allow_interruption, blocking

        stop = threading.Event()

        def switch():
            while not stop.is_set():
                blocking.enable()
                blocking.disable()

        thread = threading.Thread(target=switch)
        thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                blocking.disable()
                assert not blocking.status().enabled
                blocking.enable()
                assert blocking.status().families[0].interposed
                with allow_interruption, threading.Lock():
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        thread.join()
        print("done")
    """)


# A thread's own switch ----------------------------------------------------------------------------


def test_a_wait_that_began_open_is_not_interrupted_when_it_is_switched_off():  # S14
    lock = threading.Lock()
    lock.acquire()
    ready = threading.Event()
    ended = []

    def blocked():
        with allow_interruption:
            ready.set()
            try:
                lock.acquire()
            except ThreadExit as error:
                ended.append(error)

    thread = Thread(target=blocked)
    thread.start()
    assert ready.wait(PATIENCE)
    waits(thread)
    thread.enable_io_interrupt = False
    thread.interrupt()
    thread.join(0.05)
    assert thread.is_alive()
    thread.enable_io_interrupt = True  # the request has waited
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert lock.locked()


def test_a_switch_that_changes_nothing_wakes_nobody():  # S14
    lock = threading.Lock()
    lock.acquire()
    waiter = waiting_for(lock)
    for on in (False, True) * 20:
        _switch(waiter.thread, True, on)
    waiter.thread.join(0.02)
    assert waiter.thread.is_alive()
    lock.release()
    waiter.finish()

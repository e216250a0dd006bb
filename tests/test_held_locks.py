"""The locks that a thread has taken inside its region, and still holds (S9)."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import weakref

import pytest
from chance import scaled, seeded
from held_locks_parts import (
    LOCK_TYPES,
    RECURSIVE,
    RELEASES,
    TAKES,
    PyRLock,
    every_lock,
    held,
    size,
    tracking,
)
from interruption._interruption import _held_place, _held_size
from support import PATIENCE, Started, in_thread

pytestmark = pytest.mark.usefixtures("interposed")


# What is held --------------------------------------------------------------------------------


@every_lock
@pytest.mark.parametrize("take", TAKES)
def test_a_lock_taken_in_any_way_is_held(kind, take):  # S9
    lock = LOCK_TYPES[kind]()
    if take == "acquire_lock" and not hasattr(lock, take):
        pytest.skip("this type has no such method")
    with tracking():
        assert _held_place() is None
        TAKES[take](lock)
        assert len(held()) == 1
        lock.release()
        assert held() == []
        assert _held_place() is None


@every_lock
@pytest.mark.parametrize("release", RELEASES)
def test_a_lock_released_in_any_way_is_not_held(kind, release):  # S9
    lock = LOCK_TYPES[kind]()
    if release == "release_lock" and not hasattr(lock, release):
        pytest.skip("this type has no such method")
    with tracking():
        lock.acquire()
        assert len(held()) == 1
        RELEASES[release](lock)
        assert held() == []
        assert lock.acquire(False)
        lock.release()


@every_lock
def test_a_with_block_holds_its_lock(kind):  # S9
    lock = LOCK_TYPES[kind]()
    with tracking():
        for _ in range(100):  # until the bytecode is specialized
            with lock:
                assert len(held()) == 1
            assert held() == []


@every_lock
def test_a_failed_attempt_holds_nothing(kind):  # S9
    lock = LOCK_TYPES[kind]()

    def attempt():
        with tracking():
            assert not lock.acquire(False)
            assert not lock.acquire(True, 0.001)
            with pytest.raises((TypeError, ValueError, OverflowError)):
                lock.acquire(timeout="x")
            assert held() == []

    with lock:
        in_thread(attempt)


@pytest.mark.parametrize("kind", sorted(RECURSIVE & set(LOCK_TYPES)))
def test_a_recursive_lock_is_held_until_its_last_release(kind):  # S9
    lock, other = LOCK_TYPES[kind](), LOCK_TYPES[kind]()
    with tracking():
        for _ in range(3):
            lock.acquire()
            other.acquire()
        for _ in range(2):
            lock.release()
            assert len(held()) == 2
        lock.release()
        assert len(held()) == 1
        for _ in range(3):
            assert len(held()) == 1
            other.release()
        assert held() == []


@every_lock
def test_a_lock_taken_before_the_region_is_not_held_in_it(kind):  # S9
    lock = LOCK_TYPES[kind]()
    lock.acquire()
    with tracking():
        assert held() == []
        if kind in RECURSIVE:
            with lock:
                assert len(held()) == 1
            assert held() == []
        lock.release()
        assert held() == []
        lock.acquire()
    lock.release()  # outside again, taken inside
    with tracking():
        assert held() == []


def test_locks_are_released_in_any_order():  # S9
    locks = [threading.Lock() for _ in range(40)]
    with tracking():
        for lock in locks:
            lock.acquire()
        rest = len(locks)
        for lock in seeded(7).sample(locks, len(locks)):
            assert len(held()) == rest
            lock.release()
            rest -= 1
        assert held() == []
        assert _held_size()[0] == 0


def test_the_primitives_of_threading_hold_their_lock_and_nothing_more():  # S9
    semaphore, event = threading.Semaphore(2), threading.Event()
    channel, barrier = queue.Queue(), threading.Barrier(1)
    python_rlock = PyRLock()
    with tracking():
        semaphore.acquire()
        assert held() == []  # a permit is no lock
        semaphore.release()
        event.set()
        event.wait()
        channel.put(1)
        channel.get()
        with pytest.raises(queue.Empty):
            channel.get(timeout=0.001)
        barrier.wait()
        assert held() == []
        with python_rlock, python_rlock:
            assert held() == ["_thread.lock"]
        assert held() == []
        for lock in (None, threading.Lock(), python_rlock):
            condition = threading.Condition(lock)
            with condition:
                assert len(held()) == 1
                assert not condition.wait(0.001)
                assert len(held()) == 1
            assert held() == []


def test_a_permit_of_a_counting_semaphore_is_no_lock():  # S9
    pytest.importorskip("_multiprocessing")
    with tracking():
        for semaphore in (
            multiprocessing.Semaphore(1),
            multiprocessing.Semaphore(3),
            multiprocessing.BoundedSemaphore(3),
        ):
            with semaphore:
                assert held() == []


# Released by others, dropped -----------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(set(LOCK_TYPES) - RECURSIVE))
@pytest.mark.parametrize("inside", [False, True])
def test_a_lock_that_another_thread_released_is_not_held(kind, inside):  # S9
    lock = LOCK_TYPES[kind]()

    def release():
        with tracking() if inside else contextlib.nullcontext():
            lock.release()

    with tracking():
        lock.acquire()
        in_thread(release)
        assert held() == []
        lock.acquire()
        assert len(held()) == 1
        lock.release()
        assert held() == []


@pytest.mark.parametrize("kind", sorted(set(LOCK_TYPES) - RECURSIVE))
@pytest.mark.parametrize("inside", [False, True])
def test_a_lock_that_another_released_and_a_third_took_is_the_thirds(kind, inside):  # S9
    lock = LOCK_TYPES[kind]()

    def take(me):
        with tracking() if inside else contextlib.nullcontext():
            lock.acquire()
            me.ready.set()
            assert me.go.wait(PATIENCE)
            assert len(held()) == inside
            lock.release()

    with tracking():
        lock.acquire()
        in_thread(lock.release)
        with Started(take) as third:
            assert held() == []
            third.finish()
        assert held() == []


@every_lock
def test_a_dropped_lock_is_not_held(kind):  # S9
    with tracking():
        LOCK_TYPES[kind]().acquire()
        assert held() == []
        kept = threading.Lock()
        kept.acquire()
        for _ in range(100):
            LOCK_TYPES[kind]().acquire()
        assert len(held()) == 1
        assert size() <= 64
        kept.release()
        assert held() == []


def test_a_dropped_lock_is_freed_when_the_region_is_left():  # S9
    lock = threading.RLock()
    gone = weakref.ref(lock)
    with tracking():
        lock.acquire()
        del lock
    assert gone() is None


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_waits_on_a_condition_keep_the_list_short(make):  # S9
    condition = threading.Condition(make())
    turns = scaled(2000)
    turn = 0

    def play(mine):
        nonlocal turn
        outer = threading.Lock()
        with tracking(), outer:
            for _ in range(turns):
                with condition:
                    while turn % 2 != mine:
                        condition.wait(PATIENCE)
                    assert len(held()) == 2
                    turn += 1
                    condition.notify()
                assert len(held()) == 1
            assert size() <= 64

    players = [Started(lambda _, mine=mine: play(mine)) for mine in range(2)]
    for player in players:
        player.finish()


def test_a_recursive_lock_waited_with_comes_back_with_the_levels_of_the_region():  # S9
    condition = threading.Condition()
    with condition, tracking():
        with condition, condition:
            condition.wait(0.001)
            assert held() == ["_thread.RLock"]
        assert held() == []
        condition.wait(0.001)
        assert held() == []
    assert condition.acquire(blocking=False)
    condition.release()


def test_a_state_restored_without_having_been_saved_here_counts():  # S9
    lock = threading.RLock()
    lock.acquire()
    lock.acquire()
    state = lock._release_save()  # noqa: SLF001
    with tracking():
        lock._acquire_restore(state)  # noqa: SLF001
        for _ in range(2):
            assert held() == ["_thread.RLock"]
            lock.release()
        assert held() == []


def test_a_signal_handler_may_take_locks_while_a_lock_is_waited_for():  # S9, S20
    signal = pytest.importorskip("signal")
    lock, other = threading.Lock(), threading.Lock()
    seen = []

    def handler(*_):
        with other:
            seen.append(len(held()))
        kept.append(threading.Lock())
        kept[-1].acquire()

    def shoot(_):
        while not seen:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            threading.Event().wait(0.01)
        lock.release()

    kept = []
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        lock.acquire()
        with tracking():
            shooter = Started(shoot)
            lock.acquire()
            shooter.finish()
            assert set(seen) <= set(range(1, len(seen) + 1))
            assert len(held()) == 1 + len(kept)
            lock.release()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_dropping_a_lock_may_run_code_that_takes_locks():  # S20
    other = threading.RLock()  # what runs may run within itself
    ran = []

    class Owner:
        def __init__(self):
            self.lock = threading.RLock()
            weakref.finalize(self.lock, self.end)

        @staticmethod
        def end():
            for _ in range(20):
                threading.Lock().acquire()
            with other:
                ran.append(len(held()))

    with tracking():
        for _ in range(scaled(50)):
            Owner().lock.acquire()
        other.acquire()
        assert len(held()) == 1
        other.release()
        assert size() <= 256
    assert len(ran) == scaled(50)
    assert in_thread(lambda: other.acquire(False))

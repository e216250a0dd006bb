"""The locks that a thread holds: leaks, and at random (S9)."""

from __future__ import annotations

import contextlib
import gc
import queue
import sys
import threading

import pytest
from chance import scaled, seeded
from held_locks_parts import LOCK_TYPES, RELEASES, TAKES, every_lock, held, outcome, size, tracking
from interruption._interruption import _held, _held_place
from support import PATIENCE, Started

pytestmark = pytest.mark.usefixtures("interposed")


def use_every_way(kind):
    for take, release in ((t, r) for t in TAKES.values() for r in RELEASES.values()):
        lock = LOCK_TYPES[kind]()
        with tracking():
            with contextlib.suppress(AttributeError):
                take(lock)
                release(lock)
            _held()
            _held_place()


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="needs a debug build of Python")
@every_lock
def test_tracking_leaks_no_reference(kind):
    def grown(rounds):
        gc.collect()
        before = sys.gettotalrefcount()
        for _ in range(rounds):
            use_every_way(kind)
        gc.collect()
        return sys.gettotalrefcount() - before

    grown(2)
    # Each round takes dozens of locks; a reference leaked by any of them would be ten a round.
    assert grown(10) < 30


class Shared:
    """What the threads take, give each other to release, and meet at."""

    def __init__(self, threads):
        self.locks = [threading.Lock() for _ in range(8)]
        self.recursive = [threading.RLock() for _ in range(3)]
        self.given = queue.SimpleQueue()
        self.barrier = threading.Barrier(threads)

    def release_given(self):
        while not self.given.empty():
            self.given.get().release()


class Taker:
    """It takes and releases in its thread, and keeps count of what it has."""

    def __init__(self, shared, seed):
        self.shared = shared
        self.chance = seeded(seed)
        self.mine = set()
        self.levels = {}

    def step(self):
        what = self.chance.random()
        lock = self.chance.choice(self.shared.locks)
        if what < 0.35 and lock not in self.mine:
            if lock.acquire(False) or (not self.mine and lock.acquire(timeout=0.0001)):
                self.mine.add(lock)
        elif what < 0.6 and self.mine:
            mine_now = self.mine.pop()
            mine_now.release()
        elif what < 0.7 and self.mine:
            self.shared.given.put(self.mine.pop())  # somebody else releases it
        elif what < 0.8:
            with contextlib.suppress(queue.Empty):
                self.shared.given.get_nowait().release()
        elif what < 0.85:
            threading.Lock().acquire()  # dropped
        else:
            self.step_recursive(what)

    def step_recursive(self, what):
        lock = self.chance.choice(self.shared.recursive)
        if self.levels.get(lock) and what < 0.93:
            self.levels[lock] -= 1
            lock.release()
        elif lock.acquire(False):
            self.levels[lock] = self.levels.get(lock, 0) + 1

    def compare(self):
        taken = len(self.mine) + sum(1 for count in self.levels.values() if count)
        assert len(held()) == taken
        assert (_held_place() is not None) == bool(taken)
        assert size() <= 64

    def release_all(self):
        for lock in self.mine:
            lock.release()
        for lock, count in self.levels.items():
            for _ in range(count):
                lock.release()


def test_handing_locks_about_at_random_the_list_is_the_truth():  # S9
    """Seed 20 and the number of the thread. Invariant: when all stand still, each thread in a
    region holds, by its list, as many locks as it has taken and nobody has released for it."""
    threads, regions, rounds, steps = 6, 4, scaled(40), 60
    shared = Shared(threads)
    barrier = shared.barrier

    def body(number):
        taker = Taker(shared, 20 + number)
        with tracking() if number < regions else contextlib.nullcontext():
            for _ in range(rounds):
                for _ in range(steps):
                    taker.step()
                barrier.wait(PATIENCE)
                if number == 0:
                    shared.release_given()
                barrier.wait(PATIENCE)
                if number < regions:
                    taker.compare()
                barrier.wait(PATIENCE)
            taker.release_all()
            assert held() == []

    def guarded(number):
        try:
            body(number)
        except BaseException:
            barrier.abort()
            raise

    workers = [Started(lambda _, n=number: guarded(n)) for number in range(threads)]
    errors = [outcome(worker.finish) for worker in workers]
    assert errors == [None] * threads
    assert not any(lock.locked() for lock in shared.locks)

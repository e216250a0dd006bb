"""Stress through the Python API. Each test states its invariant and its seed.

INTERRUPTION_STRESS scales them, in percent (10 unless set).
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest
from chance import scaled, seeded
from interruption import (
    ThreadExit,
    check_interrupt,
    clear_interrupt,
    interrupt,
    interrupt_all_threads,
    interruption_requested,
    wait_for_interruption,
)

pytestmark = pytest.mark.usefixtures("switching_often")


class Life:
    """One thread of the stress: what was asked of it, and what it saw."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[str] = []  # reasons delivered, each new one once
        self.accepted: list[str] = []  # reasons for which interrupt() said True
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        chance = seeded(self.number)
        if chance.random() < 0.1:
            return  # never looks
        for _ in range(chance.randrange(20)):
            if chance.random() < 0.2:
                wait_for_interruption(chance.random() * 1e-5)
            interruption_requested()
            self.look()
        self.look()

    def look(self) -> None:
        try:
            check_interrupt()
        except ThreadExit as error:
            if not self.seen or self.seen[-1] != error.reason:
                self.seen.append(error.reason)


def test_no_request_is_lost_or_doubled_or_reaches_a_successor(percent):  # S1, S4, S5
    """Requesters against threads that look, wait and end, with idents given out again at once.

    Invariant: a thread sees only requests made for itself, each at most once, none that was
    refused, and all that were accepted but at most one: the one that came after its last look.
    Seeds: the threads' numbers; of the requesters, theirs.
    """
    lives = scaled(100_000, percent)
    numbers = itertools.count()
    current: list[Life | None] = [None] * 4
    done: list[Life] = []
    stop = threading.Event()

    def live(slot: int) -> None:
        while (number := next(numbers)) < lives:
            life = Life(number)
            life.thread.start()
            current[slot] = life
            life.thread.join()
            done.append(life)

    def ask(seed: int) -> None:
        chance = seeded(seed)
        for serial in itertools.count():
            if stop.is_set():
                return
            life = current[chance.randrange(len(current))]
            if life is None:
                continue
            reason = f"{life.number}:{seed}:{serial}"
            if interrupt(life.thread, reason=reason):
                life.accepted.append(reason)

    requesters = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    slots = [threading.Thread(target=live, args=(slot,)) for slot in range(len(current))]
    for thread in requesters + slots:
        thread.start()
    for thread in slots:
        thread.join()
    stop.set()
    for thread in requesters:
        thread.join()

    assert len(done) == lives
    for life in done:
        assert all(reason.startswith(f"{life.number}:") for reason in life.seen)
        assert max(Counter(life.seen).values(), default=1) == 1
        assert set(life.seen) <= set(life.accepted)
        assert len(life.accepted) <= len(life.seen) + 1
    assert sum(len(life.seen) for life in done) > lives // 100


def test_every_wait_is_ended_by_its_request():  # S15
    """Ping-pong. Invariant: each accepted request ends exactly one wait; a lost one would hang."""
    rounds = scaled(50_000)
    seen = [0]

    def wait():
        while seen[0] < rounds:
            assert wait_for_interruption()
            assert clear_interrupt()
            seen[0] += 1

    thread = threading.Thread(target=wait)
    thread.start()
    accepted = 0
    while thread.is_alive():
        accepted += interrupt(thread)
    assert accepted in (rounds, rounds + 1)


def test_asking_all_while_threads_come_and_go(bystanders):  # S3
    """Invariant: it never fails, and ends every thread that was started before it and waits.

    The waits have no time limit: one that is not ended would hang.
    """
    rounds = scaled(300)
    for _ in range(rounds):
        threads = [threading.Thread(target=wait_for_interruption) for _ in range(10)]
        for thread in threads:
            thread.start()
        others = [threading.Thread(target=interrupt_all_threads) for _ in range(3)]
        for thread in others:
            thread.start()
        for thread in threads + others:
            thread.join()
        clear_interrupt()
    assert interrupt_all_threads() == bystanders


def test_records_of_threads_that_never_looked_do_not_pile_up():  # S1
    """Invariant: asking threads that end without looking does not hold on to what was asked."""
    import weakref

    class Reason(str):
        __slots__ = ("__weakref__",)

    alive: list[weakref.ref[Reason]] = []
    for _ in range(scaled(3000)):
        go = threading.Event()
        threads = [threading.Thread(target=go.wait) for _ in range(3)]
        for thread in threads:
            thread.start()
            reason = Reason("held until the request ends")
            assert interrupt(thread, reason=reason)
            alive.append(weakref.ref(reason))
            del reason
        go.set()
        for thread in threads:
            thread.join()
    interrupt_all_threads()
    assert sum(ref() is not None for ref in alive) == 0

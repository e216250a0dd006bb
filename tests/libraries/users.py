"""Users of a library's client, who are interrupted anywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from chance import scaled, seeded
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from support import Started, until

Clients = Callable[[], AbstractContextManager[Any]]
Ask = Callable[[Any], str]


def _ask_for_ever(clients: Clients, ask: Ask, answered: list[str], started: Started) -> int:
    """Ask again and again, in regions. Returns how many interruptions there were."""
    interruptions = 0
    while not started.go.is_set():
        try:
            with allow_interruption, clients() as client:
                started.ready.set()
                while True:
                    answered.append(ask(client))
        except ThreadExit:
            clear_interrupt()
            interruptions += 1
    return interruptions


def interrupted_anywhere(
    clients: Clients, ask: Ask, *, seed: int, rounds: int, longest: float
) -> None:
    """Three ask, and are interrupted, one or another. Each answer is that to its question.

    Now and then they are let alone until there are some more answers.

    clients: makes what is used by one region.
    ask: asks a client for something that nobody else asks for, looks whether that is the answer,
        and returns it.
    rounds: how many interruptions there are, at full scale.
    longest: how many seconds there are between two of them at most.
    """
    answered: list[str] = []
    others = [
        Started(lambda started: _ask_for_ever(clients, ask, answered, started)) for _ in range(3)
    ]
    generator = seeded(seed)
    pause = threading.Event()
    for other in others:
        other.until_ready()
    for number in range(scaled(rounds)):
        if number % 10 == 0:
            enough = len(answered) + 5
            until(lambda: len(answered) >= enough)  # noqa: B023
        interrupt(generator.choice(others).thread)
        pause.wait(generator.random() * longest)
    for other in others:
        other.go.set()
    for other in others:
        interrupt(other.thread)
    interruptions = [other.finish() for other in others]
    assert all(interruptions)
    assert len(set(answered)) == len(answered)

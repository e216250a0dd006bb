"""S10a across processes: what one process sends is received once, interruptions or not."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from typing import Any

import pytest
from chance import scaled, seeded
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from support import PATIENCE

fork = multiprocessing.get_context("fork")
waits = allow_interruption(async_interrupt=False)


def put_all(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)


def get_until_told(queue: Any, got: list[int]) -> None:
    """Until there is a None. What is got is noted before anything can be raised."""
    while True:
        with contextlib.suppress(ThreadExit), waits:
            while True:
                item = queue.get()
                if item is None:
                    return
                got.append(item)
        clear_interrupt()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork where there are threads
@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_each_item_of_another_process_is_got_once(kind: str) -> None:  # S10a
    count, chance = scaled(20_000), seeded(1)
    queue: Any = getattr(fork, kind)()
    got: list[int] = []
    getters = [threading.Thread(target=get_until_told, args=(queue, got)) for _ in range(3)]
    for getter in getters:
        getter.start()
    child = fork.Process(target=put_all, args=(queue, count), daemon=True)
    child.start()
    deadline = time.monotonic() + PATIENCE
    while len(got) < count:
        assert time.monotonic() < deadline, f"{len(got)} of {count} came"
        interrupt(chance.choice(getters))
        time.sleep(0.0003)
    child.join()
    for _ in getters:
        queue.put(None)
    for getter in getters:
        getter.join(PATIENCE)
        assert not getter.is_alive()
    assert sorted(got) == list(range(count))

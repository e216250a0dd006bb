"""What a call in a thread costs, by a framework's own function and by ours: a table.

python tests/frameworks/round_trips.py

In turns in one process, in processor time of all its threads; the least of seven rounds.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from time import process_time

import anyio
import anyio.to_thread
import trio
from interruption.anyio.to_thread import run_sync as anyio_run_sync
from interruption.asyncio import to_thread
from interruption.trio.to_thread import run_sync as trio_run_sync

ROUNDS, CALLS = 7, 1000
ROWS = {
    "asyncio": (lambda main: asyncio.run(main()), asyncio.to_thread, to_thread),
    "Trio": (trio.run, trio.to_thread.run_sync, trio_run_sync),
    "anyio on asyncio": (anyio.run, anyio.to_thread.run_sync, anyio_run_sync),
    "anyio on Trio": (
        functools.partial(anyio.run, backend="trio"),
        anyio.to_thread.run_sync,
        anyio_run_sync,
    ),
}


async def measure(function) -> float:
    """Microseconds a call."""
    before = process_time()
    for _ in range(CALLS):
        await function(int)
    return (process_time() - before) / CALLS * 1e6


def compare(run, original, ours) -> tuple[float, float]:
    found = []

    async def main():
        for _ in range(ROUNDS):
            found.append((await measure(original), await measure(ours)))  # noqa: PERF401 (in turns)

    run(main)
    return min(each for each, _ in found), min(each for _, each in found)


def main() -> None:
    print(f"| Python {sys.version.split()[0]} | its own | ours | |")
    print("|---|---|---|---|")
    for name, row in ROWS.items():
        original, ours = compare(*row)
        print(f"| {name} | {original:.0f} us | {ours:.0f} us | {ours / original:.2f} |")


if __name__ == "__main__":
    main()

"""How fast code runs inside a region, and after deliveries into it: series of ratios as JSON.

Run by ``run.py``. Each loop is timed outside and inside a region, in alternation; then before and
after deliveries into it, each time against a twin: the same source executed twice, of which one is
never interrupted. What the machine does meanwhile, it does to both.
"""

import argparse
import asyncio
import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

from figures import Series, hand_over
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt

SOURCE = Path(__file__).resolve().with_name("loops.py")
TURN = 0.002  # about how long a loop is timed at once, in seconds

Loop = Callable[[int], object]
Loops = dict[str, Loop]


def load() -> Loops:
    """Execute the loops' source anew: code objects of their own, down to those of ``json``."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("json")}
    names: dict[str, Any] = {"__name__": "loops", "__file__": str(SOURCE)}
    exec(compile(SOURCE.read_text(), str(SOURCE), "exec"), names)  # noqa: S102 - it is ours
    sys.modules.update(kept)
    loops: Loops = names["LOOPS"]
    return loops


def time_loop(loop: Loop, turns: int) -> float:
    """CPU seconds of so many turns."""
    start = thread_time()
    loop(turns)
    return thread_time() - start


def turns_for(loop: Loop) -> int:
    """How many turns take about the time TURN; warms the loop up."""
    turns = 1
    while time_loop(loop, turns) < TURN:
        turns *= 2
    return turns


def ratios(one: Callable[[], float], other: Callable[[], float], rounds: int) -> list[float]:
    """How much longer ``one`` takes than ``other``: neighbours in time, the order changing."""
    found = []
    for number in range(rounds):
        if number % 2:
            first = one()
            found.append(first / other())
        else:
            second = other()
            found.append(one() / second)
    return found


def time_inside(loop: Loop, turns: int) -> float:
    """The time of the loop in a region."""
    with allow_interruption:
        return time_loop(loop, turns)


def inside(rounds: int) -> dict[str, list[float]]:
    """Inside a region against outside, for each loop."""
    figures = {}
    for name, loop in load().items():
        if "lock" in name:  # a lock that is taken in a region is noted: interposed.py times that
            continue
        turns = turns_for(loop)
        time_inside(loop, turns)
        figures[name] = ratios(
            lambda loop=loop, turns=turns: time_inside(loop, turns),  # type: ignore[misc]
            lambda loop=loop, turns=turns: time_loop(loop, turns),  # type: ignore[misc]
            rounds,
        )
    return figures


# Deliveries. -------------------------------------------------------------------------------------


def deliver_into(run: Callable[[], object], deliveries: int) -> None:
    """Interrupt a thread that runs that in a region, over and over, so many times."""
    delivered = threading.Semaphore(0)
    end = False

    def work() -> None:
        while not end:
            try:
                with allow_interruption:
                    while True:
                        run()
            except ThreadExit:
                clear_interrupt()
                delivered.release()

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(deliveries):
        time.sleep(0.0005)
        end = number == deliveries - 1
        interrupt(thread)
        delivered.acquire()
    thread.join()


async def turn() -> None:
    """Keep an event loop turning."""
    while True:  # noqa: ASYNC110 - it is the loop that is to turn
        await asyncio.sleep(0)


def after(rounds: int, deliveries: int) -> dict[str, list[float]]:
    """After deliveries against before, for each loop."""
    interrupted, twins = load(), load()
    turns = {name: turns_for(loop) for name, loop in twins.items()}

    def against_twin(name: str) -> list[float]:
        def run(loop: Loop) -> Callable[[], float]:
            return lambda: time_loop(loop, turns[name])

        turns_for(interrupted[name])  # what is counted towards specializing, is counted by then
        return ratios(run(interrupted[name]), run(twins[name]), rounds)

    before = {name: against_twin(name) for name in twins}
    for name, loop in interrupted.items():
        deliver_into(lambda loop=loop, n=turns[name]: loop(n), deliveries)  # type: ignore[misc]
    deliver_into(lambda: asyncio.run(turn()), max(deliveries // 10, 1))
    figures = {}
    for name, earlier in before.items():
        level = statistics.median(earlier)
        figures[name] = [ratio / level for ratio in against_twin(name)]
    return figures


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--deliveries", type=int, default=300)
    arguments = parser.parse_args()
    gc.disable()
    figures = {f"{name}, in a region": found for name, found in inside(arguments.rounds).items()}
    for name, found in after(arguments.rounds, arguments.deliveries).items():
        figures[f"{name}, after deliveries"] = found
    hand_over(Series("loop", name, "", found, unit="x") for name, found in figures.items())


if __name__ == "__main__":
    main()

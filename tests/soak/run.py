"""Everything at once, for hours: ``python tests/soak/run.py --minutes 30``.

In rounds of some seconds, threads do what the library is for, in regions, on locks, queues, pipes,
sockets, TLS, children, databases, executors, and are interrupted at random, beside signals, forks,
garbage collections, tracers and requests to all. Each round ends by one request to each thread, and
then its rules are checked: nothing is lost, nothing is held, nobody hangs. What the process has
then (threads, children, descriptors, memory) is counted: it must not grow.

It exits with 0 if all was well. A hang ends it after two minutes, with the stacks of all threads.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import logging
import random
import sys
import threading
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the other tests' modules

import interruption
from chance import by_hand, seeded
from support import PATIENCE

from soak import stations, stations_system
from soak.accounts import Account, count, keep_together, what_grows, what_is_left
from soak.crew import Crew, Station
from soak.troubles import TROUBLES, Main

STATIONS: list[type[Station]] = [
    kind
    for module in (stations, stations_system)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Station) and kind is not Station
]
AT_ONCE = 5  # stations in a round
THRESHOLDS = gc.get_threshold()
INTERVAL = sys.getswitchinterval()


class Round:
    """Some stations and all troubles, for some seconds."""

    def __init__(self, kinds: list[type[Station]], chance: random.Random, seconds: float) -> None:
        self.seconds = seconds
        self.crew = Crew(chance)
        self.main = Main(self.crew)
        self.stations = [kind(self.crew) for kind in kinds]

    def run(self) -> dict[str, int]:
        """Return what was done how often."""
        try:
            self.main.run(self._work)
        finally:
            restore()
        if self.crew.failures:
            raise self.crew.failures[0]
        return dict(self.crew.counts)

    def _work(self) -> None:
        try:
            for station in self.stations:
                station.open()
            over = threading.Event()
            troubles = [
                threading.Thread(target=self._trouble, args=(*each, over), name=each[0].__name__)
                for each in TROUBLES.items()
            ]
            for thread in troubles:
                thread.start()
            self.crew.fire(self.seconds)
            over.set()
            for thread in troubles:
                thread.join()
            self.crew.end()
            for station in self.stations:
                station.check()
        except BaseException as failure:  # noqa: BLE001  (told by the main thread)
            self.crew.failures.append(failure)
        finally:
            for station in self.stations:
                station.close()

    def _trouble(self, make: Any, pause: float, over: threading.Event) -> None:
        """Nobody asks it to stop but by ``over``: a request to all is dropped."""
        try:
            while not over.wait(self.crew.chance.random() * 2 * pause):
                make(self.crew)
                interruption.clear_interrupt()
        except BaseException as failure:  # noqa: BLE001
            self.crew.failures.append(failure)


def restore() -> None:
    """What the troubles have changed in the interpreter."""
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(INTERVAL)


def run(arguments: argparse.Namespace) -> list[str]:
    """Print a line of JSON for each round; return the complaints."""
    chance = seeded(arguments.seed)
    end = time.monotonic() + arguments.minutes * 60
    first: Account | None = None
    rounds: list[Account] = []
    complaints: list[str] = []
    interruption.run_in_process(abs, 1)  # multiprocessing's own processes stay once they are there
    order = deque(chance.sample(STATIONS, len(STATIONS)))
    while not complaints and (len(rounds) < 2 or time.monotonic() < end):
        kinds = [order.popleft() for _ in range(min(AT_ONCE, len(order)))]
        faulthandler.dump_traceback_later(arguments.round + 2 * PATIENCE, exit=True)
        counts = Round(kinds, chance, arguments.round).run()
        account = count(first)
        faulthandler.cancel_dump_traceback_later()
        shown = account._asdict() | {"descriptors": len(account.descriptors)}
        names = [kind.__name__ for kind in kinds]
        print(json.dumps({"stations": names, **counts, **shown}), flush=True)  # noqa: T201
        if first is not None:
            complaints = what_is_left(first, account)
            rounds.append(account._replace(descriptors={}))  # which would be what grows
        if not order:  # each has had its turn; the first time has filled what is filled once
            order.extend(chance.sample(STATIONS, len(STATIONS)))
            first = first or account
    return complaints + what_grows(rounds)


def parse() -> argparse.Namespace:
    parser = by_hand(__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--round", type=float, default=3, help="seconds a round (default: 3)")
    arguments = parser.parse_args()
    for name in ("minutes", "round"):
        if not getattr(arguments, name) >= 0:
            parser.error(f"--{name} must not be negative")
    return arguments


def main() -> None:
    faulthandler.enable()
    keep_together()
    logging.getLogger("asyncio").disabled = True  # it tells of tasks that ended by ThreadExit
    # Forks beside threads are what this is about.
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    complaints = run(parse())
    for complaint in complaints:
        print(complaint, file=sys.stderr)  # noqa: T201
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()

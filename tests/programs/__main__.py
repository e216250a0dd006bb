"""By hand: ``cd tests; python -m programs --seed 1 --deliveries 100000``."""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
import warnings

from chance import by_hand

from programs import grammar, runs


def main() -> int:
    parser = by_hand(__doc__, prog="python -m programs")
    parser.add_argument("--deliveries", type=int, default=10_000, help="how many requests")
    parser.add_argument("--size", type=int, default=12, help="about how many statements")
    parser.add_argument("--first", action="store_true", help="end at the first that goes wrong")
    parser.add_argument("--show", action="store_true", help="print that program and end")
    options = parser.parse_args()
    if options.show:
        print(grammar.make(int(options.seed), options.size))
        return 0
    answers: list[int] = []
    warnings.simplefilter("ignore")  # coroutines that are never awaited
    thread = threading.Thread(target=lambda: answers.append(_search(options)))
    thread.start()
    thread.join()
    return answers[0] if answers else 1


def _search(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    done = programs = wrong = 0
    for seed in itertools.count(int(options.seed)):
        source = grammar.make(seed, options.size)
        optimize = (-1, 2)[seed % 5 == 0]
        found = ""
        try:
            done += runs.check(source, optimize)
        except runs.WrongError as error:
            found = str(error).splitlines()[0]
        if found:
            wrong += 1
            if options.first:
                print(found)
                break
            print(f"seed {seed}: {found}; shrunk:")
            print(runs.shrink(source, optimize, seconds=20), flush=True)
            if wrong >= 5:
                break
        programs += 1
        if done >= options.deliveries:
            break
    rate = done / (time.monotonic() - begun)
    version = sys.version.split()[0]
    print(f"{version}: from seed {options.seed}: {programs} programs, {done} requests", end="")
    print(f", {rate:.0f} a second; {wrong} programs go wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())

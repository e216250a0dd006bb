"""What tests leave to chance: how much of it, how to have the same again, and who is asked next.

Two variables of the environment are heeded. INTERRUPTION_STRESS, in percent, scales how often (10
unless set). INTERRUPTION_SEED, any text, makes all of it another chance than the usual one, for who
looks for what no run has met. A test that fails is told with the command that runs it again with
what it had (see conftest.py). Programs that are run by hand take it as ``--seed``.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import hypothesis

_T = TypeVar("_T")

PERCENT = int(os.environ.get("INTERRUPTION_STRESS", "10"))
OTHER = os.environ.get("INTERRUPTION_SEED")
THIS_RUN = OTHER or str(os.getpid())  # what is another one in each run
_used: set[str] = set()  # the INTERRUPTION_SEED of what the test that runs has taken from here


def scaled(count: int, percent: int = 100) -> int:
    """``percent`` of it, scaled by INTERRUPTION_STRESS; at least one."""
    return max(1, count * percent * PERCENT // 10_000)


def seeded(seed: float | str, *, anew: bool = False) -> random.Random:
    """The same each time, with one seed; or another one in each run."""
    run = THIS_RUN if anew else OTHER
    _used.add(run or "")
    return random.Random(f"{run}, {seed}" if run else seed)  # noqa: S311


def examples(count: int, **options: Any) -> hypothesis.settings:
    """What hypothesis makes: so many, the same each time, unless another chance is asked for."""
    from hypothesis import HealthCheck, settings

    _used.add(OTHER or "")
    return settings(
        max_examples=count,
        derandomize=OTHER is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )


def anew() -> dict[str, str]:
    """The environment of a program that is to take another chance in each run."""
    _used.add(THIS_RUN)
    return {**os.environ, "INTERRUPTION_SEED": THIS_RUN}


def forget_chance() -> None:
    """A test begins."""
    _used.clear()


def how_again(test: str) -> str:
    """The command for the same chance; nothing if the test has taken none."""
    seed = "".join(f"INTERRUPTION_SEED={each} " for each in _used if each)
    return f"{seed}INTERRUPTION_STRESS={PERCENT} pytest -m '' '{test}'" if _used else ""


def by_hand(description: str | None, **options: Any) -> argparse.ArgumentParser:
    """The options of a program that is run by hand, too: ``--seed``."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0], **options)
    parser.add_argument("--seed", default="1", help="of what is chosen (default: 1)")
    return parser


def pause(chance: random.Random, longest: int = 3000) -> None:
    """Do nothing for a while, most often a short one."""
    for _ in range(int(longest * chance.random() ** 2)):
        pass


def shots(
    chance: random.Random, targets: Sequence[_T], over: Callable[[], Any], longest: int = 3000
) -> Iterator[_T]:
    """One of them after the other, with a pause before each, until it is over."""
    while not over():
        pause(chance, longest)
        yield chance.choice(targets)

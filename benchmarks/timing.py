"""What is timed by pyperf: subjects, in rounds, each in a fresh process.

pyperf runs the program again for every worker process: what it measures must be listed in the same
order each time, and nothing but measuring may happen in a worker.
"""

import itertools
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time
from typing import Any

import pyperf  # type: ignore[import-untyped]

UNROLLED = 50  # statements in one turn of a timed loop

TimeFunction = Callable[[int], float]  # how many turns -> CPU seconds of the calling thread


@dataclass(frozen=True)
class Subject:
    """Something that is timed: ``time(turns)``, each turn doing it ``inner_loops`` times."""

    name: str
    time: TimeFunction
    inner_loops: int = UNROLLED


ListSubjects = Callable[[], list[Subject]]  # the same ones each time


def repeated(statement: str, **names: object) -> TimeFunction:
    """Time ``statement``, unrolled; ``names`` are local variables there."""
    timer = timeit.Timer(
        "\n".join([statement] * UNROLLED),
        setup="\n".join(f"{name} = names[{name!r}]" for name in names),
        timer=thread_time,
        globals={"names": names},
    )
    return timer.timeit


def in_round(number: int, subject: Subject) -> dict[str, Any]:
    """The arguments of bench_time_func; pyperf wants each name once."""
    name = f"{subject.name} [{number}]"
    return {"name": name, "time_func": subject.time, "inner_loops": subject.inner_loops}


def measure(runner: Any, subjects: ListSubjects) -> dict[str, list[float]]:
    """Measure all subjects in rounds, a process for each: of each subject, a median a round.

    Rounds, so that what is compared is measured at about the same time: the machine's speed changes
    in minutes. ``--processes`` says how many.
    """
    arguments = runner.args
    rounds, given_loops = arguments.processes, arguments.loops
    arguments.processes = 1
    medians: dict[str, list[float]] = {}
    loops: dict[str, int] = {}
    for number in range(1, rounds + 1):
        for subject in subjects():
            arguments.loops = loops.get(subject.name, given_loops)
            benchmark = runner.bench_time_func(**in_round(number, subject))
            loops.setdefault(subject.name, benchmark.get_loops())
            medians.setdefault(subject.name, []).append(benchmark.median())
    return medians


def work(runner: Any, subjects: ListSubjects) -> None:
    """In a worker process: measure the one subject, in the one round, that it was started for."""
    for number in itertools.count(1):
        for subject in subjects():
            if runner.bench_time_func(**in_round(number, subject)) is not None:
                return


def make_runner(*environment: str) -> Any:
    """A pyperf.Runner, its arguments parsed; the workers get these variables, too."""
    runner = pyperf.Runner(processes=5, values=4, min_time=0.04)
    arguments = runner.parse_args()
    arguments.inherit_environ = [*(arguments.inherit_environ or []), *environment]
    return runner

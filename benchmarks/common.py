"""What the benchmarks share: subjects that pyperf times in rounds, rows, tables.

A benchmark is run by pyperf again for every worker process: what it measures must be listed in the
same order each time, and nothing but measuring may happen in a worker.
"""

import itertools
import platform
import sysconfig
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import TYPE_CHECKING, Any

import pyperf  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import argparse

UNROLLED = 50  # statements in one turn of a timed loop

TimeFunction = Callable[[int], float]  # how many turns -> CPU seconds of the calling thread
Medians = dict[str, float]  # seconds


# What is timed. ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """Something that is timed: ``time(turns)``, each turn doing it ``inner_loops`` times."""

    name: str
    time: TimeFunction
    inner_loops: int = UNROLLED


def repeated(statement: str, **names: object) -> TimeFunction:
    """Time ``statement``, unrolled; ``names`` are local variables there."""
    timer = timeit.Timer(
        "\n".join([statement] * UNROLLED),
        setup="\n".join(f"{name} = names[{name!r}]" for name in names),
        timer=thread_time,
        globals={"names": names},
    )
    return timer.timeit


# Measuring. ------------------------------------------------------------------------------------

ListSubjects = Callable[[], list[Subject]]  # the same ones each time


def in_round(number: int, subject: Subject) -> dict[str, Any]:
    """The arguments of bench_time_func; pyperf wants each name once."""
    name = f"{subject.name} [{number}]"
    return {"name": name, "time_func": subject.time, "inner_loops": subject.inner_loops}


def measure(runner: Any, subjects: ListSubjects) -> list[Any]:
    """Measure all subjects in rounds, a process for each; a pyperf.Benchmark for each subject.

    Rounds, so that what is compared is measured at about the same time: the machine's speed changes
    in minutes. ``--processes`` says how many.
    """
    arguments = runner.args
    rounds, given_loops = arguments.processes, arguments.loops
    arguments.processes = 1
    benchmarks: dict[str, Any] = {}
    for number in range(1, rounds + 1):
        for subject in subjects():
            earlier = benchmarks.get(subject.name)
            arguments.loops = given_loops if earlier is None else earlier.get_loops()
            benchmark = runner.bench_time_func(**in_round(number, subject))
            benchmark.update_metadata({"name": subject.name})
            if earlier is None:
                benchmarks[subject.name] = benchmark
            else:
                earlier.add_runs(benchmark)
    return list(benchmarks.values())


def work(runner: Any, subjects: ListSubjects) -> None:
    """In a worker process: measure the one subject, in the one round, that it was started for."""
    for number in itertools.count(1):
        for subject in subjects():
            if runner.bench_time_func(**in_round(number, subject)) is not None:
                return


# The table. ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, and ``figure`` against ``limit``, if it has one.

    ``figure`` is the number that the budget is about, None if it could not be measured; ``shown``
    and ``peer`` are what it was made of, and ``unit`` stands behind figure and limit.
    """

    what: str
    shown: str
    peer: str = ""
    figure: float | None = None
    unit: str = ""
    limit: float | None = None

    @property
    def missed(self) -> bool:
        """Whether there is a budget, and it was measured to be exceeded."""
        return self.limit is not None and self.figure is not None and self.figure > self.limit

    def cells(self) -> list[str]:
        """What stands in the columns."""
        figure = "" if self.figure is None else f"{self.figure:.3f}{self.unit}"
        if self.limit is None:
            return [self.what, self.shown, self.peer, figure, "", ""]
        verdict = "missed" if self.missed else "met"
        if self.figure is None:
            verdict = "not measured"
        return [self.what, self.shown, self.peer, figure, f"<= {self.limit:g}{self.unit}", verdict]


def nanoseconds(seconds: float) -> str:
    """As text, with three digits that mean something."""
    value = seconds * 1e9
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 - powers of ten
    return f"{value:.{digits}f} ns"


def ratio_row(medians: Medians, what: str, peer: str, limit: float | None = None) -> Row:
    """How many times the peer's time it takes."""
    return Row(
        what,
        nanoseconds(medians[what]),
        f"{peer}: {nanoseconds(medians[peer])}",
        medians[what] / medians[peer],
        " x",
        limit,
    )


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def table(lines: Iterable[Row]) -> str:
    """The Markdown table of such rows."""
    head = ["what", "median", "against", "figure", "budget", "verdict"]
    return markdown(head, (line.cells() for line in lines))


def interpreter() -> str:
    """What has been measured with, in a line."""
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    options = [o for o in ("--enable-optimizations", "--with-lto") if o in configured]
    levels = [o for o in (sysconfig.get_config_var("PY_CFLAGS") or "").split() if o[:2] == "-O"]
    build = " ".join([*levels[-1:], *options])  # the last level is the one that counts
    if sysconfig.get_config_var("Py_DEBUG"):
        build += ", A DEBUG BUILD: the figures mean nothing"
    threads = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with a GIL"
    return f"CPython {platform.python_version()}, {threads}, configured with {build}"


# The program. --------------------------------------------------------------------------------


def make_runner(*environment: str, processes: int = 7) -> Any:
    """A pyperf.Runner with our options, its arguments parsed; workers get these variables, too."""
    runner = pyperf.Runner(processes=processes, values=4, min_time=0.04)
    parser: argparse.ArgumentParser = runner.argparser
    parser.add_argument("--json", metavar="FILE", help="write all values to FILE, as pyperf does")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a budget is missed")
    arguments = runner.parse_args()
    arguments.inherit_environ = [*(arguments.inherit_environ or []), *environment]
    return runner

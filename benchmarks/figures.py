"""What the parts of a measurement hand over: series of numbers, as JSON, and what is made of them.

Every part is a program that prints a list of series; ``run.py`` collects them, an interpreter at a
time. Needs nothing but the standard library.
"""

import json
import math
import platform
import statistics
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# The ways in which a wait or code that runs comes to its end.
INTERRUPTED = "interrupt()"
WARM = "interrupt(), warm"  # just after another one
ENDED = "normal end"
ASYNC_EXC = "SetAsyncExc"
STOPIT = "stopit"
PEER = "interruptible-threading"
LIMITED = "a limit around it"
ITS_OWN = "a timeout of its own"
OUR_GROUP, ONE_THREAD = "a group", "start and join of a thread"
ONE_INTERVAL = "a switch interval and 3 hand-offs"
JAVA = "Java"
RUBY = "Ruby"

# What a call's cost is compared in.
SUBMIT = "`submit()`"
TO_THREAD = "`await to_thread()`, one by one"
OUR_EXECUTOR, STANDARD_EXECUTOR = "interruption", "concurrent.futures"
NOT_INTERPOSED, OUTSIDE, INSIDE = "not interposed", "outside regions", "in a region"


@dataclass(frozen=True)
class Series:
    """Numbers of one thing, measured again and again.

    ``part`` says what kind of a thing, ``what`` which, ``way`` how it was done, ``where`` under
    which circumstances: threads, busy cores. ``unit`` is "s", "bytes", "x" or a noun.
    """

    part: str
    what: str
    way: str
    values: list[float]
    where: str = ""
    unit: str = "s"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it."""
        return self.part, self.what, self.way, self.where

    @property
    def median(self) -> float:
        """Of its values."""
        return statistics.median(self.values)

    def percentile(self, percent: float) -> float:
        """The least value that so many percent of them do not exceed."""
        ordered = sorted(self.values)
        return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)]


def hand_over(series: Iterable[Series]) -> None:
    """Print them, as the last that a part does."""
    json.dump([asdict(one) for one in series], sys.stdout)
    sys.stdout.write("\n")


def taken_over(text: str) -> list[Series]:
    """What a part has printed."""
    return [Series(**one) for one in json.loads(text)]


@dataclass
class Measured:
    """All that was measured of one interpreter."""

    interpreter: str
    version: str
    series: list[Series] = field(default_factory=list)

    def find(self, part: str, what: str, way: str, where: str = "") -> Series | None:
        """The series of that name, if it was measured."""
        key = (part, what, way, where)
        return next((one for one in self.series if one.key == key and one.values), None)

    def replace(self, series: list[Series]) -> None:
        """Take these, for all that were measured of the same part in the same way."""
        renewed = {(one.part, one.way) for one in series}
        kept = [one for one in self.series if (one.part, one.way) not in renewed]
        self.series = [*kept, *series]

    def of(self, part: str, way: str, where: str | None = None) -> Iterator[Series]:
        """The series of that part measured in that way."""
        for one in self.series:
            if (one.part, one.way) == (part, way) and where in (None, one.where) and one.values:
                yield one


def paired_ratio(one: Series, other: Series) -> float:
    """How many times the other: value by value where these were measured in pairs."""
    return statistics.median(a / b for a, b in zip(one.values, other.values, strict=True))


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


# Text. -------------------------------------------------------------------------------------------

UNITS = ((1e-9, "ns", 1e-6), (1e-6, "us", 1e-3), (1e-3, "ms", 1.0), (1.0, "s", math.inf))


def duration(seconds: float) -> str:
    """As text, with three digits that mean something."""
    size, name = next((size, name) for size, name, below in UNITS if abs(seconds) < below)
    value = seconds / size
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 - powers of ten
    return f"{value:.{digits}f} {name}"


def quantity(value: float, unit: str) -> str:
    """As text: seconds as a duration, anything else with its unit."""
    if unit == "s":
        return duration(value)
    return f"{value:.2f} x" if unit == "x" else f"{value:.4g} {unit}"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def as_json(measured: Iterable[Measured], **more: Any) -> str:
    """Everything, as a file keeps it."""
    return json.dumps({**more, "measured": [asdict(one) for one in measured]}) + "\n"


def from_json(text: str) -> tuple[list[Measured], dict[str, Any]]:
    """What ``as_json`` has written, and what was given with it."""
    loaded = json.loads(text)
    measured = [
        Measured(one["interpreter"], one["version"], [Series(**each) for each in one["series"]])
        for one in loaded.pop("measured")
    ]
    return measured, loaded

"""What the library promises to cost, as data, and how a measurement is compared with it.

A budget is a limit for what was measured in one run on one interpreter: for a figure itself, or for
how many times the figure of something else it may be.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import costs_names as cost
import figures
from figures import (
    ENDED,
    INSIDE,
    INTERRUPTED,
    ITS_OWN,
    JAVA,
    LIMITED,
    NOT_INTERPOSED,
    ONE_INTERVAL,
    OUR_EXECUTOR,
    OUR_GROUP,
    OUTSIDE,
    STANDARD_EXECUTOR,
    SUBMIT,
    TO_THREAD,
    Measured,
    Series,
    paired_ratio,
    quantity,
)

ONE_THREAD = "1 thread, idle"
LOCKS = ("lock pair", "`with lock`", "`RLock` pair", "`SimpleQueue` pair")
SYSTEM_CALLS = ("`sleep(0)`", "`recv`", "`os.read`, `os.write`", "`poll`")


@dataclass(frozen=True)
class Budget:
    """The series of ``part`` and ``way`` may have ``limit`` at most.

    ``whats`` names them, () are all. With ``against``, the name of another thing or of another way,
    the limit is for the ratio of the two; where they were measured in pairs, for the median of the
    pairs' ratios. ``where`` is under which circumstances, None for all.
    """

    promise: str
    part: str
    limit: float
    way: str = ""
    whats: tuple[str, ...] = ()
    against: str | None = None
    against_way: str | None = None
    where: str | None = None
    paired: bool = False


BUDGETS = (
    Budget(
        "to look costs no more than 1.15 empty C functions",
        "cost",
        1.15,
        whats=(cost.REQUESTED,),
        against=cost.EMPTY,
        paired=True,
    ),
    Budget(
        "to look costs no more than to look at an `Event`",
        "cost",
        1.0,
        whats=(cost.REQUESTED,),
        against=cost.IS_SET,
        paired=True,
    ),
    Budget(
        "`check_interrupt()` costs no more than 1.25 empty C functions",
        "cost",
        1.25,
        whats=(cost.CHECK,),
        against=cost.EMPTY,
        paired=True,
    ),
    Budget("a poll from C costs half a nanosecond", "cost", 0.5e-9, whats=(cost.POLL,)),
    Budget(
        "a region costs no more than 1.2 times a lock",
        "cost",
        1.2,
        whats=(cost.ALLOW,),
        against=cost.LOCK,
        paired=True,
    ),
    Budget(
        "a time limit costs no more than 3 locks",
        "cost",
        3.0,
        whats=(cost.TIMEOUT,),
        against=cost.LOCK,
        paired=True,
    ),
    Budget(
        "three time limits, nested, cost no more than 8 locks",
        "cost",
        8.0,
        whats=(cost.TIMEOUTS,),
        against=cost.LOCK,
        paired=True,
    ),
    Budget("code runs as fast in a region as outside, and after deliveries", "loop", 1.02),
    Budget(
        "outside regions, taking what is free costs 1.1 times what it did",
        "call",
        1.10,
        OUTSIDE,
        LOCKS,
        against_way=NOT_INTERPOSED,
        paired=True,
    ),
    Budget(
        "outside regions, a call that enters the kernel costs 1.03 times what it did",
        "call",
        1.03,
        OUTSIDE,
        SYSTEM_CALLS,
        against_way=NOT_INTERPOSED,
        paired=True,
    ),
    Budget(
        "in a region, a call that need not wait costs 1.3 times what it did",
        "call",
        1.3,
        INSIDE,
        against_way=NOT_INTERPOSED,
        paired=True,
    ),
    Budget(
        "a blocked thread is interrupted within 1.5 normal ends of its wait",
        "wait",
        1.5,
        INTERRUPTED,
        against_way=ENDED,
        where=ONE_THREAD,
    ),
    Budget(
        "a blocked thread is interrupted as soon as one of Java",
        "wait",
        1.0,
        INTERRUPTED,
        against_way=JAVA,
        where=ONE_THREAD,
    ),
    Budget(
        "code that runs is interrupted within three hand-offs of a lock",
        "code",
        3.0,
        INTERRUPTED,
        against_way=ENDED,
        where=ONE_THREAD,
    ),
    Budget(
        "10,000 threads are interrupted as soon as an `Event` frees them",
        "crowd",
        1.0,
        INTERRUPTED,
        ("the last is out",),
        against_way=ENDED,
        where="10000 threads",
    ),
    Budget(
        "to submit a task costs 1.053 times what it costs the standard executor",
        "task",
        1.053,
        OUR_EXECUTOR,
        tuple(f"{SUBMIT}, workers: {workers}" for workers in (1, 4)),
        against_way=STANDARD_EXECUTOR,
        paired=True,
    ),
    Budget(
        "to await a function in a thread costs 1.3 times what it costs asyncio",
        "task",
        1.3,
        OUR_EXECUTOR,
        (TO_THREAD,),
        against_way=STANDARD_EXECUTOR,
        paired=True,
    ),
    Budget(
        "a time limit ends a wait as late as 1.5 times the wait's own timeout",
        "deadline",
        1.5,
        LIMITED,
        ("`lock.acquire`", "`Queue.get`", "`SimpleQueue.get`", "`recv`"),
        against_way=ITS_OWN,
    ),
    Budget(
        "a time limit stops code that runs within a switch interval and 3 hand-offs",
        "deadline",
        1.0,
        LIMITED,
        ("code that runs",),
        against_way=ONE_INTERVAL,
    ),
    Budget(
        "a group of one task costs 1.3 times a thread",
        "group",
        1.3,
        OUR_GROUP,
        ("one task",),
        against_way=figures.ONE_THREAD,
        paired=True,
    ),
    Budget(
        "100,000 live deadlines in 1,000 threads wake up once in 3 seconds",
        "deadlines",
        1,
        whats=("wake-ups",),
    ),
    Budget(
        "each of them takes 64 bytes beside its object",
        "deadlines",
        64,
        whats=("bytes each, beside the object",),
    ),
    Budget(
        "a thread that never used the library takes 256 bytes",
        "memory",
        256,
        "bytes",
        ("a thread that never looked, once asked",),
    ),
    Budget(
        "a thread that never used the library takes no descriptor",
        "memory",
        0,
        "descriptors",
        ("a thread that never looked, once asked",),
    ),
    Budget("threads that wait in regions do not wake up", "idle", 0, whats=("context switches",)),
    Budget(
        "threads that wait in regions take no processor time",
        "idle",
        1e-5,
        whats=("processor time",),
    ),
    Budget("nothing stays locked behind an interrupted thread", "leak", 0, INTERRUPTED),
)


@dataclass(frozen=True)
class Verdict:
    """One figure, compared with its budget; ``figure`` None: it, or its peer, was not measured."""

    budget: Budget
    what: str
    figure: float | None = None
    unit: str = ""
    measured: str = ""  # what the figure was made of, as text

    @property
    def missed(self) -> bool:
        """Whether it was measured to be exceeded."""
        return self.figure is not None and self.figure > self.budget.limit

    @property
    def word(self) -> str:
        """As text."""
        return "not measured" if self.figure is None else "missed" if self.missed else "met"

    @property
    def text(self) -> str:
        """The figure as text, with the digits in which it may exceed the limit."""
        if self.figure is None:
            return ""
        return f"{self.figure:.3f} x" if self.unit == "x" else quantity(self.figure, self.unit)

    @property
    def limit(self) -> str:
        """As text."""
        if self.unit in {"x", ""}:
            return f"<= {self.budget.limit:g} x"
        return f"<= {quantity(self.budget.limit, self.unit)}"


def compare(budget: Budget, one: Series, measured: Measured) -> Verdict:
    """One of the series that the budget is about."""
    if budget.against is None and budget.against_way is None:
        return Verdict(budget, one.what, one.median, one.unit, quantity(one.median, one.unit))
    way = one.way if budget.against_way is None else budget.against_way
    other = measured.find(one.part, budget.against or one.what, way, one.where)
    if other is None:
        return Verdict(budget, one.what)
    figure = paired_ratio(one, other) if budget.paired else one.median / other.median
    texts = (quantity(one.median, one.unit), quantity(other.median, other.unit))
    return Verdict(budget, one.what, figure, "x", " against ".join(texts))


def verdicts(measured: Measured) -> Iterator[Verdict]:
    """All budgets. Java has not got all waits: what it has not is left out."""
    for budget in BUDGETS:
        found = [
            compare(budget, one, measured)
            for one in measured.of(budget.part, budget.way, budget.where)
            if one.what in budget.whats or not budget.whats
        ]
        if budget.against_way == JAVA:
            found = [verdict for verdict in found if verdict.figure is not None]
        yield from found or [Verdict(budget, ", ".join(budget.whats) or "all")]

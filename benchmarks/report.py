"""The Markdown of what was measured: the budgets first, then everything else."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import figures
from budgets import BUDGETS, ONE_THREAD, Budget, Verdict, verdicts
from figures import (
    ASYNC_EXC,
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
    PEER,
    RUBY,
    STANDARD_EXECUTOR,
    STOPIT,
    WARM,
    Measured,
    Series,
    duration,
    markdown,
    paired_ratio,
    quantity,
)

PERCENTS = (50, 90, 99, 100)
LATENCY_HEAD = ["median", "p90", "p99", "max"]


# Budgets. ----------------------------------------------------------------------------------------


def verdict_in_short(found: Sequence[Verdict]) -> str:
    """How one interpreter does with one budget."""
    measured = [verdict for verdict in found if verdict.figure is not None]
    if not measured:
        return "not measured"
    worst = max(measured, key=lambda verdict: verdict.figure or 0)
    missed = sum(verdict.missed for verdict in measured)
    of_what = f", {worst.what}" if len(measured) > 1 else ""
    if not missed:
        return f"met ({worst.text}{of_what})"
    how_many = f" {missed} of {len(measured)}" if len(measured) > 1 else ""
    return f"**missed**{how_many} ({worst.text}{of_what})"


def budgets_table(found: Sequence[Measured]) -> str:
    """All budgets on all interpreters; in brackets the worst figure."""
    verdicts_of: list[dict[Budget, list[Verdict]]] = []
    for measured in found:
        by_budget: dict[Budget, list[Verdict]] = {budget: [] for budget in BUDGETS}
        for verdict in verdicts(measured):
            by_budget[verdict.budget].append(verdict)
        verdicts_of.append(by_budget)
    head = ["budget", "limit", *(f"CPython {measured.version}" for measured in found)]
    lines = []
    for budget in BUDGETS:
        limits = [verdict.limit for one in verdicts_of for verdict in one[budget] if verdict.unit]
        shorts = [verdict_in_short(one[budget]) for one in verdicts_of]
        lines.append([budget.promise, *(limits or [f"<= {budget.limit:g}"])[:1], *shorts])
    return markdown(head, lines)


def missed_table(measured: Measured) -> str:
    """Every figure that misses its budget."""
    lines = [
        [verdict.budget.promise, verdict.what, verdict.text, verdict.limit, verdict.measured]
        for verdict in verdicts(measured)
        if verdict.missed
    ]
    if not lines:
        return "All budgets that were measured are met.\n"
    return markdown(["missed budget", "what", "figure", "limit", "measured"], lines)


# Everything else, of one interpreter. ------------------------------------------------------------


def ratio(one: Series | None, other: Series | None, *, paired: bool = False) -> str:
    """How many times the other, as text."""
    if one is None or other is None:
        return ""
    figure = paired_ratio(one, other) if paired else one.median / other.median
    return f"{figure:.2f} x"


def spread(one: Series | None) -> list[str]:
    """Median, p90, p99 and maximum, as text."""
    if one is None:
        return [""] * len(PERCENTS)
    return [duration(one.percentile(percent)) for percent in PERCENTS]


def median(one: Series | None) -> str:
    """As text."""
    return "" if one is None else quantity(one.median, one.unit)


def costs(measured: Measured) -> str:
    """What looking, asking and regions cost."""
    lines = [[one.what, median(one)] for one in measured.of("cost", "")]
    return markdown(["what", "processor time, median"], lines)


def calls(measured: Measured) -> str:
    """What calls cost that need not wait."""
    lines = []
    for one in measured.of("call", NOT_INTERPOSED):
        ways = [measured.find("call", one.what, way) for way in (OUTSIDE, INSIDE)]
        texts = [text for way in ways for text in (median(way), ratio(way, one, paired=True))]
        lines.append([one.what, median(one), *texts])
    return markdown(["call", NOT_INTERPOSED, OUTSIDE, "", INSIDE, ""], lines)


def loops(measured: Measured) -> str:
    """How many times its time code takes."""
    return markdown(["code", "ratio"], [[one.what, median(one)] for one in measured.of("loop", "")])


def latencies(measured: Measured, part: str, others: Sequence[str]) -> str:
    """Request to exception with one thread: distribution, normal end, and the others' medians."""
    lines = []
    for one in measured.of(part, INTERRUPTED, ONE_THREAD):
        ended = measured.find(part, one.what, ENDED, ONE_THREAD)
        texts = [median(measured.find(part, one.what, way, ONE_THREAD)) for way in others]
        lines.append([one.what, *spread(one), median(ended), ratio(one, ended), *texts])
    return markdown(["what", *LATENCY_HEAD, ENDED, "ratio", *others], lines)


def waits(measured: Measured) -> str:
    """Of threads that wait."""
    return latencies(measured, "wait", (WARM, JAVA, RUBY, PEER))


def code(measured: Measured) -> str:
    """Of threads that run."""
    return latencies(measured, "code", (ASYNC_EXC, STOPIT, RUBY))


def circumstances(measured: Measured, part: str) -> str:
    """The same in all circumstances: all that was measured there in one line each."""
    lines = []
    places = dict.fromkeys(one.where for one in measured.of(part, INTERRUPTED))
    for one in measured.of(part, INTERRUPTED):
        for place in places:
            found = measured.find(part, one.what, INTERRUPTED, place)
            if one.where == ONE_THREAD and found is not None:
                ended = measured.find(part, one.what, ENDED, place)
                last = [*spread(ended)[::2], ratio(found, ended)]
                lines.append([one.what, place, *spread(found), *last])
    head = ["what", "where", *LATENCY_HEAD, f"{ENDED}: median", "p99", "ratio"]
    return markdown(head, lines)


def crowds(measured: Measured) -> str:
    """Many threads at once."""
    lines = []
    for one in measured.of("crowd", INTERRUPTED):
        ended = measured.find("crowd", one.what, ENDED, one.where)
        lines.append([one.where, one.what, median(one), median(ended), ratio(one, ended)])
    head = ["threads in `Event.wait`", "until", "`interrupt_all_threads()`", "`Event.set()`", ""]
    return markdown(head, lines)


def tasks(measured: Measured) -> str:
    """What a task costs in an executor, and how soon it is cancelled."""
    lines = []
    for one in measured.of("task", OUR_EXECUTOR):
        standard = measured.find("task", one.what, STANDARD_EXECUTOR)
        lines.append([one.what, median(one), median(standard), ratio(one, standard, paired=True)])
    for one in measured.of("group", OUR_GROUP):
        thread = measured.find("group", one.what, figures.ONE_THREAD)
        line = [f"{one.way} of {one.what}, {figures.ONE_THREAD}", median(one), median(thread)]
        lines.append([*line, ratio(one, thread, paired=True)])
    lines += [
        [f"`cancel()` to `CancelledError`, {one.what}", median(one), "", ""]
        for one in measured.of("cancel", INTERRUPTED)
    ]
    return markdown(["a task", OUR_EXECUTOR, STANDARD_EXECUTOR, "ratio"], lines)


def limits(measured: Measured) -> str:
    """How late time limits are, beside what else would end the same."""
    lines = []
    for one in measured.of("deadline", LIMITED):
        found = (measured.find("deadline", one.what, way) for way in (ITS_OWN, ONE_INTERVAL))
        lines += [
            [one.what, *spread(one), other.way, median(other), ratio(one, other)]
            for other in found
            if other is not None
        ]
    return markdown(["what", *LATENCY_HEAD, "against", "median", "ratio"], lines)


def leftovers(measured: Measured) -> str:
    """Memory, idle threads, leaks: each a figure."""
    lines = []
    for part, way in (
        ("memory", "bytes"),
        ("memory", "descriptors"),
        ("idle", ""),
        ("deadlines", ""),
    ):
        lines += [[one.what, one.where, median(one)] for one in measured.of(part, way)]
    return markdown(["what", "where", "figure"], lines)


def leaks(measured: Measured) -> str:
    """How often something stays locked."""
    lines = []
    for one in measured.of("leak", INTERRUPTED):
        recipe = measured.find("leak", one.what, ASYNC_EXC, one.where)
        lines.append([one.what, one.where, median(one), median(recipe)])
    return markdown(["a thread in", "", f"left locked by {INTERRUPTED}", f"by {ASYNC_EXC}"], lines)


def woken(measured: Measured) -> str:
    """Which waits the others end."""

    def told(what: str, way: str) -> str:
        one = measured.find("woken", what, way)
        return "" if one is None else "yes" if one.median else "no"

    waits = [one.what for one in measured.of("wait", INTERRUPTED, ONE_THREAD)]
    lines = [[what, "yes", told(what, ASYNC_EXC), told(what, PEER)] for what in waits]
    return markdown(["woken from", INTERRUPTED, ASYNC_EXC, PEER], lines)


# Their names in pages (page.py), and their titles here.
TABLES: Mapping[str, tuple[str, Callable[[Measured], str]]] = {
    "missed": ("Missed", missed_table),
    "costs": ("What looking, asking and regions cost", costs),
    "calls": ("What calls cost that need not wait", calls),
    "loops": ("Loops in regions and after deliveries", loops),
    "waits": ("A blocked thread, from the request to the exception", waits),
    "code": ("A thread that runs, from the request to the exception", code),
    "looks": (
        "A loop that looks: asked, and by an `Event`",
        lambda measured: circumstances(measured, "look"),
    ),
    "waits_elsewhere": (
        "Blocked threads, more threads, busy cores",
        lambda measured: circumstances(measured, "wait"),
    ),
    "code_elsewhere": (
        "Running threads, more threads, busy cores",
        lambda measured: circumstances(measured, "code"),
    ),
    "limits": ("A time limit, from its deadline to the exception", limits),
    "tasks": ("Tasks of executors", tasks),
    "crowds": ("Many threads", crowds),
    "leftovers": ("What threads take", leftovers),
    "leaks": ("Locks left held", leaks),
    "woken": ("Who is woken", woken),
}


def sections(measured: Measured) -> Iterator[str]:
    """All of one interpreter."""
    yield f"## {measured.interpreter}\n"
    for title, table in TABLES.values():
        yield f"### {title}\n\n{table(measured)}"


def report(found: Iterable[Measured], about: Mapping[str, str]) -> str:
    """All of it."""
    found = list(found)
    conditions = "".join(f"- {name}: {text}\n" for name, text in about.items())
    pages = ["# Measured\n", conditions, "## Budgets\n", budgets_table(found)]
    for measured in found:
        pages += sections(measured)
    return "\n".join(pages)

"""SVG files of what was measured, drawn by matplotlib: the same files for the same figures."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from budgets import BUDGETS, ONE_THREAD, verdicts
from figures import (
    ASYNC_EXC,
    ENDED,
    INTERRUPTED,
    JAVA,
    PEER,
    RUBY,
    Measured,
    Series,
)

mpl.use("svg")
from matplotlib import pyplot as plt

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small files
    "svg.hashsalt": "interruption",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
COLOURS = {
    INTERRUPTED: "#0057b8",
    ENDED: "#888888",
    JAVA: "#d1495b",
    RUBY: "#8b1e9b",
    PEER: "#e0a100",
    ASYNC_EXC: "#2e8b57",
}
MICRO = 1e6


def plain(text: str) -> str:
    """Without Markdown."""
    return text.replace("`", "")


def save(figure: Any, path: Path) -> None:
    """Write it, without the date, and with no more digits than can be seen."""
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", path.read_text(encoding="utf-8"))
    path.write_text(re.sub(r"\n +", "\n", text), encoding="utf-8")


def spreads(axes: Any, way: str, rows: dict[float, Series | None]) -> None:
    """In each row the median as a dot, with a line from there to p99."""
    found = {row: one for row, one in rows.items() if one is not None}
    if not found:
        return
    medians = [one.percentile(50) * MICRO for one in found.values()]
    highs = [one.percentile(99) * MICRO for one in found.values()]
    axes.hlines(list(found), medians, highs, color=COLOURS[way], linewidth=1)
    axes.plot(medians, list(found), "o", color=COLOURS[way], markersize=3.5, label=way)


def microseconds(axes: Any, rows: Sequence[str]) -> None:
    """Have a logarithmic axis, and the rows from top to bottom."""
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [plain(row) for row in rows])


def latencies(measured: Measured, part: str, ways: Sequence[str], path: Path) -> None:
    """A row for each wait or code, in it a line for each way; one thread on an idle machine."""
    names = [one.what for one in measured.of(part, INTERRUPTED, ONE_THREAD)]
    figure, axes = plt.subplots(figsize=(7, 0.28 * len(names) + 1))
    for number, way in enumerate(ways):
        found = [measured.find(part, name, way, ONE_THREAD) for name in names]
        lower = 0.15 * (number - (len(ways) - 1) / 2)
        spreads(axes, way, {row + lower: one for row, one in enumerate(found)})
    microseconds(axes, names)
    axes.invert_yaxis()
    axes.set_xlabel(f"microseconds: median to p99; CPython {measured.version}, 1 thread, idle")
    figure.legend(loc="upper center", bbox_to_anchor=(0.4, 0), ncols=len(ways))
    save(figure, path)


def circumstances(measured: Measured, part: str, names: Sequence[str], path: Path) -> None:
    """A panel for each of some waits or codes: with more threads, on idle and on busy cores."""
    places = list(dict.fromkeys(one.where for one in measured.of(part, INTERRUPTED)))
    figure, panels = plt.subplots(1, len(names), figsize=(7.5, 2.3), sharey=True, sharex=True)
    for axes, name in zip(panels, names, strict=True):
        for number, way in enumerate((INTERRUPTED, ENDED)):
            found = [measured.find(part, name, way, place) for place in places]
            lower = 0.25 * (number - 0.5)
            spreads(axes, way, {row + lower: one for row, one in enumerate(found)})
        axes.set_title(plain(name), fontsize=8)
        microseconds(axes, places)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper left", ncols=2)
    figure.supxlabel(f"microseconds: median to p99; CPython {measured.version}", fontsize=8, y=-0.1)
    figure.subplots_adjust(top=0.8)
    save(figure, path)


def crowds(found: Sequence[Measured], path: Path) -> None:
    """From the first request until the last thread is out, by the number of threads."""
    shown = [measured for measured in found if any(measured.of("crowd", INTERRUPTED))]
    if not shown:
        return
    figure, panels = plt.subplots(1, len(shown), figsize=(7.5, 2.3), sharey=True, squeeze=False)
    for axes, measured in zip(panels[0], shown, strict=True):
        for way, label in ((INTERRUPTED, "interrupt_all_threads()"), (ENDED, "Event.set()")):
            series = [one for one in measured.of("crowd", way) if one.what == "the last is out"]
            counts = [int(one.where.split()[0]) for one in series]
            medians = [one.median * 1e3 for one in series]
            axes.plot(counts, medians, "o-", color=COLOURS[way], markersize=3, label=label)
        axes.set_title(f"CPython {measured.version}", fontsize=8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_xlabel("threads")
    panels[0][0].set_ylabel("milliseconds until the last is out")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="upper left", ncols=2)
    figure.subplots_adjust(top=0.78)
    save(figure, path)


def worst(measured: Measured) -> Iterator[float | None]:
    """Of each budget, how much of it the worst figure takes."""
    by_budget: dict[Any, list[float]] = {budget: [] for budget in BUDGETS}
    for verdict in verdicts(measured):
        if verdict.figure is not None and verdict.budget.limit:
            by_budget[verdict.budget].append(verdict.figure / verdict.budget.limit)
    for budget in BUDGETS:
        if budget.limit:
            yield max(by_budget[budget], default=None)


def budgets(found: Sequence[Measured], path: Path) -> None:
    """How much of each budget the worst figure takes: right of the line it is missed."""
    names = [plain(budget.promise) for budget in BUDGETS if budget.limit]
    figure, axes = plt.subplots(figsize=(5, 0.24 * len(names) + 0.8))
    colours = plt.get_cmap("viridis")
    for number, measured in enumerate(found):
        points = [(of, row) for row, of in enumerate(worst(measured)) if of]
        colour = colours(number / max(len(found), 2))
        xs, ys = zip(*points, strict=True) if points else ((), ())
        shifted = [y + 0.12 * (number - (len(found) - 1) / 2) for y in ys]
        axes.plot(xs, shifted, "o", color=colour, markersize=3, label=measured.version)
    axes.axvline(1, color="#d1495b", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("the worst figure, in budgets: right of the line it is missed")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, path)


def draw(found: Sequence[Measured], folder: Path) -> None:
    """All of them: the distributions of the last interpreter, the rest of all."""
    folder.mkdir(parents=True, exist_ok=True)
    last = found[-1]
    with plt.rc_context(STYLE):
        ways = (INTERRUPTED, ENDED, JAVA, RUBY, PEER)
        latencies(last, "wait", ways, folder / "measured-waits.svg")
        latencies(last, "code", (INTERRUPTED, ENDED, ASYNC_EXC), folder / "measured-code.svg")
        waits = ("`lock`", "`Queue.get`", "`socket.recv`", "`time.sleep`")
        circumstances(last, "wait", waits, folder / "measured-waits-threads.svg")
        codes = ("`while True: pass`", "`with lock: pass`")
        circumstances(last, "code", codes, folder / "measured-code-threads.svg")
        crowds(found, folder / "measured-crowds.svg")
        budgets(found, folder / "measured-budgets.svg")

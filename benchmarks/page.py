"""The tables of a page that people write: each stands behind a comment that says which it is.

``<!-- table: costs -->`` is of all interpreters that were measured, ``<!-- table: calls 3.15 -->``
of that one. ``--write FILE`` puts new ones in their place; the text between is kept.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import report
from budgets import BUDGETS, verdicts
from figures import Measured, markdown

MARK = re.compile(r"(<!-- table: (?P<name>\w+) ?(?P<version>[\d.]+t?)? -->\n)\n(?:\|.*\n)*")


def missed(found: Sequence[Measured]) -> str:
    """What misses its budget on some interpreter, with the figures of those."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for measured in found:
        for verdict in verdicts(measured):
            if verdict.missed:
                row = lines.setdefault((verdict.budget.promise, verdict.what, verdict.limit), {})
                row[measured.version] = verdict.text
    versions = [measured.version for measured in found]
    order = [budget.promise for budget in BUDGETS]
    rows = sorted(lines.items(), key=lambda line: order.index(line[0][0]))
    texts = [[*key, *(row.get(version, "") for version in versions)] for key, row in rows]
    return markdown(["budget", "what", "limit", *versions], texts)


def costs(found: Sequence[Measured]) -> str:
    """What looking, asking and regions cost, an interpreter a column."""
    whats = dict.fromkeys(one.what for measured in found for one in measured.of("cost", ""))
    lines = []
    for what in whats:
        each = [measured.find("cost", what, "") for measured in found]
        lines.append([what, *map(report.median, each)])
    return markdown(["what", *(measured.version for measured in found)], lines)


OF_ALL: Mapping[str, Callable[[Sequence[Measured]], str]] = {
    "budgets": report.budgets_table,
    "missed": missed,
    "costs": costs,
}


def measured_table(found: Sequence[Measured], name: str, version: str | None) -> str:
    """The table of that name, of the interpreter with that version or of all."""
    tables = OF_ALL if version is None else report.TABLES
    if name not in tables:
        message = f"there is no table {name!r}, but {', '.join(tables)}"
        raise SystemExit(message)
    if version is None:
        return OF_ALL[name](found)
    ones = [one for one in found if f"{one.version}.".startswith(f"{version}.")]
    if not ones:
        message = f"the page has the table {name!r} of {version}, which was not measured"
        raise SystemExit(message)
    return report.TABLES[name][1](ones[0])


def put(path: str, table_of: Callable[[str, str | None], str]) -> None:
    """New tables into the page, each by its name and its version."""
    page = Path(path)
    text = page.read_text(encoding="utf-8")
    new = MARK.sub(lambda at: f"{at[1]}\n{table_of(at['name'], at['version'])}", text)
    page.write_text(new, encoding="utf-8")

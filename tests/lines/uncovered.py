"""Adds up what the runs of ``nox -s coverage`` have measured: a line counts if any of them ran it.

    python tests/lines/uncovered.py FOLDER...

A folder has ``c-*.json`` of gcovr and ``python-*.json`` of coverage.py, one of each run. The
table is printed; the lines that no run has reached are written to ``uncovered.md`` in the first
folder, with their text. docs/coverage.md tells why they are not.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ["src/core/", "src/module/", "src/module/blocking/", "include/", "python/"]


def _of_gcovr(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Each line of C that is code: its file, its number, whether it ran."""
    for file in json.loads(path.read_text(encoding="utf-8"))["files"]:
        for line in file["lines"]:
            if not line.get("gcovr/excluded", False):
                yield file["file"], line["line_number"], line["count"] > 0


def _of_coverage(path: Path) -> Iterator[tuple[str, int, bool]]:
    """The same of Python. The files that were measured are those installed."""
    for name, file in json.loads(path.read_text(encoding="utf-8"))["files"].items():
        ours = "python/interruption/" + Path(name).name
        yield from ((ours, line, True) for line in file["executed_lines"])
        yield from ((ours, line, False) for line in file["missing_lines"])


def measured(folders: list[Path]) -> dict[str, dict[int, bool]]:
    """By file and line: whether any run has reached it. Lines that are no code are left out."""
    files: dict[str, dict[int, bool]] = {}
    for kind, read in (("c", _of_gcovr), ("python", _of_coverage)):
        for path in (path for folder in folders for path in sorted(folder.glob(f"{kind}-*.json"))):
            for file, line, ran in read(path):
                lines = files.setdefault(file, {})
                lines[line] = lines.get(line, False) or ran
    return files


def _table(files: dict[str, dict[int, bool]]) -> Iterator[str]:
    """A row a file, then a row a part: lines that are code, how many did not run, percent run."""
    rows = [*sorted(files), *PARTS]
    lines, missed = Counter[str](), Counter[str]()
    for file, ran in files.items():
        for row in (row for row in rows if file.startswith(row)):
            lines[row] += len(ran)
            missed[row] += sum(not each for each in ran.values())
    yield "| file | lines | not run | run |"
    yield "|---|---|---|---|"
    for row in (row for row in rows if lines[row]):
        percent = 100 * (1 - missed[row] / lines[row])
        yield f"| {row} | {lines[row]} | {missed[row]} | {percent:.1f} % |"


def _uncovered(files: dict[str, dict[int, bool]]) -> Iterator[str]:
    """The lines that no run has reached, file by file."""
    for file, ran in sorted(files.items()):
        missing = sorted(line for line, reached in ran.items() if not reached)
        if missing:
            text = (ROOT / file).read_text(encoding="utf-8").splitlines()
            yield f"\n## {file}\n"
            yield from (f"    {line:4} {text[line - 1]}" for line in missing)


def main(folders: list[Path]) -> None:
    """Print the table, and write what did not run."""
    files = measured(folders)
    table = list(_table(files))
    print(*table, sep="\n")
    report = folders[0] / "uncovered.md"
    report.write_text("\n".join(["# Lines", "", *table, *_uncovered(files), ""]), encoding="utf-8")
    print(f"\nThe lines that did not run: {report}")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])

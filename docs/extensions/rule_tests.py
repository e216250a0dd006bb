"""Which tests cite which rule (``# S10a``): for the page of the rules, and for the tests of it."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[2] / "tests"
# The header of a test, which ends in a comment.
TEST = re.compile(
    r"^(?: {4})?(?:async )?def (?P<name>test_\w+)\((?P<header>[^#]*?)\)(?: -> None)?:"
    r"  # (?P<rules>S\d[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)
RULE = re.compile(r"\bS\d+[a-e]?\b")


def cited() -> dict[str, list[tuple[str, str]]]:
    """The tests of each rule, as (file below ``tests``, test).

    A file whose first line names rules is about them as a whole: "" stands for the test then.
    """
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        citations = [("", text.partition("\n")[0])]
        citations += [(match["name"], match["rules"]) for match in TEST.finditer(text)]
        for name, rules in citations:
            for rule in dict.fromkeys(RULE.findall(rules)):
                found[rule].append((path.relative_to(TESTS).as_posix(), name))
    return dict(found)


def _order(rule: str) -> tuple[int, str]:
    number = rule[1:].rstrip("abcde")
    return int(number), rule


def _all_tests() -> str:
    """A section that names all tests that cite each rule."""
    lines = ["", "## All tests, by rule", ""]
    tests = cited()
    for rule in sorted(tests, key=_order):
        lines += [f"**{rule}**", ""]
        files: dict[str, list[str]] = defaultdict(list)
        for path, test in tests[rule]:
            files[path].append(f"`{test}`" if test else "the file is about it")
        lines += [f"- `tests/{path}`: {', '.join(names)}" for path, names in files.items()]
        lines += [""]
    return "\n".join(lines)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry point: the page of the rules ends in that list."""

    def extend(_app: Any, page: str, text: list[str]) -> None:
        if page == "rules":
            text[0] += _all_tests()

    app.connect("source-read", extend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

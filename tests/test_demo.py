"""The demo: the first command of the README, and what that shows of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import run_python

pytestmark = pytest.mark.anywhere

README = Path(__file__).parents[1] / "README.md"


def pattern(shown):
    """What matches it: a line "..." stands for any lines, a time for any other time."""
    escaped = re.escape(shown)
    escaped = re.sub(r"\d+\\ ms", r"\\d+\\ ms", escaped)
    # The threads clean up in any order, and the main thread's traceback comes when it comes.
    order = [re.escape(f"    | {name} has cleaned up\n") for name in ("one", "two")]
    escaped = escaped.replace("".join(order), rf"(?:{order[0]}|{order[1]}|    \| [^\n]*\n)*")
    return escaped.replace(re.escape("...\n"), r"(?:    \| [^\n]*\n)*")


def test_it_goes_as_the_readme_shows():
    shown = re.search(r"^```text\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[1]
    done = run_python("-m", "interruption", "demo")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.fullmatch(pattern(shown), done.stdout), done.stdout
    stopped = done.stdout.partition("interruption run")[2]
    assert sorted(re.findall(r"\| (\w+) has cleaned up", stopped)) == ["one", "two"]

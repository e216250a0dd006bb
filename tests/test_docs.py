"""Every Python code block of the documentation runs, by itself and to its end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_python, until_process_blocked

# A block ends in two seconds; a loaded machine and a debug build take longer.
LIMIT = 30.0

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<not_run><!-- not run: [^\n]+ -->\n)?"
    r"(<!-- stopped by (?P<signal>SIG[A-Z]+) after its first line -->\n)?"
    r"^```python\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(*, stopped=False):
    """The source of each block, named by its place, but for those that say why they do not run.

    Those that a signal stops have the signal after the source, and are apart from the others.
    """
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("source")) + 1
            if not match["not_run"] and stopped == bool(match["signal"]):
                values = match.group("source", "signal")[: 1 + stopped]
                found.append(pytest.param(*values, id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("source", blocks())
def test_a_code_block_of_the_documentation_runs(source, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(source, encoding="utf-8")
    done = run_python("-X", "faulthandler", script, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("source", "name"), blocks(stopped=True))
def test_a_code_block_that_runs_until_a_signal_ends_by_that(source, name, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(source, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline()
            until_process_blocked(process)
            process.send_signal(signal.Signals[name])
            said, told = process.communicate(timeout=LIMIT)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == -signal.Signals[name], told
    assert "tidied up" in said
    assert "still runs" not in told


def test_a_block_that_is_not_run_says_who_runs_it():
    """And that one reads it from the page."""
    reads = re.compile(r'(?:codes?_of|reading)\("(\w+)"|"(\w+)\.md"')
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if match["not_run"] and "a part of a program" not in match["not_run"]:
                (test,) = re.findall(r"tests/[a-z_/]+\.py", match["not_run"])
                found = reads.findall((ROOT / test).read_text(encoding="utf-8"))
                assert page.stem in {"".join(names) for names in found}, match["not_run"]


def test_the_blocks_are_found():
    assert {path.name for path in PAGES} >= {"README.md", "flags.md", "regions.md"}
    assert len(blocks()) >= 10
    assert len(blocks(stopped=True)) >= 1

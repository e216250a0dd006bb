"""Every Python code block of the documentation runs, by itself and to its end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

# A block ends in two seconds; a loaded machine and a debug build take longer.
LIMIT = 30.0

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<not_run><!-- not run: [^\n]+ -->\n)?^```python\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks():
    """The source of each block, named by its place, but for those that say why they do not run."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("source")) + 1
            if not match["not_run"]:
                found.append(pytest.param(match["source"], id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("source", blocks())
def test_a_code_block_of_the_documentation_runs(source, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_blocks_are_found():
    assert {path.name for path in PAGES} >= {"README.md", "flags.md", "regions.md"}
    assert len(blocks()) >= 10


def test_every_link_between_the_pages_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists() or not target, f"{page.name}: {target}"

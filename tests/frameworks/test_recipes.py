"""The programs of docs/recipes.md that need others' packages."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from support import run_python

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(
    r"<!-- not run: it needs (\w+);.*? -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
RECIPES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", RECIPES)
def test_a_recipe_runs_to_its_end(package, tmp_path):
    names = [package, package.lower()]
    if not any(importlib.util.find_spec(name) for name in names):
        pytest.skip(f"there is no {package}")
    program = tmp_path / "program.py"
    # APScheduler leaves a job out that begins a second late.
    source = RECIPES[package].replace("add_job(job)", "add_job(job, misfire_grace_time=None)")
    program.write_text(source, encoding="utf-8")
    done = run_python(program, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    if "ImportError" in done.stderr and ".so" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])  # of a system without what Qt needs
    assert done.returncode == 0, done.stderr


def test_they_are_found():
    assert set(RECIPES) == {"APScheduler", "PySide6"}

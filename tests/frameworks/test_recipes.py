"""The programs of docs/recipes.md that need others' packages."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from support import PATIENCE, run_python

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(
    r"<!-- not run: it needs (\w+);.*? -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
RECIPES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


ENVIRONMENT = {
    "QT_QPA_PLATFORM": "offscreen",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": f"{5 * PATIENCE:.0f}",
}


def run(package, source, folder):
    if not any(importlib.util.find_spec(name) for name in (package, package.lower())):
        pytest.skip(f"there is no {package}")
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8")
    environment = {**os.environ, **ENVIRONMENT, "PREFECT_HOME": str(folder)}
    done = run_python(program, env=environment, timeout=7 * PATIENCE)
    if "ImportError" in done.stderr and ".so" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])  # of a system without what Qt needs
    return done


@pytest.mark.parametrize("package", RECIPES)
def test_a_recipe_runs_to_its_end(package, tmp_path):
    # APScheduler leaves a job out that begins a second late.
    source = RECIPES[package].replace("add_job(job)", "add_job(job, misfire_grace_time=None)")
    done = run(package, source, tmp_path)
    assert done.returncode == 0, done.stderr


def test_they_are_found():
    assert set(RECIPES) == {"APScheduler", "Prefect", "PySide6"}

"""Scopes under fire: see scopes_fire.py, which is run here for a short while (S22-S27)."""

from __future__ import annotations

from pathlib import Path

import pytest
from chance import scaled
from support import PATIENCE, run_python

pytestmark = pytest.mark.stress
PROGRAM = Path(__file__).with_name("scopes_fire.py")


@pytest.mark.parametrize("workers", [4, 1])  # where others run, they may hide that one is lost
def test_each_scope_is_stopped_by_its_own_and_nothing_is_lost_or_left(workers):  # S22-S27
    done = run_python(
        *("-W", "ignore::DeprecationWarning", PROGRAM),  # of forks
        *("--workers", workers, "--scopes", scaled(80_000)),
        timeout=5 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr

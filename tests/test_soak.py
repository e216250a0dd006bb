"""The soak, a short one."""

from __future__ import annotations

import json
from pathlib import Path

from chance import anew, scaled
from support import PATIENCE, run_python

RUN = Path(__file__).parent / "soak" / "run.py"


def test_nothing_is_lost_and_nothing_is_left() -> None:  # S1-S27
    minutes = scaled(60) / 60  # at 3,000 percent these are thirty
    arguments = ("--minutes", minutes, "--round", 0.5)
    result = run_python(RUN, *arguments, timeout=20 * PATIENCE, env=anew())
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    rounds = [json.loads(line) for line in result.stdout.splitlines()]
    for name in ("operations", "asked", "raised", "asked_all", "forks", "signals"):
        assert sum(each.get(name, 0) for each in rounds) > 0, name

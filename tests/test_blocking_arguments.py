"""Calls in regions take and refuse the arguments that the originals take and refuse (S10)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from chance import scaled
from interruption import allow_interruption
from support import PATIENCE, run_python

PROGRAM = Path(__file__).with_name("arguments_program.py")
SEED = 14  # another: python tests/arguments_program.py SEED PERCENT PART [CALL ...]
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_arguments_of_every_kind_come_to_the_same_inside_and_outside(part):  # S10
    """Of every interposed call: the same result, or exception and text, and nothing else done."""
    arguments = (SEED, scaled(100), f"{part}/{PARTS}")
    done = run_python("-W", "ignore", PROGRAM, *arguments, timeout=10 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    *differences, last = done.stdout.splitlines()
    assert differences == []
    calls, made = map(int, last.split())
    assert calls > 50 // PARTS
    assert made > calls * scaled(100)


@pytest.mark.parametrize("arguments", [([0],), ([-1],), ([10**10],), (["x"],), (3,), ()])
def test_what_sigwait_refuses_it_refuses_in_a_region(arguments):  # S10
    """The program leaves it out: no signal handler ends it."""
    with pytest.raises((ValueError, TypeError, OSError, OverflowError)) as outside:
        signal.sigwait(*arguments)
    with allow_interruption, pytest.raises(outside.type) as inside:
        signal.sigwait(*arguments)
    assert str(inside.value) == str(outside.value)

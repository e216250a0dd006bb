"""Calls in regions take and refuse the arguments that the originals take and refuse (S10)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from interruption import allow_interruption
from support import PATIENCE, run_python, scaled

PROGRAM = Path(__file__).with_name("arguments_program.py")
SEED = 14  # another: python tests/arguments_program.py SEED COUNT [CALL ...]


def test_arguments_made_by_chance_come_to_the_same_inside_and_outside():  # S10
    """Of every interposed call: the same result, or exception and text, and nothing else done."""
    done = run_python("-W", "ignore", PROGRAM, SEED, scaled(100), timeout=10 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    *differences, last = done.stdout.splitlines()
    assert differences == []
    calls, made = map(int, last.split())
    assert calls > 60
    assert made == calls * scaled(100)


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    yield path
    os.close(descriptor)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {"zz": 5}), ((), {"file": 5}), (("r", -1, None, None, None, True, None, 1), {})],
)
def test_a_fifo_is_opened_by_the_arguments_that_open_takes(fifo, arguments, named):  # S10
    with pytest.raises(TypeError) as outside:
        io.open(fifo, *arguments, **named)  # noqa: SIM115, UP020  (what is tried)
    with allow_interruption, pytest.raises(TypeError) as inside:
        io.open(fifo, *arguments, **named)  # noqa: SIM115, UP020
    assert str(inside.value) == str(outside.value)


def test_all_is_read_without_arguments(fifo):  # S10
    with io.FileIO(fifo, "r+") as file:
        with pytest.raises(TypeError) as outside:
            file.readall(1)
        with allow_interruption, pytest.raises(TypeError) as inside:
            file.readall(1)
    assert str(inside.value) == str(outside.value)


@pytest.mark.parametrize("opens", [io.open, lambda path: os.open(path, os.O_RDONLY)])
def test_a_path_is_asked_for_its_name_once(tmp_path, opens):  # S10
    class Asked:
        times = 0

        def __fspath__(self):
            self.times += 1
            return str(tmp_path / "file")

    (tmp_path / "file").touch()
    path = Asked()
    with allow_interruption:
        made = opens(path)
    made.close() if hasattr(made, "close") else os.close(made)
    assert path.times == 1

"""The soak: a short one, and that what it looks for would be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from soak.accounts import GROWTH, Account, count, what_grows, what_is_left
from soak.crew import Crew, Station
from soak.run import Round
from soak.stations import Locks
from support import PATIENCE, scaled, seeded

RUN = Path(__file__).parent / "soak" / "run.py"


def soak(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20 * PATIENCE, check=False
    )


def test_nothing_is_lost_and_nothing_is_left() -> None:  # S1-S21
    minutes = scaled(60) / 60  # at 3,000 percent these are thirty
    result = soak("--minutes", minutes, "--round", 0.5, "--seed", os.getpid())
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    rounds = [json.loads(line) for line in result.stdout.splitlines()]
    for name in ("operations", "asked", "raised", "asked_all", "forks", "signals"):
        assert sum(each.get(name, 0) for each in rounds) > 0, name


def test_bad_arguments_are_told() -> None:
    result = soak("--minutes", -1)
    assert result.returncode == 2
    assert "--minutes must not be negative" in result.stderr


# What would be found. -----------------------------------------------------------------------------


@pytest.fixture
def before() -> Account:
    return count()


def test_a_descriptor_that_is_left_open(before: Account) -> None:
    ends = os.pipe()
    complaints = what_is_left(before, count())
    for end in ends:
        os.close(end)
    assert len(complaints) == 1
    assert "pipe" in complaints[0]
    assert what_is_left(before, count()) == []


def test_a_thread_that_goes_on(before: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soak.accounts.GOING", 0.1)
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    complaints = what_is_left(before, count(before))
    go.set()
    thread.join()
    assert [each.split(":")[0] for each in complaints] == ["threads", "tasks"]


def test_a_child_that_nobody_has_waited_for(
    before: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soak.accounts.GOING", 0.1)
    with subprocess.Popen([sys.executable, "-c", ""]):
        complaints = what_is_left(before, count(before))
    assert [each.split(":")[0] for each in complaints] == ["children"]


@pytest.mark.parametrize("name", GROWTH)
def test_memory_that_grows(name: str) -> None:
    start = Account(1, 1, 0, {}, 10**5, 10**7, 10**8)
    some = [start._replace(blocks=10**5 + 900 * (number % 3)) for number in range(12)]
    grown = [
        each._replace(**{name: getattr(each, name) + number * GROWTH[name]})
        for number, each in enumerate(some)
    ]
    assert what_grows(some) == []
    (complaint,) = what_grows(grown)
    assert complaint.startswith(name)


class Loses(Station):
    """It counts wrongly."""

    def open(self) -> None:
        self.crew.start(threading.Event().wait)

    def check(self) -> None:
        raise AssertionError("one is lost")


class Holds(Locks):
    """It keeps what it has acquired."""

    def change(self) -> None:
        self.guard.acquire()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("kind", "message"), [(Loses, "one is lost"), (Holds, "left it held")])
def test_a_rule_that_is_broken(kind: type[Station], message: str) -> None:
    chance = seeded(1)
    with pytest.raises(AssertionError, match=message):
        Round([kind], chance, 0.2).run()


def test_a_thread_that_does_not_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soak.crew.PATIENCE", 0.3)
    go = threading.Event()
    crew = Crew(seeded(1))
    crew.start(go.wait, threading.Lock())  # a region that is none
    with pytest.raises(AssertionError, match="wait does not end"):
        crew.end()
    go.set()
    crew.threads[0].join(PATIENCE)

"""The table of docs/frameworks.md: its command still measures, on what is installed."""

from __future__ import annotations

import math

import pytest
import table
from bodies import LIMIT
from support import PATIENCE, run_python

# With us nothing may be late for a machine that is busy; by itself it may come to whatever it does.
WITH_US = table.Options(("sleep",), 1, PATIENCE, LIMIT, PATIENCE)
ITSELF = table.Options(("sleep",), 1, 0.2, 0.2, 5)
FIRST = table.one_of_each([row for row in table.ROWS if row.framework != "pytest-timeout"])


@pytest.fixture
def own_threads():
    """As there: these end by themselves, or belong to the client."""
    names = ("Trio thread", "trio.", "AnyIO worker thread", "None from", "partial from")
    return (*names, "IO loop", "Dask-", "Profile", "TCP-Executor", "asyncio_")


@pytest.mark.parametrize("name", sorted(FIRST))
def test_a_row_is_measured_and_with_us_it_stops(name, tmp_path, request):
    row = FIRST[name]
    package = table.missing(row)
    if package is not None:
        pytest.skip(f"there is no {package}")
    redis = request.getfixturevalue("redis_socket") if "redis" in row.needs.split() else ""
    for number, way in enumerate(row.ways):
        ours = way.startswith(table.OURS)
        (tmp_path / str(number)).mkdir()
        options = WITH_US if ours else ITSELF
        found = table.measure(row, way, options, tmp_path / str(number), redis)
        (shot,) = found["sleep"]
        assert table.of_kind([shot])
        assert table.of_all(found)
        if ours:
            assert shot.late is not None
            assert shot.late != math.inf
            assert (shot.whole, shot.next) == (True, "whole")
            assert shot.why.startswith(("ThreadExit", "TaskCancelled", "TimeLimitExceeded"))


def test_the_command_prints_a_table():
    done = run_python(table.__file__, "--quick", "--only", "asyncio", "--no-costs")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| asyncio: cancel | by itself | runs on | " in done.stdout


def test_what_a_call_costs_is_measured(monkeypatch, capsys):
    pytest.importorskip("trio")
    pytest.importorskip("anyio")
    import round_trips

    monkeypatch.setattr(round_trips, "ROUNDS", 1)
    monkeypatch.setattr(round_trips, "CALLS", 10)
    round_trips.main()
    assert "| anyio on Trio | " in capsys.readouterr().out


def test_the_page_has_its_rows():
    page = (table.DOCS / "frameworks.md").read_text(encoding="utf-8")
    for row in table.ROWS:
        assert f"| {row.framework}: {row.job}" in page

"""The benchmarks' command: every part of it works, and a missed budget is named.

The figures of a smoke run mean nothing, and nothing is said about them here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support import PATIENCE, run_python

pytestmark = pytest.mark.anywhere

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = {
    "cost",
    "call",
    "loop",
    "wait",
    "code",
    "look",
    "woken",
    "crowd",
    "task",
    "cancel",
    "deadline",
    "group",
    "deadlines",
    "idle",
    "memory",
    "leak",
}


def installed(*names):
    return all(importlib.util.find_spec(name) is not None for name in names)


def one_version_is_enough():
    """Each version below full scale would be too slow; they differ in nothing but the figures."""
    return (
        sys.version_info[:2] != (3, 11) and int(os.environ.get("INTERRUPTION_STRESS", "10")) < 100
    )


def run(*arguments):
    return run_python(BENCHMARKS / "run.py", *arguments, timeout=5 * PATIENCE)


def expect_tables(text):
    """Every line of a table has as many cells as its head."""
    lines = text.splitlines()
    tables = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert len(tables) > 10
    for number in tables:
        cells = lines[number].count(" | ")
        end = next(n for n, line in enumerate([*lines, ""]) if n > number and line[:1] != "|")
        assert {line.count(" | ") for line in lines[number - 1 : end]} == {cells}


@pytest.fixture(scope="module")
def budgets():
    """The module of that name, as the benchmarks import it."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import budgets as module

        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def good(budgets):
    """A measurement, made up, that is exactly within every budget; as ``--output`` writes it."""
    series = {}

    def add(part, what, way, where, value):
        unit = "s" if part == "cost" else "bytes"
        key = (part, what, way, where)
        series.setdefault(key, dict(zip(("part", "what", "way", "where"), key, strict=True)))
        series[key] |= {"values": [value], "unit": unit}

    for budget in reversed(budgets.BUDGETS):  # what is compared with two others, with the stricter
        for what in budget.whats or ("anything",):
            place = budget.where or ""
            against = budget.against is not None or budget.against_way is not None
            add(budget.part, what, budget.way, place, budget.limit)
            if against:
                way = budget.way if budget.against_way is None else budget.against_way
                add(budget.part, budget.against or what, way, place, 1.0)
    for key in [key for key in series if key[2] == budgets.JAVA]:
        series[key]["values"] = [1.5]
    for key in [key for key in series if key[1] == budgets.cost.REQUESTED]:
        series[key]["values"] = [1.0]
    about = {"interpreter": "made up", "version": "3.0", "series": list(series.values())}
    return {"machine": "none", "measured": [about]}


def load(tmp_path, measurement, *arguments):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(measurement))
    return run("--load", path, *arguments)


def test_figures_within_all_budgets_pass(tmp_path, good):
    done = load(tmp_path, good, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "All budgets that were measured are met." in done.stdout
    assert "not measured" not in done.stdout
    expect_tables(done.stdout)


def as_measured(budgets, good):
    [one] = good["measured"]
    series = [budgets.Series(**each) for each in one["series"]]
    return budgets.Measured(one["interpreter"], one["version"], series)


def exceed(good, budget):
    """Have the first figure that the budget is about exceed it; its name, and what it was."""
    one = next(
        one
        for one in good["measured"][0]["series"]
        if (one["part"], one["way"]) == (budget.part, budget.way)
        and (not budget.whats or one["what"] in budget.whats)
        and budget.where in (None, one["where"])
    )
    before, one["values"] = one["values"], [max(budget.limit, 1.0) * 2]
    return one, before


def test_each_budget_is_missed_by_itself(good, budgets):
    for budget in budgets.BUDGETS:
        one, before = exceed(good, budget)
        measured = as_measured(budgets, good)
        missed = [verdict for verdict in budgets.verdicts(measured) if verdict.missed]
        one["values"] = before
        assert budget in [verdict.budget for verdict in missed]
        assert {verdict.what for verdict in missed} == {one["what"]}


def test_missed_budgets_are_named_and_fail_the_check(tmp_path, good, budgets):
    names = [(budget.promise, exceed(good, budget)[0]["what"]) for budget in budgets.BUDGETS]
    done = load(tmp_path, good, "--check")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    for promise, what in names:
        assert any(line.startswith(f"missed, 3.0: {promise}: {what}: ") for line in told), promise
    done = load(tmp_path, good)  # it is only told
    assert (done.returncode, done.stderr) == (0, "")


def test_a_later_run_of_an_interpreter_replaces_what_it_measured(tmp_path, good):
    [about] = good["measured"]
    cost = [{**one, "values": [1e9]} for one in about["series"] if one["part"] == "memory"]
    later = tmp_path / "later.json"
    later.write_text(json.dumps({"measured": [{**about, "series": cost}]}))
    done = load(tmp_path, good, later, "--check")
    missed = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(missed) == len(cost)
    assert all("a thread that never used the library" in line for line in missed)


def test_what_was_not_measured_is_said(tmp_path, good):
    good["measured"][0]["series"] = []
    done = load(tmp_path, good, "--check")
    assert done.returncode == 0
    assert done.stdout.count("not measured") == done.stdout.count("| <= ")


PAGE = "# Told\n\n<!-- table: {} -->\n\n{}\nThat is it.\n"


def test_tables_of_a_page_are_written_anew_and_its_text_is_kept(tmp_path, good):
    path = tmp_path / "page.md"
    for name, head in (
        ("budgets", "| budget |"),
        ("costs", "| what | 3.0 |"),
        ("costs 3", "| what |"),
    ):
        path.write_text(PAGE.format(name, "| old |\n| --- |\n| 1 |\n"))
        for _ in range(2):  # the second finds its own
            done = load(tmp_path, good, "--write", path)
            assert (done.returncode, done.stderr) == (0, "")
            before, _, after = path.read_text().partition(head)
            assert before == f"# Told\n\n<!-- table: {name} -->\n\n"
            assert after.endswith("|\n\nThat is it.\n")
            assert "old" not in after


@pytest.mark.parametrize("name", ["prices", "calls", "calls 3.1", "budgets 3.0"])
def test_a_page_that_asks_for_what_is_not_there_stays_as_it_is(tmp_path, good, name):
    path = tmp_path / "page.md"
    text = PAGE.format(name, "| old |\n")
    path.write_text(text)
    done = load(tmp_path, good, "--write", path)
    assert done.returncode == 1
    assert "there is no table" in done.stderr or "not measured" in done.stderr
    assert path.read_text() == text


@pytest.mark.stress
@pytest.mark.skipif(not installed("pyperf", "setuptools"), reason="the extra bench is not there")
@pytest.mark.skipif(one_version_is_enough(), reason="on 3.11 only, below full scale")
def test_every_part_works(tmp_path):
    done = run("--quick", "--output", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    [measured] = json.loads((tmp_path / "figures.json").read_text())["measured"]
    assert {one["part"] for one in measured["series"]} == PARTS
    woken = [one for one in measured["series"] if one["part"] == "wait"]
    assert all(one["values"] for one in woken if one["way"] == "interrupt()"), "not interrupted"
    leaks = [one for one in measured["series"] if one["part"] == "leak"]
    assert all(one["values"] == [0.0] for one in leaks if one["way"] == "interrupt()")
    text = (tmp_path / "figures.md").read_text()
    assert text == done.stdout
    expect_tables(text)


@pytest.mark.skipif(not installed("matplotlib"), reason="the extra plots is not there")
def test_plots_are_drawn(tmp_path, good):
    done = load(tmp_path, good, "--plots", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = sorted(tmp_path.glob("*.svg"))
    assert len(drawn) > 3
    for path in drawn:
        assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - drawn just now

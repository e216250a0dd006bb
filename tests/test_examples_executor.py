"""The examples around ThreadPoolExecutor, as real processes."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from support import PATIENCE, start_example


@pytest.fixture
def database(tmp_path):
    return tmp_path / "numbers.db"


def rows_of(database, table):
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608


# A query. -----------------------------------------------------------------------------------------


def test_a_short_query_has_its_result(database):
    with start_example("sqlite_query.py", "--rows", 50, database) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    expected = sum(a * b % 7 == 3 for a in range(50) for b in range(50))
    assert (process.returncode, stdout, stderr) == (0, f"counting\n{expected} pairs\n", "")
    assert rows_of(database, "counts") == 1


def test_a_query_that_takes_too_long_is_cancelled(database):
    with start_example(
        "sqlite_query.py", "--timeout", 0.2, "--rows", 1_000_000, database
    ) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 124, stderr
    assert stdout.startswith("counting\ntime is up after ")
    assert stdout.endswith("; counts written: 0\n")
    assert rows_of(database, "numbers") == 1_000_000  # and no lock is left on it


def test_ctrl_c_cancels_a_query(database):
    with start_example("sqlite_query.py", "--rows", 1_000_000, database) as process:
        assert process.stdout.readline() == "counting\n"
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stdout.startswith("interrupted after ")
    assert stdout.endswith("; counts written: 0\n")
    assert rows_of(database, "counts") == 0


# An agent's tools. --------------------------------------------------------------------------------


class Agent:
    def __init__(self):
        self.process = start_example("agent_tools.py", stdin=subprocess.PIPE)

    def say(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def told(self):
        return json.loads(self.process.stdout.readline())

    def until_it_runs(self, line):
        assert self.process.stderr.readline() == f"running {line}\n"


@pytest.fixture
def agent():
    agent = Agent()
    with agent.process:
        yield agent
        agent.process.stdin.close()
        assert agent.process.wait(PATIENCE) == 0
        assert agent.process.stderr.read() == ""


def test_tools_have_results_and_errors(agent, tmp_path):
    (tmp_path / "a").write_text("a needle")
    (tmp_path / "b").write_text("hay")
    for line, told in [
        (f"search needle {tmp_path}", {"result": "1 files"}),
        ("shell echo hello", {"result": "hello\n"}),
        ("compute 1", {"result": "48271"}),
    ]:
        agent.say(line)
        agent.until_it_runs(line)
        assert agent.told() == {"call": line, **told}
    agent.say("compute x")
    agent.until_it_runs("compute x")
    assert agent.told()["error"].startswith("ValueError: invalid literal")
    agent.say("dance")
    assert agent.told() == {
        "call": "dance",
        "error": "no such tool: give one of search, shell, compute",
    }


@pytest.mark.parametrize("line", ["compute 1000000000000", "shell sleep 3600"])
def test_the_user_stops_a_tool_and_the_agent_goes_on(agent, line):
    agent.say(line)
    agent.until_it_runs(line)
    agent.say("/stop")
    assert agent.told() == {"call": line, "stopped": "by the user"}
    agent.say("compute 1")
    agent.until_it_runs("compute 1")
    assert agent.told() == {"call": "compute 1", "result": "48271"}


def test_a_stopped_command_is_gone(agent, tmp_path):
    mark = tmp_path / "mark"
    line = f"shell sh -c 'echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 3600'"
    agent.say(line)
    agent.until_it_runs(line)
    while not mark.exists():
        assert agent.process.poll() is None
    agent.say("/stop")
    assert "stopped" in agent.told()
    assert not Path("/proc", mark.read_text().strip()).exists()


def test_the_end_of_the_input_stops_the_tool(agent):
    agent.say("shell sleep 3600")
    agent.until_it_runs("shell sleep 3600")
    agent.process.stdin.close()
    assert agent.told() == {"call": "shell sleep 3600", "stopped": "by the user"}

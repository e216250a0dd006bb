"""interruption.dask: tasks that are cancelled on workers that are processes (S29)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from pages import code_of
from said import Said
from servers import start, until_up
from support import PATIENCE, run_python, until

distributed = pytest.importorskip("distributed")

import bodies  # noqa: E402
import dask_tasks  # noqa: E402
from interruption.dask import InterruptCancelled  # noqa: E402

HERE = Path(__file__).parent
PATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{PATIENCE:.0f}s"}
STOPPED = ["TaskCancelled the task was cancelled", "finally"]


@pytest.fixture
def own_threads():
    """The client's event loop and its helpers; the fixtures below outlive a test."""
    return ("IO loop", "Dask-", "Profile", "TCP-Executor", "asyncio_")


@contextlib.contextmanager
def cluster(folder):
    """A scheduler, and two workers as users start them."""
    address, log = folder / "scheduler.json", folder / "log"
    quiet = ["--no-dashboard", "--scheduler-file", str(address), "--host", "127.0.0.1"]
    dask = [sys.executable, "-m", "dask"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=":")
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        scheduler = start([*dask, "scheduler", "--port", "0", *quiet], folder / "scheduler.log")
        until_up(address.stat, scheduler, folder / "scheduler.log")
        options = ["--nworkers", "2", "--nthreads", "2", "--preload", "interruption.dask"]
        worker = start([*dask, "worker", *options, *quiet], log)
        try:
            yield address, log, scheduler
        finally:
            for server in (worker, scheduler):
                server.terminate()
                server.wait(PATIENCE)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """The file that tells where their scheduler is, and their log."""
    with cluster(tmp_path_factory.mktemp("dask")) as (address, log, _):
        yield address, log


@pytest.fixture(scope="module")
def client(workers):
    with distributed.Client(scheduler_file=str(workers[0]), timeout=PATIENCE) as client:
        client.wait_for_workers(2)
        yield client


class Task(Said):
    """One that runs, and what it has said."""

    def __init__(self, client, kind, folder, name="task"):
        super().__init__(folder / name)
        self.future = client.submit(dask_tasks.run, kind, str(self.file), pure=False)
        self.until("begin")


@pytest.mark.parametrize("kind", [*bodies.FOR_EVER, "numpy", "seceded"])
def test_a_task_that_is_cancelled_stops_and_cleans_up(client, tmp_path, kind):
    if kind == "numpy":
        pytest.importorskip("numpy")
    task = Task(client, kind, tmp_path)
    task.future.cancel()
    task.until("finally")
    assert task.said() == ["begin", *STOPPED]


def test_a_task_that_nobody_wants_any_more_stops(client, tmp_path):
    task = Task(client, "sleep", tmp_path)
    del task.future
    task.until("finally")
    assert task.said() == ["begin", *STOPPED]


def test_every_thread_of_every_worker_is_free_again(client, tmp_path):
    """As many as there are threads, and then others in their place."""
    for turn in range(2):
        tasks = [Task(client, "sleep", tmp_path, f"{turn}-{each}") for each in range(4)]
        client.cancel([task.future for task in tasks])
        for task in tasks:
            task.until("finally")
    assert client.gather(client.map(abs, range(-8, 0), pure=False)) == [*range(8, 0, -1)]


def test_only_the_one_that_is_cancelled_is_stopped(client, tmp_path):
    tasks = [Task(client, "sleep", tmp_path, str(each)) for each in range(3)]
    tasks[1].future.cancel()
    tasks[1].until("finally")
    assert [tasks[0].said(), tasks[2].said()] == [["begin"], ["begin"]]
    client.cancel([task.future for task in tasks])
    for task in tasks:
        task.until("finally")


def test_a_lock_is_given_up_first(client, tmp_path):
    task = Task(client, "holds", tmp_path)
    task.until("locked")
    task.future.cancel()
    task.go()
    task.until("finally")
    assert task.said() == ["begin", "locked", "unlocked", *STOPPED]


def test_a_key_that_is_wanted_again_while_it_stops_runs_again(client, workers, tmp_path):
    """By another client: the one that has cancelled may yet hear that it has."""
    task = Said(tmp_path / "task")
    call = [dask_tasks.begin_again, str(task.file)]
    on_one = {"key": "again", "workers": list(client.scheduler_info()["workers"])[:1]}
    future = client.submit(*call, **on_one)
    task.until("begin")
    future.cancel()
    task.until("stops")
    options = {"timeout": PATIENCE, "set_as_default": False}
    with distributed.Client(scheduler_file=str(workers[0]), **options) as other:
        wanted = other.submit(*call, **on_one)
        known = "again"
        until(lambda: other.run_on_scheduler(lambda dask_scheduler: known in dask_scheduler.tasks))
        task.go()
        assert wanted.result(PATIENCE) == "done"
    assert task.said() == ["begin", "stops", "again"]


def test_what_it_has_begun_by_worker_client_stops_too(client, tmp_path):
    task = Task(client, "inner", tmp_path)
    inner = Said(f"{task.file}.inner")
    inner.until("begin")
    task.future.cancel()
    task.until("finally")
    inner.until("finally")
    assert inner.said() == ["begin", *STOPPED]
    until(lambda: not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


def test_one_that_swallows_it_is_reported_by_its_name(client, workers, tmp_path):
    client.register_plugin(InterruptCancelled(report_after=0.1))
    task = Task(client, "swallows", tmp_path)
    key = task.future.key
    task.future.cancel()
    said = f"{key!r} still runs, 0.1 s after it was asked to stop (the task was cancelled): "
    until(lambda: said in workers[1].read_text())
    task.go()
    task.until("finally")
    assert task.said() == ["begin", "swallowed", "finally"]
    client.register_plugin(InterruptCancelled())


def test_registered_again_it_knows_what_has_begun_before(client, tmp_path):
    task = Task(client, "sleep", tmp_path)
    for _ in range(2):
        client.register_plugin(InterruptCancelled())
    task.future.cancel()
    task.until("finally")
    assert task.said() == ["begin", *STOPPED]


def test_a_version_that_is_not_known_is_refused_by_what_it_lacks():
    state = types.SimpleNamespace()
    worker = types.SimpleNamespace(state=state, status=None)
    with pytest.raises(
        NotImplementedError, match=r"no WorkerState\.tasks, Worker\.executors: use one"
    ):
        InterruptCancelled().setup(worker)


def test_a_scheduler_that_is_gone_takes_what_runs_with_it(tmp_path):
    """Its workers close."""
    with cluster(tmp_path) as (address, _, scheduler):
        options = {"timeout": PATIENCE, "set_as_default": False}
        client = distributed.Client(scheduler_file=str(address), **options)
        client.wait_for_workers(2)
        task = Task(client, "sleep", tmp_path)
        scheduler.kill()
        task.until("finally")
        client.close()
    assert task.said() == ["begin", "TaskCancelled the worker closes", "finally"]


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_a_time_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="give seconds"):
        InterruptCancelled(report_after=value)


def run_program(source, folder):
    """A user's program in a file, which is the ``__main__`` of its functions."""
    program = folder / "program.py"
    program.write_text(textwrap.dedent(source), encoding="utf-8")
    done = run_python(program, folder, env={**os.environ, **PATIENT}, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_the_program_of_the_page(tmp_path):
    values = {"Client()": "Client(n_workers=1, dashboard_address=None)"}
    waits = {"time.sleep(5)": "input()", "time.sleep(1)": "input()"}
    (tmp_path / "program.py").write_text(code_of("dask", values | waits), encoding="utf-8")
    with (tmp_path / "log").open("w+") as log:
        with subprocess.Popen(
            [sys.executable, tmp_path / "program.py"], cwd=tmp_path, env={**os.environ, **PATIENT},
            text=True, stdin=subprocess.PIPE, stdout=log, stderr=log,
        ) as program:  # fmt: skip
            for event in ("begun", "closed"):
                until(lambda event=event: event in (tmp_path / "log").read_text())
                print(file=program.stdin, flush=True)
            assert program.wait(PATIENCE) == 0


def test_functions_of_main_that_name_regions_travel_and_a_closing_worker_stops_its_tasks(tmp_path):
    source = """
        import logging, pathlib, sys, time
        from distributed import Client, LocalCluster
        from interruption import Scope, allow_interruption, defer_interruption, timeout
        from interruption.dask import InterruptCancelled

        folder = pathlib.Path(sys.argv[1])

        @defer_interruption
        def clean():
            (folder / "clean").touch()

        def work():
            try:
                with timeout(100), allow_interruption, Scope():
                    (folder / "begun").touch()
                    time.sleep(100)
            finally:
                clean()

        def until(file):
            while not (folder / file).exists():
                time.sleep(0.01)
            (folder / file).unlink()

        if __name__ == "__main__":
            options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
            with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
                client.register_plugin(InterruptCancelled())
                future = client.submit(work, pure=False)
                until("begun")
                future.cancel()
                until("clean")
                future = client.submit(work, pure=False)
                until("begun")
            until("clean")
            print("done")
    """
    assert run_program(source, tmp_path)[:2] == (0, "done\n")


def test_who_is_cancelled_at_random_is_hit_and_nobody_else():
    options = {"env": {**os.environ, **PATIENT}, "timeout": 3 * PATIENCE}
    done = run_python(HERE / "dask_stress.py", 96, 0.02, 0.2, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hit though not cancelled: 0, wrong results: 0" in done.stdout

"""interruption.celery: a worker as users start it, with Redis."""

from __future__ import annotations

import os
import queue
import signal
import sys
from pathlib import Path

import pytest
from pages import reading
from said import Said
from servers import start
from support import PATIENCE, expect_script, run_python, until

celery = pytest.importorskip("celery")
pytest.importorskip("redis")

import bodies  # noqa: E402
from bodies import LIMIT  # noqa: E402
from celery.concurrency.base import BasePool  # noqa: E402
from celery.exceptions import (  # noqa: E402
    Ignore,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
)
from interruption.celery import TaskPool  # noqa: E402

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency", "2"]
QUIET = ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]


class Worker:
    """The process, and its app here."""

    def __init__(self, app, folder):
        self.app = app
        self.queue = folder.name  # of its own
        self.log = folder / "log"
        self.process = start([*COMMAND, *QUIET, "-Q", self.queue], self.log)
        until(lambda: "ready." in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def send(self, kind, file, name="run", **options):
        """A task that runs; what it says, and its result."""
        arguments = {"path": str(file)} | ({"kind": kind} if kind else {})
        task = Said(file)
        options["queue"] = self.queue
        task.result = self.app.send_task(f"celery_app.{name}", kwargs=arguments, **options)
        if kind != "quick":
            task.until("begin")
        return task

    def close(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def app(redis_socket, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=":")
        patch.setenv("CELERY_APP_SOCKET", redis_socket)
        patch.chdir(tmp_path_factory.mktemp("celery"))
        url = f"redis+socket://{redis_socket}"
        with celery.Celery("tests", broker=url, backend=url) as app:
            yield app


@pytest.fixture(scope="module")
def worker(app, tmp_path_factory):
    worker = Worker(app, tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


def outcome(result):
    """Whatever it is, when it is there."""
    until(lambda: result.state in ("SUCCESS", "FAILURE", "REVOKED", "IGNORED"))
    return result.state, result.result


def over_or_ignored(task):
    """Celery's own "started", by the task's thread, may be stored after its "revoked"."""
    over = ("SUCCESS", "REVOKED")
    until(lambda: task.result.state in over or "state IGNORED" in task.said())


@pytest.mark.parametrize("kind", bodies.FOR_EVER)
def test_a_task_that_is_revoked_stops_and_cleans_up(worker, tmp_path, kind):
    task = worker.send(kind, tmp_path / "task")
    task.result.revoke(terminate=True)
    task.until("state IGNORED")
    assert task.said() == ["begin", "ThreadExit terminated", "finally", "state IGNORED"]
    state, error = outcome(task.result)
    assert state == "REVOKED"
    assert isinstance(error, TaskRevokedError)


@pytest.mark.parametrize("kinds", bodies.PAIRS)
def test_a_time_limit_reaches_whatever_it_does(worker, tmp_path, kinds):
    reason = f"ThreadExit time limit of {LIMIT} s"
    tasks = [worker.send(kind, tmp_path / kind, time_limit=LIMIT) for kind in kinds]
    for task in tasks:
        state, error = outcome(task.result)
        assert state == "FAILURE"
        assert isinstance(error, TimeLimitExceeded)
        task.until("state IGNORED")
        assert task.said() == ["begin", reason, "finally", "state IGNORED"]


def test_a_soft_limit_is_celerys_exception(worker, tmp_path):
    task = worker.send("sleep", tmp_path / "task", soft_time_limit=LIMIT)
    state, error = outcome(task.result)
    assert state == "FAILURE"
    assert isinstance(error, SoftTimeLimitExceeded)
    assert task.said()[:3] == ["begin", "SoftTimeLimitExceeded None", "finally"]
    until(lambda: f"Soft time limit ({LIMIT}s) exceeded" in worker.log.read_text())


def test_a_task_may_catch_its_soft_limit(worker, tmp_path):
    task = worker.send(None, tmp_path / "task", "tidies", soft_time_limit=LIMIT)
    assert outcome(task.result) == ("SUCCESS", "what there is")


def test_after_the_soft_limit_the_hard_one_breaks_in(worker, tmp_path):
    # The second comes when the first has been swallowed.
    hard = LIMIT * 2
    task = worker.send("swallows", tmp_path / "task", soft_time_limit=LIMIT, time_limit=hard)
    assert outcome(task.result)[0] == "FAILURE"
    task.until("state IGNORED")
    assert task.said()[:2] == ["begin", "swallowed"]
    assert f"ThreadExit time limit of {hard} s" in task.said()


def test_a_lock_is_given_up_first(worker, tmp_path):
    task = worker.send("holds", tmp_path / "task")
    task.until("locked")
    task.result.revoke(terminate=True)
    task.go()
    task.until("finally")
    assert task.said()[1:4] == ["locked", "unlocked", "ThreadExit terminated"]


def test_a_task_within_a_task_is_its_own_part(worker, tmp_path):
    task = worker.send(None, tmp_path / "task", "calls_another")
    task.result.revoke(terminate=True)
    task.until("state IGNORED")
    assert outcome(task.result)[0] == "REVOKED"


def test_a_message_that_is_acknowledged_late_is_so_once(worker, tmp_path):
    task = worker.send("sleep", tmp_path / "task", "late")
    task.result.revoke(terminate=True)
    task.until("state IGNORED")
    assert outcome(worker.send("quick", tmp_path / "next").result) == ("SUCCESS", "done")
    assert task.said().count("begin") == 1


def test_the_next_message_of_that_thread_is_never_hit(worker, tmp_path):
    """Each is revoked about when it ends; what was sent in between is not."""
    for turn in range(20):
        first = worker.send("quick", tmp_path / f"first-{turn}")
        others = [worker.send("quick", tmp_path / f"{turn}-{each}") for each in range(3)]
        first.result.revoke(terminate=True)
        for other in others:
            assert outcome(other.result) == ("SUCCESS", "done")
        over_or_ignored(first)


def test_one_that_swallows_it_is_reported_by_its_name(app, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_APP_POOL", "celery_app:QuickToReport")
        worker = Worker(app, tmp_path)
    task = worker.send("swallows", tmp_path / "task")
    task.result.revoke(terminate=True)
    name = f"Task celery_app.run[{task.result.id}] still runs, 0.1 s after it was asked to stop"
    until(lambda: f"{name} (terminated): " in worker.log.read_text())
    task.go()
    task.until("finally")
    worker.close()


def test_a_cold_shutdown_interrupts_what_runs(app, tmp_path):
    worker = Worker(app, tmp_path)
    task = worker.send("sleep", tmp_path / "task")
    worker.close(signal.SIGQUIT)
    assert task.said()[:3] == ["begin", "ThreadExit terminated", "finally"]


def test_the_program_of_the_page(redis_socket, tmp_path):
    broker = {"redis://localhost": f"redis+socket://{redis_socket}"}
    with reading("celery", tmp_path, "celery", broker) as reader:
        reader.types(before_last="begun")
        reader.sees("closed")


def test_a_broker_that_is_down_ends_the_worker(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(HERE), "CELERY_APP_SOCKET": "/nowhere"}
    done = run_python(*COMMAND[1:], *QUIET, env=environment, cwd=tmp_path)
    assert done.returncode != 0
    assert "/nowhere" in done.stdout + done.stderr


def test_a_version_that_is_not_known_is_refused_by_what_it_lacks(monkeypatch):
    pool = TaskPool(limit=1)
    with pytest.raises(NotImplementedError, match="no soft_timeout, timeout_callback; use one"):
        pool.apply_async(print, timeout=None)
    monkeypatch.delattr(BasePool, "terminate_job")
    with pytest.raises(NotImplementedError, match=r"celery 5\..* no terminate_job; use one"):
        TaskPool(limit=1)


@pytest.mark.parametrize("terminate", [TaskPool.terminate_job, lambda pool, _: pool.terminate()])
def test_two_pools_for_one_app_stop_their_own_tasks(terminate):
    """A task is called through both; it is that of the pool that runs it."""
    app = celery.Celery("twice", broker="memory://")
    accepted, said = queue.Queue(), queue.Queue()

    @app.task(shared=False)
    def waits():
        try:
            said.put("begin")
            queue.Queue().get()
        except BaseException as error:
            said.put(error.reason)
            raise

    pools = [TaskPool(limit=1, app=app) for _ in range(2)]
    for pool in pools:
        pool.start()
    for pool in pools:
        limits = dict.fromkeys(("soft_timeout", "timeout", "timeout_callback"))
        taken = {"accept_callback": lambda pid, _: accepted.put(pid)}
        result = pool.apply_async(lambda: waits.run(), callback=print, **taken, **limits)
        assert said.get(timeout=PATIENCE) == "begin"
        terminate(pool, accepted.get(timeout=PATIENCE))
        assert said.get(timeout=PATIENCE) == "terminated"
        with pytest.raises(Ignore):
            result.get(PATIENCE)
        pool.stop()


def test_a_signal_that_stops_the_pool_in_the_midst_of_submit_does_not_wait_for_it():
    """Celery's cold shutdown does so."""
    expect_script(
        """
        import celery, signal
        from interruption.celery import TaskPool

        class Lock:
            def __init__(self, lock):
                self.lock = lock

            def __enter__(self):
                self.lock.acquire()
                signal.raise_signal(signal.SIGUSR1)

            def __exit__(self, *_):
                self.lock.release()

        def handle(*_):
            print("stop")
            pool.stop()

        pool = TaskPool(limit=1, app=celery.Celery("app", broker="memory://"))
        pool.start()
        signal.signal(signal.SIGUSR1, handle)
        lock = pool.executor._shutdown_lock
        pool.executor._shutdown_lock = Lock(lock)
        limits = dict.fromkeys(("soft_timeout", "timeout", "timeout_callback"))
        pool.apply_async(print, ["runs"], callback=id, accept_callback=max, **limits).get()
        pool.executor._shutdown_lock = lock
        pool.terminate()
        """,
        stdout="stop\nruns\n",
    )

"""interruption.huey: a consumer as users start it, with Redis."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import bodies
import pytest
from bodies import LIMIT
from pages import reading
from said import Said
from servers import redis_server, start
from support import PATIENCE, expect_script, run_python, until

huey = pytest.importorskip("huey")
pytest.importorskip("redis")

from huey.exceptions import TaskException  # noqa: E402
from interruption.huey import interrupt_tasks  # noqa: E402

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "huey.bin.huey_consumer", "huey_app.huey", "-k", "thread"]


class Consumer:
    def __init__(self, app, folder):
        self.app = app
        self.log = folder / "log"
        self.process = start([*COMMAND, "--workers", "2"], self.log)
        until(lambda: "consumer started" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def send(self, kind, file, name="run", **options):
        """A task that runs, and what it says."""
        task = Said(file)
        arguments = [kind, str(file)] if kind else [str(file)]
        task.result = getattr(self.app, name).s(*arguments, **options)
        task.result = self.app.huey.enqueue(task.result)
        if kind != "quick":
            task.until("begin")
        return task

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def app(redis_socket, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=":")
        patch.setenv("HUEY_APP_SOCKET", redis_socket)
        patch.setenv("HUEY_APP_REPORT", "0.1")
        patch.chdir(tmp_path_factory.mktemp("huey"))
        import huey_app

        yield huey_app


@pytest.fixture(scope="module")
def consumer(app, tmp_path_factory):
    consumer = Consumer(app, tmp_path_factory.mktemp("consumer"))
    yield consumer
    consumer.close()


def error_of(task):
    with pytest.raises(TaskException) as caught:
        task.result.get(blocking=True, timeout=PATIENCE)
    return caught.value.metadata["error"]


@pytest.mark.parametrize("kinds", bodies.PAIRS)
def test_a_timeout_reaches_whatever_it_does(consumer, tmp_path, kinds):
    tasks = [consumer.send(kind, tmp_path / kind, timeout=LIMIT) for kind in kinds]
    for task in tasks:
        assert "TaskTimeout" in error_of(task)
        assert task.said() == ["begin", "ThreadExit deadline", "finally"]


@pytest.mark.parametrize("kind", bodies.FOR_EVER)
def test_a_task_that_is_revoked_stops_and_cleans_up(consumer, tmp_path, kind):
    task = consumer.send(kind, tmp_path / "task")
    task.result.revoke()
    assert "it was revoked while it ran" in error_of(task)
    assert task.said() == ["begin", "ThreadExit revoked", "finally"]


def test_a_timeout_of_its_own_is_its_own(consumer, tmp_path):
    task = consumer.send("gives up", tmp_path / "task", timeout=PATIENCE)
    assert "TimeoutError" in error_of(task)
    assert "TaskTimeout" not in error_of(task)


def test_a_lock_is_given_up_first(consumer, tmp_path):
    task = consumer.send("holds", tmp_path / "task", timeout=LIMIT)
    task.until("locked")
    until(lambda: f"run[{task.result.id}] still runs, " in consumer.log.read_text())
    task.go()
    assert "TaskTimeout" in error_of(task)
    assert task.said()[1:4] == ["locked", "unlocked", "ThreadExit deadline"]


def test_one_that_was_too_slow_is_tried_again_as_huey_does(consumer, tmp_path):
    task = consumer.send(None, tmp_path / "task", "may_be_tried_again")
    until(lambda: len(task.said()) == 5)  # its result may be the first time's error for a while
    assert task.said() == ["begin", "ThreadExit deadline", "finally", "begin", "finally"]


def test_a_revoke_is_for_one_run(consumer, tmp_path):
    task = consumer.send("sleep", tmp_path / "task")
    task.result.revoke()
    error_of(task)
    until(lambda: not task.result.is_revoked())
    another = consumer.send("sleep", tmp_path / "another")
    another.result.revoke()  # who looks at this one might look at the first one, too
    error_of(another)
    assert f"run[{task.result.id}] still runs" not in consumer.log.read_text()


def test_the_next_task_of_that_thread_is_never_hit(consumer, tmp_path):
    """Limits pass, and revokes come, about when tasks end."""
    for turn in range(10):
        tasks = [
            consumer.send("quick", tmp_path / f"{turn}-{each}", timeout=limit)
            for each, limit in enumerate([0.01, 60, 0.001, 60])
        ]
        tasks[0].result.revoke()
        for task in tasks[1::2]:
            assert task.result.get(blocking=True, timeout=PATIENCE) == "done"
            assert task.said() == ["begin", "finally"]


@pytest.mark.parametrize("how", ["timeout", "revoke"])
def test_one_that_swallows_it_is_reported_by_its_name(consumer, tmp_path, how):
    task = consumer.send("swallows", tmp_path / "task", timeout=LIMIT if how == "timeout" else None)
    if how == "revoke":
        task.result.revoke()
    why = {"timeout": f"it has a timeout of {LIMIT} seconds", "revoke": "revoked"}[how]
    said = f"run[{task.result.id}] still runs, 0.1 s after it was asked to stop ({why}): "
    until(lambda: said in consumer.log.read_text())
    task.go()
    assert task.result.get(blocking=True, timeout=PATIENCE) == "all the same"


def test_the_program_of_the_page(redis_socket, tmp_path):
    storage = {'RedisHuey("shop")': f'RedisHuey("shop", url="unix://{redis_socket}")'}
    with reading("huey", tmp_path, "huey_consumer", storage) as reader:
        reader.types(before_last="begun")
        reader.sees("closed")


def test_a_storage_that_is_down_is_told_once_and_timeouts_work(app, tmp_path):
    send = "enqueue(huey_app.run.s('sleep', sys.argv[1], timeout=float(sys.argv[2])))"
    with redis_server() as (socket, redis), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUEY_APP_SOCKET", socket)
        consumer = Consumer(app, tmp_path)
        task = Said(tmp_path / "task")
        command = ["-c", f"import sys, huey_app; huey_app.huey.{send}", task.file, 2 * LIMIT]
        assert run_python(*command, env=dict(os.environ)).returncode == 0
        task.until("begin")
        redis.kill()
        said = "Whether tasks are revoked cannot be told at present"
        until(lambda: said in consumer.log.read_text())
        task.until("finally")
    assert task.said() == ["begin", "ThreadExit deadline", "finally"]
    assert consumer.log.read_text().count(said) == 1
    consumer.close()


def test_nothing_is_kept_of_a_task_that_has_ended():
    expect_script(
        """
        import gc, threading, weakref
        from huey import MemoryHuey
        from interruption.huey import interrupt_tasks

        huey = MemoryHuey()
        interrupt_tasks(huey)

        @huey.task()
        def quick():
            print("runs")

        task = quick.s()
        kept = weakref.ref(task)
        worker = threading.Thread(target=huey.execute, args=(task,))
        worker.start()
        worker.join()
        del task, worker
        gc.collect()
        print(kept())
        """,
        stdout="runs\nNone\n",
    )


@pytest.mark.parametrize("times", [{"look_every": 0}, {"report_after": float("nan")}])
def test_bad_input_is_refused(times):
    with pytest.raises(ValueError, match="give seconds"):
        interrupt_tasks(huey.MemoryHuey(), **times)
    with pytest.raises(NotImplementedError, match="no pre_execute, is_revoked"):
        interrupt_tasks(object())

"""interruption.dramatiq: a worker as users start it, with Redis."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import types
from pathlib import Path

import bodies
import pytest
from bodies import LIMIT
from pages import reading
from said import Said
from servers import start
from support import PATIENCE, run_python, until

dramatiq = pytest.importorskip("dramatiq")
pytest.importorskip("redis")

from interruption.dramatiq import Interruption  # noqa: E402

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "dramatiq", "dramatiq_app", "--processes", "1", "--threads", "2"]


class Worker:
    def __init__(self, app, folder):
        self.app = app
        self.log = folder / "log"
        self.namespace = folder.name  # its messages are for no other worker
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRAMATIQ_APP_NAMESPACE", self.namespace)
            self.process = start(COMMAND, self.log)
        until(lambda: "is ready for action" in self.log.read_text())

    def send(self, kind, file, **options):
        """A message whose actor runs, and what it says."""
        task = Said(file)
        self.app.broker.namespace = self.namespace
        task.message = self.app.run.send_with_options(args=(kind, str(file)), **options)
        if kind != "quick":
            task.until("begin")
        return task

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def app(redis_socket, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=":")
        patch.setenv("DRAMATIQ_APP_SOCKET", redis_socket)
        patch.chdir(tmp_path_factory.mktemp("dramatiq"))
        import dramatiq_app

        yield dramatiq_app
        dramatiq_app.broker.close()


@pytest.fixture(scope="module")
def worker(app, tmp_path_factory):
    worker = Worker(app, tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


def told(name):
    return ["begin", f"{name} None", "finally"]


@pytest.mark.parametrize("kinds", bodies.PAIRS)
def test_a_time_limit_reaches_whatever_it_does(worker, tmp_path, kinds):
    tasks = [worker.send(kind, tmp_path / kind, time_limit=LIMIT * 1000) for kind in kinds]
    for task in tasks:
        task.until("finally")
        assert task.said() == told("TimeLimitExceeded")


def test_the_log_has_the_place_where_it_was(worker, tmp_path):
    task = worker.send("queue", tmp_path / "task", time_limit=LIMIT * 1000)
    name = f"run[{task.message.message_id}]"
    until(lambda: f"TimeLimitExceeded: {name} is interrupted." in worker.log.read_text())
    until(lambda: '"queue": lambda: queue.Queue().get()' in worker.log.read_text())


def test_a_lock_is_given_up_first(worker, tmp_path):
    task = worker.send("holds", tmp_path / "task", time_limit=LIMIT * 1000)
    task.until("locked")
    until(lambda: f"[{task.message.message_id}] is interrupted." in worker.log.read_text())
    task.go()
    task.until("finally")
    assert task.said()[1:4] == ["locked", "unlocked", "TimeLimitExceeded None"]


def test_a_result_in_time_stands_and_the_next_message_is_never_hit(worker, tmp_path):
    """Limits pass about when their messages end; others have the same threads then."""
    for turn in range(20):
        some = [
            worker.send("quick", tmp_path / f"{turn}-{each}", time_limit=limit)
            for each, limit in enumerate([5, 60_000, 1, 60_000])
        ]
        for task in some[1::2]:
            assert task.message.get_result(block=True, timeout=100_000) == "done"
            assert task.said() == ["begin", "finally"]


def test_an_actor_that_is_aborted_stops(worker, tmp_path):
    dramatiq_abort = pytest.importorskip("dramatiq_abort")
    task = worker.send("lock", tmp_path / "task")
    dramatiq_abort.abort(task.message.message_id)
    task.until("finally")
    assert task.said() == told("Abort")


def test_shutting_down_interrupts_who_wants_to_know(app, tmp_path):
    worker = Worker(app, tmp_path)
    app.broker.namespace = worker.namespace
    app.may_be_shut_down.send(str(tmp_path / "task"))
    task = Said(tmp_path / "task")
    task.until("begin")
    worker.close()
    assert task.said() == told("Shutdown")


def test_one_that_swallows_it_is_reported_by_its_name(app, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAMATIQ_APP_REPORT", "0.1")
        worker = Worker(app, tmp_path)
    task = worker.send("swallows", tmp_path / "task", time_limit=LIMIT * 1000)
    said = f"run[{task.message.message_id}] still runs, 0.1 s after it was asked to stop"
    until(lambda: f"{said} (TimeLimitExceeded): " in worker.log.read_text())
    task.go()
    task.until("finally")
    worker.close()


def test_the_program_of_the_page(redis_socket, tmp_path):
    values = {
        "RedisBroker()": f'RedisBroker(url="unix://{redis_socket}")',
        "10_000": f"{LIMIT}_000",
    }
    with reading("dramatiq", tmp_path, "dramatiq", values) as reader:
        reader.types()
        reader.sees("closed")
        reader.sees("TimeLimitExceeded")
        reader.sees("time.sleep(3600)")


def test_a_broker_that_is_down_is_told_and_waited_for(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=":")
        patch.setenv("DRAMATIQ_APP_SOCKET", str(tmp_path / "nowhere"))
        log = tmp_path / "log"
        process = start(COMMAND, log)
        until(lambda: str(tmp_path / "nowhere") in log.read_text())
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def test_a_version_that_is_not_known_is_refused():
    limit = dramatiq.middleware.TimeLimit()
    limit.manager = "another"
    broker = types.SimpleNamespace(middleware=[limit])
    with pytest.raises(NotImplementedError, match="does not know dramatiq's 'another'"):
        Interruption().before_declare_actor(broker, None)


def test_added_twice_it_does_the_same():
    source = """
        import queue
        import dramatiq
        from dramatiq.brokers.stub import StubBroker
        from interruption.dramatiq import Interruption

        broker, said = StubBroker(), queue.Queue()
        for _ in range(2):
            broker.add_middleware(Interruption())
        dramatiq.set_broker(broker)

        @dramatiq.actor(time_limit=1000, max_retries=0)
        def wait():
            try:
                queue.Queue().get()
            except BaseException as error:
                said.put(type(error).__name__)
                raise

        wait.send()
        worker = dramatiq.Worker(broker, worker_threads=1)
        worker.start()
        print(said.get(timeout=100))
        worker.stop()
    """
    done = run_python("-c", textwrap.dedent(source), env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "TimeLimitExceeded\n"), done.stderr


def test_an_actor_is_a_function_as_before():
    source = """
        import dramatiq
        from dramatiq.brokers.stub import StubBroker
        from interruption.dramatiq import Interruption

        broker = StubBroker()
        broker.add_middleware(Interruption())
        dramatiq.set_broker(broker)

        @dramatiq.actor
        def double(number):
            "Twice as much."
            return 2 * number

        assert (double(2), double.fn.__doc__) == (4, "Twice as much.")
    """
    done = run_python("-c", textwrap.dedent(source), env=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")

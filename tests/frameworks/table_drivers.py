"""How each framework of table.py runs a task, and how it is told to stop one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from urllib.parse import urlencode

import pytest
import table_apps
from servers import start, until_up
from servers_of_http import serving
from support import PATIENCE, until

HERE = Path(__file__).parent
PYTHONPATH = f"{HERE}:{HERE.parent}"


class Driver:
    """One framework, in ``with``. A job is what ``start`` returns."""

    limit: float | None = None  # seconds that a task has; None: it is asked
    is_used_up = False  # by asking once
    has_a_caller = False  # who says when it goes on

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info):
        self._stack.close()

    def open(self, _): ...

    def start(self, *task):
        """Have ``table_apps.body(*task)`` run."""
        raise NotImplementedError

    def ask(self, job): ...

    def start_next(self, _, *task):
        """Another one, in the same worker."""
        self.start(*task)


@contextlib.contextmanager
def environment(**values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH, prepend=":")
        for name, value in values.items():
            patch.setenv(name, value, prepend=":" if name == "PYTHONPATH" else None)
        yield


class Asyncio(Driver):
    """A loop in a thread."""

    has_a_caller = True

    def __init__(self, function, limit=None):
        self.function, self.limit = function, limit

    def open(self, stack):
        self.loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self.loop.run_forever)
        thread.start()
        stack.callback(self.loop.close)
        stack.callback(thread.join)
        stack.callback(self.loop.call_soon_threadsafe, self.loop.stop)
        stack.callback(self.end_threads)

    def start(self, *task):
        return asyncio.run_coroutine_threadsafe(self.call(*task), self.loop)

    def end_threads(self):
        async def end():
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*rest, return_exceptions=True)
            await self.loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()

    async def call(self, *task):
        try:
            async with asyncio.timeout(self.limit):
                await self.function(table_apps.body, *task)
        finally:
            table_apps.say(task[1], "goes_on")

    def ask(self, job):
        job.cancel()


def in_our_executor(function, *args):
    from interruption import ThreadPoolExecutor

    executor = ThreadPoolExecutor(1)
    try:
        return asyncio.get_running_loop().run_in_executor(executor, function, *args)
    finally:
        executor.shutdown(wait=False)


class Portal(Driver):
    """Trio or anyio, in a thread."""

    has_a_caller = True

    def __init__(self, backend, function):
        self.backend, self.function = backend, function

    def open(self, stack):
        from anyio.from_thread import start_blocking_portal

        self.portal = stack.enter_context(start_blocking_portal(self.backend))

    def start(self, *task):
        return self.portal.start_task_soon(self.call, *task)

    async def call(self, *task):
        try:
            await self.function(functools.partial(table_apps.body, *task))
        finally:
            table_apps.say(task[1], "goes_on")

    def ask(self, job):
        job.cancel()


class Http(Driver):
    """A server; whoever has sent a request leaves, or there is a limit."""

    def __init__(self, folder, command, app, limit=None):
        self.folder, self.command, self.app, self.limit = folder, command, app, limit

    def open(self, stack):
        source = f"import table_apps\napp = table_apps.{self.app}\n"
        with environment(PYTHONPATH=str(self.folder)):
            context = serving(self.command.split(), source, self.folder)
            self.server = stack.enter_context(context)
        self.connections = stack.enter_context(contextlib.ExitStack())

    def start(self, *task):
        query = urlencode(dict(zip("abcd", (*task, 0), strict=False)))
        return self.connections.enter_context(self.server.send(f"/?{query}"))

    def ask(self, job):
        job.close()


class Dask(Driver):
    """A scheduler, and a worker with one thread."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options

    def open(self, stack):
        import distributed

        address = self.folder / "scheduler.json"
        quiet = ["--no-dashboard", "--scheduler-file", str(address), "--host", "127.0.0.1"]
        dask = [sys.executable, "-m", "dask"]
        patient = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{PATIENCE:.0f}s"}
        with environment(**patient), contextlib.chdir(self.folder):
            log = self.folder / "scheduler.log"
            scheduler = start([*dask, "scheduler", "--port", "0", *quiet], log)
            ended_by(stack, scheduler)
            until_up(address.stat, scheduler, log)
            one = ["--nworkers", "1", "--nthreads", "1", "--no-nanny"]
            worker = start([*dask, "worker", *one, *quiet, *self.options], self.folder / "log")
            ended_by(stack, worker)
        client = distributed.Client(scheduler_file=str(address), timeout=PATIENCE)
        self.client = stack.enter_context(client)
        self.client.wait_for_workers(1)
        self.kept = []

    def start(self, *task):
        future = self.client.submit(table_apps.body, *task, pure=False)
        self.kept.append(future)
        return future

    def ask(self, job):
        job.cancel()


def ended_by(stack, process, number=signal.SIGTERM):
    def end():
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    stack.callback(end)


class Queue(Driver):
    """A worker of a task queue, with one thread."""

    ready, ends_by = "", signal.SIGTERM

    def __init__(self, folder, path, way, job):
        self.folder, self.path, self.way = folder, path, way
        self.job = job  # what is limited, or how it is asked
        self.is_used_up = isinstance(job, signal.Signals)

    def open(self, stack):
        name = type(self).__name__.lower()
        values = {"TABLE_SOCKET": self.path, "TABLE_WAY": self.way, "TABLE_QUEUE": self.queue}
        log = self.folder / "log"
        with environment(TABLE_APP=name, **values), contextlib.chdir(self.folder):
            self.process = start([sys.executable, "-m", *self.command()], log)
            ended_by(stack, self.process, self.ends_by)
            self.app = table_apps.APPS[name](self.path, "")
        until(lambda: self.ready in log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, log.read_text()

    @property
    def queue(self):
        return self.folder.name

    def ask(self, job):
        if self.is_used_up:
            self.process.send_signal(self.job)
        else:
            self.ask_for(job)


class Celery(Queue):
    ready = "ready."
    pools = {"threads": ["-P", "threads"], "prefork": ["-P", "prefork"], "ours": []}  # noqa: RUF012

    def command(self):
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--concurrency", "1", "--loglevel", "INFO", *self.pools[self.way]]
        return ["celery", "-A", "table_apps", "worker", "-Q", self.queue, *quiet, *pool]

    def start(self, *task):
        limit = {self.job: self.limit} if self.limit is not None else {}
        return self.app.send_task("body", task, queue=self.queue, **limit)

    def ask_for(self, job):
        job.revoke(terminate=True)


class Dramatiq(Queue):
    ready = "is ready for action"

    def command(self):
        return ["dramatiq", "table_apps", "--processes", "1", "--threads", "1"]

    def start(self, *task):
        import dramatiq

        options = {} if self.limit is None else {"time_limit": self.limit * 1000}
        message = dramatiq.Message(
            queue_name="default", actor_name="body", args=task, kwargs={}, options=options
        )
        return self.app.enqueue(message)

    def ask_for(self, job):
        import dramatiq_abort

        dramatiq_abort.abort(job.message_id)


class Huey(Queue):
    ready, ends_by = "consumer started", signal.SIGINT

    def command(self):
        return ["huey.bin.huey_consumer", "table_apps.app", "-k", "thread", "--workers", "1"]

    def start(self, *task):
        return self.app.enqueue(self.app.run_body.s(*task, timeout=self.limit))

    def ask_for(self, job):
        job.revoke()


class Pytest(Driver):
    """A run for each task; the next test is in the same one."""

    def __init__(self, folder, *options, limit):
        self.folder, self.options, self.limit = folder, options, limit

    def open(self, _):
        (self.folder / "pytest.ini").write_text("[pytest]\n")

    def start(self, *task):
        path = task[1]
        source = f"""
            import table_apps

            def test_one():
                table_apps.body(*{task!r})

            def test_next():
                table_apps.body("sleep", {path + ".next"!r}, 0.01)
        """
        file = self.folder / f"test_{Path(path).name.replace(' ', '_').replace('-', '_')}.py"
        file.write_text(textwrap.dedent(source))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        with environment():
            process = subprocess.Popen(
                [*command, *self.options, file.name], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._stack.callback(process.wait)
        return process

    def start_next(self, *_): ...


class Kernel(Driver):
    """Of Jupyter: a cell that waits for a thread of its own."""

    def __init__(self, folder, first):
        self.folder, self.first = folder, first

    def open(self, stack):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(transport="ipc", ip=str(self.folder / "kernel"))
        with environment():
            self.manager.start_kernel()
        stack.callback(self.manager.shutdown_kernel, now=True)
        self.client = self.manager.client()
        self.client.start_channels()
        stack.callback(self.client.stop_channels)
        self.client.wait_for_ready(timeout=PATIENCE)
        self.client.execute(f"import threading, table_apps\n{self.first}")

    def start(self, *task):
        return self.client.execute(
            f"t = threading.Thread(target=table_apps.body, args={task!r}); t.start(); t.join()",
            stop_on_error=False,
        )

    def ask(self, _):
        from test_ipython import until_main_thread_blocked

        until_main_thread_blocked(self.manager.provisioner.pid)
        self.manager.interrupt_kernel()

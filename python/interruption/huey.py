"""Tasks of huey, in its worker threads: a timeout and a revoke stop the one that runs.

``interrupt_tasks(huey)``, once, where the instance is made.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from huey.exceptions import CancelExecution, TaskTimeout

from . import Scope, protect, timeout
from .overdue import Watch

__all__ = ["interrupt_tasks"]

_LOGGER = "huey.interruption"


class _Job:
    """A task that runs, in a scope of its own for the revoke and one for its timeout."""

    def __init__(self, task: Any, report_after: float) -> None:
        self.task = task
        self.scope = Scope()
        self.limit = timeout(task.timeout or None)
        self.watch = Watch(f"{task.name}[{task.id}]", _LOGGER, report_after)
        self.asked = False  # by the thread that looks

    def run(self, execute: Callable[[], Any]) -> Any:
        if self.task.timeout:
            why = f"it has a timeout of {self.task.timeout} seconds"
            self.watch.expect_end(why, time.monotonic() + self.task.timeout)
        with self.watch, self.scope:
            try:
                with self.limit:
                    return execute()
            except TimeoutError as error:
                if self.limit.expired():
                    raise TaskTimeout(f"timeout ({self.task.timeout}s)") from error
                raise
        raise CancelExecution("it was revoked while it ran", retry=False)


class _Looker:
    """Looks whether what runs is revoked: in a thread, while any runs."""

    def __init__(self, huey: Any, look_every: float, report_after: float) -> None:
        self.huey = huey
        self.look_every = look_every
        self.report_after = report_after
        self.broken = False  # whether the storage was, when looked at last
        self._changed = threading.Condition()
        self._jobs: set[_Job] = set()  # guarded by _changed, as the next
        self._thread: threading.Thread | None = None

    def guard(self, task: Any) -> None:
        """Before a task is executed, by its worker; huey stops those of processes itself."""
        if threading.current_thread() is threading.main_thread():
            return
        execute = task.execute

        def run() -> Any:
            job = _Job(task, self.report_after)
            with self._changed:
                self._jobs.add(job)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, daemon=True, name="revokes")
                    self._thread.start()
                self._changed.notify()
            try:
                return job.run(execute)
            finally:
                with self._changed:
                    self._jobs.discard(job)

        task.execute = run

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
            time.sleep(self.look_every)
            with self._changed:
                jobs = [job for job in self._jobs if not job.asked]
            for job in jobs:
                self._look_at(job)

    def _look_at(self, job: _Job) -> None:
        try:
            job.asked = self.huey.is_revoked(job.task)
        except Exception:  # the storage's; it is asked again
            if not self.broken:
                message = "Whether tasks are revoked cannot be told at present"
                logging.getLogger(_LOGGER).exception(message)
            self.broken = True
            return
        self.broken = False
        if job.asked:
            job.scope.interrupt(reason="revoked")
            job.watch.expect_end("revoked")


def interrupt_tasks(huey: Any, look_every: float = 1.0, report_after: float = 10.0) -> None:
    """Stop tasks that run in the threads of a consumer: at their ``timeout``, or revoked.

    A task raises ``ThreadExit`` where it runs or waits; its reason is ``"deadline"`` or
    ``"revoked"``. Then huey has ``TaskTimeout``, which may be retried, or ``CancelExecution``,
    which is not. No other task is hit. Called again, the newest call counts.

    look_every: seconds between two looks whether tasks that run are revoked.
    report_after: seconds after which a task that has not stopped is named in the log.
    """
    if not look_every > 0:
        raise ValueError(f"look_every is {look_every}: give seconds, more than 0")
    Watch("", _LOGGER, report_after)  # checks that, too
    missing = [name for name in ("pre_execute", "is_revoked") if not hasattr(huey, name)]
    if missing:
        raise NotImplementedError(f"interruption does not know {huey!r}: no {', '.join(missing)}")
    protect("huey")
    huey.pre_execute("interruption")(_Looker(huey, look_every, report_after).guard)

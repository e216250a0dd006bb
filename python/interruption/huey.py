"""Tasks of huey, in its worker threads: a timeout and a revoke stop the one that runs.

``interrupt_tasks(huey)``, once, where the instance is made.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from huey.exceptions import CancelExecution, TaskTimeout

from . import Scope, explain, protect, timeout

__all__ = ["interrupt_tasks"]

_log = logging.getLogger("huey.interruption")


class _Job:
    """A task that runs, in a scope of its own for the revoke and one for its timeout."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.thread = threading.current_thread()
        self.scope = Scope()
        self.limit = timeout(task.timeout or None)
        self.asked_at: float | None = None  # by the thread that looks, as the next
        self.reported = False

    def run(self, execute: Callable[[], Any]) -> Any:
        with self.scope:
            try:
                with self.limit:
                    return execute()
            except TimeoutError as error:
                if self.limit.expired():
                    raise TaskTimeout(f"timeout ({self.task.timeout}s)") from error
                raise
        raise CancelExecution("it was revoked while it ran", retry=False)


class _Looker:
    """Looks whether what runs is revoked, or should have stopped: in a thread, while any runs."""

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
            job = _Job(task)
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
                jobs = list(self._jobs)
            for job in jobs:
                self._look_at(job)

    def _look_at(self, job: _Job) -> None:
        try:
            revoked = job.asked_at is None and self.huey.is_revoked(job.task)
        except Exception:  # noqa: BLE001  (the storage's; it is asked again)
            if not self.broken:
                _log.exception("Whether tasks are revoked cannot be told at present")
            self.broken = True
            return
        self.broken = False
        now = time.monotonic()
        if (revoked and job.scope.interrupt(reason="revoked")) or (
            job.asked_at is None and job.limit.expired()
        ):
            job.asked_at = now
        if job.asked_at is None or job.reported or now < job.asked_at + self.report_after:
            return
        with self._changed:
            job.reported = job in self._jobs
        if job.reported:
            told = (job.task.name, job.task.id, now - job.asked_at, explain(job.thread))
            _log.error("%s[%s] still runs, %.3g s after it was asked to stop: %s", *told)


def interrupt_tasks(huey: Any, look_every: float = 1.0, report_after: float = 10.0) -> None:
    """Stop tasks that run in the threads of a consumer: at their ``timeout``, or revoked.

    A task raises ``ThreadExit`` where it runs or waits; its reason is ``"deadline"`` or
    ``"revoked"``. Then huey has ``TaskTimeout``, which may be retried, or ``CancelExecution``,
    which is not. No other task is hit. Called again, the newest call counts.

    look_every: seconds between two looks whether tasks that run are revoked.
    report_after: seconds after which a task that has not stopped is named in the log.
    """
    for name, seconds in (("look_every", look_every), ("report_after", report_after)):
        if not seconds > 0:
            raise ValueError(f"{name} is {seconds}: give seconds, more than 0")
    missing = [name for name in ("pre_execute", "is_revoked") if not hasattr(huey, name)]
    if missing:
        raise NotImplementedError(f"interruption does not know {huey!r}: no {', '.join(missing)}")
    protect("huey")
    huey.pre_execute("interruption")(_Looker(huey, look_every, report_after).guard)

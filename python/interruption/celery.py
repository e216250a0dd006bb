"""A pool for Celery's worker: threads, whose tasks can be revoked and have time limits.

``worker_pool = "interruption.celery:TaskPool"`` in the configuration of the app.
"""

import functools
import itertools
import threading
import time
from collections.abc import Callable, Container
from inspect import signature
from typing import Any

from celery import __version__ as _version
from celery.concurrency import thread as _threads
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from . import Scope, protect
from .overdue import Watch

__all__ = ["TaskPool"]

_HOOKS = ("on_start", "on_apply", "on_terminate", "terminate_job", "accept_callback", "pid")
_LIMITS = ("soft_timeout", "timeout", "timeout_callback")


class _Job:
    """One execution of a task, in a thread of the pool; its task runs in a scope of its own."""

    def __init__(self, watch: Watch, number: int, limits: Any) -> None:
        self.number = number  # what the worker takes for a process id: no other job has it
        self.soft, self.hard, self.tell = (limits.get(name) for name in _LIMITS)
        self.scope = Scope()
        self.watch = watch
        self.entered = threading.Event()  # its task has begun, and Celery has stored that
        self.outcome = ""  # what it has been asked for: written before its scope is asked
        self.ended = threading.Event()

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:  # the task's
        self.entered.set()
        with self.watch, self.scope:
            return function(*args, **kwargs)
        if self.outcome == "hard":
            self.tell(False, self.hard)  # noqa: FBT003  (Celery's)
        elif self.outcome == "soft":
            raise SoftTimeLimitExceeded(self.soft)
        raise Ignore("it was interrupted")  # its state has been stored

    def keep_limits(self) -> None:  # in a thread, if it has any
        start = time.monotonic()
        for limit in sorted(each for each in (self.soft, self.hard) if each is not None):
            if self.ended.wait(max(0.0, start + limit - time.monotonic())):
                return
            if limit == self.hard:
                self.ask("hard", f"time limit of {limit} s")
                return
            self.outcome = self.outcome or "soft"
            if self.scope.interrupt(SoftTimeLimitExceeded):
                self.tell(True, limit)  # noqa: FBT003  (as above)

    def ask(self, outcome: str, reason: str) -> None:
        if self.outcome in ("", "soft"):
            self.outcome = outcome
        self.scope.interrupt(reason=reason)
        self.watch.expect_end(reason)


class TaskPool(_threads.TaskPool):
    """Celery's pool of threads, with ``revoke(terminate=True)`` and time limits.

    A task raises ``ThreadExit`` where it runs or waits; its reason names the ``time_limit``, or is
    ``"terminated"``. Or it raises ``SoftTimeLimitExceeded``. Celery's bookkeeping is not hit, nor
    is the next task. One that has not stopped ``report_after`` seconds later is logged by name.
    """

    report_after = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: D107
        _need(_HOOKS, {*dir(_threads.TaskPool), *signature(_threads.apply_target).parameters})
        super().__init__(*args, **kwargs)
        self._numbers = itertools.count(1)
        self._jobs: dict[int, _Job] = {}
        self._here = threading.local()
        self._submits = threading.Lock()  # held while it does

    def on_start(self) -> None:
        """Before the worker makes what calls the tasks."""
        super().on_start()
        for package in ("amqp", "billiard", "celery", "kombu", "vine"):
            protect(package)
        for task in self.app.tasks.values():
            task.run = self._guarded(task.run)

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            job: _Job | None = getattr(self._here, "job", None)
            if job is not None and not job.entered.is_set():
                return job.run(function, args, kwargs)
            return function(*args, **kwargs)  # one task calls another

        return run

    def on_apply(self, target: Any, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        """Run it in a thread of the pool. Limits may be the worker's: --time-limit."""
        _need(_LIMITS, options)
        name = "{}[{}]".format(*args[:2]) if len(args) > 1 else repr(target)
        given = {key: each for key, each in options.items() if each is not None}
        watch = Watch(f"Task {name}", "celery.pool", self.report_after)
        job = _Job(watch, next(self._numbers), self.options | given)
        with self._submits:
            future = self.executor.submit(self._run, job, target, args, kwargs, options)
        result: Any = _threads.ApplyResult(future)
        result.terminate = lambda _: None  # Celery calls the pool's terminate_job(), too
        return result

    def _run(self, job: _Job, target: Any, args: Any, kwargs: Any, options: Any) -> None:
        self._jobs[job.number] = self._here.job = job
        if job.soft is not None or job.hard is not None:
            threading.Thread(target=job.keep_limits, daemon=True).start()
        try:
            _threads.apply_target(target, args, kwargs, pid=job.number, **options)
        finally:
            del self._jobs[job.number], self._here.job
            job.ended.set()
            job.entered.set()

    def terminate_job(self, pid: int, signal: Any = None) -> None:  # noqa: ARG002
        """Ask that task to stop, by the number that it was accepted with."""
        if job := self._jobs.get(pid):
            job.ask("revoked", "terminated")
            job.entered.wait(1)  # else "started" might be stored after Celery's "revoked"

    def on_stop(self) -> None:
        """No more tasks; but in a signal's handler it may be in the midst of that: later."""
        if not self._submits.locked():
            super().on_stop()

    def on_terminate(self) -> None:
        """Ask all that run: a cold shutdown."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        for job in self._jobs.copy().values():
            if job.outcome in ("", "soft"):  # Celery has not terminated it itself
                job.ask("revoked", "terminated")


def _need(names: tuple[str, ...], known: Container[str]) -> None:
    if missing := ", ".join(name for name in names if name not in known):
        unknown = f"celery {_version} is not known to interruption.celery: its pools have no"
        raise NotImplementedError(f"{unknown} {missing}; use one that interruption[celery] names")

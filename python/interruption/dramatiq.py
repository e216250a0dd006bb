"""A middleware for dramatiq: time limits, shutdown and abort reach an actor wherever it is."""

import functools
import math
import threading
import time
from typing import Any

from dramatiq import Middleware, middleware
from dramatiq.logging import get_logger

from . import Scope, protect
from .overdue import Watch

__all__ = ["Interruption"]


class _Job:
    """A message that a thread is at; its actor runs in a scope of its own."""

    notified, entered = False, False

    def __init__(self, watch: Watch) -> None:
        self.scope = Scope()
        self.watch = watch

    def run(self, function: Any, args: Any, kwargs: Any) -> Any:
        self.entered = True
        interrupted: BaseException = middleware.Interrupt()
        try:
            with self.watch, self.scope:
                try:
                    return function(*args, **kwargs)
                except middleware.Interrupt as error:
                    interrupted = error
                    raise
            raise interrupted  # with the place where it was
        finally:
            del interrupted


class Interruption(Middleware):
    """The broker's ``TimeLimit``, ``ShutdownNotifications`` and ``Abortable`` interrupt at once.

    They raise what they always do, in calls that wait, too; only in the actor, and never in the
    next. One that has not stopped ``report_after`` seconds later is logged by name.
    """

    def __init__(self, report_after: float = 10.0) -> None:  # noqa: D107
        protect("dramatiq")
        self.logger = get_logger(__name__, type(self))
        Watch("", self.logger.name, report_after)  # checks that
        self.report_after = report_after
        self._jobs: dict[threading.Thread, _Job] = {}
        self._changed = threading.Condition()
        self._due: dict[_Job, float] = {}  # when its time is up; guarded by _changed, as the next
        self._wakes = math.inf  # when somebody looks next

    def before_declare_actor(self, broker: Any, _: Any) -> None:
        """Be the manager of those that would set asynchronous exceptions."""
        for each in broker.middleware:
            theirs: Any = getattr(each, "manager", None)
            if isinstance(each, middleware.TimeLimit | middleware.ShutdownNotifications):
                if not (hasattr(theirs, "add_timeout") or hasattr(theirs, "shutdown")):
                    raise NotImplementedError(f"interruption does not know dramatiq's {theirs!r}")
                each.manager = self
            elif hasattr(theirs, "do_abort"):  # dramatiq-abort's
                theirs.do_abort = self._abort

    def after_declare_actor(self, broker: Any, actor: Any) -> None:
        """Run what the actor calls in the scope of its message."""
        self.before_declare_actor(broker, actor)
        function = actor.fn

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            job = self._jobs.get(threading.current_thread())
            if job is None or job.entered:  # called by a program, or by another actor
                return function(*args, **kwargs)
            return job.run(function, args, kwargs)

        actor.fn = run

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Begin to look after time limits, in this process."""
        self.before_declare_actor(broker, worker)
        threading.Thread(target=self._look, daemon=True, name="limits").start()

    def before_process_message(self, _: Any, message: Any) -> None:
        """Have a scope for it, if no manager's method has made one."""
        self._job().watch.name = f"{message.actor_name}[{message.message_id}]"

    def after_process_message(self, *_: Any, **__: Any) -> None:
        """Forget it."""
        job = self._jobs.pop(threading.current_thread(), None)
        with self._changed:
            self._due.pop(job, None)  # type: ignore[arg-type]  # (None is not in it)

    after_skip_message = remove_timeout = remove_notification = after_process_message

    def start(self) -> None: ...  # noqa: D102  (this and the next: a manager's)

    def add_timeout(self, _: int, milliseconds: float) -> None:  # noqa: D102
        if milliseconds != math.inf:
            job = self._job()
            with self._changed:
                self._due[job] = when = time.monotonic() + milliseconds / 1000
                if when < self._wakes:
                    self._changed.notify()

    def add_notification(self) -> None:  # noqa: D102
        self._job().notified = True

    def shutdown(self) -> None:  # noqa: D102
        for job in [job for job in self._jobs.copy().values() if job.notified]:
            self._ask(job, middleware.Shutdown)

    def _abort(self, thread: threading.Thread) -> None:
        from dramatiq_abort import Abort  # noqa: PLC0415  (only who uses it has it)

        self._ask(self._jobs.get(thread), Abort)

    def _job(self) -> _Job:
        thread = threading.current_thread()
        job = self._jobs.get(thread)
        if job is None:
            job = self._jobs[thread] = _Job(Watch("?", self.logger.name, self.report_after))
        return job

    def _ask(self, job: _Job | None, exc_type: type[BaseException]) -> None:
        if job is None or job not in self._jobs.copy().values():  # it is over
            return
        if job.scope.interrupt(exc_type):
            self.logger.warning("%s: %s is interrupted.", exc_type.__name__, job.watch.name)
            job.watch.expect_end(exc_type.__name__)

    def _look(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                late = [job for job, when in self._due.items() if when <= now]
                for job in late:
                    del self._due[job]
                self._wakes = min(self._due.values(), default=math.inf)
                if not late:
                    self._changed.wait(min(self._wakes - now, threading.TIMEOUT_MAX))
            for job in late:
                self._ask(job, middleware.TimeLimitExceeded)

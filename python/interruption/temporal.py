"""Sync activities of Temporal, in threads: one that is cancelled stops, wherever it is.

``Worker(..., interceptors=[InterruptCancelled()])``.
"""

import asyncio
import dataclasses
import functools
from contextvars import copy_context
from typing import Any

from temporalio import activity, worker
from temporalio.exceptions import CancelledError
from temporalio.service import __version__ as _version
from temporalio.worker import _activity

from . import Scope, defer_interruption, protect
from .overdue import Watch

__all__ = ["InterruptCancelled"]

_NEEDED = {  # of temporalio, beside its interceptors
    "_ThreadExceptionRaiser": ["raise_in_thread", "shielded"],
    "_RunningActivity": ["cancel_thread_raiser"],
    "_Context": ["current", "shield_thread_cancel_exception"],
}


class _Job(worker.ActivityOutboundInterceptor):
    """One execution of an activity, in a scope of its own. All is the event loop's but ``run``."""

    def __init__(self, outbound: worker.ActivityOutboundInterceptor, report_after: float) -> None:
        super().__init__(outbound)
        info = self.info()
        name = f"{info.activity_type}[{info.activity_id}] of workflow {info.workflow_id}"
        self.watch = Watch(name, __name__, report_after)
        self.scope = Scope()
        self.asked = False
        self.context = copy_context()  # the activity's
        # Of the last heartbeat: told again, they are not lost for its next attempt.
        self.details = tuple(info.heartbeat_details)

    def run(self, function: Any, *args: Any) -> Any:
        cancelled = CancelledError("Cancelled before it began")
        try:
            if not self.asked:
                with self.watch, self.scope:
                    try:
                        return function(*args)
                    except CancelledError as error:
                        cancelled = error
                        raise
            raise cancelled  # with the place where it was
        finally:
            del cancelled

    def ask(self, exc_type: type[BaseException]) -> None:
        details = self.context.run(activity.cancellation_details)
        why = dataclasses.asdict(details) if details else {"the heartbeat failed": True}
        reason = ", ".join(name.replace("_", " ") for name in why if why[name])
        if not self.asked:
            self.asked = True
            self.scope.interrupt(exc_type, reason=reason)
            self.watch.expect_end(reason)

    def heartbeat(self, *details: Any) -> None:
        self.details = details
        super().heartbeat(*details)

    async def beat(self, every: float | None) -> None:
        while every is not None and not self.info().is_local:
            await asyncio.sleep(every)
            super().heartbeat(*self.details)


class _Execution(worker.ActivityInboundInterceptor):
    options: "InterruptCancelled"

    def init(self, outbound: worker.ActivityOutboundInterceptor) -> None:
        self.job = _Job(outbound, self.options.report_after)
        super().init(self.job)

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002
        job = self.job
        shield: Any = activity._Context.current().shield_thread_cancel_exception  # noqa: SLF001
        if shield is not None:  # it is in a thread, and wants exceptions
            raiser = shield.__self__  # this activity's own
            raiser.raise_in_thread, raiser.shielded = job.ask, defer_interruption
            # A cancel may have come already, while the arguments were decoded.
            job.asked = activity.is_cancelled() or activity.cancellation_details() is not None
            input.fn = functools.wraps(input.fn)(functools.partial(job.run, input.fn))
        beating = asyncio.create_task(job.beat(self.options.heartbeat_every))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()


class InterruptCancelled(worker.Interceptor):
    """A sync activity that is cancelled while it runs in a thread is interrupted.

    It raises Temporal's ``CancelledError`` where it runs or waits, and its ``finally`` blocks run;
    ``activity.cancellation_details()`` tells why. No other activity is hit.

    heartbeat_every: seconds between heartbeats that are sent for each activity while it runs, with
        the details of its last one. Without heartbeats it does not hear that it was cancelled.
    report_after: seconds after which an activity that has not stopped is named in the log.

    NotImplementedError: this version of temporalio is not known.
    """

    def __init__(  # noqa: D107
        self, *, heartbeat_every: float | None = None, report_after: float = 10.0
    ) -> None:
        if heartbeat_every is not None and not heartbeat_every > 0:
            raise ValueError(f"heartbeat_every is {heartbeat_every}: give seconds, more than 0")
        Watch("", __name__, report_after)  # checks that, too
        _check()
        protect("temporalio")
        self.heartbeat_every = heartbeat_every
        self.report_after = report_after

    def intercept_activity(self, next: Any) -> worker.ActivityInboundInterceptor:  # noqa: A002
        """Run what the activity calls in a scope of its own."""
        execution = _Execution(next)
        execution.options = self
        return execution


def _check() -> None:
    missing = []
    for name, needed in _NEEDED.items():
        part = getattr(activity if name == "_Context" else _activity, name, None)
        known = {*dir(part), *getattr(part, "__dataclass_fields__", ())}
        missing += [f"{name}.{each}" for each in needed if each not in known]
    if missing:
        raise NotImplementedError(
            f"temporalio {_version} is not known to interruption.temporal, for it has no "
            f"{', '.join(missing)}: use one that interruption[temporal] names"
        )

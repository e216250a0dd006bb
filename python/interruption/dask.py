"""Tasks of dask.distributed that are cancelled or not wanted any more stop on their worker.

``client.register_plugin(InterruptCancelled())`` for a cluster that runs, or
``dask worker --preload interruption.dask``.
"""

import dataclasses
import weakref
from typing import Any

from dask._task_spec import GraphNode
from distributed import Reschedule, Status, WorkerPlugin
from distributed import __version__ as _version
from distributed.worker_state_machine import TaskState

from . import Scope, ThreadExit, protect
from .overdue import Watch

__all__ = ["InterruptCancelled", "TaskCancelled"]

_RUNS = ("executing", "long-running")
# Used of a worker's task; and that a plugin is told of a transition before it is carried out.
_NEEDED = ("key", "state", "previous", "run_spec", "annotations")


class TaskCancelled(ThreadExit, KeyboardInterrupt):
    """What a task raises that is cancelled.

    dask's own calls, ``Future.result()`` in a task say, give up on Ctrl-C what they wait for: its
    futures are released, and so the tasks that this one has begun are cancelled, too.
    """


class _Guarded:
    """A task, in a scope of its own. It takes the task's place for one execution."""

    def __init__(self, spec: Any, watch: Watch) -> None:
        self.spec = spec
        self.scope = Scope()
        self.watch = watch
        self.asked = False  # the event loop's, as all else

    def __call__(self, data: Any) -> Any:
        with self.watch, self.scope:
            return self.spec(data)
        # Dropped if nobody wants it; if its key is wanted again meanwhile, it is run again.
        raise Reschedule("it was cancelled while it ran")

    def ask(self, reason: str) -> None:
        self.asked = True
        self.scope.interrupt(TaskCancelled, reason=reason)
        self.watch.expect_end(reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.spec, name)

    def __repr__(self) -> str:
        return repr(self.spec)


# What a worker executes, by key. Of the event loop alone. A plugin that takes the place of another
# has to know that one's tasks.
_guarded: "weakref.WeakKeyDictionary[Any, dict[Any, _Guarded]]" = weakref.WeakKeyDictionary()


class InterruptCancelled(WorkerPlugin):
    """A task that is cancelled or released while it runs is interrupted.

    It raises ``TaskCancelled``, a ``ThreadExit``, where it runs or waits, and its ``finally``
    blocks run. No other task is hit. If the key is wanted again, it runs again.

    report_after: seconds after which a task that has not stopped is named in the worker's log.

    Registering it raises NotImplementedError where this version of dask is not known.
    """

    name = "interruption"

    def __init__(self, report_after: float = 10.0) -> None:  # noqa: D107
        Watch(self.name, __name__, report_after)  # checks that
        self.report_after = report_after
        self.worker: Any = None

    def setup(self, worker: Any) -> None:
        """Take note of what this worker begins from now on."""
        _check(worker)
        self.worker = worker
        for package in ("dask", "distributed", "tornado"):
            protect(package)
        _guarded.setdefault(worker, {})

    def teardown(self, worker: Any) -> None:
        """Interrupt what runs, if the worker closes. Taken away otherwise, begin no more."""
        if worker.status in (Status.closing, Status.closed):
            for guarded in _guarded.pop(worker, {}).values():
                guarded.ask("the worker closes")

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Look at what becomes of a task; in the event loop."""
        task = self.worker.state.tasks.get(key)
        known = _guarded.get(self.worker)
        if task is None or known is None:
            return
        guarded = known.get(key)
        if start not in (*_RUNS, "cancelled", "resumed") and finish == "executing":
            self._guard(task, known)
        elif guarded is None:
            pass
        elif task.state in ("cancelled", "resumed"):
            if task.previous in _RUNS and not guarded.asked:
                guarded.ask("the task was cancelled")
        elif task.state in _RUNS:  # it may not have begun, and has been sent anew
            task.run_spec, guarded.asked = guarded, False
        else:
            del known[key]

    def _guard(self, task: Any, known: dict[Any, _Guarded]) -> None:
        spec = task.run_spec
        executor = self.worker.executors.get(task.annotations.get("executor", "default"))
        if not spec.is_coro and "ThreadPoolExecutor" in str(type(executor)):  # as dask asks
            spec = spec.spec if isinstance(spec, _Guarded) else spec
            watch = Watch(repr(task.key), __name__, self.report_after)
            task.run_spec = known[task.key] = _Guarded(spec, watch)


def _check(worker: Any) -> None:
    fields = {each.name for each in dataclasses.fields(TaskState)}
    missing = [f"TaskState.{name}" for name in _NEEDED if name not in fields]
    missing += [] if hasattr(GraphNode, "is_coro") else ["GraphNode.is_coro"]
    missing += [] if hasattr(worker.state, "tasks") else ["WorkerState.tasks"]
    missing += [] if hasattr(worker, "executors") else ["Worker.executors"]
    if missing:
        raise NotImplementedError(
            f"distributed {_version} is not known to interruption.dask, for it has no "
            f"{', '.join(missing)}: use one that interruption[dask] names, or a newer interruption"
        )


async def dask_setup(worker: Any) -> None:
    """For ``dask worker --preload interruption.dask``."""
    await worker.plugin_add(plugin=InterruptCancelled(), catch_errors=False)

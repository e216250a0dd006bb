"""A ``concurrent.futures.ThreadPoolExecutor`` whose running tasks can be cancelled.

The queue, the lock, the set of threads and the way that an interpreter's exit ends the workers are
the standard executor's own; submitting, the workers' loop and shutting down are made anew here.
A worker that idles waits at an inbox of its own: so it is known who gets a task, and whether that
thread had been asked to stop before.

A task runs in a region, and in a scope of its own: see ``_future``. All else that a worker does
runs outside of both.
"""

# ruff: noqa: SLF001  (_check_standard says what of the standard library's is used)

import collections
import concurrent.futures
import concurrent.futures.thread
import contextlib
import functools
import math
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import _base
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from ._future import Future, Task
from ._interruption import (
    _requested_of,
    _seconds,
    allow_interruption,
    defer_interruption,
    interrupt,
    interruption_requested,
)

_standard: Any = concurrent.futures.thread

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


# The workers. -------------------------------------------------------------------------------------


class _Context:
    """What workers run their tasks in; from 3.14 on (gh-124694) the standard one has its own."""

    def __init__(
        self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        self.initializer = initializer
        self._initargs = initargs

    def initialize(self) -> None:
        if self.initializer is not None:
            self.initializer(*self._initargs)

    def run(self, call: _Call) -> Any:
        function, args, kwargs = call
        return function(*args, **kwargs)


class _Pool:
    """What workers know of their executor, which they do not keep alive."""

    def __init__(self, executor: "ThreadPoolExecutor", context: _Context) -> None:
        self.context = context  # constant
        self.lock = executor._shutdown_lock  # taken before _global_shutdown_lock, that before guard
        self.threads: Any = executor._threads  # guarded by lock
        self.broken_error = getattr(executor, "BROKEN", _standard.BrokenThreadPool)  # constant
        self.started = 0  # guarded by lock: how many workers there have been
        self.guard = threading.Lock()  # held for a moment; a worker does not wait for a submit()
        self.tasks: Any = executor._work_queue  # put into under guard; nobody waits at it
        # Guarded by guard: workers that wait, each at its inbox. One that waits has found the queue
        # empty under the guard, and is taken out when something is put for it, or when it ends.
        self.idle: collections.deque[_Worker] = collections.deque()

        def wake(_: object, threads: Any = self.threads) -> None:
            for worker in threads.copy():
                worker.inbox.put(None)

        self.executor: Callable[[], ThreadPoolExecutor | None] = weakref.ref(executor, wake)
        _pools.add(self)

    def give(self, task: Task) -> bool:
        """Whether a worker waited for it; else it is in the queue. Under the lock."""
        with self.guard:
            while self.idle:
                worker = self.idle.popleft()
                if not _requested_of(worker.ident or 0):
                    worker.inbox.put(task)
                    return True
                # It has been asked before the task came: for the task it has ended already. It
                # ends, too, if what it was asked is taken back before it wakes.
                self.threads.discard(worker)
                worker.inbox.put(None)
            self.tasks.put(task)
        return False

    def take(self, worker: "_Worker") -> Task | None:
        """Wait for a task of that worker, the caller; None: it is to end.

        Raises what the thread is asked to. Then there is no task for it, and there will be none.
        """
        with self.guard:
            try:
                return cast("Task | None", self.tasks.get_nowait())
            except queue.Empty:
                self.idle.append(worker)
                is_known = worker in self.threads
        if not is_known:
            self._join(worker)
        try:
            with allow_interruption:
                return worker.inbox.get()
        except BaseException:
            with self.lock, self.guard:
                if worker in self.idle:
                    self.idle.remove(worker)
                    self.threads.discard(worker)
                    raise
        return worker.inbox.get_nowait()  # it was put before the request; or None, see give()

    def _join(self, worker: "_Worker") -> None:
        """The caller idles, and no end would wake it: who starts it has not said so yet.

        Or never will: a signal handler has raised in ``Thread.start()``.
        """
        with self.lock, _standard._global_shutdown_lock:
            self.threads.add(worker)
            if self.is_over():  # before it could be told
                worker.inbox.put(None)
            else:
                _standard._threads_queues[worker] = worker.inbox

    def is_over(self) -> bool:
        """Whether there is to be an end."""
        executor = self.executor()
        if executor is None:
            return True
        if _standard._shutdown:
            executor._shutdown = True
        return bool(executor._shutdown)

    def abandon(self) -> None:
        """In the child of a fork: end the worker that has forked, if one has, after its task."""
        self.executor = lambda: None
        self.lock, self.guard = threading.Lock(), threading.Lock()
        self.tasks = queue.SimpleQueue()
        self.tasks.put(None)

    def drain_given_up(self, loop: Any) -> list[Task]:
        """Take those out that are given up in that event loop. Under the lock."""
        given_up: list[Task] = []
        with self.guard:  # or a worker would find the queue empty
            for tasks in self.queues():
                for task in _drain(tasks):
                    if task.future.is_given_up(loop):
                        given_up.append(task)
                    else:
                        tasks.put(task)
        return given_up

    def queues(self) -> list[Any]:
        """All that a task may be in that has not begun. Under the lock."""
        return [self.tasks, *(worker.inbox for worker in self.threads)]

    def break_down(self) -> None:
        """An initializer has failed: no task is run any more."""
        reason = "A thread initializer failed, the thread pool is not usable anymore"
        with self.lock:
            executor = self.executor()
            if executor is not None:
                executor._broken = reason
            tasks = _drain(self.tasks)
        for task in tasks:
            task.fail(self.broken_error(reason))

    def leave(self) -> None:
        """The calling worker ends, before the executor does.

        If it is the last one, nobody is there for what is in the queue.
        """
        with self.lock:
            self.threads.discard(threading.current_thread())
            tasks = [] if self.threads else _drain(self.tasks)
        for task in tasks:
            task.cancel()


def _drain(tasks: Any) -> list[Task]:
    """Take all tasks out of a queue."""
    drained: list[Task] = []
    while True:
        try:
            task = tasks.get_nowait()
        except queue.Empty:
            return drained
        if task is not None:
            drained.append(task)


class _Worker(threading.Thread):
    """A thread that runs tasks until its executor ends, or until it is asked to stop itself."""

    # Mangled names: what Thread calls its own differs from version to version.

    def __init__(self, pool: _Pool, name: str) -> None:
        super().__init__(name=name)
        self.__pool = pool
        # A task for it, while it idles; None: it is to look whether there is an end.
        self.inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.future: Future[Any] | None = None  # of the task that it is at; read by others
        self.ended = threading.Event()

    def forget_others(self) -> None:
        """It has forked, and is in the child: what others held of its locks stays held for ever."""
        self.ended = threading.Event()
        if self.future is not None:
            self.future.forget_others()

    def run(self) -> None:
        """Initialize, and run tasks."""
        try:
            if self._initialize() and not self._run_tasks():
                self.__pool.leave()
        finally:
            del self.__pool
            self.ended.set()

    def _initialize(self) -> bool:
        context = self.__pool.context
        region = contextlib.nullcontext() if context.initializer is None else allow_interruption
        try:
            with region:
                context.initialize()
        except BaseException:  # noqa: BLE001  (as the standard executor)
            if interruption_requested():
                self.__pool.leave()
                return False
            _base.LOGGER.critical("Exception in initializer:", exc_info=True)
            self.__pool.break_down()
            return False
        return True

    def _run_tasks(self) -> bool:
        """Whether the executor is at its end."""
        pool = self.__pool
        try:
            while not interruption_requested():
                task = pool.take(self)
                if task is None:
                    return pool.is_over()
                self._run_task(task)
                del task  # its references
        except BaseException:  # noqa: BLE001  (it ends the worker; as the standard executor)
            if not interruption_requested():
                _base.LOGGER.critical("Exception in worker", exc_info=True)
        return False

    def _run_task(self, task: Task) -> None:
        self.future = task.future
        try:
            task.run(self.__pool.context)
        except BaseException:  # noqa: BLE001  (a callback's, which is no error of the next task)
            if not interruption_requested():
                _base.LOGGER.critical("Exception in worker", exc_info=True)
        finally:
            self.future = None
            del task  # an exception that it has raised has this frame, behind its own


_Worker.__name__ = _Worker.__qualname__ = "Thread"  # repr() of it is as of the standard executor's


# The executor. ------------------------------------------------------------------------------------


def _with_signature_of(function: Any) -> Callable[[_Function], _Function]:
    wraps = functools.wraps(function, assigned=("__doc__",))
    return cast("Callable[[_Function], _Function]", wraps)


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """A ``concurrent.futures.ThreadPoolExecutor`` whose running tasks can be cancelled.

    Each task runs in a region: ``future.cancel()`` interrupts it, and only it, where it runs or
    waits (S9, S10). The future is cancelled when the task has stopped, and ``result()`` raises
    ``CancelledError``. Arguments, methods and what they do are the standard executor's; this has
    ``shutdown(cancel_running=..., timeout=...)`` besides.

    As a context manager it waits for its tasks at the end of the block. Left by an exception,
    Ctrl-C and ``ThreadExit`` among them, it cancels those that wait, interrupts those that run, and
    waits for their cleanup only (S29); so it does if the exception comes while it waits.

    A worker whose *thread* is asked to stop, by ``interrupt()`` or ``interrupt_all_threads()``,
    ends: its task is cancelled as above, and it takes no other one. The others go on; when the
    last one ends, what is in the queue is cancelled. What is submitted later starts a new worker;
    so does what is submitted when all that idle have been asked.
    """

    _broken: Any
    _threads: Any
    _work_queue: Any

    @_with_signature_of(concurrent.futures.ThreadPoolExecutor.__init__)
    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **ctxkwargs: Any,
    ) -> None:
        super().__init__(max_workers, thread_name_prefix, initializer, initargs, **ctxkwargs)
        _check_standard(self)
        self._pool = _Pool(self, _Context(initializer, initargs))

    def submit(
        self,
        fn: Callable[_Parameters, _Result],
        /,
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Future[_Result]:
        with self._shutdown_lock, _standard._global_shutdown_lock:
            if self._broken:
                raise self._pool.broken_error(self._broken)
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _standard._shutdown:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            future: Future[_Result] = Future()
            task = Task(future, (fn, args, kwargs))
            given = self._pool.give(task)
            if not given and len(self._threads) < self._max_workers:
                try:
                    self._start_worker()
                except BaseException:
                    super(Future, future).cancel()  # who gets an exception has submitted nothing
                    raise
            return future

    submit.__doc__ = concurrent.futures.ThreadPoolExecutor.submit.__doc__

    def _start_worker(self) -> None:
        """Start one more. Under the lock and the standard library's."""
        pool = self._pool
        worker = _Worker(pool, f"{self._thread_name_prefix or self}_{pool.started}")
        worker.start()
        pool.started += 1
        self._threads.add(worker)
        _standard._threads_queues[worker] = worker.inbox  # where the interpreter's exit puts None

    def shutdown(  # type: ignore[override]  # (more than None)
        self,
        wait: bool = True,  # noqa: FBT001, FBT002  (the standard executor's)
        *,
        cancel_futures: bool = False,
        cancel_running: bool | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Accept no more tasks, and end the workers when what was submitted is done (S29).

        wait: return when the workers have ended, or the time is up; else at once.
        cancel_futures: cancel what is in the queue.
        cancel_running: interrupt what runs, but for a task that is itself the caller; by another
            call it is asked once more. Unless given: if ``cancel_futures`` and a timeout are.
        timeout: seconds to wait at most; None and infinity: no limit.

        Called in a coroutine it keeps the event loop from running until it returns. So it cancels
        itself what the loop would have: calls by ``run_in_executor`` whose future is cancelled.

        Returns whether all workers have ended.

        TypeError: the timeout is not a number. ValueError: it is negative, or NaN.
        """
        deadline = time.monotonic() + _seconds(timeout, "timeout")
        if cancel_running is None:
            cancel_running = cancel_futures and timeout is not None
        reason = "the executor has been shut down" if cancel_running else None
        workers = self._close(reason, cancel_futures=cancel_futures, blocks=wait)
        if wait:
            for worker in workers:
                _join(worker, deadline)
        return not any(worker.is_alive() for worker in workers)

    def _close(self, reason: str | None, *, cancel_futures: bool, blocks: bool) -> list[_Worker]:
        """Accept no more tasks; with a reason, interrupt what runs. The workers that there are."""
        loop = _running_loop() if blocks else None
        me = threading.current_thread()
        with defer_interruption:  # else what has been taken out of the queue might be forgotten
            with self._shutdown_lock:
                self._shutdown = True
                queues = self._pool.queues() if cancel_futures else []
                tasks = [task for each in queues for task in _drain(each)]
                if loop is not None:
                    tasks += self._pool.drain_given_up(loop)
                workers = list(self._threads)
                for worker in workers:
                    worker.inbox.put(None)
            for task in tasks:
                task.cancel()
        for worker in workers:
            future = worker.future
            if worker is me:
                pass
            elif reason is not None and cancel_futures:
                interrupt(worker, reason=reason)  # also one that is still initializing
            elif future is not None and reason is not None:
                future.cancel(reason=reason)
            elif future is not None and loop is not None and future.is_given_up(loop):
                future.cancel()
        return workers

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self._stop(exc_type)
            return
        try:
            self.shutdown(wait=True)
        except BaseException as error:
            self._stop(type(error))
            raise

    def _stop(self, exc_type: type[BaseException]) -> None:
        """The block is left by such an exception; another one asks again."""
        reason = f"the executor was left by {exc_type.__name__}"
        workers = self._close(reason, cancel_futures=True, blocks=True)
        self.shutdown(wait=True)
        for worker in workers:  # who ends because it is asked, is not in the executor's list then
            _join(worker, math.inf)

    def __repr__(self) -> str:
        """How many workers it has, and what they have to do."""
        busy = sum(worker.future is not None for worker in self._threads.copy())
        state = ", shut down" if self._shutdown else ""
        return (
            f"<{type(self).__name__} {self._thread_name_prefix!r}: {busy} of "
            f"{len(self._threads)} workers at work (at most {self._max_workers}), "
            f"{self._work_queue.qsize()} tasks in the queue{state}>"
        )


def _running_loop() -> Any | None:
    """The event loop of asyncio that runs in this thread, if any."""
    asyncio: Any = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _join(worker: _Worker, deadline: float) -> None:
    """Join it; first by an event: Ctrl-C in a join has the thread taken for ended (gh-90882)."""
    waits = [worker.ended.wait, worker.join]
    if worker is threading.current_thread():
        del waits[0]  # it is the join that says so
    for wait in waits:
        left = None
        if deadline != math.inf:
            left = min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX)
        wait(left)


# What is the standard library's own. --------------------------------------------------------------

_NEEDED: tuple[tuple[object, tuple[str, ...]], ...] = (
    (_standard, ("_global_shutdown_lock", "_shutdown", "_threads_queues")),
    (_base, ("CANCELLED_AND_NOTIFIED", "LOGGER", "RUNNING")),
    (
        concurrent.futures.Future(),
        ("_condition", "_done_callbacks", "_invoke_callbacks", "_state", "_waiters"),
    ),
)
_NEEDED_OF_EXECUTOR = (
    "_broken",
    "_max_workers",
    "_shutdown",
    "_shutdown_lock",
    "_thread_name_prefix",
    "_threads",
    "_work_queue",
)


def _check_standard(executor: concurrent.futures.ThreadPoolExecutor) -> None:
    """See to it that all is there that is used of ``concurrent.futures`` and not documented."""
    needed = [*_NEEDED, (executor, _NEEDED_OF_EXECUTOR)]
    missing = [name for where, names in needed for name in names if not hasattr(where, name)]
    if missing:
        raise NotImplementedError(
            "interruption.ThreadPoolExecutor does not know this Python's concurrent.futures, which "
            f"has no {', '.join(missing)}: use concurrent.futures.ThreadPoolExecutor, or a newer "
            "interruption"
        )


# Forks. -------------------------------------------------------------------------------------------

# All that are in use: also those that only workers know any more.
_pools: "weakref.WeakSet[_Pool]" = weakref.WeakSet()


def _forget_workers() -> None:
    """The child of a fork has none; the tasks in the queues are the parent's (S18)."""
    for pool in list(_pools):
        executor = pool.executor()
        pool.abandon()
        if executor is not None:
            executor._work_queue = queue.SimpleQueue()
            executor._shutdown_lock = threading.Lock()
            executor._threads = set()
            executor._pool = _Pool(executor, pool.context)
    worker = threading.current_thread()
    if isinstance(worker, _Worker):
        worker.forget_others()


os.register_at_fork(after_in_child=_forget_workers)

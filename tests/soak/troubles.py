"""What comes on top: signals, forks, the garbage collector, tracers, requests to all.

Each is a function that does one thing, is called over and over by a thread of its own, and pauses
between two calls. The main thread waits in regions meanwhile, and is sent signals.
"""

from __future__ import annotations

import gc
import operator
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    interrupt,
    interrupt_all_threads,
)
from support import PATIENCE, until

if TYPE_CHECKING:
    from soak.crew import Crew


class Main:
    """The main thread's part: it waits, and signal handlers run in it.

    Guard: all of it is the main thread's, but ``stopping``, which is only set.
    """

    numbers = (signal.SIGUSR1, signal.SIGALRM, signal.SIGINT)

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.stopping = False
        self.raises = False  # a SIGINT may be raised where the main thread is now
        self.handled: Counter[int] = Counter()
        self.ends = socket.socketpair()

    def handle(self, number: int, _: object) -> None:
        self.handled[number] += 1
        if number == signal.SIGINT and self.raises:
            self.raises = False
            raise KeyboardInterrupt

    def run(self, work: Callable[[], Any]) -> None:
        """Wait here and there while ``work`` is done by another thread, and until it is."""
        before = {number: signal.signal(number, self.handle) for number in self.numbers}
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        worker = threading.Thread(target=self._work, args=(work,))
        worker.start()
        while not self.stopping:
            self._wait_once()
        worker.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._expect_the_next()
        for number, handler in before.items():
            signal.signal(number, handler)
        clear_interrupt()
        for end in self.ends:
            end.close()

    def _work(self, work: Callable[[], Any]) -> None:
        try:
            work()
        finally:
            self.stopping = True
            os.kill(os.getpid(), signal.SIGUSR1)

    def _wait_once(self) -> None:
        lock = threading.Lock()
        waits = (
            lambda: time.sleep(0.05),
            lambda: lock.acquire(timeout=0.05) and lock.acquire(timeout=0.05),
            lambda: select.select([self.ends[0]], [], [], 0.05),
            lambda: sum(range(20_000)),
            # The standard library's Condition is broken by what a handler raises at its end.
            lambda: threading.Event().wait(0.05),
        )
        wait = self.crew.chance.choice(waits)
        try:
            try:
                self.raises = wait is not waits[-1]
                with allow_interruption:
                    wait()
            finally:
                self.raises = False
        except KeyboardInterrupt:
            self.crew.count(keyboard_interrupts=1)
        except ThreadExit:
            clear_interrupt()

    def _expect_the_next(self) -> None:
        """The last signal that is sent has its handler called."""
        for number in self.numbers:
            before = self.handled[number]
            os.kill(os.getpid(), number)
            until(lambda number=number, before=before: self.handled[number] > before)
        self.crew.count(signals=sum(self.handled.values()))


def send_signals(crew: Crew) -> None:
    """To the process, or to a thread that waits: Python's handler runs in the main thread."""
    number = crew.chance.choice(Main.numbers)
    thread = crew.chance.choice([threading.main_thread(), *crew.threads])
    ident = thread.ident
    # One that has ended has no name that the kernel knows; only the ends of a round end them.
    if ident is not None and thread.is_alive() and crew.chance.random() < 0.5:
        signal.pthread_kill(ident, number)
    else:
        os.kill(os.getpid(), number)
    crew.count(sent=1)


def fork(crew: Crew) -> None:
    """In the child, requests are delivered to threads that run, and to those that wait."""
    pid = os.fork()
    if pid == 0:
        _end_child()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"a request was not delivered in the child of a fork, which ended: {status}"
    crew.count(forks=1)


def _end_child() -> None:
    status = 1
    try:
        signal.alarm(int(PATIENCE))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        clear_interrupt()
        try:
            with allow_interruption:
                interrupt(threading.get_ident())
                time.sleep(PATIENCE)
        except ThreadExit:
            clear_interrupt()
            thread = threading.Thread(target=_wait_for_ever)
            thread.start()
            interrupt(thread)
            thread.join()
            status = 0
    finally:
        os._exit(status)


def _wait_for_ever() -> None:
    with allow_interruption:
        threading.Event().wait()


class _Cycle:
    """Garbage that runs Python code when it is collected, with a lock."""

    lock = threading.RLock()
    collected = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        with self.lock:
            _Cycle.collected += 1


def collect(crew: Crew) -> None:
    gc.set_threshold(crew.chance.choice((20, 200, 2000)), 5, 5)
    for _ in range(50):
        _Cycle()
    if crew.chance.random() < 0.1:
        gc.collect()
        crew.count(collections=1)


def switch(crew: Crew) -> None:
    sys.setswitchinterval(10 ** crew.chance.uniform(-6, -2))


def ask_all(crew: Crew) -> None:
    crew.count(asked_all=interrupt_all_threads(reason="soak"))


def trace(crew: Crew) -> None:
    """A tracer of all threads comes, and goes: those that were started meanwhile keep it."""

    def look(_frame: Any, event: str, _argument: Any) -> Any:
        return look if event == "call" and crew.chance.random() < 0.1 else None

    threading.settrace(look)
    time.sleep(0.002)
    threading.settrace(None)  # type: ignore[arg-type]
    crew.count(tracers=1)


def monitor(crew: Crew) -> None:
    """The same by sys.monitoring, for code that runs already.

    The callback is no Python function: a signal handler that raised within it would have `__exit__`
    skipped, of our regions as of any block, if the event is that of leaving a `with`.
    """
    if sys.version_info < (3, 12):
        return
    events = sys.monitoring.events
    tool = sys.monitoring.PROFILER_ID
    sys.monitoring.use_tool_id(tool, "soak")
    sys.monitoring.register_callback(tool, events.LINE, operator.is_)
    sys.monitoring.set_events(tool, events.LINE | events.CALL)
    time.sleep(0.002)
    sys.monitoring.set_events(tool, 0)
    sys.monitoring.register_callback(tool, events.LINE, None)
    sys.monitoring.free_tool_id(tool)
    crew.count(monitors=1)


# Each with its mean pause, in seconds.
TROUBLES: dict[Callable[[Crew], None], float] = {
    send_signals: 0.005,
    fork: 0.2,
    collect: 0.01,
    switch: 0.05,
    ask_all: 0.1,
    trace: 0.3,
    monitor: 0.3,
}

"""signal.pause() in a region: woken by a request (S10) and by a signal (S10e), nothing else."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
from interruption import (
    ThreadExit,
    defer_interruption,
    interrupt,
    interruption_requested,
)
from region_parts import stopped, waiting, waits
from support import Started, expect_script, in_thread

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no threads' signals")


@pytest.fixture(autouse=True)
def _handled() -> Any:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, before)


def pausing(region: Any = waits) -> Started:
    return waiting(lambda: (signal.pause(), interruption_requested()), region)


def test_it_is_woken_by_a_request() -> None:  # S10
    waiting = pausing()
    stopped(waiting)


def test_it_raises_on_entry() -> None:  # S10b
    def body() -> None:
        with waits:
            interrupt(threading.current_thread())
            signal.pause()

    with pytest.raises(ThreadExit):
        in_thread(body)


@pytest.mark.parametrize("region", [waits, defer_interruption], ids=["region", "shield"])
def test_a_signal_of_the_thread_ends_it(region: Any) -> None:  # S10e
    waiting = pausing(region)
    signal.pthread_kill(waiting.thread.ident, signal.SIGUSR1)
    assert waiting.finish() == (None, False)


def test_in_a_shield_a_request_waits_for_the_signal() -> None:  # S12
    waiting = pausing(defer_interruption)
    interrupt(waiting.thread)
    waiting.until_blocked()
    signal.pthread_kill(waiting.thread.ident, signal.SIGUSR1)
    assert waiting.finish() == (None, True)


def test_a_signal_of_another_thread_does_not_end_it() -> None:
    """As outside of a region: only where the handler of the system ran."""
    waiting = pausing()
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    waiting.until_blocked()
    stopped(waiting)


@pytest.mark.parametrize("how", ["returned", "raised"])
def test_the_main_threads_handler_runs_and_ends_it(how: str) -> None:  # S10e
    expect_script(
        f"""
        import os, signal, threading
        from interruption import *

        handled = False
        entered, over = threading.Event(), threading.Event()

        def handle(number, frame):
            global handled
            if not handled:
                handled = True
                print("handled")
                if {how!r} == "raised":
                    raise ZeroDivisionError

        signal.signal(signal.SIGUSR1, handle)

        def send():  # again, if it came before the wait
            entered.wait()
            while not over.wait(0.05):
                os.kill(os.getpid(), signal.SIGUSR1)

        threading.Thread(target=send).start()
        try:
            with allow_interruption(async_interrupt=False):
                entered.set()
                assert signal.pause() is None
            print("returned")
        except ZeroDivisionError:
            print("raised")
        over.set()
        """,
        stdout=f"handled\n{how}\n",
    )


def test_without_descriptors_it_says_so() -> None:
    """It has nothing to wait with, and does not wait for what cannot end it."""
    expect_script(
        """
        import errno, os, resource, signal
        from interruption import *

        with allow_interruption(async_interrupt=False):
            pass
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit))
        used = []
        try:
            while True:
                used.append(os.dup(0))
        except OSError:
            pass
        try:
            with allow_interruption(async_interrupt=False):
                signal.pause()
        except OSError as error:
            assert error.errno == errno.EMFILE
            for fd in used:
                os.close(fd)
            print("done")
        """,
        stdout="done\n",
    )

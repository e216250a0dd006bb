"""S10: blocks with callbacks at the end of threads and processes, in forks and handlers."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref

import pytest
from interruption import clear_interrupt, interrupt, on_interrupt
from on_interrupt_parts import ONLY_WAITS, until
from support import expect_script, in_thread


class Callback:
    block = None

    def __call__(self):
        pass


def test_nothing_is_leaked():
    callback = Callback()
    callback.block = on_interrupt(callback)
    with callback.block:
        pass
    gone = weakref.ref(callback)
    del callback
    gc.collect()
    assert gone() is None

    def abandon():
        callback = Callback()
        on_interrupt(callback).__enter__()
        return weakref.ref(callback)

    gone = in_thread(abandon)
    gc.collect()
    assert gone() is None


def test_a_signal_handler_may_ask():  # S20
    def body():
        calls = []
        before = signal.signal(signal.SIGUSR1, lambda *_: interrupt(threading.main_thread()))
        try:
            with ONLY_WAITS, on_interrupt(lambda: calls.append(1)):
                os.kill(os.getpid(), signal.SIGUSR1)
                until(lambda: calls)
        finally:
            signal.signal(signal.SIGUSR1, before)
            clear_interrupt()

    body()


FORK = """
    import os, sys, threading
    from interruption import *

    where = sys.argv[1]
    go, inside, parent = threading.Event(), threading.Event(), os.getpid()

    def callback():
        if where != "block":
            child = os.fork()
            if child == 0:
                return
            assert os.waitpid(child, 0)[1] == 0
        inside.set()
        go.wait()

    def block():
        with allow_interruption(async_interrupt=False), on_interrupt(callback):
            ready.set()
            while not inside.is_set():
                pass
            if where == "block":
                child = os.fork()
                if child == 0:
                    return
                with defer_interruption:
                    assert os.waitpid(child, 0)[1] == 0
            go.set()

    ready = threading.Event()
    thread = threading.Thread(target=block)
    thread.start()
    ready.wait()
    def ask():
        if where == "callback of all":
            for _ in range(20):
                threading.Thread(target=other, daemon=True).start()
            interrupt_all_threads()
        else:
            interrupt(thread)

    def other():
        with on_interrupt(lambda: None):
            threading.Event().wait()

    asker = threading.Thread(target=ask)
    asker.start()
    if where == "block":
        thread.join()
    asker.join()
    if os.getpid() != parent:
        with allow_interruption(async_interrupt=False), on_interrupt(lambda: None):
            interrupt(threading.get_ident())
        os._exit(0)
    thread.join()
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("where", ["block", "callback", "callback of all"])
def test_the_child_of_a_fork_has_its_own_blocks_alone(where):  # S18
    expect_script(FORK, where, stdout="done\n")


@pytest.mark.parametrize("daemon", [False, True])
def test_an_exit_with_a_block_entered_is_clean(daemon):  # S18
    expect_script(
        f"""
        import threading, time
        from interruption import *

        def stay():
            with allow_interruption(async_interrupt=False), on_interrupt(lambda: None):
                ready.set()
                while {daemon}:
                    time.sleep(0.001)

        ready = threading.Event()
        on_interrupt(print).__enter__()
        threading.Thread(target=stay, daemon={daemon}).start()
        ready.wait()
        print("done")
        """,
        stdout="done\n",
    )

"""time.sleep, SimpleQueue and Thread.join, what test_blocking.py cannot say of all calls (S10)."""

from __future__ import annotations

import _thread
import contextlib
import os
import queue
import select
import sys
import threading
import time

import pytest
from chance import scaled
from interruption import ThreadExit, interrupt
from region_parts import interrupted, stopped, waiting, waits
from support import PATIENCE, Started, expect_script, until_blocked

# Sleeping. ----------------------------------------------------------------------------------------


def test_a_sleep_is_audited_as_it_is_outside():
    script = """
        import sys, time
        from interruption import allow_interruption
        seen = []
        sys.addaudithook(lambda name, args: name == "time.sleep" and seen.append(args))
        for seconds in (0, 0.001):
            time.sleep(seconds)
        outside = seen[:]
        seen.clear()
        with allow_interruption:
            for seconds in (0, 0.001):
                time.sleep(seconds)
        assert seen == outside, (seen, outside)
    """
    expect_script(script)


def test_what_the_length_of_a_sleep_raises_is_raised():
    class Bad:
        def __index__(self):
            raise KeyError("no")

    with waits, pytest.raises(KeyError, match="no"):
        time.sleep(Bad())


# SimpleQueue. -------------------------------------------------------------------------------------


def test_a_wait_that_an_odd_argument_runs_python_in_gets_its_item():
    """The item is put and taken while the queue looks at `block`."""

    class Odd:
        def __init__(self, do):
            self.do = do

        def __bool__(self):
            self.do()
            return True

    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    taker = []

    def wait_first():
        taker.append(waiting(items.get))

    items.put(1, Odd(wait_first))
    assert taker[0].finish() == 1


def test_as_many_descriptors_as_select_takes_are_waited_for():  # there is no room for ours
    reader, writer = os.pipe()
    many = [reader] * 1024

    def body(started):
        with waits:
            assert select.select(many, [], [], 0.001) == ([], [], [])
            started.ready.set()
            select.select(many, [], [])

    try:
        thread = Started(body).until_blocked()
        interrupt(thread.thread)
        with pytest.raises(ThreadExit):
            thread.finish()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_timeout_that_has_passed_when_it_is_looked_at_ends():
    """Up to 3.12 the original waits for ever then: signals come between its looks at the clock."""
    expect_script("""
        import queue, signal
        from interruption import allow_interruption

        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)
        with allow_interruption(async_interrupt=False):
            for _ in range(20_000):
                try:
                    queue.SimpleQueue().get(timeout=1e-9)
                except queue.Empty:
                    pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    """)


def test_a_subclass_and_its_bound_methods_wait_too():
    class Items(queue.SimpleQueue):
        pass

    items = Items()
    get = items.get
    interrupted(get)
    taker = waiting(get)
    items.put(2)
    assert taker.finish() == 2


# Joining. -----------------------------------------------------------------------------------------


@pytest.fixture
def worker():
    """A thread that runs until it is let go."""
    with Started(lambda started: (started.ready.set(), started.go.wait())) as started:
        yield started


def test_joins_that_were_interrupted_and_timed_out_leave_the_thread_running(worker):
    for _ in range(20):
        interrupted(worker.thread.join)
        with waits:
            worker.thread.join(0.001)
        assert worker.thread.is_alive()
    joiner = waiting(worker.thread.join)
    until_blocked(worker.thread)
    worker.go.set()
    joiner.finish()
    assert not worker.thread.is_alive()


def test_a_handler_in_a_join_finds_the_lock_of_a_running_thread_locked(worker):
    """Up to 3.12: only Thread.join itself is told otherwise, once."""
    lock = getattr(worker.thread, "_tstate_lock", None)
    if lock is None:
        pytest.skip("from 3.13 on no lock stands for a thread")
    answers = []

    def join():
        try:
            worker.thread.join()
        finally:
            answers.append(lock.locked())

    interrupted(join)
    assert answers == [True]


class Last:
    def __init__(self, begun, go):
        self.begun, self.go = begun, go

    def __del__(self):
        self.begun.set()
        self.go.wait(PATIENCE)


def test_a_thread_that_takes_long_to_end_is_waited_for_interruptibly():
    """Its state is being cleared: what there was to wake those who join has gone."""
    begun, go = threading.Event(), threading.Event()
    local = threading.local()

    def run():
        local.last = Last(begun, go)

    thread = threading.Thread(target=run)
    thread.start()
    early = waiting(thread.join) if not begun.is_set() else None
    assert begun.wait(PATIENCE)
    late = waiting(thread.join)
    for joiner in filter(None, (early, late)):
        stopped(joiner)
    joiner = waiting(thread.join)
    assert thread.is_alive()
    go.set()
    joiner.finish()
    assert not thread.is_alive()


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_that_joins_the_main_thread_goes_on_when_that_ends(daemon):
    """A daemon thread may be gone before it gets that far."""
    script = f"""
        import sys, threading
        sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
        from interruption import allow_interruption
        from support import until_blocked
        ready = threading.Event()

        def join():
            with allow_interruption:
                ready.set()
                threading.main_thread().join()
            if not {daemon}:
                print("joined")

        thread = threading.Thread(target=join, daemon={daemon})
        thread.start()
        ready.wait()
        until_blocked(thread)
    """
    expect_script(script, stdout="" if daemon else "joined\n")


def test_a_thread_that_is_not_the_librarys_own_cannot_be_joined_as_outside():
    ready, go = threading.Event(), threading.Event()
    dummies = []

    def run():
        dummies.append(threading.current_thread())
        ready.set()
        go.wait()

    _thread.start_new_thread(run, ())
    assert ready.wait(PATIENCE)
    errors = []
    for region in (contextlib.nullcontext(), waits):
        with region, pytest.raises((RuntimeError, AssertionError)) as caught:
            dummies[0].join()
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
    go.set()


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel")
def test_joins_leave_nothing_behind(worker):
    def join_one(times):
        with waits:
            for _ in range(times):
                worker.thread.join(1e-6)

    def join_many(times):
        with waits:
            for _ in range(times):
                thread = threading.Thread(target=time.sleep, args=(0,))
                thread.start()
                thread.join()

    for join, times in ((join_one, scaled(50_000)), (join_many, scaled(10_000))):
        join(1000)
        before = resident()
        join(times)
        assert resident() - before < 2**20 + 64 * times

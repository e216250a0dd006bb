"""What a thread that was stopped leaves locked is told with its place (S31)."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import pickle
import textwrap
import threading
import weakref

import interruption
import pytest
from interruption import allow_interruption, check_interrupt, explain, interrupt
from support import PATIENCE, expect_script, run_python, until_blocked

pytestmark = pytest.mark.filterwarnings("ignore:.* was stopped with the lock:ResourceWarning")


class SaysNothing(type(threading.RLock())):  # type: ignore[misc]
    """A recursive lock whose text does not tell whose it is."""

    def __repr__(self):
        return "a lock"


LOCKS = {
    "Lock": threading.Lock,
    "RLock": threading.RLock,
    "RLock's subclass": SaysNothing,
    "Condition": threading.Condition,
    "process Lock": multiprocessing.Lock,
    "process RLock": multiprocessing.RLock,
}
each_lock = pytest.mark.parametrize("kind", LOCKS)


def take_and_wait(lock, waits):
    lock.acquire()
    waits()


def stopped(body, *arguments):
    """A thread that was stopped while it waited in that body, in a region."""

    def run():
        with contextlib.suppress(interruption.ThreadExit), allow_interruption:
            body(*arguments)

    thread = threading.Thread(target=run)
    thread.start()
    until_blocked(thread)
    assert interrupt(thread)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return thread


def blocked():
    """A call that waits for ever."""
    lock = threading.Lock()
    lock.acquire()
    return lambda: lock.acquire()


def taken_at(function, text="acquire()"):
    """The place of the line in that function."""
    lines, first = inspect.getsourcelines(function)
    at = next(at for at, line in enumerate(lines, first) if text in line)
    return (function.__code__.co_filename, at, function.__qualname__)


@each_lock
def test_explain_tells_what_an_ended_thread_has_left_locked(kind):  # S19, S31
    lock = LOCKS[kind]()
    thread = stopped(take_and_wait, lock, blocked())
    found = explain(thread)
    place = taken_at(take_and_wait)
    assert found.state == "finished"
    assert found.locked == (place,)
    assert f"; the lock that it took at {place[0]}:{place[1]} in take_and_wait stays" in str(found)
    assert pickle.loads(pickle.dumps(found.locked)) == found.locked  # noqa: S301


@pytest.mark.parametrize("lock", [None, threading.Lock()])
def test_a_wait_for_a_condition_is_broken_off_and_its_lock_told(lock):  # S10d, S31
    condition = threading.Condition(lock)

    def get():
        condition.acquire()
        while True:
            condition.wait()

    (place,) = explain(stopped(get)).locked
    assert place.function == get.__qualname__
    if lock is None:
        assert place == taken_at(get)
    else:
        assert place == taken_at(get, "wait()")  # a wait takes a plain lock anew


def with_statement(lock, waits):
    with lock:
        waits()


def try_finally(lock, waits):
    lock.acquire()
    try:
        waits()
    finally:
        lock.release()


def released_by_hand(lock, waits):
    with contextlib.ExitStack() as stack:
        lock.acquire()
        stack.callback(lock.release)
        waits()


@each_lock
@pytest.mark.parametrize("body", [with_statement, try_finally, released_by_hand])
def test_what_is_given_back_is_not_told(kind, body):
    lock = LOCKS[kind]()
    assert explain(stopped(body, lock, blocked())).locked == ()
    assert lock.acquire(timeout=0)


def test_what_somebody_releases_later_is_not_told_any_more():
    lock, other = threading.Lock(), threading.Lock()

    def take_both(waits):
        lock.acquire()
        other.acquire()
        waits()

    thread = stopped(take_both, blocked())
    assert [place.lineno for place in explain(thread).locked] == [
        taken_at(take_both, "lock.acquire()")[1],
        taken_at(take_both, "other.acquire()")[1],
    ]
    lock.release()
    assert [place.lineno for place in explain(thread).locked] == [
        taken_at(take_both, "other.acquire()")[1]
    ]
    lock.acquire()  # by somebody else, who will give it back
    other.release()
    assert explain(thread).locked == ()
    assert "lock" not in explain(thread).reason
    lock.release()


def test_a_lock_that_nobody_knows_is_not_told():
    made = []

    def take_own(waits):
        lock = threading.Condition(threading.Lock())
        made.append(weakref.ref(lock))
        lock.acquire()
        waits()

    thread = stopped(take_own, blocked())
    assert explain(thread).locked == ()
    assert made[0]() is None


@each_lock
def test_what_is_released_outside_of_the_region_is_not_told(kind):
    lock = LOCKS[kind]()

    def body(waits):
        with contextlib.suppress(interruption.ThreadExit):
            try:
                with allow_interruption:
                    lock.acquire()
                    waits()
            finally:
                lock.release()

    thread = threading.Thread(target=body, args=[blocked()])
    thread.start()
    until_blocked(thread)
    interrupt(thread)
    thread.join(PATIENCE)
    assert explain(thread).locked == ()


def test_who_looks_by_itself_is_told_of_as_well():  # S5, S31
    lock = threading.Lock()

    def body():
        with (
            contextlib.suppress(interruption.ThreadExit),
            allow_interruption(async_interrupt=False),
        ):
            lock.acquire()
            interrupt(threading.get_ident())
            check_interrupt()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE)
    assert explain(thread).locked == (taken_at(body),)


@pytest.mark.parametrize("end", ["return", "error"])
def test_who_was_not_stopped_is_not_told_of(end):
    lock = threading.Lock()

    def body():
        with contextlib.suppress(KeyError), allow_interruption:
            lock.acquire()
            if end == "error":
                raise KeyError

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE)
    assert lock.locked()
    assert explain(thread).locked == ()


def test_of_a_thread_that_goes_on_it_is_told_as_long_as_it_is_so():
    lock, go_on = threading.Lock(), threading.Event()
    waiting = threading.Event()

    def body(waits):
        for _ in range(3):
            with contextlib.suppress(interruption.ThreadExit), allow_interruption:
                lock.acquire()
                waits()
            interruption.clear_interrupt()
            waiting.set()
            assert go_on.wait(PATIENCE)
            go_on.clear()

    thread = threading.Thread(target=body, args=[blocked()])
    thread.start()
    for _ in range(3):
        until_blocked(thread)
        interrupt(thread)
        assert waiting.wait(PATIENCE)
        waiting.clear()
        assert explain(thread).locked == (taken_at(body),)
        lock.release()
        assert explain(thread).locked == ()
        go_on.set()
    thread.join(PATIENCE)
    assert len(vars(thread)["_interruption_left"]) == 1  # they do not pile up


def test_what_each_of_its_regions_has_left_locked_is_told():
    locks = threading.Lock(), threading.Lock()

    def body():
        for lock in locks:
            with contextlib.suppress(interruption.ThreadExit), allow_interruption:
                lock.acquire()
                interrupt(threading.get_ident())
                threading.Event().wait()
            interruption.clear_interrupt()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE)
    assert explain(thread).locked == (taken_at(body),) * 2


STOPPED_BY_SHUTDOWN = """
    import logging, sys, threading
    from interruption import Thread, shutdown

    logging.basicConfig(format="%(levelname)s", level=logging.INFO, stream=sys.stdout)
    condition = threading.Condition()

    def get():
        condition.acquire()
        ready.set()
        while True:
            condition.wait()

    def other():
        with (own := threading.Condition()):
            ready.set()
            own.wait()

    for body in (get, other):
        ready = threading.Event()
        Thread(target=body, name=body.__name__, interruptible=True).start()
        ready.wait()
    report = shutdown()
    print([place.function for place in report.locked], len(report.stopped))
    print(str(report).count("; the lock that it took at "), "in get stays locked" in str(report))
"""


def test_a_shutdown_reports_it_and_warns():  # S31
    expect_script(STOPPED_BY_SHUTDOWN, stdout="WARNING\n['get'] 2\n1 True\n")


BROKEN_OFF = """
    import signal, sys, threading
    from interruption import (
        ThreadExit, allow_interruption, check_interrupt, clear_interrupt, explain, interrupt
    )

    class Lock(type(threading.RLock())):
        def __repr__(self):
            return "a lock"

    def send(frame, event, arg):
        if event == "call":
            sys.setprofile(None)
            sent.append(frame.f_code.co_qualname)
            signal.raise_signal(signal.SIGINT)

    locks = Lock(), Lock()
    for lock in locks:
        sent = []
        try:
            with allow_interruption:
                lock.acquire()
                interrupt(threading.get_ident())
                sys.setprofile(send)
                check_interrupt()
        except BaseException as error:
            sys.setprofile(None)
            stopped = type(error)
        assert stopped is (KeyboardInterrupt if sent else ThreadExit), (stopped, sent)
        clear_interrupt()
    print(len(explain(threading.main_thread()).locked))
"""


def test_what_a_signal_handler_raises_meanwhile_is_not_lost():  # S30
    """Ctrl-C comes at the first Python function that is called since the thread was stopped."""
    expect_script(BROKEN_OFF, stdout="2\n")


ENDS = """
    import threading
    from interruption import allow_interruption, interrupt

    lock = threading.Lock()
    ready, forever = threading.Event(), threading.Event()

    def body():
        with allow_interruption:
            lock.acquire()  # here
            ready.set()
            forever.wait()

    thread = threading.Thread(target=body, name="late")
    thread.start()
    ready.wait()
    interrupt(thread)
    thread.join()
"""


@pytest.mark.parametrize(("option", "shown"), [("default", 1), ("ignore", 0), ("error", 1)])
def test_a_warning_at_the_end_of_the_thread_has_the_place(option, shown, tmp_path):  # S31
    script = tmp_path / "ends.py"
    script.write_text(textwrap.dedent(ENDS))
    lines = script.read_text().splitlines()
    line = next(at for at, text in enumerate(lines, 1) if "# here" in text)
    done = run_python("-W", f"{option}::ResourceWarning", script)
    assert done.returncode == 0
    told = done.stderr.count("late was stopped with the lock that it took here")
    assert told == shown, done.stderr
    assert (f"{script}:{line}: ResourceWarning: " in done.stderr) == (option == "default")

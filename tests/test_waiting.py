"""S15: wait_for_interruption."""

import math
import signal
import threading
import time
from datetime import timedelta
from fractions import Fraction

import pytest
from interruption import clear_interrupt, interrupt, wait_for_interruption
from support import PATIENCE, Started, run_script, until_blocked


def test_it_returns_at_once_when_there_is_a_request():  # S15
    interrupt(threading.get_ident())
    assert wait_for_interruption() is True
    assert wait_for_interruption(0) is True
    assert wait_for_interruption(timeout=math.inf) is True


def test_it_returns_false_when_the_time_is_up_and_not_before():  # S15
    for timeout in (0, 0.0, -0.0, 0.02, 0.0000001, Fraction(1, 1000)):
        begun = time.monotonic()
        assert wait_for_interruption(timeout) is False
        assert time.monotonic() - begun >= timeout


def wait_for_ever(started):
    started.ready.set()
    return wait_for_interruption()


def test_a_request_ends_the_wait():  # S15
    for _ in range(50):
        with Started(wait_for_ever) as other:
            assert interrupt(other.thread)
            assert other.finish() is True


def test_after_a_clear_it_waits_for_the_next():  # S15
    turns = threading.Semaphore(0)

    def body(_):
        seen = []
        for _ in range(3):
            turns.release()
            seen.append((wait_for_interruption(), clear_interrupt()))
        return seen

    other = Started(body)
    for _ in range(3):
        assert turns.acquire(timeout=PATIENCE)
        assert interrupt(other.thread) is True
    assert other.finish() == [(True, True)] * 3


def test_it_does_not_raise_the_request():  # S15
    interrupt(threading.get_ident(), ValueError)
    assert wait_for_interruption() is True


def test_the_gil_is_given_away_meanwhile():  # S15
    with Started(wait_for_ever) as other:
        assert sum(range(1000)) == 499500
        interrupt(other.thread)


def test_signal_handlers_of_the_main_thread_run_in_time():  # S15, S20
    """The handler runs during the wait, or the wait would never end."""
    seen = []

    def handler(*_):
        seen.append("handled")
        interrupt(threading.main_thread())

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert wait_for_interruption(PATIENCE) is True
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == ["handled"]


def test_a_handler_that_asks_nothing_does_not_end_the_wait_or_begin_its_time_anew():  # S15
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        begun = time.monotonic()
        assert wait_for_interruption(0.2) is False
        took = time.monotonic() - begun
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert took >= 0.2


def test_an_exception_of_a_handler_comes_out():  # S15
    result = run_script("""
        import os, signal, threading
        from interruption import *
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            wait_for_interruption(60)
        except KeyboardInterrupt:
            print("ctrl-c")
    """)
    assert (result.returncode, result.stdout) == (0, "ctrl-c\n"), result.stderr


@pytest.mark.parametrize(
    ("timeout", "error", "words"),
    [
        (math.nan, ValueError, "not NaN"),
        ("1", TypeError, "timeout must be a number of seconds or None, not str"),
        ([], TypeError, "timeout must be a number of seconds or None, not list"),
        (True, TypeError, "timeout must be a number of seconds or None, not bool"),
        (timedelta(seconds=1), TypeError, r"not datetime.timedelta: give its total_seconds\(\)"),
        (-1, ValueError, "timeout must be zero or more seconds, or None for no limit, not -1"),
        (-1e-9, ValueError, "zero or more seconds"),
        (-math.inf, ValueError, "zero or more seconds"),
        (-(10**400), ValueError, "zero or more seconds"),
    ],
    ids=[
        "nan",
        "str",
        "list",
        "bool",
        "timedelta",
        "-1",
        "-1e-9",
        "-inf",
        "-10**400",
    ],
)
def test_a_bad_timeout_is_an_error_whether_there_is_a_request_or_not(timeout, error, words):  # S15
    for _ in range(2):
        with pytest.raises(error, match=words):
            wait_for_interruption(timeout)
        interrupt(threading.get_ident())
    assert wait_for_interruption(0)


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400], ids=["inf", "1e300", "10**400"])
def test_a_time_beyond_all_clocks_is_for_ever(timeout):  # S15
    def body(started):
        started.ready.set()
        return wait_for_interruption(timeout)

    with Started(body) as other:
        until_blocked(other.thread)
        assert interrupt(other.thread)
        assert other.finish() is True


def test_a_loop_that_waits_stops_when_asked():  # S15: in the place of Event.wait
    def body(started):
        turns = 0
        while not wait_for_interruption(0.001):
            turns += 1
            if turns == 3:
                started.ready.set()
        return turns

    with Started(body) as other:
        interrupt(other.thread)
        assert other.finish() >= 3

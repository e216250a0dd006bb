"""shutdown(): asks all, waits with one deadline, and tells what became of each."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading

import interruption
import pytest
from chance import scaled
from interruption import (
    ThreadExit,
    allow_interruption,
    defer_interruption,
    interruption_requested,
    shutdown,
    wait_for_interruption,
)
from region_parts import inside, stopped
from support import PATIENCE, Started, expect_script, in_thread, until_blocked


def wait_in_region(started):
    with allow_interruption:
        started.ready.set()
        threading.Event().wait(PATIENCE)


def stay(started):
    """Stuck until it may go: its shield is the reason. Has it been asked?"""
    try:
        with allow_interruption, defer_interruption:
            started.ready.set()
            assert started.go.wait(PATIENCE)
    except ThreadExit:
        return True
    return interruption_requested()


def of_thread(report, started):
    (found,) = (t for t in report.threads if t.ident == started.thread.ident)
    return found


@pytest.fixture
def stuck():
    started = Started(stay).until_ready()
    yield started
    started.go.set()
    started.thread.join(PATIENCE)


def test_threads_that_stop_are_reported_as_stopped():
    others = [Started(wait_in_region).until_ready() for _ in range(3)]
    report = shutdown(PATIENCE)
    assert not any(other.thread.is_alive() for other in others)
    assert len(report.threads) == len(report.stopped) == 3
    assert report.running == ()
    for other in others:
        told = of_thread(report, other)
        assert (told.name, told.daemon) == (other.thread.name, False)
        assert told.stopped
        assert told.explanation is None
        assert 0 <= told.seconds <= report.seconds <= PATIENCE
        assert isinstance(other.raised, ThreadExit)


def test_without_other_threads_it_returns_at_once():
    report = shutdown()
    assert report.threads == ()
    assert str(report).startswith("0 of 0 threads stopped")


def test_a_thread_that_does_not_stop_is_reported_with_the_reason_and_its_stack(stuck):  # S19
    other = Started(wait_in_region).until_ready()
    report = shutdown(0.05)
    told = of_thread(report, stuck)
    assert report.running == (told,)
    assert not told.stopped
    assert told.explanation.state == "shielded"
    assert told.explanation.place.function == "stay"
    assert "stay" in [frame.name for frame in told.explanation.stack]
    assert 0.05 <= told.seconds <= report.seconds
    assert report.timeout == 0.05
    assert [t.ident for t in report.stopped] == [other.thread.ident]
    words = str(report)
    assert words.startswith("1 of 2 threads stopped, 1 still running after ")
    assert f"{stuck.thread.name}: still runs: the thread is shielded by the block at" in words
    assert f"{other.thread.name}: stopped after " in words


def test_each_thread_has_its_own_time():
    """Not that of one that it was looked at after."""
    slow = Started(stay).until_ready()
    quick = Started(wait_in_region).until_ready()

    def let_go():
        quick.thread.join(PATIENCE)
        threading.Event().wait(0.3)  # seconds are what is looked at
        slow.go.set()

    helper = threading.Thread(target=let_go, daemon=True)
    helper.start()
    report = shutdown(PATIENCE)
    assert of_thread(report, quick).seconds < of_thread(report, slow).seconds
    helper.join()


def test_the_reason_reaches_the_threads_and_the_report():  # S2
    other = Started(wait_in_region).until_ready()
    report = shutdown(PATIENCE, reason="upgrade")
    assert other.raised.reason == report.reason == "upgrade"
    assert "(upgrade)" in str(report)


def test_a_thread_born_during_a_shutdown_is_born_asked(stuck):  # S7
    """In a region it does not run at all."""

    def region():
        with allow_interruption:
            ran.append(True)

    def body(started):
        started.ready.set()
        assert wait_for_interruption(PATIENCE)
        with pytest.raises(ThreadExit):
            in_thread(region)
        seen.append(in_thread(interruption_requested))
        stuck.go.set()

    ran, seen = [], []
    starter = Started(body).until_ready()
    shutdown(PATIENCE)
    starter.finish()
    assert ran == []
    assert seen == [True]


def test_a_thread_born_in_it_is_waited_for_and_reported():
    def body(started):
        started.ready.set()
        assert wait_for_interruption(PATIENCE)
        threading.Thread(target=late.wait, args=(0.3,), name="born in it").start()

    late = threading.Event()
    Started(body).until_ready()
    names = [t.name for t in shutdown(PATIENCE).stopped]
    assert "born in it" in names


@pytest.fixture
def left_in_start():
    """A thread as it is inside its start(), which is going on or was left by an exception."""
    thread = threading.Thread(target=threading.Event().wait, args=(0.05,), name="begins late")
    threading._limbo[thread] = thread  # noqa: SLF001
    yield thread
    threading._limbo.pop(thread, None)  # noqa: SLF001


def test_a_thread_that_is_being_started_is_waited_for(left_in_start):
    starter = threading.Timer(0.05, left_in_start.start)
    starter.daemon = True
    starter.start()
    assert "begins late" in [t.name for t in shutdown(PATIENCE).stopped]


@pytest.mark.usefixtures("left_in_start")
def test_one_that_never_begins_is_not_waited_for():
    assert shutdown().threads == ()


def test_threads_born_afterwards_are_not_asked(stuck):
    shutdown(0)
    assert in_thread(interruption_requested) is False
    assert stuck.finish() is True


def test_of_two_at_once_the_last_ends_it():
    expect_script("""
        import logging, threading
        from interruption import *
        logging.disable()
        first = threading.Thread(target=shutdown)
        first.start()                    # it waits for the main thread to end
        assert wait_for_interruption()
        seen = []
        def look():
            thread = threading.Thread(target=lambda: seen.append(interruption_requested()))
            thread.start()
            thread.join()
        look()
        shutdown(0)
        look()
        assert seen == [True, True]
    """)


def test_daemon_threads_are_asked_and_waited_for_on_demand():
    begun, go = threading.Event(), threading.Event()
    seen = []

    def body():
        begun.set()
        wait_for_interruption(PATIENCE)
        seen.append(interruption_requested())
        assert go.wait(PATIENCE)

    daemon = threading.Thread(target=body, daemon=True)
    daemon.start()
    assert begun.wait(PATIENCE)
    until_blocked(daemon)  # what was asked of one that has not looked yet is taken back
    assert shutdown(PATIENCE).threads == ()
    report = shutdown(0.01, daemon=True)
    assert [(t.name, t.daemon) for t in report.running] == [(daemon.name, True)]
    go.set()
    assert shutdown(PATIENCE, daemon=True).running == ()
    daemon.join(PATIENCE)
    assert seen == [True]


def test_a_worker_may_call_it_and_the_main_thread_is_waited_for():
    expect_script(
        """
        import threading
        from interruption import *
        def work():
            report = shutdown()
            (main,) = report.threads
            assert main.name == "MainThread" and main.stopped, report
            print("stopped")
        threading.Thread(target=work).start()
        assert wait_for_interruption()
        """,
        stdout="stopped\n",
    )


@pytest.mark.usefixtures("stuck")
def test_it_is_woken_in_a_region_and_asks_no_newborn_any_more():  # S10
    waiting = inside(shutdown)
    until_blocked(waiting.thread)
    stopped(waiting)
    assert interruption.clear_interrupt()  # it has asked us
    assert in_thread(interruption_requested) is False


def test_signal_handlers_run_while_it_waits(stuck):  # S10e, S20
    def handler(*_):
        shutdown(0)  # one in the other
        threading.Event().wait(0.2)  # beyond its next look at the threads
        stuck.go.set()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        main = threading.get_ident()
        killer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
        killer.daemon = True
        killer.start()
        assert shutdown(PATIENCE).running == ()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert in_thread(interruption_requested) is False


def test_it_is_logged(stuck, caplog):
    with caplog.at_level(logging.INFO, "interruption.shutdown"):
        report = shutdown(0)
        stuck.finish()
        shutdown()
    stuck_record, good_record = caplog.records
    assert stuck_record.levelno == logging.WARNING
    assert stuck_record.report == report
    assert "still runs: the thread is shielded" in stuck_record.getMessage()
    assert good_record.levelno == logging.INFO


def test_who_is_waited_for_long_is_logged_meanwhile(stuck, caplog):
    class Handler(logging.Handler):
        def emit(self, record):
            if record.levelno == logging.WARNING:
                stuck.go.set()

    logger = logging.getLogger("interruption.shutdown")
    logger.addHandler(handler := Handler())
    try:
        assert shutdown(report_after=0.05).running == ()
    finally:
        logger.removeHandler(handler)
    (record,) = caplog.records
    assert record.getMessage().startswith("still waiting: 0 of 1 thread stopped, 1 still running")


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (TypeError, {"timeout": "1"}),
        (ValueError, {"timeout": -1}),
        (TypeError, {"timeout": True}),
        (ValueError, {"timeout": float("nan")}),
        (ValueError, {"report_after": -0.1}),
        (TypeError, {"report_after": []}),
        (TypeError, {"reason": b"bytes"}),
    ],
)
def test_bad_input_is_refused_and_nobody_is_asked(stuck, error, arguments):
    with pytest.raises(error):
        shutdown(**arguments)
    assert in_thread(interruption_requested) is False
    stuck.go.set()
    assert stuck.finish() is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork where there are threads
def test_a_child_of_a_fork_has_no_part_in_it(stuck):  # S18
    """Not in threads that are born asked, either."""
    statuses = []

    def fork(started):
        started.ready.set()
        assert wait_for_interruption(PATIENCE)
        child = os.fork()
        if child == 0:
            os._exit(10 + in_thread(interruption_requested) + 2 * interruption_requested())
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stuck.go.set()

    forker = Started(fork).until_ready()
    shutdown(PATIENCE)
    forker.finish()
    assert statuses == [10]


def test_no_thread_escapes_that_is_born_while_all_are_asked():
    """Invariant: threads that start one another for ever all end by one shutdown."""
    for _ in range(scaled(50)):
        begun = threading.Semaphore(0)

        def chain(begun=begun):
            begun.release()
            with contextlib.suppress(ThreadExit), allow_interruption:
                threading.Thread(target=chain, args=(begun,)).start()
                threading.Event().wait(0.0001)

        for _ in range(3):
            threading.Thread(target=chain).start()
            begun.acquire()
        assert shutdown(PATIENCE).running == ()
        assert threading.active_count() == 1

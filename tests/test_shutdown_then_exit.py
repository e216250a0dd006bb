"""After shutdown(): the exit does not wait for whom it gave up, and its report is data (S30)."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref

import pytest
from interruption import Thread, allow_interruption, defer_interruption, explain, shutdown
from on_signal_parts import run
from support import PATIENCE, Started, until


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "interrupt_on_exit(timeout=60); sys.exit(3)"])
@pytest.mark.parametrize("where", ["main", "worker"])
def test_the_exit_does_not_wait_for_whom_it_has_given_up(end, where):  # S30
    status, _, told = run(f"""
        start(stuck, name="stubborn")
        if {where == "main"}:
            shutdown(timeout=0.1)
        else:
            worker = threading.Thread(target=shutdown, args=[0.1])
            worker.start()
            worker.join()
        {end}
    """)
    assert status == (3 if end else 0)
    assert told.count("stubborn: still runs") == 1  # it is said once


def test_nor_when_nothing_else_is_watched_any_more():  # S30
    status, _, told = run("""
        with interrupt_on_signal(), interrupt_on_exit():
            start(stuck, name="stubborn")
            shutdown(timeout=0.1)
    """)
    assert (status, told.count("stubborn: still runs")) == (0, 1)


def test_nor_do_executors_at_the_exit():  # S30
    status, _, told = run("""
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor()
        pool.submit(stuck)
        begun.acquire()
        shutdown(timeout=0.1)
        sys.exit(3)
    """)
    assert (status, told.count("still runs")) == (3, 1)


def test_a_handler_that_shuts_down_and_exits():  # S30
    status, said, told = run("""
        def stop(number, frame):
            say(len(shutdown(timeout=0.1).running))
            sys.exit(1)
        signal.signal(signal.SIGTERM, stop)
        thread = start(stuck)
        kill()
        thread.join()
    """)
    assert (status, said, told.count("still runs")) == (1, ["1"], 1)


def test_until_then_it_is_a_thread_as_any():  # S30
    with Started(outside) as go:
        report = shutdown(0.05)
        assert [thread.name for thread in report.running] == [go.thread.name]
        assert go.thread.is_alive()
        go.thread.join(0.05)
        assert go.thread.is_alive()
        assert go.thread in threading.enumerate()
    assert not go.thread.is_alive()


def test_it_may_be_waited_for_all_the_same():
    status, said, _ = run(f"""
        {LATE}
        start(late)
        shutdown(timeout=0.1, abandon=False)
        sys.exit(3)
    """)
    assert (status, said) == (3, ["ended"])


LATE = """
        def late():
            begun.release()
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            time.sleep(0.1)
            say("ended")
"""


def test_the_exit_waits_for_others_though_the_main_thread_was_given_up():  # S30
    """By a worker's shutdown(), which returned while the main thread still ran."""
    status, said, told = run(f"""
        {LATE}
        worker = threading.Thread(target=shutdown, args=[0.05])
        worker.start()
        worker.join()
        start(late)
    """)
    assert (status, said) == (0, ["ended"])
    assert "MainThread: still runs" in told
    assert "Traceback" not in told


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the wait has no name of its own")
def test_who_has_ended_meanwhile_is_not_given_up():  # S30
    """So the exit waits as ever: also for those that have left `threading`, but not Python yet."""
    status, said, _ = run("""
        def ends():
            begun.release()
            go.wait()
        def waits():
            say("waited")
            wait()
        wait, threading._thread_shutdown = threading._thread_shutdown, waits
        go = threading.Event()
        ended = start(ends)
        shutdown(timeout=0.01)
        go.set()
        ended.join()
    """)
    assert (status, said) == (0, ["waited"])


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="abandon must be True or False, not 'no'"):
        shutdown(abandon="no")  # type: ignore[arg-type]


def outside(started):
    started.ready.set()
    started.go.wait(PATIENCE)


# The report. --------------------------------------------------------------------------------------


def shielded(started):
    with allow_interruption, defer_interruption:
        started.ready.set()
        started.go.wait(PATIENCE)


@pytest.fixture(params=[shielded, outside])
def stuck(request):
    with Started(request.param, thread_type=Thread) as started:
        yield started.until_blocked()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_report_is_pickled(stuck, protocol):
    report = shutdown(0.05)
    there = pickle.loads(pickle.dumps(report, protocol))
    assert there == report
    assert str(there) == str(report)
    assert "started.go.wait(PATIENCE)" in str(there)


def test_it_holds_neither_threads_nor_frames(stuck):
    report = shutdown(0.05)
    found, left = [], [report]
    while left:
        item = left.pop()
        if any(item is seen for seen in found) or isinstance(item, type):
            continue
        found.append(item)
        left += gc.get_referents(item)
    kinds = {type(item).__name__ for item in found}
    assert not kinds & {"Thread", "frame", "code", "function", "module"}, kinds
    assert report.running[0].explanation.thread == stuck.thread.ident


def test_an_explanation_is_pickled_and_copied_without_its_thread(stuck):  # S19
    found = explain(stuck.thread)
    assert found.thread is stuck.thread
    for there in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert there.thread == stuck.thread.ident
        assert (there.state, there.reason, there.place) == (found.state, found.reason, found.place)
        assert there.stack.format() == found.stack.format()


def test_a_report_keeps_no_thread_alive():
    with Started(outside) as started:
        report = shutdown(0.05)
        thread = weakref.ref(started.thread)
    del started
    gc.collect()
    until(lambda: thread() is None)  # it may still be letting go of itself
    assert report.running[0].name


def test_the_record_goes_through_a_queue_of_multiprocessing():
    """As the logging cookbook sends records to another process."""
    assert run("""
        import logging.handlers, multiprocessing
        def listen(records, names):
            record = records.get()
            names.put((record.getMessage().count("still runs"), record.report.running[0].name))
        context = multiprocessing.get_context("fork")
        records, names = context.Queue(), context.Queue()
        logging.getLogger().addHandler(logging.handlers.QueueHandler(records))
        listener = context.Process(target=listen, args=[records, names])
        listener.start()
        start(stuck, name="stubborn")
        shutdown(timeout=0.1)
        say(names.get())
        listener.join()
        sys.exit(0)
    """) == (0, ["(1, 'stubborn')"], "")

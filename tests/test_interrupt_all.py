"""S3: asking every thread."""

import _thread
import threading

import pytest
from chance import scaled
from interruption import (
    ThreadExit,
    check_interrupt,
    interrupt,
    interrupt_all_threads,
    interruption_requested,
    wait_for_interruption,
)
from support import PATIENCE, Started, expect_script, in_thread


def wait_and_look(started):
    started.ready.set()
    assert started.go.wait(PATIENCE)
    return interruption_requested()


def look_wait_and_look(started):
    assert not interruption_requested()
    return wait_and_look(started)


def test_every_thread_but_the_caller_is_asked_whether_it_looked_or_not(bystanders):  # S3
    others = [Started(body).until_ready() for body in (wait_and_look, look_wait_and_look) * 3]
    assert interrupt_all_threads() == bystanders + len(others)
    assert all(other.finish() for other in others)
    assert not interruption_requested()


def test_the_main_thread_is_asked_by_another(bystanders):  # S3
    assert in_thread(interrupt_all_threads) == bystanders + 1
    assert interruption_requested()


def test_threads_asked_before_are_counted_too(bystanders):  # S3
    others = [Started(wait_and_look).until_ready() for _ in range(3)]
    assert interrupt(others[0].thread)
    assert interrupt_all_threads() == bystanders + 3
    assert interrupt_all_threads() == bystanders + 3
    for other in others:
        other.finish()


def test_without_other_threads_nobody_is_asked():  # S3
    expect_script("""
        from interruption import interrupt_all_threads
        assert interrupt_all_threads() == 0
    """)


def test_the_reason_reaches_everyone():  # S2, S3
    def body(started):
        started.ready.set()
        assert wait_for_interruption(PATIENCE)
        with pytest.raises(ThreadExit) as caught:
            check_interrupt()
        return caught.value.reason

    others = [Started(body).until_ready() for _ in range(5)]
    interrupt_all_threads(reason="shutdown")
    assert [other.finish() for other in others] == ["shutdown"] * 5
    with Started(body) as other:
        interrupt_all_threads("positional")
        assert other.finish() == "positional"


def test_threads_of_the_low_level_module_are_asked():  # S3
    seen, done = [], threading.Event()

    def body():
        seen.append(wait_for_interruption(PATIENCE))
        done.set()

    for _ in range(50):  # also while one is being born
        done.clear()
        seen.clear()
        _thread.start_new_thread(body, ())
        assert interrupt_all_threads() >= 1
        assert done.wait(PATIENCE)
        assert seen == [True]


def test_threads_being_started_are_asked_or_not_there_yet():  # S3
    """A request counts as many threads as see it."""
    counts = []

    def body():
        if wait_for_interruption(PATIENCE):
            counts.append(1)

    threads = [threading.Thread(target=body) for _ in range(200)]
    starter = threading.Thread(target=lambda: [thread.start() for thread in threads])
    starter.start()
    while starter.is_alive():
        interrupt_all_threads()
    interrupt_all_threads()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(counts) == len(threads)


def test_ten_thousand_threads_are_asked_at_once(bystanders):  # S3
    count = scaled(10_000)
    seen = []

    def body():
        seen.append(wait_for_interruption())  # no time limit: on a slow machine starting takes long

    size = threading.stack_size(256 * 1024)
    try:
        threads = [threading.Thread(target=body, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(size)
    assert interrupt_all_threads() == bystanders + count
    for thread in threads:
        thread.join(PATIENCE)
    assert seen.count(True) == len(seen) == count

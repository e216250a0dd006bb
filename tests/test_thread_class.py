"""The Thread class: a threading.Thread that is interrupted by a method of its own."""

import threading

import interruption
import pytest
from interruption import Thread, ThreadExit, check_interrupt, interruption_requested
from support import PATIENCE, Started


def wait_and_check(started):
    started.ready.set()
    started.go.wait(PATIENCE)
    check_interrupt()


def test_it_is_a_thread_like_any_other():
    seen = []
    thread = Thread(target=seen.append, args=(1,), name="mine", daemon=True)
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon, thread.is_alive()) == ("mine", True, False)
    thread.start()
    thread.join()
    assert seen == [1]


def test_interrupt_asks_it():  # S1, S2
    with Started(wait_and_check, thread_type=Thread) as other:
        assert other.thread.interrupt(reason="why") is True
        assert other.thread.interrupt() is False
        with pytest.raises(ThreadExit) as caught:
            other.finish()
        assert caught.value.reason == "why"


def test_interrupt_takes_an_exception_class():  # S2
    with Started(wait_and_check, thread_type=Thread) as other:
        other.thread.interrupt(LookupError)
        with pytest.raises(LookupError):
            other.finish()


def test_it_says_whether_it_was_asked():  # S4
    thread = Thread(target=check_interrupt)
    assert thread.interruption_requested is False
    with Started(wait_and_check, thread_type=Thread) as other:
        assert other.thread.interruption_requested is False
        other.thread.interrupt()
        assert other.thread.interruption_requested is True
        with pytest.raises(ThreadExit):
            other.finish()
    assert other.thread.interruption_requested is False


def test_it_says_so_also_after_it_has_looked():  # S4
    def body(started):
        assert not interruption_requested()
        wait_and_check(started)

    with Started(body, thread_type=Thread) as other:
        assert other.thread.interruption_requested is False
        interruption.interrupt(other.thread.ident)
        assert other.thread.interruption_requested is True
        with pytest.raises(ThreadExit):
            other.finish()


def test_before_start_it_cannot_be_asked():  # S1
    thread = Thread()
    with pytest.raises(RuntimeError, match="not been started"):
        thread.interrupt()
    thread.start()
    thread.join()
    assert thread.interrupt() is False

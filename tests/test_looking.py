"""S4, S5, S6: what a thread does about its own request."""

import threading

import pytest
from interruption import (
    ThreadExit,
    check_interrupt,
    clear_interrupt,
    interrupt,
    interruption_requested,
)
from support import Started, in_thread


def ask_myself():
    assert interrupt(threading.get_ident())


def test_a_new_thread_has_no_request():  # S4
    assert in_thread(interruption_requested) is False
    assert in_thread(check_interrupt) is None
    assert in_thread(clear_interrupt) is False


def test_a_request_sticks_until_it_is_cleared():  # S4
    ask_myself()
    for _ in range(3):
        assert interruption_requested() is True
    with pytest.raises(ThreadExit):
        check_interrupt()
    assert interruption_requested() is True
    clear_interrupt()
    assert interruption_requested() is False


def test_check_raises_every_time():  # S5
    check_interrupt()
    ask_myself()
    for _ in range(3):
        with pytest.raises(ThreadExit):
            check_interrupt()
    clear_interrupt()
    check_interrupt()


def test_clear_says_whether_there_was_a_request():  # S6
    assert clear_interrupt() is False
    ask_myself()
    assert clear_interrupt() is True
    assert clear_interrupt() is False
    ask_myself()
    with pytest.raises(ThreadExit):
        check_interrupt()
    assert clear_interrupt() is True


def test_a_request_is_one_threads_own():  # S4
    def body(started):
        started.ready.set()
        started.go.wait()
        return interruption_requested()

    with Started(body) as asked, Started(body) as other:
        interrupt(asked.thread)
        assert (asked.finish(), other.finish(), interruption_requested()) == (True, False, False)


def test_an_exception_that_clears_the_request_while_it_is_made_is_still_raised():  # S5
    class Clears(Exception):
        def __init__(self):
            super().__init__("made")
            clear_interrupt()

    interrupt(threading.get_ident(), Clears, reason="kept")
    interrupt(
        threading.get_ident(), Clears, reason="kept"
    )  # (the first was cleared by its own trial)
    with pytest.raises(Clears) as caught:
        check_interrupt()
    assert caught.value.reason == "kept"
    assert not interruption_requested()


def test_an_exception_that_cannot_be_made_any_more_comes_out_as_what_went_wrong():  # S5
    class Fickle(Exception):
        calls = 0

        def __init__(self):
            type(self).calls += 1
            if self.calls > 1:
                raise LookupError("not today")

    interrupt(threading.get_ident(), Fickle)
    with pytest.raises(LookupError, match="not today"):
        check_interrupt()
    assert interruption_requested()

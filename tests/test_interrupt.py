"""S1, S2: asking one thread."""

import _thread
import threading

import pytest
from interruption import (
    ThreadExit,
    check_interrupt,
    clear_interrupt,
    interrupt,
    interruption_requested,
    wait_for_interruption,
)
from support import PATIENCE, Started, in_thread


def wait_and_look(started: Started) -> bool:
    """Never use the library until the test lets us go on; then look."""
    started.ready.set()
    assert started.go.wait(PATIENCE)
    return interruption_requested()


def look_wait_and_look(started: Started) -> bool:
    assert not interruption_requested()
    return wait_and_look(started)


@pytest.mark.parametrize("body", [wait_and_look, look_wait_and_look])
@pytest.mark.parametrize("name", ["thread", "ident"])
def test_a_thread_is_asked_by_object_or_ident_whether_it_has_looked_or_not(body, name):  # S1
    with Started(body) as other:
        target = other.thread if name == "thread" else other.thread.ident
        assert interrupt(target) is True
        assert other.finish() is True


@pytest.mark.parametrize("body", [wait_and_look, look_wait_and_look])
def test_a_request_that_waits_makes_the_next_one_not_new(body):  # S1
    with Started(body) as other:
        assert interrupt(other.thread) is True
        assert interrupt(other.thread) is False
        assert interrupt(other.thread.ident) is False


def test_a_request_after_a_delivery_is_new_again():  # S1
    me = threading.current_thread()
    assert interrupt(me)
    assert not interrupt(me)
    with pytest.raises(ThreadExit):
        check_interrupt()
    assert interrupt(me)
    assert not interrupt(me)


def test_a_request_after_a_clear_is_new_again():  # S1, S6
    me = threading.get_ident()
    assert interrupt(me)
    clear_interrupt()
    assert interrupt(me)


def test_looking_is_not_a_delivery():  # S1
    me = threading.get_ident()
    assert interrupt(me)
    assert interruption_requested()
    assert not interrupt(me)


def test_a_finished_thread_answers_false():  # S1
    other = Started(lambda _: None)
    other.finish()
    assert interrupt(other.thread) is False
    asked = Started(wait_and_look).until_ready()
    assert interrupt(asked.thread)
    asked.finish()
    assert interrupt(asked.thread) is False


def test_a_thread_that_is_not_started_is_an_error():  # S1
    with pytest.raises(RuntimeError, match=r"call its start\(\)"):
        interrupt(threading.Thread())


def test_a_thread_whose_init_was_not_called_is_an_error():  # S1
    class Bare(threading.Thread):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match="not been started"):
        interrupt(Bare())


def test_an_ident_of_nobody_is_an_error():  # S1
    ident = in_thread(threading.get_ident)
    with pytest.raises(ValueError, match=f"no live Python thread has the ident {ident}"):
        interrupt(ident)


def test_a_request_is_there_as_soon_as_start_has_returned():  # S1
    for _ in range(200):
        seen = []
        thread = threading.Thread(
            target=lambda seen=seen: seen.append(wait_for_interruption(PATIENCE))
        )
        thread.start()
        assert interrupt(thread) is True
        thread.join()
        assert seen == [True]


def test_threads_of_the_low_level_module_can_be_asked():  # S1
    seen = []
    ready, done = threading.Event(), threading.Event()

    def body():
        ready.set()
        seen.append(wait_for_interruption(PATIENCE))
        done.set()

    ident = _thread.start_new_thread(body, ())
    assert ready.wait(PATIENCE)
    assert interrupt(ident)
    assert done.wait(PATIENCE)
    assert seen == [True]


def successor_of(ident):
    """A thread with that ident, ready; the C library gives the last one out again first."""
    for _ in range(1000):
        other = Started(wait_and_look).until_ready()
        if other.thread.ident == ident:
            return other
        other.finish()
    pytest.skip("the ident was not given out again")
    return None


@pytest.mark.parametrize("body", [wait_and_look, look_wait_and_look])
def test_a_successor_inherits_nothing(body):  # S1
    first = Started(body).until_ready()
    assert interrupt(first.thread)
    first.finish()
    with successor_of(first.thread.ident) as second:
        assert second.finish() is False


def test_a_thread_that_never_looked_leaves_nothing_to_its_successor():  # S1
    first = Started(lambda started: started.ready.set() or started.go.wait(PATIENCE)).until_ready()
    assert interrupt(first.thread)
    first.finish()
    with successor_of(first.thread.ident) as second:
        assert interrupt(second.thread) is True  # and is asked afresh
        assert second.finish() is True


def test_asking_a_finished_thread_does_not_reach_its_successor():  # S1
    first = Started(wait_and_look).until_ready()
    first.finish()
    with successor_of(first.thread.ident) as second:
        assert interrupt(first.thread) is False
        assert second.finish() is False


def test_the_main_thread_can_be_asked():  # S1
    in_thread(lambda: interrupt(threading.main_thread()))
    assert interruption_requested()


def test_a_foreign_thread_is_asked_through_its_dummy():  # S1
    seen = []
    ready, go, done = threading.Event(), threading.Event(), threading.Event()

    def body():
        seen.append(threading.current_thread())
        ready.set()
        go.wait(PATIENCE)
        seen.append(interruption_requested())
        done.set()

    _thread.start_new_thread(body, ())
    assert ready.wait(PATIENCE)
    assert interrupt(seen[0]) is True
    go.set()
    assert done.wait(PATIENCE)
    assert seen[1] is True


def test_a_dummy_of_an_ended_thread_does_not_stand_for_its_successor():  # S1
    seen = []
    done = threading.Event()
    _thread.start_new_thread(lambda: (seen.append(threading.current_thread()), done.set()), ())
    assert done.wait(PATIENCE)
    dummy = seen[0]
    for _ in range(200):
        with Started(wait_and_look) as other:
            if other.thread.ident == dummy.ident:
                assert interrupt(dummy) is False
                assert other.finish() is False
                return
    pytest.skip("the ident was not given out again")


# S2: what is raised.


class Cancelled(Exception):
    """An exception of the user's."""


class Stop(ThreadExit):
    """One that adds nothing."""


@pytest.mark.parametrize("reason", ["no longer needed", None])
@pytest.mark.parametrize(
    "exc_type",
    [Cancelled, ThreadExit, Stop, KeyboardInterrupt, SystemExit, GeneratorExit, BaseException],
)
def test_the_exception_class_is_raised_and_carries_the_reason(exc_type, reason):  # S2
    interrupt(threading.get_ident(), exc_type, reason=reason)
    with pytest.raises(exc_type) as caught:
        check_interrupt()
    assert type(caught.value) is exc_type
    assert caught.value.reason == reason


def test_a_class_that_has_a_reason_of_its_own_keeps_it_when_none_is_given():  # S2
    class Explained(Exception):
        reason = "because"

    interrupt(threading.get_ident(), Explained)
    with pytest.raises(Explained) as caught:
        check_interrupt()
    assert caught.value.reason == "because"


def test_what_was_asked_first_is_delivered():  # S1, S2
    assert interrupt(threading.get_ident(), reason="first")
    assert not interrupt(threading.get_ident(), Cancelled, reason="second")
    with pytest.raises(ThreadExit) as caught:
        check_interrupt()
    assert caught.value.reason == "first"


def test_a_request_after_a_delivery_replaces_what_is_raised():  # S2, S5
    me = threading.get_ident()
    interrupt(me, reason="first")
    for _ in range(2):
        with pytest.raises(ThreadExit, match="first"):
            check_interrupt()
    assert interrupt(me, Cancelled, reason="second")
    for _ in range(2):
        with pytest.raises(Cancelled):
            check_interrupt()


def test_each_raise_makes_an_exception_of_its_own():  # S5
    interrupt(threading.get_ident())
    caught = []
    for _ in range(2):
        with pytest.raises(ThreadExit) as info:
            check_interrupt()
        caught.append(info.value)
    assert caught[0] is not caught[1]

"""S22, S23, S26: a scope is asked by itself, and what is asked ends where it is left."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from chance import scaled, seeded
from delivery_parts import ask_myself, statements
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    defer_interruption,
    explain,
    interruption_requested,
    move_on_after,
    on_interrupt,
)
from support import Started, in_thread


class GiveUp(BaseException):
    pass


class Own(Exception):
    def __setattr__(self, name, value):
        if name != "reason":
            raise AttributeError(name)
        super().__setattr__(name, value)


def wait_in(scope):
    def body(started):
        seen = []
        with scope:
            started.ready.set()
            try:
                threading.Event().wait()
            except BaseException as error:
                seen.append(error)
                raise
        seen.append("goes on")
        return seen, interruption_requested()

    return Started(body).until_ready()


def spin_in(scope):
    def body(started):
        with scope:
            started.ready.set()
            while True:
                statements()
        return "goes on", interruption_requested()

    return Started(body).until_ready()


@pytest.mark.parametrize("exc_type", [None, GiveUp, Own, KeyError, TimeoutError])
def test_it_carries_a_class_and_a_reason(exc_type):  # S2, S23
    scope = Scope()
    thread = wait_in(scope).until_blocked()
    assert scope.interrupt(exc_type, reason="enough") is True
    (error, after), asked = thread.finish()
    assert type(error) is (exc_type or ThreadExit)
    assert error.reason == "enough"
    assert (after, asked) == ("goes on", False)


def test_running_code_is_stopped():  # S9
    scope = Scope()
    thread = spin_in(scope)
    assert scope.interrupt() is True
    assert thread.finish() == ("goes on", False)


def test_all_threads_in_it_are_reached_and_those_that_enter_later():  # S22
    scope = Scope()
    threads = [make(scope) for make in (wait_in, spin_in, wait_in, spin_in)]
    threads[0].until_blocked()
    threads[2].until_blocked()
    assert scope.interrupt(GiveUp, reason="all") is True
    for thread in threads:
        assert thread.finish()[1] is False
    assert scope.interrupt() is False  # nobody is in it now; it stays asked
    for _ in range(2):
        order = []
        with scope:
            statements()
            order.append("not reached")
        assert order == []
    assert not interruption_requested()


def test_a_scope_that_has_been_left_reaches_nobody():  # S22
    with Scope() as scope:
        pass
    assert scope.interrupt() is False
    statements()
    assert not interruption_requested()
    with scope:  # nothing has happened, also for who enters it again
        statements()


def test_asked_before_anybody_has_entered_it_stops_who_does():  # S26
    scope = Scope()
    assert scope.interrupt(GiveUp, reason="before") is True
    for body in (statements, time.sleep, check_interrupt):
        caught = []
        with scope:
            try:
                body(1000) if body is time.sleep else body()
                caught.append("not reached")
            except GiveUp as error:
                caught.append(error.reason)
                raise
        assert caught == ["before"]
    assert not interruption_requested()


def test_it_does_not_reach_the_code_behind_it():  # S22
    def body(started):
        with allow_interruption:
            with scope:
                started.ready.set()
                started.go.wait()
            for _ in range(1000):
                statements(10)
        return interruption_requested()

    scope = Scope()
    thread = Started(body).until_ready()
    thread.go.set()
    while scope.interrupt() is False and thread.thread.is_alive():
        pass
    assert thread.finish() is False


def test_inner_scopes_let_it_pass():  # S23
    order = []
    with Scope() as far:
        with Scope(), Scope():
            far.interrupt()
            order.append("not reached")
        order.append("nor this")
    assert order == []
    with Scope():
        with Scope() as near:
            near.interrupt()
            order.append("not reached")
        order.append("reached")
    assert order == ["reached"]


def test_each_level_keeps_its_own_class_and_reason():  # S23
    def body():
        caught = []
        try:
            with allow_interruption, Scope() as far:
                try:
                    with Scope() as near:
                        try:
                            near.interrupt(KeyError, reason="near")
                            statements()
                        except KeyError as error:
                            caught.append(error.reason)
                            far.interrupt(GiveUp, reason="far")
                            raise
                except GiveUp as error:
                    caught.append(error.reason)
                    ask_myself("thread's")
                    raise
        except ThreadExit as error:
            caught.append(error.reason)
        return caught

    assert in_thread(body) == ["near", "far", "thread's"]


def test_what_the_program_raises_itself_is_left_alone_whatever_its_class():  # S23, S26
    for exc_type in (ThreadExit, GiveUp, KeyError):
        own = exc_type("own")
        never = (each for each in ())  # what raises without a statement
        with pytest.raises(exc_type) as raised, Scope() as scope:
            assert not scope.interrupt(exc_type) or never.throw(own)
        assert raised.value is own
        assert not interruption_requested()


def test_a_deadline_that_passes_later_is_not_what_was_asked_for():  # S2, S19
    """What came first is delivered, and told."""

    def body():
        reasons = []
        with move_on_after(1000) as limit:
            try:
                with defer_interruption:
                    limit.interrupt()
                    limit.reschedule(0)
                    reasons.append(explain(threading.current_thread()).asked.reason)
            except ThreadExit as error:
                reasons.append(error.reason)
                raise
        with defer_interruption, move_on_after(1000) as limit:
            try:
                with defer_interruption:
                    limit.reschedule(0)
                    limit.interrupt(reason="later")
                    reasons.append(explain(threading.current_thread()).asked.reason)
                time.sleep(0)
            except ThreadExit as error:
                reasons.append(error.reason)
                limit.interrupt(reason="again")
                reasons.append(explain(threading.current_thread()).asked.reason)
                raise
        return reasons

    assert in_thread(body) == [None, None, "deadline", "deadline", "again"]


def test_asking_again_while_it_cleans_up_breaks_in():  # S25
    order = []
    with Scope() as scope:
        try:
            scope.interrupt()
            order.append("not reached")
        finally:
            statements()
            order.append("cleanup")
            scope.interrupt(GiveUp)
            with pytest.raises(GiveUp):
                check_interrupt()
            order.append("told")
    assert order == ["cleanup", "told"]


def test_it_may_be_entered_again_but_not_twice_at_once():  # S26
    scope = Scope()
    for _ in range(3):
        with scope:
            with pytest.raises(RuntimeError, match="entered by this thread already"), scope:
                pass
            statements()
    assert in_thread(lambda: scope.__enter__()) is scope  # a thread that ends in it
    with scope:
        statements()
    with pytest.raises(RuntimeError):
        scope.__exit__(None, None, None)


def test_bad_input_is_refused_in_words_and_nobody_is_asked():  # S2
    with Scope() as scope:
        for exc_type in (int, KeyError("x"), "text"):
            with pytest.raises(TypeError, match="exc_type must be"):
                scope.interrupt(exc_type)
        with pytest.raises(TypeError, match="reason must be a str"):
            scope.interrupt(reason=1)
        with pytest.raises(TypeError):
            Scope(1)
        statements()
    with scope:
        statements()


def test_a_callback_is_run_by_who_asks_the_scope():  # S10
    scope = Scope()
    called = threading.Event()

    def body(started):
        with scope, on_interrupt(called.set):
            started.ready.set()
            started.go.wait()
            raise OSError
        return interruption_requested()

    thread = Started(body).until_ready()
    assert scope.interrupt()
    thread.finish()
    assert called.is_set()


def test_it_keeps_nothing_alive():
    class Class(BaseException):
        pass

    with Scope() as scope:
        pass
    scope.interrupt(Class)
    Class.scope = scope
    gone = weakref.ref(Class)
    del Class, scope
    gc.collect()
    assert gone() is None


def test_a_thread_that_ended_within_it_is_not_asked():  # S22
    scope = Scope()
    in_thread(scope.__enter__)
    for _ in range(10):
        assert in_thread(lambda: (time.sleep(0), interruption_requested())[1]) is False
    assert scope.interrupt() is False


def test_scopes_under_fire(percent):  # S22: seed 1
    """Threads enter and leave scopes that others ask: nothing reaches what is not in them."""
    rounds = scaled(20_000, percent)
    current: list[Scope] = [Scope()] * 4
    stop = threading.Event()
    wrong: list[object] = []

    def own(which):
        random = seeded(which)
        for _ in range(rounds):
            with Scope() as scope:
                current[which] = scope
                for _ in range(random.randrange(4)):
                    statements(3)
            if interruption_requested():
                wrong.append(which)

    def ask():
        random = seeded("ask")
        while not stop.is_set():
            random.choice(current).interrupt()

    asking = threading.Thread(target=ask)
    asking.start()
    owners = [Started(lambda _, which=which: own(which)) for which in range(4)]
    try:
        for owner in owners:
            owner.finish()
    finally:
        stop.set()
        asking.join()
    assert wrong == []


def test_who_enters_again_while_others_are_asked_is_stopped_once():
    """What is asked goes from thread to thread, and may be held up on its way by a callback."""
    scope, seen = Scope(), []
    held_up, go_on, left, cleans_up, asked = (threading.Event() for _ in range(5))

    def hold_up():
        held_up.set()
        go_on.wait()

    def first(started):
        with scope, on_interrupt(hold_up):
            started.ready.set()
            threading.Event().wait()

    def second(started):
        with scope, defer_interruption:
            started.ready.set()
            left.wait()
        with scope:
            try:
                threading.Event().wait()
            finally:
                cleans_up.set()
                asked.wait()  # not broken off
                seen.append("whole")

    blocked = Started(first).until_ready()
    again = Started(second).until_ready()
    requester = threading.Thread(target=scope.interrupt)
    requester.start()
    held_up.wait()
    left.set()
    cleans_up.wait()
    go_on.set()
    requester.join()
    asked.set()
    blocked.finish()
    again.finish()
    assert seen == ["whole"]

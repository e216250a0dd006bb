"""Greenlets: a block is in force while the greenlet that entered it runs, and not else (S21)."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from functools import partial

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    blocking,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    explain,
    interrupt,
    interruption_requested,
)
from support import PATIENCE, Started, in_thread, until_blocked

greenlet = pytest.importorskip("greenlet").greenlet
getcurrent = pytest.importorskip("greenlet").getcurrent


class Given(BaseException):
    """Given up."""


def parent() -> None:
    """Switch to the parent, and come back when it says so."""
    getcurrent().parent.switch()


def inside(*blocks, work=statements):
    """A greenlet that has entered these blocks and has switched to its parent; it runs ``work``."""

    def run():
        with contextlib.ExitStack() as stack:
            for block in blocks:
                stack.enter_context(block)
            parent()
            work()

    made = greenlet(run)
    made.switch()
    return made


def plainly_inside(block, work=statements):
    """The same by a ``with`` of its own."""

    def run():
        with block:
            parent()
            work()

    made = greenlet(run)
    made.switch()
    return made


@pytest.fixture(params=[inside, plainly_inside], ids=["through an ExitStack", "by a with"])
def entered(request):
    return request.param


def test_switching_is_interposed():  # S21
    (family,) = [one for one in blocking.status().families if one.name == "greenlet switches"]
    assert family.interposed
    assert len(family.calls) == 2


def test_a_suspended_greenlets_region_opens_nothing(entered):  # S21
    def body():
        other = entered(allow_interruption)
        ask_myself("for the other")
        statements()
        time.sleep(0)
        with pytest.raises(ThreadExit) as caught:
            other.switch()
        statements()
        return caught.value.reason

    assert in_thread(body) == "for the other"


def test_a_suspended_greenlets_shield_shields_nothing(entered):  # S21
    def body():
        other = entered(defer_interruption)
        with contextlib.suppress(ThreadExit):
            with allow_interruption:
                ask_myself()
                statements()
                return "shielded"
        with pytest.raises(ThreadExit):
            check_interrupt()
        other.switch()
        return "raised"

    assert in_thread(body) == "raised"


def test_a_suspended_greenlets_switches_are_off(entered):  # S14, S21
    def body():
        other = entered(allow_interruption(async_interrupt=False, io_interrupt=False))
        with pytest.raises(ThreadExit):
            with allow_interruption:
                ask_myself()
                statements()
        clear_interrupt()
        with pytest.raises(ThreadExit):
            with allow_interruption:
                ask_myself()
                time.sleep(PATIENCE)
        clear_interrupt()
        other.switch()
        return "left"

    assert in_thread(body) == "left"


def test_the_parents_region_is_not_the_childs():  # S21
    def body():
        ran = []

        def child():
            ask_myself("for the parent")
            statements()
            ran.append("ran")

        with pytest.raises(ThreadExit) as caught:
            with allow_interruption:
                greenlet(child).switch()
                statements()
        return [*ran, caught.value.reason]

    assert in_thread(body) == ["ran", "for the parent"]


def test_greenlets_leave_in_any_order(entered):  # S21
    def body():
        blocks = (allow_interruption, defer_interruption, allow_interruption, defer_interruption)
        others = [entered(block) for block in blocks]
        for other in (others[1], others[0], others[3], others[2]):
            other.switch()
        assert all(other.dead for other in others)
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            with allow_interruption:
                pass  # S7: nothing is open any more, so this one is the outermost
        return "ran"

    assert in_thread(body) == "ran"


def test_a_request_finds_the_greenlet_that_lets_it_in(entered):  # S21
    """Of several, each with regions, shields, or none."""

    def body():
        shielded = inside(allow_interruption, defer_interruption)
        opened = entered(allow_interruption)
        closed = greenlet(lambda: [ask_myself(), statements(), parent(), statements()])
        closed.switch()
        statements()
        with pytest.raises(ThreadExit):
            opened.switch()
        clear_interrupt()
        closed.switch()
        shielded.switch()
        return closed.dead and shielded.dead

    assert in_thread(body)


def test_delivered_once_for_all_greenlets_of_a_thread(entered):  # S8, S21
    def body():
        first, second = entered(allow_interruption), entered(allow_interruption)
        ask_myself()
        with pytest.raises(ThreadExit):
            first.switch()
        second.switch()
        assert second.dead
        return interruption_requested()

    assert in_thread(body) is True


def test_a_call_blocks_as_ever_in_a_greenlet_without_a_region(entered):  # S10, S21
    lock = threading.Lock()
    lock.acquire()

    def body(started):
        other = entered(allow_interruption, work=lambda: time.sleep(PATIENCE))
        started.ready.set()
        lock.acquire()
        lock.release()
        with pytest.raises(ThreadExit):
            other.switch()
        return "taken"

    started = Started(body).until_blocked()
    interrupt(started.thread)
    until_blocked(started.thread)
    lock.release()
    assert started.finish() == "taken"


def test_a_call_in_a_greenlets_region_is_woken(entered):  # S10, S21
    def body(started):
        def work():
            started.ready.set()
            time.sleep(PATIENCE)

        with pytest.raises(ThreadExit):
            entered(allow_interruption, work=work).switch()
        return "woken"

    started = Started(body).until_blocked()
    interrupt(started.thread)
    assert started.finish() == "woken"


@pytest.mark.parametrize("shield_first", [True, False])
def test_a_shield_and_a_region_that_take_turns(shield_first):  # S21
    """What the record says of the thread as a whole is never less than what is open."""

    def body():
        count = 0

        def endless():
            while True:
                pass

        def run():
            with allow_interruption:
                parent()
                endless()

        def shielding():
            with allow_interruption, defer_interruption:
                parent()
                statements()

        pair = [greenlet(shielding), greenlet(run)]
        for each in pair if shield_first else reversed(pair):
            each.switch()
        threading.Timer(0.01, interrupt, [threading.current_thread()]).start()
        try:
            pair[1].switch()
        except ThreadExit:
            count += 1
        clear_interrupt()
        pair[0].switch()
        return count

    assert in_thread(body) == 1


def test_many_greenlets_each_with_its_blocks():  # S21
    def body():
        def run(number):
            for _ in range(3):
                with allow_interruption:
                    parent()
                    if number % 3:
                        with defer_interruption:
                            parent()
            return number

        others = [greenlet(run) for _ in range(100)]
        running = dict(enumerate(others))
        while running:
            for number, other in list(running.items()):
                other.switch(number)
                if other.dead:
                    del running[number]
        ask_myself()
        statements()
        clear_interrupt()
        with allow_interruption:
            return "left"

    assert in_thread(body) == "left"


def test_deep_in_calls_it_is_the_same_greenlet():  # S21
    """However many frames lie between the region and the switch."""

    def body():
        def deep(depth):
            if depth:
                deep(depth - 1)
                return
            with allow_interruption:
                with defer_interruption:
                    parent()
                statements()

        def run():
            with allow_interruption:
                deep(400)

        other = greenlet(run)
        other.switch()
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            other.switch()
        return "raised"

    assert in_thread(body) == "raised"


def test_what_a_region_called_goes_on_after_a_switch():  # S21
    """It was not running when the request came, and has no region of its own."""

    def body(started):
        def called():
            parent()
            started.ready.set()
            while True:
                pass

        def run():
            with allow_interruption:
                called()

        other = greenlet(run)
        other.switch()
        ask_myself()
        with pytest.raises(ThreadExit):
            other.switch()
        return "raised"

    assert Started(body).finish() == "raised"


@pytest.mark.parametrize("way", ["thrown into", "dropped", "after another was raised in"])
def test_a_greenlet_that_ends_leaves_its_blocks(way, entered):  # S21
    def body():
        other = entered(allow_interruption)
        if way == "thrown into":
            other.throw()
        elif way == "dropped":
            del other
            gc.collect()
        else:
            with contextlib.suppress(ThreadExit):
                with allow_interruption:
                    ask_myself()
                    statements()
            clear_interrupt()
            other.throw()
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_an_exception_thrown_into_a_greenlet_is_its_own(entered):  # S21
    def body():
        other = entered(allow_interruption)
        ask_myself()
        with pytest.raises(Given):
            other.throw(Given)
        statements()
        with pytest.raises(ThreadExit):
            with allow_interruption:
                pass
        return "both"

    assert in_thread(body) == "both"


def test_a_generator_that_greenlets_hand_on():  # S21
    """Its region is its own, whoever resumes it."""

    def values():
        with allow_interruption:
            while True:
                yield
                statements()

    def body():
        generator = values()
        next(generator)

        def resume():
            with pytest.raises(ThreadExit):
                next(generator)
            return "raised"

        ask_myself()
        statements()
        return greenlet(resume).switch()

    assert in_thread(body) == "raised"


def test_a_generator_suspended_in_a_greenlet():  # S21
    """It runs, but its greenlet does not."""

    def values():
        with allow_interruption:
            parent()
            statements()
            yield

    def body():
        other = greenlet(lambda: next(values()))
        other.switch()
        ask_myself()
        statements()
        with pytest.raises(ThreadExit):
            other.switch()
        return "raised"

    assert in_thread(body) == "raised"


def test_left_in_another_greenlet_is_an_error():  # S21
    def body():
        allow_interruption.__enter__()
        with pytest.raises(RuntimeError, match="greenlet, that has entered it"):
            greenlet(lambda: allow_interruption.__exit__(None, None, None)).switch()
        allow_interruption.__exit__(None, None, None)
        ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_an_interruptible_threads_region_is_its_main_greenlets():  # S14, S21
    ran = []

    def work():
        ask_myself()
        statements()
        ran.append("child")
        parent()

    def body(_):
        child = greenlet(work)
        child.switch()
        statements()
        ran.append("not reached")

    with pytest.raises(ThreadExit):
        Started(body, thread_type=partial(Thread, interruptible=True)).finish()
    assert ran == ["child"]


def test_each_thread_has_greenlets_of_its_own():  # S21
    """Interrupted from outside while they switch to and fro."""

    def body(started):
        def run():
            with allow_interruption:
                while True:
                    parent()

        other = greenlet(run)
        started.ready.set()
        while not other.dead:
            other.switch()

    crew = [Started(body) for _ in range(8)]
    for one in crew:
        one.until_ready()
        interrupt(one.thread)
    for one in crew:
        with pytest.raises(ThreadExit):
            one.finish()


def test_a_tracer_of_greenlets_hears_what_it_heard():
    import greenlet as module

    heard = []

    def body():
        module.settrace(lambda event, _: heard.append(event))
        try:
            other = plainly_inside(allow_interruption)
            ask_myself()
            with pytest.raises(ThreadExit):
                other.switch()
        finally:
            module.settrace(None)

    in_thread(body)
    assert heard == ["switch", "switch", "switch", "throw"]


def test_nothing_is_kept_of_greenlets_that_are_gone():
    class Local:
        pass

    def body():
        import weakref

        seen = []

        def run():
            local = Local()
            seen.append(weakref.ref(local))
            with allow_interruption:
                parent()

        for _ in range(50):
            other = greenlet(run)
            other.switch()
            other.switch()
            del other
        gc.collect()
        return [ref for ref in seen if ref() is not None]

    assert in_thread(body) == []


def test_explain_names_the_region_of_a_suspended_greenlet(entered):  # S19, S21
    def body(started):
        suspended = entered(allow_interruption)
        started.ready.set()
        started.go.wait()
        suspended.throw(Given)

    with Started(body) as started:
        interrupt(started.thread)
        found = explain(started.thread)
    with pytest.raises(Given):
        started.finish()
    assert found.state == "not in a region"
    assert "not in force while that is suspended" in found.reason
    assert found.reason.endswith(str(found.place))


def test_and_no_shield_of_the_one_that_came_before(entered):  # S19, S21
    """The main greenlet's, which has no region of its own."""

    def body(started):
        with defer_interruption:
            suspended = entered(defer_interruption)

            def asks():
                started.ready.set()
                started.go.wait()

            greenlet(asks).switch()
        suspended.throw(Given)

    with Started(body) as started:
        interrupt(started.thread)
        found = explain(started.thread)
    with pytest.raises(Given):
        started.finish()
    assert (found.state, found.place) == ("not in a region", None)

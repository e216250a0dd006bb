"""S9: what the interpreter calls at moments of its own is left alone, and nothing else is.

Finalizers, weak references' callbacks, signal handlers and the garbage collector's callbacks are
told by where they are called from and what with. A function that merely has such things among its
arguments is code like any other.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import threading
import weakref

import pytest
from delivery_parts import ask_myself, run, statements, waits
from interruption import Thread, ThreadExit, allow_interruption, explain, interrupt
from support import Started, expect_script, until

# Ordinary functions -----------------------------------------------------------------------------


class Owner:
    pass


def dead_reference():
    return weakref.ref(Owner())


def dead_proxy():
    return weakref.proxy(Owner())


class Unequal:
    """A key that must not be compared: it hashes as a name that callbacks' figures have."""

    def __hash__(self):
        return hash("generation")

    def __eq__(self, _other):
        raise AssertionError


def figures():
    return {"generation": 2, "collected": 0, "uncollectable": 0}


def loop(started):
    started.ready.set()
    while True:
        pass


class Worker:
    def __init__(self, started, given=None):
        self.started = started
        if given is not None:
            loop(started)

    def work(self, _given):
        loop(self.started)


def given_alone(started, given):
    def work(_given):
        loop(started)

    work(given)


def given_alone_with_a_star(started, given):
    def work(_given):
        loop(started)

    work(*[given])


def given_all_with_a_star(started, given):
    def work(*_given):
        loop(started)

    work(*[given])


def given_with_keywords(started, given):
    def work(_given, **_more):
        loop(started)

    work(*[given], more=1)


def given_to_a_method(started, given):
    Worker(started).work(given)


def given_to_init(started, given):
    Worker(started, given)


def given_by_c_code_as_one_of_two(started, given):
    def work(_given, _other):
        loop(started)

    list(map(work, [given], [1]))


GIVEN = {
    "a dead reference": dead_reference,
    "a dead proxy": dead_proxy,
    "its caller's frame": lambda: sys._getframe(2),  # noqa: SLF001
    "figures": figures,
    "a dict with a key of its own": lambda: {Unequal(): 1},
}
WAYS = [
    given_alone,
    given_to_a_method,
    given_to_init,
    given_by_c_code_as_one_of_two,
]
# Before, such calls go through C, as a callback's.
STARS_ARE_TOLD = sys.version_info >= (3, 12)
if STARS_ARE_TOLD:
    WAYS += [given_alone_with_a_star, given_all_with_a_star, given_with_keywords]


def interrupted(body):
    """Is ``body(started)`` interrupted in a region, once it is ready?"""

    def in_region(started):
        try:
            with allow_interruption:
                body(started)
        except ThreadExit:
            return True
        return False

    started = Started(in_region).until_ready()
    interrupt(started.thread)
    return started.finish()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", GIVEN)
def test_a_function_that_is_given_such_a_thing_is_interrupted(kind, way):  # S9
    assert interrupted(lambda started: way(started, GIVEN[kind]()))


@pytest.mark.parametrize("name", ["with another", *(["alone"] if STARS_ARE_TOLD else [])])
def test_a_thread_that_is_given_a_dead_reference_is_interrupted(name):  # S9
    ended = []

    def work(given, *_more):
        ready.set()
        try:
            while given() is None:
                pass
        except ThreadExit:
            ended.append(given)

    ready = threading.Event()
    args = (dead_reference(), 1) if name == "with another" else (dead_reference(),)
    thread = Thread(target=work, args=args, interruptible=True)
    thread.start()
    assert ready.wait(60)
    thread.interrupt()
    thread.join(60)
    assert len(ended) == 1


def test_a_finalizer_that_is_called_by_hand_is_interrupted():  # S9
    class Resource:
        started = None

        def close(self):
            if self.started is not None:
                loop(self.started)

        __del__ = close

    def body(started):
        resource = Resource()
        resource.started = started
        try:
            resource.close()
        finally:
            resource.started = None

    assert interrupted(body)


def by_map(work):
    list(map(work, [dead_reference()]))


def by_partial(work):
    functools.partial(lambda _one, _given: work(_given), 1)(dead_reference())


def by_a_method_with_a_star(work):
    class Working:
        def work(self, given):
            work(given)

    Working().work(*[dead_reference()])


@pytest.mark.parametrize("call", [by_map, by_partial, by_a_method_with_a_star])
def test_what_cannot_be_told_from_a_callback_is_said_to_be_so(call):  # S9, S19
    going = [True]

    def work(_given):
        ready.set()
        while going:
            pass

    def in_region():
        with allow_interruption:
            call(work)

    ready = threading.Event()
    thread = threading.Thread(target=in_region)
    thread.start()
    assert ready.wait(60)
    interrupt(thread)
    try:
        found = explain(thread)
        assert found.state == "in a callback"
        assert "or in what cannot be told from one" in found.reason
    finally:
        going.clear()
        thread.join(60)


# Callbacks --------------------------------------------------------------------------------------


def by_a_partial_of_more(order):
    """No argument that callbacks are given is where it would be in one."""

    def callback(order, _one, _other, _reference):
        waits(order)
        order.append("called back")

    return functools.partial(callback, order, 1, 2)


class Calling:
    """Has a callback as a method."""

    def __init__(self, order):
        self.order = order

    def call(self, _reference):
        waits(self.order)
        self.order.append("called back")


def by_function(order):
    def callback(_reference):
        waits(order)
        order.append("called back")

    return callback


def by_method(order):
    return Calling(order).call


def by_function_with_defaults(order):
    def callback(_reference, order=order, *, more=None):
        waits(order)
        order.append("called back")

    return callback


def by_a_partial(order):
    def callback(order, _reference):
        waits(order)
        order.append("called back")

    return functools.partial(callback, order)


def by_callable_object(order):
    class Callable:
        def __call__(self, *_arguments):
            waits(order)
            order.append("called back")

    return Callable()


CALLBACKS = [by_function, by_method, by_function_with_defaults, by_a_partial, by_callable_object]


def dropped_by_a_statement(reference_to):
    values = [Owner()]
    reference = reference_to(values[0])
    values[0] = None
    return reference


def dropped_by_a_call_into_c(reference_to):
    values = [Owner()]
    reference = reference_to(values[0])
    values.clear()
    return reference


def dropped_by_a_call_with_a_star(reference_to):
    values = [Owner()]
    reference = reference_to(values[0])
    list.clear(*[values])
    return reference


def dropped_at_a_return(reference_to):
    def function():
        value = Owner()
        return reference_to(value)

    return function()


def dropped_by_the_collector(reference_to):
    value = Owner()
    value.itself = value
    reference = reference_to(value)
    del value
    gc.collect()
    return reference


DROPS = [
    dropped_by_a_statement,
    dropped_by_a_call_into_c,
    dropped_by_a_call_with_a_star,
    dropped_at_a_return,
    dropped_by_the_collector,
]


def test_a_callback_is_told_by_where_it_is_called_from():  # S9
    """No call is made there: nobody would get what is raised."""

    def situation(order):
        reference = dropped_by_a_statement(
            lambda value: weakref.ref(value, by_a_partial_of_more(order))
        )
        del reference

    assert run(situation) == ["waited", "called back", "delivered"]


@pytest.mark.parametrize("drop", DROPS, ids=lambda drop: drop.__name__)
@pytest.mark.parametrize("make", CALLBACKS, ids=lambda make: make.__name__)
def test_a_weak_references_callback_is_left_alone(make, drop):  # S9
    def situation(order):
        reference = drop(lambda value: weakref.ref(value, make(order)))
        del reference

    assert run(situation) == ["waited", "called back", "delivered"]


@pytest.mark.parametrize("drop", DROPS, ids=lambda drop: drop.__name__)
@pytest.mark.parametrize("name", ["__del__", "close"])
def test_a_finalizer_is_left_alone(name, drop):  # S9
    def situation(order):
        def finalize(owner):
            if owner.armed:
                waits(order)
                order.append("finalized")

        class Finalized(Owner):
            armed = True

        finalize.__code__ = finalize.__code__.replace(co_name=name)
        Finalized.__del__ = finalize

        def reference_to(value):
            value.finalized = Finalized()

        drop(reference_to)

    assert run(situation) == ["waited", "finalized", "delivered"]


SIGNALLED = """
    import functools, os, signal, sys, threading
    from interruption import ThreadExit, allow_interruption, interrupt

    order = []

    def handle(*arguments):
        interrupt(threading.get_ident())
        for _ in range(50):
            pass
        order.append("handled")

    class Handler:
        def handle(self, number, frame):
            handle()

        def __call__(self, number, frame):
            handle()

    def plain(number, frame):
        handle()

    handlers = {
        "function": plain,
        "any arguments": handle,
        "method": Handler().handle,
        "object": Handler(),
        "partial": functools.partial(lambda one, number, frame: handle(), 1),
    }

    def by_a_call():
        signal.raise_signal(signal.SIGUSR1)
        order.append("not reached")

    def by_a_statement():
        os.kill(os.getpid(), signal.SIGUSR1)
        while True:
            pass

    def by_a_wait():
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        threading.Event().wait()

    signal.signal(signal.SIGUSR1, handlers[sys.argv[1]])
    try:
        with allow_interruption:
            globals()[sys.argv[2]]()
    except ThreadExit:
        order.append("delivered")
    print(*order)
"""


@pytest.mark.parametrize("way", ["by_a_call", "by_a_statement", "by_a_wait"])
@pytest.mark.parametrize("kind", ["function", "any arguments", "method", "object", "partial"])
def test_a_signal_handler_is_left_alone(kind, way):  # S9
    expect_script(SIGNALLED, kind, way, stdout="handled delivered\n")


def test_a_call_of_a_signal_handler_by_hand_is_interrupted():  # S9
    def body(started):
        def handle(_number, _frame):
            loop(started)

        handle(signal.SIGTERM, sys._getframe())  # noqa: SLF001

    assert interrupted(body)


def test_what_a_callback_calls_is_left_alone():  # S9
    def situation(order):
        def inner():
            waits(order)
            order.append("called back")

        def callback(_reference):
            [inner() for _ in range(1)]

        values = [Owner()]
        reference = weakref.ref(values[0], callback)
        values.clear()
        del reference

    assert run(situation) == ["waited", "called back", "delivered"]


def test_a_region_within_a_callback_is_in_force():  # S9, S21
    def situation(order):
        def callback(_reference):
            try:
                with allow_interruption:
                    waits(order)
                    statements()
                    order.append("not reached")
            except ThreadExit:
                order.append("inside")

        values = [Owner()]
        reference = weakref.ref(values[0], callback)
        values.clear()
        del reference

    def body(started):
        order = []
        situation(order)
        return order

    assert Started(body).finish() == ["inside"]


# A trace function's waits -----------------------------------------------------------------------


def test_a_wait_in_a_trace_function_is_left_alone():  # S10
    """What it raised would come up in the traced code, and end the tracing."""
    receiving, sending = os.pipe()
    told = []

    def body(started):
        def trace(_frame, event, _arg):
            if event == "call" and not told:
                started.ready.set()
                told.append(os.read(receiving, 1))

        def traced():
            pass

        try:
            with allow_interruption:
                sys.settrace(trace)
                try:
                    traced()
                finally:
                    sys.settrace(None)
                statements()
        except ThreadExit:
            told.append("delivered")
        return told

    started = Started(body).until_blocked()
    interrupt(started.thread)
    until(lambda: explain(started.thread).state != "delivered")
    os.write(sending, b"x")
    assert started.finish() == [b"x", "delivered"]
    os.close(receiving)
    os.close(sending)


def test_asking_oneself_in_an_ordinary_function_is_told_at_once():  # S9
    def situation(order):
        def function(_reference, order):
            ask_myself()
            statements()
            order.append("not reached")

        function(dead_reference(), order)

    assert run(situation) == ["delivered"]

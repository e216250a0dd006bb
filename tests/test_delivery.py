"""S9: where a request is delivered between statements, and where it waits.

In each situation the thread asks itself, runs on where a request has to wait, notes that it came to
the end of that, and goes on: the request comes at the next statement where it may.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import threading
import weakref

import pytest
from delivery_parts import ask_myself, run, statements, waits
from interruption import ThreadExit, allow_interruption
from support import in_thread

# Cleanup ----------------------------------------------------------------------------------------


def in_finally(order):
    try:
        statements()
    finally:
        waits(order)
        order.append("cleaned up")
    order.append("not reached")


def in_finally_after_an_exception(order):
    try:
        try:
            raise ValueError
        finally:
            waits(order)
            order.append("cleaned up")
    except ValueError:
        order.append("handled")
    order.append("not reached")


def in_finally_on_return(order):
    def function():
        try:
            return statements()
        finally:
            waits(order)
            order.append("cleaned up")

    function()
    order.append("not reached")


def in_finally_on_break(order):
    for _ in range(3):
        try:
            statements()
            break
        finally:
            waits(order)
            order.append("cleaned up")
    order.append("not reached")


def in_except(order):
    try:
        raise ValueError
    except ValueError:
        waits(order)
        order.append("cleaned up")
    order.append("not reached")


def in_a_finally_three_deep(order):
    try:
        try:
            try:
                statements()
            finally:
                waits(order)
                order.append("inner")
        finally:
            statements()
            order.append("middle")
    finally:
        statements()
        order.append("outer")
    order.append("not reached")


class Manager:
    def __init__(self, order, *, entry=False):
        self.order = order
        self.entry = entry

    def __enter__(self):
        if self.entry:
            waits(self.order)
            self.order.append("entered")

    def __exit__(self, *exc_info):
        if not self.entry:
            waits(self.order)
        self.order.append("left")


def in_enter(order):
    with Manager(order, entry=True):
        order.append("not reached")


def in_exit(order):
    with Manager(order):
        order.append("in")
    order.append("not reached")


def in_the_generator_of_a_context_manager(order):
    @contextlib.contextmanager
    def manager():
        waits(order)
        order.append("entered")
        try:
            yield
        finally:
            statements()
            order.append("left")

    with manager():
        order.append("not reached")


def in_a_callback_of_an_exit_stack(order):
    with contextlib.ExitStack() as stack:
        stack.callback(order.append, "last")
        stack.callback(waits, order)
    order.append("not reached")


def in_generator_close(order):
    def generator():
        try:
            yield
        finally:
            waits(order)
            order.append("cleaned up")

    values = generator()
    next(values)
    values.close()
    order.append("not reached")


def in_the_gap_before_try(order):
    resource = []

    def take():
        resource.append("taken")
        ask_myself()

    take()
    try:
        order.append("not reached")
    finally:
        order.append(resource.pop())


# Where it would be lost. Finalizers, callbacks of weak references: test_callbacks.py. -------------


def in_a_callback_of_the_collector(order):
    def callback(*_arguments):
        if not order:
            waits(order)
            order.append("called back")

    gc.callbacks.append(callback)
    try:
        gc.collect()
        order.append("not reached")
    finally:
        gc.callbacks.remove(callback)


class Referred:
    pass


def in_finalize(order):
    value = Referred()
    weakref.finalize(value, waits, order)
    values = [value]
    del value
    values.clear()
    order.append("not reached")


# Locks ------------------------------------------------------------------------------------------


def holding(order, lock):
    with lock:
        waits(order)
    order.append("not reached")


def holding_by_acquire(order, lock):
    lock.acquire()
    waits(order)
    lock.release()
    order.append("not reached")


def holding_two_levels(order):
    lock = threading.RLock()
    with lock:
        with lock:
            statements()
        waits(order)
    order.append("not reached")


SITUATIONS = {
    in_finally: ["waited", "cleaned up"],
    in_finally_after_an_exception: ["waited", "cleaned up", "handled"],
    in_finally_on_return: ["waited", "cleaned up"],
    in_finally_on_break: ["waited", "cleaned up"],
    in_except: ["waited", "cleaned up"],
    in_a_finally_three_deep: ["waited", "inner", "middle", "outer"],
    in_enter: ["waited", "entered", "left"],
    in_exit: ["in", "waited", "left"],
    in_the_generator_of_a_context_manager: ["waited", "entered", "left"],
    in_a_callback_of_an_exit_stack: ["waited", "last"],
    in_generator_close: ["waited", "cleaned up"],
    in_the_gap_before_try: ["taken"],
    in_a_callback_of_the_collector: ["waited", "called back"],
    in_finalize: ["waited"],
    holding_two_levels: ["waited"],
}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_it_waits_for_the_first_moment_that_will_do(situation):  # S9
    assert run(situation) == [*SITUATIONS[situation], "delivered"]


@pytest.mark.parametrize(
    "make",
    [
        threading.Lock,
        threading.RLock,
        threading._PyRLock,  # noqa: SLF001
        threading.Condition,
        lambda: threading.Condition(threading.Lock()),
        multiprocessing.Lock,
        multiprocessing.RLock,
        multiprocessing.Condition,
    ],
)
@pytest.mark.parametrize("how", [holding, holding_by_acquire])
def test_it_waits_while_a_lock_is_held(make, how):  # S9
    lock = make()
    assert run(lambda order: how(order, lock)) == ["waited", "delivered"]
    assert lock.acquire(False)
    lock.release()


def test_a_lock_taken_outside_the_region_does_not_count():  # S9
    lock = threading.Lock()

    def body():
        with lock, allow_interruption:
            ask_myself()
            statements()
            raise AssertionError

    with pytest.raises(ThreadExit):
        in_thread(body)
    assert not lock.locked()


def test_a_lock_that_another_thread_has_released_does_not_count():  # S9
    lock = threading.Lock()

    def situation(order):
        lock.acquire()
        helper = threading.Thread(target=lock.release)
        helper.start()
        helper.join()
        ask_myself()
        order.append("not reached")

    assert run(situation) == ["delivered"]


def test_a_lock_that_was_dropped_does_not_count():  # S9
    def situation(order):
        threading.Lock().acquire()
        ask_myself()
        order.append("not reached")

    assert run(situation) == ["delivered"]


def test_a_semaphores_permit_is_no_lock():  # S9
    def situation(order):
        with threading.Semaphore():  # noqa: PLW2101
            ask_myself()
            order.append("not reached")

    assert run(situation) == ["delivered"]

"""S9: where a request is delivered between statements, and where it waits.

In each situation the thread asks itself, runs on where a request has to wait, notes that it came to
the end of that, and goes on: the request comes at the next statement where it may.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import queue
import sys
import threading
import types
import weakref

import pytest
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    explain,
    interrupt,
    protect,
    unprotect,
)
from support import PATIENCE, Started, expect_script, in_thread


def ask_myself() -> None:
    interrupt(threading.get_ident())


def statements(count: int = 50) -> None:
    for _ in range(count):
        pass


def waits(order: list[str]) -> None:
    """Ask, run statements, and note that nothing came."""
    ask_myself()
    statements()
    order.append("waited")


def run(situation):
    """Run it in a region in a thread; what it has noted, and whether the request was delivered."""

    def body():
        order: list[str] = []
        try:
            with allow_interruption:
                situation(order)
                statements()
                order.append("not delivered")
        except ThreadExit:
            order.append("delivered")
        return order

    return in_thread(body)


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


# Where it would be lost -------------------------------------------------------------------------


class Finalized:
    def __init__(self, order):
        self.order = order

    def __del__(self):
        waits(self.order)
        self.order.append("finalized")


class FinalizedByAnotherName:
    def __init__(self, order):
        self.order = order

    def close(self):
        waits(self.order)
        self.order.append("finalized")

    __del__ = close


def in_del(order):
    Finalized(order)
    order.append("not reached")


def in_del_through_c(order):
    values = [Finalized(order)]
    values.clear()
    order.append("not reached")


def in_del_of_another_name(order):
    values = [FinalizedByAnotherName(order)]
    values.clear()
    order.append("not reached")


def in_del_by_the_collector(order):
    value = Finalized(order)
    value.self = value
    del value
    gc.collect()
    order.append("not reached")


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


def in_a_weakref_callback(order):
    def callback(_reference):
        waits(order)
        order.append("called back")

    values = [Referred()]
    reference = weakref.ref(values[0], callback)
    values.clear()
    order.append("not reached")
    del reference


def in_a_weakref_callback_with_any_arguments(order):
    def callback(*_arguments):
        waits(order)
        order.append("called back")

    value = Referred()
    reference = weakref.ref(value, callback)
    del value
    order.append("not reached")
    del reference


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
    in_del: ["waited", "finalized"],
    in_del_through_c: ["waited", "finalized"],
    in_del_of_another_name: ["waited", "finalized"],
    in_del_by_the_collector: ["waited", "finalized"],
    in_a_callback_of_the_collector: ["waited", "called back"],
    in_a_weakref_callback: ["waited", "called back"],
    in_a_weakref_callback_with_any_arguments: ["waited", "called back"],
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


# Where the region is opened, and protected code -------------------------------------------------


def test_a_region_opened_in_a_finally_is_open():  # S9
    def body():
        try:
            statements()
        finally:
            with allow_interruption:
                ask_myself()
                statements()
                raise AssertionError

    with pytest.raises(ThreadExit):
        in_thread(body)


def test_a_finally_around_the_region_does_not_block_what_it_calls():  # S9
    def opens():
        with allow_interruption:
            ask_myself()
            statements()
            raise AssertionError

    def body():
        try:
            raise ValueError
        except ValueError:
            opens()

    with pytest.raises(ThreadExit):
        in_thread(body)


def spin_in(function, started):
    """Call ``function`` again and again in a region, until interrupted; where that was."""
    try:
        with allow_interruption:
            started.ready.set()
            while True:
                function()
    except ThreadExit as error:
        traceback = error.__traceback__
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        return traceback.tb_frame.f_code
    raise AssertionError


def interrupted_in(function):
    started = Started(lambda started: spin_in(function, started)).until_ready()
    interrupt(started.thread)
    return started.finish()


def test_the_standard_library_is_not_interrupted_inside():  # S9
    channel = queue.Queue()

    def use():
        channel.put(1)
        channel.get()

    for _ in range(20):
        assert interrupted_in(use).co_filename == __file__
        assert channel.mutex.acquire(blocking=False)
        channel.mutex.release()


def test_a_users_callback_in_the_standard_library_is():  # S9
    import functools

    spun = threading.Event()

    @functools.cmp_to_key
    def compare(_left, _right):
        spun.set()
        while True:
            pass

    def body(started):
        with allow_interruption:
            started.ready.set()
            sorted([1, 2, 3], key=compare)

    started = Started(body).until_ready()
    spun.wait(PATIENCE)
    interrupt(started.thread)
    with pytest.raises(ThreadExit):
        started.finish()


def test_a_module_that_users_protect_is_not_interrupted_inside():  # S9
    module = types.ModuleType("protected_by_a_test")
    exec(  # noqa: S102
        "def spin(n):\n    total = 0\n    for i in range(n):\n        total += i\n", module.__dict__
    )
    codes = {interrupted_in(lambda: module.spin(2000)) for _ in range(10)}
    assert module.spin.__code__ in codes
    protect("protected_by_a_test")
    try:
        codes = {interrupted_in(lambda: module.spin(2000)) for _ in range(10)}
        assert module.spin.__code__ not in codes
    finally:
        unprotect("protected_by_a_test")


def test_an_import_is_not_interrupted(tmp_path, monkeypatch):  # S9
    (tmp_path / "imported_in_a_region.py").write_text(
        "import test_delivery as test\n"
        "test.waits(test.IMPORT_ORDER)\n"
        "class Half:\n"
        "    test.statements()\n"
        "test.IMPORT_ORDER.append('imported')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    IMPORT_ORDER.clear()

    def situation(order):
        import imported_in_a_region  # type: ignore[import-not-found]

        order.append(imported_in_a_region.__name__)

    assert run(situation) == ["delivered"]
    assert IMPORT_ORDER == ["waited", "imported"]
    assert "imported_in_a_region" in sys.modules


IMPORT_ORDER: list[str] = []


# Statements -------------------------------------------------------------------------------------


def test_not_in_the_middle_of_a_statement():  # S9
    made = []

    def acquire():
        made.append("first")
        ask_myself()

    def situation(order):
        everything = (
            acquire(),
            made.append("second"),
            made.append("third"),
        )
        order.append("not reached")
        return everything

    assert run(situation) == ["delivered"]
    assert made == ["first", "second", "third"]


def test_a_signal_handler_is_not_interrupted_but_what_it_interrupts():  # S9, S20
    expect_script("""
        import os, signal, threading
        from interruption import *
        order = []
        def handler(signum, frame):
            interrupt(threading.get_ident())
            for _ in range(100):
                pass
            order.append("handled")
        signal.signal(signal.SIGINT, handler)
        try:
            with allow_interruption:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
        except ThreadExit:
            order.append("delivered")
        assert order == ["handled", "delivered"], order
    """)


# What runs --------------------------------------------------------------------------------------


def loop():
    while True:
        pass


def calls():
    data = list(range(1000))
    while True:
        sum(data)


class Counted:
    entered = left = 0

    def __enter__(self):
        Counted.entered += 1

    def __exit__(self, *exc_info):
        Counted.left += 1


def loop_in_with():
    with Counted():
        while True: pass  # fmt: skip  # noqa: E701


def loop_with_condition_in_with():
    with Counted():
        while Counted: len("")  # fmt: skip  # noqa: E701


def loop_in_try():
    Counted.entered += 1
    try:
        while True: len("")  # fmt: skip  # noqa: E701
    finally:
        Counted.left += 1


def comprehension_in_with():
    with Counted():
        {None for _ in iter(int, 1)}


def deep(depth=300):
    if depth == 0:
        loop()
    deep(depth - 1)


def recursion(depth=60):
    if depth:
        recursion(depth - 1)
        recursion(depth - 1)


def comprehension():
    {None for _ in iter(int, 1)}


def generator():
    sum(x for x in iter(int, 1))


def key_function():
    data = list(range(100))
    while True:
        sorted(data, key=lambda x: -x)


def mapped():
    for _ in map(lambda x: x, iter(int, 1)):  # noqa: C417
        pass


def operators():
    class Number:
        def __add__(self, other):
            for _ in range(10):
                pass
            return self

    number = Number()
    while True:
        number + number


def executed():
    exec("while True: pass")  # noqa: S102


def evaluated():
    eval("[0 for _ in iter(int, 1) if _]")  # noqa: S307


def matched():
    while True:
        match (1, [2, 3]):
            case (1, [_, *_]):
                pass


async def awaited():
    import asyncio

    while True:
        await asyncio.sleep(0)


def coroutine():
    import asyncio

    asyncio.run(awaited())


@pytest.mark.parametrize(
    "body",
    [
        loop,
        calls,
        loop_in_with,
        loop_with_condition_in_with,
        loop_in_try,
        comprehension_in_with,
        deep,
        recursion,
        comprehension,
        generator,
        key_function,
        mapped,
        operators,
        executed,
        evaluated,
        matched,
        coroutine,
    ],
)
@pytest.mark.parametrize("delay", [0, 0.01])
def test_whatever_runs_is_stopped(body, delay):  # S9
    def region(started):
        with allow_interruption:
            started.ready.set()
            body()

    started = Started(region).until_ready()
    threading.Event().wait(delay)  # so that it is somewhere inside
    interrupt(started.thread)
    started.thread.join(PATIENCE)
    assert not started.thread.is_alive(), explain(started.thread)
    assert type(started.raised) is ThreadExit
    assert Counted.entered == Counted.left


def test_a_loop_in_the_regions_own_frame_is_stopped():  # S9, S11
    def one_line(started):
        with allow_interruption:
            started.ready.set()
            while True: pass  # fmt: skip  # noqa: E701

    def with_condition(started):
        with allow_interruption:
            started.ready.set()
            while started: len("")  # fmt: skip  # noqa: E701

    for body in (one_line, with_condition):
        started = Started(body).until_ready()
        interrupt(started.thread)
        with pytest.raises(ThreadExit):
            started.finish()


def test_other_threads_in_the_same_code_are_left_alone():  # S9
    stop = threading.Event()

    def body(started):
        turns = 0
        with allow_interruption:
            started.ready.set()
            while not stop.is_set():
                turns += 1
        return turns

    threads = [Started(body).until_ready() for _ in range(6)]
    for started in threads[:3]:
        interrupt(started.thread)
        with pytest.raises(ThreadExit):
            started.finish()
    stop.set()
    for started in threads[3:]:
        assert started.finish() > 0


def test_a_request_that_was_cleared_is_not_delivered():  # S6
    def body():
        with allow_interruption:
            with defer_and_clear():
                ask_myself()
            statements()
            return "carried on"

    @contextlib.contextmanager
    def defer_and_clear():
        yield
        clear_interrupt()

    # Asked in the last statement of the block, cleared in its exit.
    assert in_thread(body) == "carried on"


def test_handlers_are_as_they_were():
    """Delivery leaves nothing behind in the interpreter."""
    assert interrupted_in(statements)
    assert sys.gettrace() is None or "coverage" in repr(sys.gettrace())
    if sys.version_info >= (3, 12):
        monitoring = sys.monitoring
        (tool,) = [i for i in range(6) if monitoring.get_tool(i) == "interruption"]
        assert monitoring.get_events(tool) == 0
        assert monitoring.get_local_events(tool, statements.__code__) == 0
        assert monitoring.get_local_events(tool, spin_in.__code__) == 0

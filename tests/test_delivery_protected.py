"""S9: where the region is opened, and protected code: a request waits until it is left."""

from __future__ import annotations

import queue
import sys
import threading
import types

import pytest
from delivery_parts import ask_myself, interrupted_in, run, spin_in, statements
from interruption import ThreadExit, allow_interruption, protect, unprotect
from region_parts import inside, stopped
from support import PATIENCE, in_thread


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


def test_the_standard_library_is_not_interrupted_inside():  # S9
    channel = queue.Queue()
    statements_only = allow_interruption(io_interrupt=False)  # get() may raise as it begins (S10b)

    def use():
        channel.put(1)
        channel.get()

    for _ in range(20):
        assert interrupted_in(use, statements_only) in (use.__code__, spin_in.__code__)
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

    started = inside(lambda: sorted([1, 2, 3], key=compare))
    spun.wait(PATIENCE)
    stopped(started)


def test_a_module_that_users_protect_is_not_interrupted_inside():  # S9
    module = types.ModuleType("protected_by_a_test")
    exec(  # noqa: S102
        "def spin(n):\n    total = 0\n    for i in range(n):\n        total += i\n", module.__dict__
    )
    codes = {interrupted_in(lambda: module.spin(2000)) for _ in range(10)}
    assert module.spin.__code__ in codes
    protect("protected_by_a_test", missing_ok=True)
    try:
        codes = {interrupted_in(lambda: module.spin(2000)) for _ in range(10)}
        assert module.spin.__code__ not in codes
    finally:
        unprotect("protected_by_a_test")


def test_an_import_is_not_interrupted(tmp_path, monkeypatch):  # S9
    (tmp_path / "imported_in_a_region.py").write_text(
        "from delivery_parts import statements, waits\n"
        "order = []\n"
        "waits(order)\n"
        "class Half:\n"
        "    statements()\n"
        "order.append('imported')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def situation(order):
        import imported_in_a_region  # type: ignore[import-not-found]

        order.append(imported_in_a_region.__name__)

    assert run(situation) == ["delivered"]
    assert sys.modules["imported_in_a_region"].order == ["waited", "imported"]

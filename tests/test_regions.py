"""S7, S8, S11: regions are entered, deliver once, and are left."""

from __future__ import annotations

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    interruption_requested,
)
from support import in_thread

# S7 ---------------------------------------------------------------------------------------------


def test_entering_with_a_request_raises_and_does_not_run_the_block():  # S7
    def body():
        ask_myself("early")
        ran = False
        with pytest.raises(ThreadExit) as caught, allow_interruption:
            ran = True
        return ran, caught.value.reason

    assert in_thread(body) == (False, "early")


def test_entering_raises_again_until_the_request_is_cleared():  # S4, S7
    def body():
        ask_myself()
        for _ in range(3):
            with pytest.raises(ThreadExit), allow_interruption:
                raise AssertionError
        assert clear_interrupt()
        with allow_interruption:
            statements()
            return "ran"

    assert in_thread(body) == "ran"


def test_a_raise_on_entry_leaves_no_region_open():  # S7
    def body():
        ask_myself()
        with pytest.raises(ThreadExit), allow_interruption:
            raise AssertionError
        clear_interrupt()
        ask_myself()
        statements()  # not in a region
        return "ran"

    assert in_thread(body) == "ran"


def test_an_inner_region_does_not_raise_on_entry():  # S7, S8
    def body():
        with allow_interruption:
            try:
                ask_myself()
                statements()
            except ThreadExit:
                with allow_interruption:  # in cleanup: left alone
                    statements()
                return interruption_requested()

    assert in_thread(body) is True


def test_entering_inside_a_shield_does_not_raise():  # S7, S12
    def body():
        ask_myself()
        with defer_interruption, allow_interruption:
            statements()
        return "ran"

    assert in_thread(body) == "ran"


# S8, S11 ----------------------------------------------------------------------------------------


def test_a_region_delivers_once():  # S8
    def body():
        with allow_interruption:
            try:
                ask_myself("first")
                statements()
            except ThreadExit as error:
                statements()
                first = error.reason
            statements()  # swallowed, and still in the region
            assert interruption_requested()
            return first

    assert in_thread(body) == "first"


def test_a_new_request_arms_the_region_again():  # S8
    def body():
        reasons = []
        with allow_interruption:
            for reason in ("first", "second", "third"):
                try:
                    ask_myself(reason)
                    statements()
                except ThreadExit as error:
                    reasons.append(error.reason)
        return reasons

    assert in_thread(body) == ["first", "second", "third"]


def test_what_check_interrupt_has_raised_is_delivered():  # S5, S8
    def body():
        with defer_interruption, allow_interruption:
            ask_myself()
        with pytest.raises(ThreadExit):
            check_interrupt()
        with pytest.raises(ThreadExit):  # a region entered later is another one
            with allow_interruption:
                raise AssertionError
        return "ended"

    assert in_thread(body) == "ended"


def test_leaving_a_region_does_not_raise_and_the_request_stays():  # S11
    def body():
        with allow_interruption:
            ask_myself()  # leaving comes before the next statement
        statements()
        assert interruption_requested()
        with pytest.raises(ThreadExit):
            check_interrupt()
        return "left"

    assert in_thread(body) == "left"


def test_nested_regions_are_the_outermost():  # S8, S11
    def body():
        order = []
        try:
            with allow_interruption:
                with allow_interruption:
                    order.append("in")
                order.append("between")
                ask_myself()
                order.append("not reached")
        except ThreadExit:
            order.append("out")
        return order

    order = in_thread(body)
    assert order[:2] == ["in", "between"]
    assert order[-1] == "out"
    assert "not reached" not in order

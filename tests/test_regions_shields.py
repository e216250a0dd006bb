"""S12: a shield keeps its block whole."""

from __future__ import annotations

import pytest
from delivery_parts import ask_myself, statements
from interruption import (
    ThreadExit,
    allow_interruption,
    check_interrupt,
    defer_interruption,
    interruption_requested,
)
from support import in_thread


def test_a_shield_defers_to_its_end():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    ask_myself("deferred")
                    statements()
                    check_interrupt()  # S5
                    order.append("whole")
                order.append("not reached")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    assert in_thread(body) == ["whole", "deferred"]


def test_leaving_it_raises_though_no_statement_follows():  # S12
    def body():
        with allow_interruption, defer_interruption:
            ask_myself("deferred")

    with pytest.raises(ThreadExit, match="deferred"):
        in_thread(body)


def test_only_leaving_the_outermost_shield_raises():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                with defer_interruption:
                    with defer_interruption:
                        ask_myself()
                    statements()
                    order.append("outer shield")
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        return order

    assert in_thread(body) == ["outer shield", "raised"]


def test_a_shield_outside_a_region_shields_it():  # S12
    def body():
        with defer_interruption, allow_interruption:
            ask_myself()
            statements()
        statements()
        return interruption_requested()

    assert in_thread(body) is True


def test_what_the_shielded_block_raises_wins_and_the_request_waits():  # S12
    def body():
        order = []
        try:
            with allow_interruption:
                try:
                    with defer_interruption:
                        ask_myself("waits")
                        raise ValueError
                except ValueError:
                    order.append("handled")
                    statements()
                    order.append("handler done")
                statements()
                order.append("not reached")
        except ThreadExit as error:
            order.append(error.reason)
        return order

    assert in_thread(body) == ["handled", "handler done", "waits"]


def test_a_shield_in_a_finally_raises_only_after_it():  # S9, S12
    def body():
        order = []
        try:
            with allow_interruption:
                try:
                    order.append("work")
                finally:
                    with defer_interruption:
                        ask_myself()
                    order.append("rest of the cleanup")
                statements()
                order.append("not reached")
        except ThreadExit:
            order.append("raised")
        return order

    assert in_thread(body) == ["work", "rest of the cleanup", "raised"]


def test_leaving_a_shield_outside_any_region_does_not_raise():  # S12
    def body():
        with defer_interruption:
            ask_myself()
        statements()
        return "ran"

    assert in_thread(body) == "ran"


def test_check_interrupt_raises_after_the_shield():  # S5
    def body():
        with defer_interruption:
            ask_myself()
            check_interrupt()
        with pytest.raises(ThreadExit):
            check_interrupt()
        return "raised"

    assert in_thread(body) == "raised"

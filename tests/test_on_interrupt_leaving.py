"""S10: what is raised where a block with a callback is left."""

from __future__ import annotations

import contextlib
import threading

import pytest
from chance import scaled
from interruption import (
    ThreadExit,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interruption_requested,
    on_interrupt,
)
from on_interrupt_parts import ONLY_WAITS, blocking_block, until
from support import PATIENCE, Started, in_thread


def test_a_block_that_ends_normally_keeps_its_result_and_the_request():  # S10a
    def body():
        with ONLY_WAITS:
            with on_interrupt(lambda: None):
                interrupt(threading.get_ident())
            return interruption_requested()

    assert in_thread(body) is True


def test_an_exception_is_replaced_only_if_the_callback_was_called():
    def body(ask):
        with ONLY_WAITS, on_interrupt(lambda: None):
            if ask:
                interrupt(threading.get_ident())
            raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        in_thread(lambda: body(False))
    with pytest.raises(ThreadExit) as caught:
        in_thread(lambda: body(True))
    assert repr(caught.value.__context__) == "ValueError('broken off')"


def test_an_exception_is_replaced_only_if_the_request_can_be_delivered():
    def cleared():
        with ONLY_WAITS, on_interrupt(lambda: None):
            interrupt(threading.get_ident())
            clear_interrupt()
            raise ValueError

    def shielded():
        with ONLY_WAITS:
            block = on_interrupt(lambda: None)
            block.__enter__()
            interrupt(threading.get_ident())
            with defer_interruption, contextlib.ExitStack() as stack:
                stack.push(block)
                raise ValueError

    for body in (cleared, shielded):
        with pytest.raises(ValueError, match=r"^$"):
            in_thread(body)


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_what_is_no_error_is_not_replaced(error):
    def body():
        with ONLY_WAITS, on_interrupt(lambda: None):
            interrupt(threading.get_ident())
            raise error

    with pytest.raises(error) as caught:
        in_thread(body)
    assert caught.type is error


def test_leaving_waits_until_the_callback_has_returned():
    inside, may_return, left = threading.Event(), threading.Event(), threading.Event()
    go = threading.Event()

    def callback():
        inside.set()
        assert may_return.wait(PATIENCE)
        assert not left.is_set()

    def body(started):
        with ONLY_WAITS, on_interrupt(callback):
            started.ready.set()
            until(go.is_set)
        left.set()

    with Started(body) as other:
        requester = Started(lambda _: interrupt(other.thread))
        assert inside.wait(PATIENCE)
        go.set()
        assert not left.wait(0.05)
        assert interrupt(other.thread) is False  # nor is it called by another one
        may_return.set()
        assert requester.finish() is True
        assert left.wait(PATIENCE)


def test_it_is_never_called_after_the_block_whoever_asks():
    """Stress: requests come all the time; the block says when it is left."""
    rounds = scaled(2000)
    bad, total = [], []
    stop = threading.Event()

    def body(_):
        for _ in range(rounds):
            inside = [True]

            def callback(inside=inside):
                total.append(1)
                if not inside[0]:
                    bad.append(1)

            try:
                with ONLY_WAITS:
                    with on_interrupt(callback):
                        pass
                    inside[0] = False
            except ThreadExit:
                pass
            clear_interrupt()

    def ask(_):
        while not stop.is_set():
            interrupt(other.thread)

    other = Started(body)
    requesters = [Started(ask) for _ in range(2)]
    try:
        other.finish()
    finally:
        stop.set()
        for requester in requesters:
            requester.finish()
    assert not bad


def test_two_requesters_at_once_call_once():
    for _ in range(scaled(50)):
        other, calls = blocking_block(lambda calls: lambda: calls.append(1))
        barrier = threading.Barrier(3)

        def ask(_, barrier=barrier, other=other):
            barrier.wait()
            interrupt(other.thread)

        requesters = [Started(ask) for _ in range(2)]
        barrier.wait()
        for requester in requesters:
            requester.finish()
        assert other.finish() == calls == [1]

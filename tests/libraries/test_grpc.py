"""grpcio's synchronous client, interrupted in a region (S10).

A call that is waited for as a future, and the usual stream, wait in Python's conditions and are
woken. The call itself goes on: whoever has it cancels it. A call that is waited for directly waits
in C: there on_interrupt(call.cancel) needs the call, so the future form.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

grpc = pytest.importorskip("grpc")

from interruption import (  # noqa: E402
    ThreadExit,
    allow_interruption,
    interrupt,
    on_interrupt,
    protect,
    unprotect,
)
from servers import Child  # noqa: E402
from support import Started, until  # noqa: E402


@pytest.fixture(autouse=True)
def _protected() -> Iterator[None]:
    protect(grpc)
    yield
    unprotect(grpc)


@pytest.fixture
def kept() -> tuple[str, ...]:
    return ("anon_inode:",)  # gRPC's own, for its process; no connection


@pytest.fixture(scope="module")
def server() -> Iterator[Child]:
    child = Child("grpc_child.py")
    child.port = child.next()
    with grpc.insecure_channel(f"127.0.0.1:{child.port}") as channel:
        channel.unary_unary("/tests/echo")(b"warm")  # what gRPC opens for its process stays
    yield child
    child.close()


@pytest.fixture
def channel(server: Child) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as made:
        yield made


def stop(other: Started) -> ThreadExit:
    assert interrupt(other.thread, reason="enough")
    with pytest.raises(ThreadExit, match="enough") as caught:
        other.finish()
    return caught.value


def assert_usable(channel: Any) -> None:
    assert channel.unary_unary("/tests/echo")(b"again") == b"again"


def test_a_call_waited_for_as_a_future(channel: Any, server: Child) -> None:
    """It is woken; the server learns of it by the cancel."""

    def body(_: Started) -> None:
        with allow_interruption:
            call = channel.unary_unary("/tests/wait").future(b"1")
            try:
                call.result()
            finally:
                call.cancel()

    other = Started(body)
    server.expect("asked wait")
    stop(other)
    server.expect("left wait")
    assert_usable(channel)


def test_a_call_that_the_callback_cancels(channel: Any, server: Child) -> None:
    """No need for a ``finally``: the requester cancels it."""

    def body(_: Started) -> None:
        call = channel.unary_unary("/tests/wait").future(b"1")
        with allow_interruption, on_interrupt(call.cancel):
            call.result()

    other = Started(body)
    server.expect("asked wait")
    stop(other)
    server.expect("left wait")
    assert_usable(channel)


def test_a_stream(channel: Any, server: Child) -> None:
    """In the middle of its answers. A stream that nobody holds any more is cancelled by gRPC."""

    def body(started: Started) -> None:
        with allow_interruption:
            for answer in channel.unary_stream("/tests/ticks")(b"1"):
                assert answer == b"1"
                started.ready.set()

    other = Started(body)
    server.expect("asked ticks")
    stop(other.until_blocked())
    server.expect("left ticks")
    assert_usable(channel)


# A cancelled stream of this kind keeps its connection, as gRPC has it, interrupted or not.
@pytest.mark.parametrize("kept", [("anon_inode:", "socket:")])
def test_a_stream_that_waits_in_c(server: Child) -> None:
    """That of the option SingleThreadedUnaryStream; its cancel() ends it."""
    options = ((grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as single:

        def body(started: Started) -> None:
            answers = single.unary_stream("/tests/ticks")(b"1")
            with allow_interruption, on_interrupt(answers.cancel):
                for answer in answers:
                    assert answer == b"1"
                    started.ready.set()

        other = Started(body)
        server.expect("asked ticks")
        error = stop(other.until_ready())
        assert isinstance(error.__context__, grpc.RpcError)
        server.expect("left ticks")
        assert_usable(single)


@pytest.mark.usefixtures("server")
def test_waiting_for_a_channel() -> None:
    """Nobody listens there. Interrupted, and closed, it leaves nothing."""
    threads = set(threading.enumerate())
    with grpc.insecure_channel("127.0.0.1:1") as channel:

        def body(started: Started) -> None:
            with allow_interruption:
                ready = grpc.channel_ready_future(channel)
                started.ready.set()
                try:
                    ready.result()
                finally:
                    ready.cancel()

        stop(Started(body).until_ready())
        # The thread in which gRPC watches the channel looks every 0.2 s whether anybody wants that
        # still; in a channel that is closed before it has looked it fails with a ValueError.
        until(lambda: set(threading.enumerate()) <= threads)


def test_a_call_waited_for_directly(channel: Any, server: Child) -> None:
    """In C, without a call to cancel: the request waits until the call is over, here by the end of
    its time. That is why one uses the future form."""

    def body(_: Started) -> None:
        with allow_interruption:
            with contextlib.suppress(grpc.RpcError):
                channel.unary_unary("/tests/wait")(b"1", timeout=1)
            while True:
                pass

    other = Started(body)
    server.expect("asked wait")
    stop(other)
    server.expect("left wait")
    assert_usable(channel)

"""S10: what is particular to sockets, and to the waits for many descriptors.

That each call is woken, and that its results and errors are as outside, is in test_blocking.py.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chance import scaled
from interruption import (
    ThreadExit,
    defer_interruption,
    interrupt,
    interruption_requested,
)
from region_parts import waiting, waits
from support import PATIENCE, Started, in_thread

LARGE = b"0123456789" * 500_000


def interrupted(started: Started) -> bool:
    interrupt(started.thread)
    try:
        started.finish()
    except ThreadExit:
        return True
    return False


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, request.param)
    with near, far:
        yield near, far


@pytest.fixture
def stream() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def read(source: socket.socket, length: int) -> bytes:
    parts = []
    while length > 0:
        parts.append(source.recv(min(length, 1 << 16)))
        assert parts[-1], "it has ended"
        length -= len(parts[-1])
    return b"".join(parts)


# Receiving. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, PATIENCE])
@pytest.mark.parametrize("method", ["recv", "recvfrom", "recvmsg"])
def test_of_two_who_receive_each_gets_what_comes(  # S10a
    pair: Any, method: str, timeout: float | None
) -> None:
    near, far = pair
    near.settimeout(timeout)
    receive = getattr(near, method)
    inside = [waiting(lambda: receive(1)) for _ in range(3)]
    outside = Started(lambda started: (started.ready.set(), receive(1))[1]).until_blocked()
    if timeout is None:
        assert interrupted(inside.pop())
    for byte in b"abcd"[: len(inside) + 1]:
        far.send(bytes([byte]))
    results = [started.finish() for started in [*inside, outside]]
    data = [result if method == "recv" else result[0] for result in results]
    assert sorted(data) == [b"a", b"b", b"c", b"d"][: len(data)]


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_the_wait_for_a_socket_that_is_closed_meanwhile_ends(
    stream: Any, timeout: Any
) -> None:  # S10
    near, far = stream
    near.settimeout(timeout)
    started = waiting(lambda: near.recv(1))
    near.close()
    interrupt(started.thread)
    with pytest.raises(OSError, match="Bad file descriptor"):
        started.finish()
    far.close()


def test_a_socket_that_is_shut_down_ends_the_wait(stream: Any) -> None:
    near, _ = stream
    started = waiting(lambda: near.recv(1))
    near.shutdown(socket.SHUT_RDWR)
    assert started.finish() == b""


def test_waiting_for_all_waits_for_all(stream: Any) -> None:
    near, far = stream
    buffer = bytearray(4)
    for receive in (
        lambda: near.recv(4, socket.MSG_WAITALL),
        lambda: (near.recv_into(buffer, 0, socket.MSG_WAITALL), bytes(buffer))[1],
        lambda: near.recvfrom(4, socket.MSG_WAITALL)[0],
    ):
        started = waiting(receive)
        far.send(b"ab")
        started.until_blocked()
        far.send(b"cdef")
        assert started.finish() == b"abcd"
        assert near.recv(10) == b"ef"


def test_a_part_of_all_is_the_result_when_it_is_interrupted(stream: Any) -> None:  # S10a
    near, far = stream
    far.send(b"ab")
    started = waiting(lambda: (near.recv(4, socket.MSG_WAITALL), interruption_requested()))
    interrupt(started.thread)
    assert started.finish() == (b"ab", True)
    far.send(b"cd")
    assert near.recv(4) == b"cd"


@pytest.mark.parametrize("method", ["recv", "recvfrom", "accept"])
def test_a_timeout_of_the_socket_option_is_obeyed(stream: Any, method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        of = server if method == "accept" else stream[0]
        of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 20_000))
        arguments = () if method == "accept" else (1,)

        def wait() -> None:
            with waits, pytest.raises(BlockingIOError):
                getattr(of, method)(*arguments)

        in_thread(wait)


# Sending. -----------------------------------------------------------------------------------------


SENDING: dict[str, Callable[[socket.socket], Any]] = {
    "send": lambda near: near.send(LARGE),
    "sendall": lambda near: near.sendall(LARGE) or len(LARGE),
    "sendto": lambda near: near.sendto(LARGE, "/ignored"),
}


@pytest.mark.parametrize("shield", [contextlib.nullcontext(), defer_interruption])
@pytest.mark.parametrize("how", SENDING)
def test_a_blocking_socket_takes_all(stream: Any, how: str, shield: Any) -> None:
    near, far = stream
    if how == "sendto":
        near, far, server = tcp_pair()
        server.close()

    def body() -> Any:
        with shield:
            return SENDING[how](near) if how != "sendto" else near.sendto(LARGE, far.getsockname())

    started = waiting(body)
    assert read(far, len(LARGE)) == LARGE
    assert started.finish() == len(LARGE)
    if how == "sendto":
        near.close()
        far.close()


def tcp_pair() -> tuple[socket.socket, socket.socket, socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(server.getsockname())
    return near, server.accept()[0], server


def test_what_was_sent_is_the_result_when_it_is_interrupted(stream: Any) -> None:  # S10a
    near, far = stream
    started = waiting(lambda: (near.send(LARGE), interruption_requested()))
    interrupt(started.thread)
    sent, asked = started.finish()
    assert asked
    assert 0 < sent < len(LARGE)
    near.close()
    assert read(far, sent) == LARGE[:sent]
    assert far.recv(1) == b""


def test_sendall_raises_when_a_part_was_sent(stream: Any) -> None:  # S10a
    near, far = stream
    assert interrupted(waiting(lambda: near.sendall(LARGE)))
    near.close()
    parts = b"".join(iter(lambda: far.recv(1 << 16), b""))
    assert parts
    assert LARGE.startswith(parts)


def test_sendall_is_over_at_its_timeout(stream: Any) -> None:
    near, _ = stream
    near.settimeout(0.02)

    def body() -> None:
        with waits, pytest.raises(TimeoutError, match=r"^timed out$"):
            near.sendall(LARGE)

    in_thread(body)


def test_a_receiver_of_which_poll_does_not_know_is_waited_for(tmp_path: Any) -> None:  # S10
    path = os.fspath(tmp_path / "receiver")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as near,
    ):
        far.bind(path)
        near.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                near.sendto(b".", path)
                count += 1
        near.setblocking(True)
        assert interrupted(waiting(lambda: near.sendto(b"x", path)))
        started = waiting(lambda: near.sendto(b"x", path))
        assert [far.recv(1) for _ in range(count)] == [b"."] * count
        assert started.finish() == 1
        assert far.recv(1) == b"x"


# Connections. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_of_those_who_accept_each_can_be_interrupted(timeout: Any) -> None:  # S10
    """Those who did not get a connection are not stuck where nothing ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:
        server.settimeout(timeout)
        accepted = threading.Semaphore(0)

        def accept() -> None:
            while True:
                connection, _ = server.accept()
                connection.close()
                accepted.release()

        threads = [waiting(accept) for _ in range(4)]
        for _ in range(scaled(20)):
            for _ in range(2):
                stack.enter_context(socket.create_connection(server.getsockname()))
            for _ in range(2):
                assert accepted.acquire(timeout=PATIENCE)
        for started in threads:
            started.until_blocked()
        assert [interrupted(started) for started in threads] == [True] * 4


def test_a_connection_that_was_begun_is_waited_for_again() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filling.connect(server.getsockname())
        late = stack.enter_context(socket.socket())
        assert interrupted(waiting(lambda: late.connect(server.getsockname())))
        assert late.gettimeout() is None
        assert os.get_blocking(late.fileno())
        assert interrupted(waiting(lambda: late.connect(server.getsockname())))
        started = waiting(lambda: late.connect(server.getsockname()))
        while started.thread.is_alive():
            server.settimeout(1)
            with contextlib.suppress(TimeoutError):
                stack.enter_context(server.accept()[0])
        assert started.finish() is None


# Many descriptors. --------------------------------------------------------------------------------


def test_a_poll_object_is_as_it_was(stream: Any) -> None:  # S10a
    near, far = stream
    poll = select.poll()
    poll.register(near, select.POLLIN)
    for _ in range(3):
        assert interrupted(waiting(poll.poll))
    assert poll.poll(0) == []
    far.send(b"x")
    assert poll.poll() == [(near.fileno(), select.POLLIN)]
    poll.unregister(near)
    assert poll.poll(0) == []


def test_a_poll_object_is_waited_for_once_at_a_time(stream: Any) -> None:
    poll = select.poll()
    poll.register(stream[0], select.POLLIN)
    started = waiting(poll.poll)
    for region in (contextlib.nullcontext(), waits):
        with region, pytest.raises(RuntimeError, match="concurrent"):
            poll.poll(0)
    assert interrupted(started)
    assert poll.poll(0) == []


def test_what_a_signal_handler_raises_in_fileno_is_not_lost(stream: Any) -> None:  # S30
    class Near:
        asked = 0

        def fileno(self) -> int:
            self.asked += 1
            if self.asked == 2:  # by then it is known that select() has to wait
                signal.raise_signal(signal.SIGINT)
            return int(stream[0].fileno())

    with pytest.raises(KeyboardInterrupt), waits:
        select.select([Near()], [], [], 0.1)


def test_select_waits_where_poll_would_not(stream: Any) -> None:  # S10
    """That the other end hangs up makes nothing exceptional."""
    near, far = stream
    far.close()
    started = waiting(lambda: select.select([], [], [near]))
    started.until_blocked()
    assert interrupted(started)
    assert in_thread(lambda: wait_in_region(lambda: select.select([], [], [near], 0.02))) == (
        [],
        [],
        [],
    )


def wait_in_region(wait: Callable[[], Any]) -> Any:
    with waits:
        return wait()


def test_select_can_be_interrupted_where_descriptors_are_many(stream: Any) -> None:  # S10
    near, _ = stream
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1200:
        pytest.skip("there are not so many")
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.callback(os.close, os.dup(near.fileno()))
        assert interrupted(waiting(lambda: select.select([near], [], [])))


def test_what_is_watched_may_be_closed(stream: Any) -> None:  # S10
    near, _ = stream
    epoll = select.epoll()
    epoll.register(near, select.EPOLLIN)
    started = waiting(epoll.poll)
    epoll.close()
    interrupt(started.thread)
    with pytest.raises(ValueError, match="closed"):
        started.finish()


# All of it. ---------------------------------------------------------------------------------------

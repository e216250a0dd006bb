"""S10 in what calls seldom do: as outside of a region, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import ssl
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import interruption
import pytest
from blocking_calls.tls import CERTIFICATE, connected, unconnected
from chance import scaled, seeded
from interruption import ThreadExit, blocking, interrupt
from region_parts import inside, waiting, waits
from support import PATIENCE, Started, expect_script, in_thread, until

SEED = 9


def in_region(body: Any) -> Any:
    with waits:
        return body()


# Files. -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 3_000_000])
def test_a_pipe_is_read_to_its_end_whatever_comes(size: int) -> None:
    data = seeded(SEED).randbytes(size)
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe:

        def write() -> None:
            with open(writer, "wb") as end:
                end.write(data)

        thread = threading.Thread(target=write)
        thread.start()
        assert in_region(pipe.read) == data
        thread.join()


def test_a_pipe_that_does_not_wait_is_read_as_far_as_it_goes() -> None:
    """Whatever comes meanwhile: all that was written is read, in its order."""
    data = seeded(SEED).randbytes(scaled(10_000_000))
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write() -> None:
        with open(writer, "wb", buffering=0) as end:
            end.writelines(data[place : place + 100] for place in range(0, len(data), 100))

    thread = threading.Thread(target=write)
    thread.start()
    received = bytearray()
    with open(reader, "rb", buffering=0) as pipe, waits:
        while (some := pipe.read()) != b"":
            received += some or b""
    thread.join()
    assert received == data


@pytest.fixture
def stream() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_a_file_is_sent_from_where_it_stands(stream: Any, tmp_path: Any) -> None:
    near, far = stream
    data = seeded(SEED).randbytes(20_000)
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb", buffering=0) as file:
        file.seek(5000)
        assert in_region(lambda: os.sendfile(near.fileno(), file.fileno(), None, 10_000)) == 10_000
        assert file.tell() == 15_000
    assert far.recv(20_000, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == data[5000:15_000]


def test_the_part_of_a_file_that_was_sent_is_the_result(stream: Any, tmp_path: Any) -> None:
    """S10a: it is interrupted where there is no more room. The request stays."""
    near, far = stream
    data = seeded(SEED).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(data)

    def body(started: Started) -> Any:
        with open(tmp_path / "file", "rb", buffering=0) as file, waits:
            started.ready.set()
            sent = os.sendfile(near.fileno(), file.fileno(), 0, len(data))
            near.close()
            return sent, interruption.interruption_requested()

    sender = Started(body).until_blocked()
    interrupt(sender.thread)
    sent, asked = sender.finish()  # before there is room
    assert 0 < sent < len(data)
    received = bytearray()
    while some := far.recv(100_000):
        received += some
    assert received == data[:sent]
    assert asked


def test_a_write_that_fails_after_a_part_tells_the_part() -> None:  # S10a
    """The error is the next one's, as it is outside."""
    reader, writer = os.pipe()

    writing = waiting(lambda: os.write(writer, b"x" * 1_000_000))
    os.close(reader)
    assert 0 < writing.finish() < 1_000_000
    with pytest.raises(BrokenPipeError):
        in_region(lambda: os.write(writer, b"x"))
    os.close(writer)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals")
def test_what_is_written_to_a_terminals_other_side_arrives() -> None:
    """The kernel cannot be told not to wait there, so little is written at once."""
    data = bytes(seeded(SEED).choices(b"abc", k=200_000))
    master, slave = os.openpty()
    tty.setraw(slave)

    def write(_: Started) -> None:
        with waits:
            place = 0
            while place < len(data):
                place += os.write(master, data[place:])

    writing = Started(write)
    received = bytearray()
    while len(received) < len(data):
        received += os.read(slave, 10_000)
    writing.finish()
    os.close(master)
    os.close(slave)
    assert received == data


# Sockets. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 5.0])
def test_a_connection_under_way_is_not_begun_again(timeout: float) -> None:
    """With a timeout one is told so, in a region, too."""

    def outcome() -> Any:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):
                late = stack.enter_context(socket.socket())
                late.setblocking(False)
                late.connect_ex(server.getsockname())
            late.settimeout(timeout)
            with pytest.raises(BlockingIOError) as caught:
                late.connect(server.getsockname())
            return caught.value.errno, late.connect_ex(server.getsockname())

    assert in_region(outcome) == outcome()


@pytest.mark.parametrize(
    ("timeout", "flags", "sent"),
    [
        (None, socket.MSG_OOB, b""),
        (None, socket.MSG_OOB, b"1"),
        (PATIENCE, socket.MSG_DONTWAIT, b"1"),
        (PATIENCE, socket.MSG_PEEK, b"1"),
    ],
)
@pytest.mark.parametrize("method", ["recv", "recv_into", "recvfrom"])
def test_flags_mean_what_they_mean_outside(
    timeout: Any, flags: int, sent: bytes, method: str
) -> None:
    def outcome() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as far, server.accept()[0] as near:
                near.settimeout(timeout)
                far.send(sent, flags & socket.MSG_OOB)
                if sent:
                    select.select([] if flags & socket.MSG_OOB else [near], [], [near])
                into, what = method == "recv_into", bytearray(1)
                try:
                    result = getattr(near, method)(*([what, 1] if into else [1]), flags)
                except OSError as error:
                    return type(error), error.errno
                return result, what

    assert in_region(outcome) == outcome()


def test_with_a_timeout_and_special_flags_each_byte_is_received_once(stream: Any) -> None:
    """S10, S10a: they take turns. Who found that another had taken the byte would wait on in the
    original, where nobody can interrupt it."""
    near, far = stream
    near.settimeout(2 * PATIENCE)
    data = bytes(index % 251 for index in range(scaled(20_000)))
    received: list[bytes] = []

    def receive(_: Started) -> None:
        with waits:
            while True:
                received.append(near.recv(1, socket.MSG_DONTWAIT))

    readers = [Started(receive) for _ in range(4)]
    for place in range(0, len(data), 10):
        far.sendall(data[place : place + 10])
    until(lambda: len(received) == len(data))
    for reader in readers:
        interrupt(reader.thread)
    for reader in readers:
        with pytest.raises(ThreadExit):
            reader.finish()
    assert sorted(b"".join(received)) == sorted(data)


# A wait that is switched off meanwhile. -----------------------------------------------------------


def test_its_time_goes_on_when_it_is_disabled() -> None:
    items: queue.SimpleQueue[int] = queue.SimpleQueue()

    taker = inside(lambda: items.get(timeout=0.3), waits)
    try:
        blocking.disable()
        with pytest.raises(queue.Empty):
            taker.finish()
    finally:
        blocking.enable()


# TLS. ---------------------------------------------------------------------------------------------


def shaken(callback: Any) -> ssl.SSLSocket:
    """Shake hands in a region. The callback of the server's side is called in the midst of it."""
    near, far = unconnected()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.sni_callback = lambda connection, *_: callback(connection)
    far.context = context
    other = threading.Thread(target=near.do_handshake)
    other.start()
    try:
        in_region(far._sslobj.do_handshake)  # noqa: SLF001  (far's sets the timeout again itself)
    finally:
        other.join()
        near.close()
    return far


@pytest.mark.parametrize("wanted", [None, 7.5])
def test_what_is_set_in_the_midst_of_a_call_is_what_the_socket_has(wanted: Any) -> None:
    found = []

    def change(connection: ssl.SSLSocket) -> None:
        connection.settimeout(wanted)
        found.append(connection.gettimeout())

    def body() -> None:
        with shaken(change) as far:
            found.append(far.gettimeout())

    in_thread(body)
    assert found == [wanted, wanted]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_is_forked_in_the_midst_of_a_call_has_the_sockets_timeout() -> None:  # S18
    expect_script(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import os, warnings
        from test_blocking_seldom import shaken
        warnings.simplefilter("ignore")

        def fork(connection):
            child = os.fork()
            if child == 0:
                os._exit(0 if connection.gettimeout() is None and connection.getblocking() else 1)
            assert os.waitpid(child, 0)[1] == 0

        with shaken(fork) as far:
            assert far.gettimeout() is None
        print("done")
        """,
        stdout="done\n",
    )


def test_a_read_of_a_socket_that_was_detached_is_told_so() -> None:
    """OpenSSL would read on from what has the number now."""
    near, far = connected()

    reader = waiting(lambda: near.recv(10))
    number = near.detach()
    far.send(b"data")
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.finish()
    os.close(number)
    far.close()


class Strange(bytes):
    """Data that has no length to speak of."""

    def __len__(self) -> int:
        raise ZeroDivisionError


def test_data_without_a_length_is_written_as_outside() -> None:
    near, far = connected()

    def outcome() -> Any:
        try:
            return near.write(Strange(b"123"))
        except ZeroDivisionError as error:
            return type(error)

    assert in_region(outcome) == outcome()
    near.close()
    far.close()


def test_a_tls_read_that_is_asked_twice_raises_once() -> None:  # S8
    near, far = connected()

    def body(started: Started) -> Any:
        raised = 0
        with waits:
            started.ready.set()
            for _ in range(2):
                try:
                    return raised, near.recv(10)
                except ThreadExit:
                    raised += 1
        return raised, b""

    reader = Started(body).until_blocked()
    interrupt(reader.thread)
    reader.until_blocked()
    far.send(b"data")
    assert reader.finish() == (1, b"data")
    near.close()
    far.close()

"""S10 over TLS: no byte is lost, whoever else uses the connection."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from typing import Any

import pytest
from blocking_calls.tls import CLIENT, SERVER, connected
from chance import scaled, seeded
from interruption import ThreadExit, clear_interrupt, interrupt
from region_parts import stopped, waits
from support import PATIENCE, Started

SEED = 5


@contextlib.contextmanager
def closing(*sockets: socket.socket) -> Any:
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def read_with_interruptions(reader: Any, total: int, started: Started) -> tuple[bytes, int]:
    """Read so many bytes, each wait in a region of its own that anybody may interrupt."""
    received, interrupted = bytearray(), 0
    started.ready.set()
    while len(received) < total:
        try:
            with waits:
                while len(received) < total:
                    received += reader.recv(3000)
        except ThreadExit:
            clear_interrupt()
            interrupted += 1
    return bytes(received), interrupted


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_each_byte_comes_once_whoever_is_interrupted(timeout: float | None) -> None:  # S10a
    """Seeded; the invariant is that what was sent is what was received. The writer is in no region,
    and its writes never fail for what the reader does with the descriptor."""
    data = seeded(SEED).randbytes(scaled(2_000_000))
    near, far = connected()
    with closing(near, far):
        near.settimeout(timeout)
        reader = Started(lambda started: read_with_interruptions(near, len(data), started))
        reader.until_ready()
        done = threading.Event()

        def fire() -> None:
            while not done.is_set():
                interrupt(reader.thread)
                done.wait(0.0005)

        firing = threading.Thread(target=fire)
        firing.start()
        generator = seeded(SEED)
        position = 0
        while position < len(data):
            size = generator.randrange(1, 20_000)
            far.sendall(data[position : position + size])
            position += size
        received, interrupted = reader.finish()
        done.set()
        firing.join()
        assert received == data
        assert interrupted > 0
        assert near.gettimeout() == timeout


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_after_a_call_the_socket_is_as_it_was(timeout: float | None) -> None:  # S10
    near, far = connected()
    with closing(near, far):
        near.settimeout(timeout)
        with waits:
            near.send(b"x")
        assert near.gettimeout() == timeout
        assert os.get_blocking(near.fileno()) == (timeout is None)


def test_others_write_while_one_waits_to_read() -> None:  # S10
    """The reader is in a region; the same socket is written to outside."""
    near, far = connected()
    with closing(near, far):
        for number in range(scaled(50)):
            reader = Started(lambda started: read_with_interruptions(near, 6, started))
            reader.until_blocked()
            assert near.gettimeout() is None
            assert near.getblocking()
            near.sendall(b"%06d" % number)
            interrupt(reader.thread)
            reader.until_blocked()
            far.sendall(far.recv(100))
            assert reader.finish() == (b"%06d" % number, 1)


@pytest.mark.skipif(
    sys.version_info >= (3, 13),
    reason="CPython's own reader may be told EAGAIN of another thread's write, seldom or often",
)
def test_who_reads_outside_does_not_see_a_section() -> None:  # S30
    """It was told SSLWantReadError, with a timeout, of another thread's writes in a region."""
    near, far = connected()
    count = scaled(200_000)
    before = sys.getswitchinterval()

    def read(started: Started) -> None:
        started.ready.set()
        received = 0
        while received < count:
            received += len(near.recv(1000))

    def write_in_region(_: Started) -> None:
        with waits:
            for _ in range(count):
                near.send(b"x")

    def answer(_: Started) -> None:
        received = 0
        for _ in range(count):
            far.send(b"x")
            if received < count:
                received += len(far.recv(1000))

    with closing(near, far):
        near.settimeout(PATIENCE)
        with waits:
            pass  # the calls are interposed from now on
        sys.setswitchinterval(1e-5)
        try:
            reader = Started(read).until_blocked()
            others = [Started(write_in_region), Started(answer)]
            for other in (reader, *others):
                other.finish()
        finally:
            sys.setswitchinterval(before)


WHERE = ["inside", "outside"]


def region(where: str) -> Any:
    return waits if where == "inside" else contextlib.nullcontext()


@pytest.mark.parametrize("second", WHERE)
@pytest.mark.parametrize("first", WHERE)
def test_two_read_one_socket(first: str, second: str) -> None:  # S10
    """One at a time is in OpenSSL if one of them is in a region."""
    if first == second == "outside":
        pytest.skip("CPython crashes")
    near, far = connected()
    size, count = 700, scaled(2000)

    def read(started: Started, where: str) -> bytes:
        received = bytearray()
        with region(where):
            started.ready.set()
            while len(data := near.recv(size)) > 1:
                received += data
        return bytes(received)

    with closing(near, far):
        with waits:
            pass  # the calls are interposed from now on
        readers = [
            Started(lambda started, where=where: read(started, where)).until_blocked()
            for where in (first, second)
        ]
        for _ in range(count):
            far.sendall(b"x" * size)
        for _ in readers:
            far.sendall(b"x")
        received = b"".join(reader.finish() for reader in readers)
        assert received == b"x" * size * count


def test_two_read_and_write_one_socket() -> None:  # S10
    ends = connected()
    total = scaled(300_000)

    def read(one: Any) -> int:
        received = 0
        with waits:
            while received < total:
                received += len(one.recv(5000))
        return received

    def write(one: Any) -> None:
        with waits:
            for _ in range(total // 1000):
                one.sendall(b"x" * 1000)

    with closing(*ends):
        threads = [
            Started(lambda _, one=one, how=how: how(one)) for one in ends for how in (read, write)
        ]
        for thread in threads:
            thread.finish()


class Relay:
    """Between two ends; it holds back what it likes."""

    def __init__(self) -> None:
        (self.near, self.inner), (self.outer, self.far) = socket.socketpair(), socket.socketpair()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)


@pytest.fixture
def relayed() -> Any:
    relay = Relay()
    near = CLIENT.wrap_socket(
        relay.near, server_hostname="localhost", do_handshake_on_connect=False
    )
    far = SERVER.wrap_socket(relay.far, server_side=True, do_handshake_on_connect=False)
    with closing(near, far, relay.inner, relay.outer):
        yield relay, near, far


def test_half_a_record_is_kept_for_the_next_read(relayed: Any) -> None:  # S10a
    relay, near, far = relayed
    there = threading.Thread(target=relay.pass_on, args=(relay.inner, relay.outer), daemon=True)
    there.start()
    shaking = threading.Thread(target=far.do_handshake)
    shaking.start()
    client = Started(lambda started: (started.ready.set(), near.do_handshake()))
    near_done = threading.Event()

    def back() -> None:
        relay.outer.settimeout(0.05)
        while not near_done.is_set():
            with contextlib.suppress(TimeoutError):
                relay.inner.sendall(relay.outer.recv(1 << 16))

    passing = threading.Thread(target=back)
    passing.start()
    client.finish()
    shaking.join()
    near_done.set()
    passing.join()

    relay.outer.settimeout(PATIENCE)
    far.sendall(b"a whole record")
    record = relay.outer.recv(1 << 16)
    relay.inner.sendall(record[:-7])

    def read(started: Started) -> bytes:
        with waits:
            started.ready.set()
            return bytes(near.recv(100))

    reader = Started(read).until_blocked()
    stopped(reader)
    reader = Started(read).until_blocked()
    relay.inner.sendall(record[-7:])
    assert reader.finish() == b"a whole record"


def test_a_handshake_that_was_interrupted_may_go_on(relayed: Any) -> None:  # S10
    relay, near, far = relayed

    def shake(started: Started) -> None:
        with waits:
            started.ready.set()
            near.do_handshake()

    shaking = Started(shake).until_blocked()
    stopped(shaking)
    for ends in ((relay.inner, relay.outer), (relay.outer, relay.inner)):
        threading.Thread(target=relay.pass_on, args=ends, daemon=True).start()
    other = threading.Thread(target=far.do_handshake)
    other.start()
    Started(shake).finish()
    other.join()
    far.sendall(b"bytes")
    assert near.recv(100) == b"bytes"

"""TLS over a pair of sockets, with a certificate of our own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from .base import Call

CERTIFICATE = Path(__file__).parent.parent / "data" / "localhost.pem"  # expires in a century

SERVER = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
SERVER.load_cert_chain(CERTIFICATE)
CLIENT = ssl.create_default_context(cafile=str(CERTIFICATE))


def unconnected() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """A client and a server that have not shaken hands yet."""
    near, far = socket.socketpair()
    return (
        CLIENT.wrap_socket(near, server_hostname="localhost", do_handshake_on_connect=False),
        SERVER.wrap_socket(far, server_side=True, do_handshake_on_connect=False),
    )


def connected() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    near, far = unconnected()
    other = threading.Thread(target=far.do_handshake)
    other.start()
    near.do_handshake()
    other.join()
    return near, far


def fill(sender: ssl.SSLSocket) -> int:
    """Send until there is no room; how many bytes that took."""
    sender.setblocking(False)
    sent = 0
    with contextlib.suppress(ssl.SSLWantWriteError):
        while True:
            sent += sender.send(b"x" * 1000)
    sender.setblocking(True)
    return sent


class TlsRead(Call):
    shared = False  # OpenSSL has it that one thread reads at a time,
    forks = False  # and one process

    def __init__(self) -> None:
        self.near, self.far = connected()

    def wait(self) -> Any:
        return self.near.recv(100)

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        try:
            return self.near.recv(100)
        finally:
            self.near.settimeout(None)

    def end(self) -> None:
        self.far.sendall(b"bytes")

    def check_untouched(self) -> None:
        assert self.near.gettimeout() is None
        assert self.near.getblocking()

    def close(self) -> None:
        self.near.close()
        self.far.close()


class TlsReadInto(TlsRead):
    def wait(self) -> Any:
        buffer = bytearray(100)
        return self.near.recv_into(buffer), bytes(buffer)

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        try:
            return self.near.recv_into(bytearray(100))
        finally:
            self.near.settimeout(None)


class TlsWrite(TlsRead):
    """There is no room. Where a record was begun, the same one has to be sent again."""

    takes = False

    def __init__(self) -> None:
        super().__init__()
        fill(self.near)

    def wait(self) -> Any:
        return self.near.send(b"x" * 1000)

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        try:
            return self.near.send(b"x" * 1000)
        finally:
            self.near.settimeout(None)

    def end(self) -> None:
        self.far.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while self.far.recv(1 << 16):
                pass


class TlsShutdown(TlsRead):
    """It has said that it goes, and waits for the other one to say it."""

    takes = False

    def wait(self) -> Any:
        return self.near.unwrap().fileno() == self.near.fileno()

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        try:
            return self.near.unwrap()
        finally:
            self.near.settimeout(None)

    def end(self) -> None:
        self.far.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.far.unwrap()

    def check_untouched(self) -> None:
        pass


class TlsHandshake(TlsRead):
    """With a silent peer."""

    takes = False
    remembers = False
    whole = False  # to and fro

    def __init__(self) -> None:
        self.near, self.far = unconnected()
        self.other: threading.Thread | None = None

    def wait(self) -> Any:
        self.near.do_handshake()

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        try:
            self.near.do_handshake()
        except TimeoutError as error:  # in a region it does not name the line of _ssl.c
            raise TimeoutError(str(error).rpartition(": ")[2]) from None
        finally:
            self.near.settimeout(None)

    def end(self) -> None:
        self.other = threading.Thread(target=self.shake)
        self.other.start()

    def shake(self) -> None:
        with contextlib.suppress(OSError):  # the other end was interrupted, and closed
            self.far.do_handshake()

    def close(self) -> None:
        self.near.close()
        if self.other is not None:
            self.other.join()
        self.far.close()

"""Sockets: what receives."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from .pair import _Pair, with_fresh


class _Receives(_Pair):
    def end(self) -> None:
        self.far.send(b"x")

    def check_untouched(self) -> None:
        self.near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert not self.near.recv(1, socket.MSG_PEEK)


class SocketRecv(_Receives):
    def call(self) -> Any:
        return self.near.recv(10)

    def errors(self) -> list[Callable[[], Any]]:
        closed = socket.socket()
        closed.close()
        recv = self.near.recv
        return [
            recv,
            lambda: recv("1"),
            lambda: recv(-1),
            lambda: recv(0),
            lambda: recv(1.5),
            lambda: recv(1 << 100),
            lambda: recv(1, 2, 3),
            lambda: recv(1, "2"),
            lambda: recv(1, 1 << 40),
            lambda: recv(1, flags=0),
            lambda: recv(1, socket.MSG_DONTWAIT),
            lambda: recv(1, socket.MSG_OOB),
            lambda: closed.recv(1),
            with_fresh(lambda fresh: fresh.recv(1)),
            lambda: self.far.close(),
            lambda: recv(1),
            lambda: recv(10, socket.MSG_WAITALL),
        ]


class SocketRecvOfDatagram(SocketRecv):
    kind = socket.SOCK_DGRAM

    def errors(self) -> list[Callable[[], Any]]:
        def receive(flags: int) -> bytes:
            self.far.send(b"0123456789")
            return self.near.recv(5, flags)

        def how_long() -> int:
            self.far.send(b"0123456789")
            return len(self.near.recv(5, socket.MSG_TRUNC))

        def empty() -> bytes:
            self.far.send(b"")
            return self.near.recv(5)

        return [lambda: receive(0), lambda: receive(socket.MSG_WAITALL), how_long, empty]


class SocketRecvPeeking(_Receives):
    remembers = True

    def call(self) -> Any:
        return self.near.recv(10, socket.MSG_PEEK)

    def errors(self) -> list[Callable[[], Any]]:
        recv = self.near.recv
        return [
            lambda: recv(-1, socket.MSG_PEEK),
            lambda: recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT),
            lambda: self.far.send(b"four"),
            lambda: recv(2, socket.MSG_PEEK),
            lambda: recv(10, socket.MSG_PEEK | socket.MSG_DONTWAIT),
        ]


class SocketRecvInto(_Receives):
    def call(self) -> Any:
        return self.near.recv_into(bytearray(10))

    def errors(self) -> list[Callable[[], Any]]:
        into = self.near.recv_into
        some = bytearray(4)

        def both(*args: Any, **kwargs: Any) -> Any:
            self.far.send(b"0123")
            return into(*args, **kwargs), bytes(some), self.near.recv(10, socket.MSG_DONTWAIT)

        return [
            into,
            lambda: into(b"1"),
            lambda: into(some, -1),
            lambda: into(some, 5),
            lambda: into(bytearray()),
            lambda: into(memoryview(some)[::2]),
            lambda: into(some, "1"),
            lambda: into(some, 1, 2, 3),
            lambda: into(some, wrong=1),
            lambda: into(some, 1, nbytes=1),
            lambda: both(some, nbytes=3),
            lambda: both(buffer=some, flags=socket.MSG_PEEK, nbytes=2),
            lambda: both(memoryview(some)[1:], 0),
        ]


class SocketFileRead(_Receives):
    """What makefile() gives reads by recv_into."""

    def __init__(self) -> None:
        super().__init__()
        self.file = self.near.makefile("rb", buffering=0)

    def call(self) -> Any:
        return self.file.read(10)

    timed = None

    def errors(self) -> list[Callable[[], Any]]:
        return [
            lambda: self.file.read(0),
            lambda: self.file.read("1"),
            lambda: self.file.readinto(b"x"),
            lambda: self.far.close(),
            lambda: self.file.read(10),
            lambda: self.file.close(),
            lambda: self.file.read(10),
        ]

    def close(self) -> None:
        self.file.close()
        super().close()


class SocketRecvFrom(_Receives):
    kind = socket.SOCK_DGRAM

    def call(self) -> Any:
        return self.near.recvfrom(10)

    def errors(self) -> list[Callable[[], Any]]:
        recvfrom = self.near.recvfrom
        return [
            recvfrom,
            lambda: recvfrom("1"),
            lambda: recvfrom(-1),
            lambda: recvfrom(1, "2"),
            lambda: recvfrom(1, 2, 3),
            lambda: recvfrom(1, flags=1),
            lambda: recvfrom(1, socket.MSG_DONTWAIT),
            with_fresh(lambda fresh: fresh.recvfrom(1)),
        ]


class SocketRecvFromInto(_Receives):
    kind = socket.SOCK_DGRAM

    def call(self) -> Any:
        return self.near.recvfrom_into(bytearray(10))

    def errors(self) -> list[Callable[[], Any]]:
        into = self.near.recvfrom_into
        some = bytearray(4)

        def one(*args: Any, **kwargs: Any) -> Any:
            self.far.send(b"0123")
            return into(*args, **kwargs), bytes(some)

        return [
            into,
            lambda: into(b"1"),
            lambda: into(some, 5),
            lambda: into(some, 1, "2"),
            lambda: into(some, 1, 2, 3),
            lambda: one(some, flags=0),
            lambda: one(nbytes=1, buffer=some),
            lambda: one(some, 2),
        ]


class SocketRecvMsg(_Receives):
    def call(self) -> Any:
        return self.near.recvmsg(10, 100)

    def errors(self) -> list[Callable[[], Any]]:
        recvmsg = self.near.recvmsg
        return [
            recvmsg,
            lambda: recvmsg(-1),
            lambda: recvmsg(1, -1),
            lambda: recvmsg(1, 1, "3"),
            lambda: recvmsg(1, 2, 3, 4),
            lambda: recvmsg(1, 1, socket.MSG_DONTWAIT),
        ]


class SocketRecvMsgInto(_Receives):
    def call(self) -> Any:
        return self.near.recvmsg_into([bytearray(3), bytearray(3)])

    def errors(self) -> list[Callable[[], Any]]:
        into = self.near.recvmsg_into

        def one(buffers: Any) -> Any:
            self.far.send(b"0123")
            return into(buffers)

        return [
            into,
            lambda: into(1),
            lambda: into([1]),
            lambda: into([bytearray(3)], -1),
            lambda: one([bytearray(3), bytearray(3)]),
            lambda: one(bytearray(n) for n in (3, 4)),
        ]

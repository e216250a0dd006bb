"""Sockets: what receives."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from .pair import _Pair


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


class SocketRecvOfDatagram(SocketRecv):
    kind = socket.SOCK_DGRAM


class SocketRecvPeeking(_Receives):
    remembers = True

    def call(self) -> Any:
        return self.near.recv(10, socket.MSG_PEEK)


class SocketRecvInto(_Receives):
    def call(self) -> Any:
        return self.near.recv_into(bytearray(10))


class SocketFileRead(_Receives):
    """What makefile() gives reads by recv_into."""

    def __init__(self) -> None:
        super().__init__()
        self.file = self.near.makefile("rb", buffering=0)

    def call(self) -> Any:
        return self.file.read(10)

    timed = None

    def close(self) -> None:
        self.file.close()
        super().close()


class SocketRecvFrom(_Receives):
    kind = socket.SOCK_DGRAM

    def call(self) -> Any:
        return self.near.recvfrom(10)


class SocketRecvMsg(_Receives):
    def call(self) -> Any:
        return self.near.recvmsg(10, 100)

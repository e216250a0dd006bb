"""Sockets: what sends."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from blocking_calls.base import Folder

from .pair import _Pair

LIMIT = 1 << 16


class _Sends(_Pair):
    """There is no room, until the other end has read all."""

    takes = False
    data = b"x"

    def __init__(self) -> None:
        super().__init__()
        self.near.setblocking(False)
        self.filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.filled += self.near.send(b".")

    def end(self) -> None:
        filled, self.filled = self.filled, 0
        while filled > 0:
            read = self.far.recv(min(filled, LIMIT))
            assert read == b"." * len(read)
            filled -= len(read)

    def check_untouched(self) -> None:
        filled = self.filled
        self.end()
        self.far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            raise AssertionError(self.far.recv(LIMIT))
        self.far.setblocking(True)
        self.near.setblocking(False)
        while self.filled < filled:
            self.filled += self.near.send(b".")


class SocketSend(_Sends):
    def call(self) -> Any:
        return self.near.send(self.data)


class SocketSendAll(SocketSend):
    def call(self) -> Any:
        return self.near.sendall(self.data)


class SocketSendTo(_Sends):
    """Connected there, so that poll() can tell whether the receiver has room."""

    def __init__(self) -> None:
        self.folder = Folder()
        self.path = self.folder.name + "/far"
        self.near = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.far = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.far.bind(self.path)
        self.near.connect(self.path)
        self.near.setblocking(False)
        self.filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.filled += self.near.send(b".")

    def call(self) -> Any:
        return self.near.sendto(self.data, self.path)

    def end(self) -> None:
        filled, self.filled = self.filled, 0
        for _ in range(filled):
            assert self.far.recv(10) == b"."

    def check_untouched(self) -> None:
        filled = self.filled
        self.end()
        self.far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            raise AssertionError(self.far.recv(10))
        self.far.setblocking(True)
        for _ in range(filled):
            self.filled += self.near.send(b".")

    def close(self) -> None:
        super().close()
        self.folder.cleanup()

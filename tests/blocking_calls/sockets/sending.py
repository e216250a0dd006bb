"""Sockets: what sends."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from .pair import _Pair, with_fresh

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

    def errors(self) -> list[Callable[[], Any]]:
        send = self.near.send
        return [
            send,
            lambda: send("1"),
            lambda: send(1),
            lambda: send(b"1", "2"),
            lambda: send(b"1", 2, 3),
            lambda: send(b"1", 1 << 40),
            lambda: send(memoryview(b"123")[::2]),
            lambda: send(b"1", socket.MSG_DONTWAIT),
            with_fresh(lambda fresh: fresh.send(b"1")),
            lambda: self.far.close(),
            lambda: send(b"1"),
        ]


class SocketSendAll(SocketSend):
    def call(self) -> Any:
        return self.near.sendall(self.data)

    def errors(self) -> list[Callable[[], Any]]:
        sendall = self.near.sendall
        return [
            sendall,
            lambda: sendall("1"),
            lambda: sendall(b"1", "2"),
            lambda: sendall(b"1", 2, 3),
            lambda: sendall(b"1", socket.MSG_DONTWAIT),
            lambda: self.far.close(),
            lambda: sendall(b"1"),
        ]


class SocketSendMsg(_Sends):
    def call(self) -> Any:
        return self.near.sendmsg([self.data])

    def errors(self) -> list[Callable[[], Any]]:
        sendmsg = self.near.sendmsg
        return [
            sendmsg,
            lambda: sendmsg(1),
            lambda: sendmsg([1]),
            lambda: sendmsg([b"1"], 1),
            lambda: sendmsg([b"1"], [], "1"),
            lambda: sendmsg([b"1"], [], ()),
            lambda: sendmsg([b"1"], [], 0, 1),
            lambda: sendmsg([b"1"], [], 0, None, 5),
            lambda: sendmsg([b"1"], [], socket.MSG_DONTWAIT),
        ]


class SocketSendTo(_Sends):
    """Connected there, so that poll() can tell whether the receiver has room."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
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

    def errors(self) -> list[Callable[[], Any]]:
        sendto = self.near.sendto
        return [
            sendto,
            lambda: sendto(b"1"),
            lambda: sendto("1", self.path),
            lambda: sendto(b"1", 1),
            lambda: sendto(b"1", "2", self.path),
            lambda: sendto(b"1", 0, self.path, 1),
            lambda: sendto(b"1", socket.MSG_DONTWAIT, self.path),
            lambda: sendto(b"1", 0, "/nowhere"),
        ]

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

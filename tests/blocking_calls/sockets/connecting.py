"""Sockets: connections are made and accepted."""

from __future__ import annotations

import select
import socket
from typing import Any

from blocking_calls.base import Call, Folder

from .pair import _Pair


class SocketAccept(_Pair):
    def __init__(self) -> None:
        self.near = socket.create_server(("127.0.0.1", 0))
        self.clients: list[socket.socket] = []

    def call(self) -> Any:
        return self.near.accept()

    def end(self) -> None:
        self.clients.append(socket.create_connection(self.near.getsockname()))

    def shown(self, result: Any) -> Any:
        if not isinstance(result, tuple):
            return result
        connection, address = result
        assert address == connection.getpeername()
        connection.close()
        return address[0]

    def close(self) -> None:
        self.near.close()
        for client in self.clients:
            client.close()


class _Connects(Call):
    forks = False  # parent and child share it
    takes = False

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def fresh(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        made = socket.socket(family, kind)
        self.sockets.append(made)
        return made

    def close(self) -> None:
        for one in self.sockets:
            one.close()


class SocketConnect(_Connects):
    """To where nobody answers: the backlog is full, so that TCP tries again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.server = self.fresh()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(0)
        self.fresh().connect(self.server.getsockname())
        select.select([self.server], [], [])  # it is in the backlog, which has room for one

    def timed(self, seconds: float) -> Any:
        one = self.fresh()
        one.settimeout(seconds)
        try:
            return self.call(one, self.server.getsockname())
        except OSError as error:
            return type(error), str(error)

    def call(self, one: socket.socket, address: Any) -> Any:
        return one.connect(address)


class SocketConnectEx(SocketConnect):
    def call(self, one: socket.socket, address: Any) -> Any:
        return one.connect_ex(address)


class SocketConnectUnix(_Connects):
    """The backlog is full, of which nobody tells when that changes."""

    whole = False  # looked at from time to time
    remembers = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = Folder()
        self.path = self.folder.name + "/server"
        self.server = self.fresh(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(0)
        self.fresh(socket.AF_UNIX).connect(self.path)

    def wait(self) -> Any:
        return self.fresh(socket.AF_UNIX).connect(self.path)

    def end(self) -> None:
        self.sockets.append(self.server.accept()[0])

    def close(self) -> None:
        super().close()
        self.folder.cleanup()

"""Servers of HTTP as processes, as their users start them, on a socket in a folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import start, until_up
from support import PATIENCE, until


class Server:
    """A server; what its application prints is its log, of this test."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path = path
        self.folder = log.parent
        self._log = log
        self._before = 0

    def begin(self) -> None:
        """Another test: what has been said is of others."""
        self._before = len(self._log.read_text())

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection

    def send(self, what: str, method: str = "GET", headers: str = "", body: str = ""):
        """Send a request. Whoever closes what is returned has left."""
        connection = self.connect()
        text = f"{method} {what} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n{body}"
        connection.sendall(text.encode())
        return connection

    def get(self, what: str, **request: str) -> tuple[int, str]:
        """A status and a text."""
        (answer,) = self.get_all(what, **request)
        return answer

    def get_all(self, *those: str, **request: str) -> list[tuple[int, str]]:
        """The same of several, which are sent at once."""
        with contextlib.ExitStack() as stack:
            answers = []
            sent = [stack.enter_context(self.send(each, **request)) for each in those]
            for connection in sent:
                response = http.client.HTTPResponse(connection)
                response.begin()
                answers.append((response.status, response.read().decode()))
            return answers

    @property
    def log(self) -> str:
        return self._log.read_text()[self._before :]

    def expect(self, line: str, times: int = 1) -> None:
        """Wait until it has said that so often."""
        until(lambda: self.log.splitlines().count(line) >= times)


@contextlib.contextmanager
def serving(command: list[str], source: str, folder: Path) -> Iterator[Server]:
    """Serve ``app`` of that source, there. ``{socket}`` in the command is where."""
    (folder / "program.py").write_text(source, encoding="utf-8")
    where, log = folder / "http", folder / "log"
    words = [word.format(socket=where, folder=folder) for word in command]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        # Not with -u, by which print() writes a line in two pieces, with another's between them.
        process = start([sys.executable, "-m", *words], log)
    server = Server(where, log)
    try:
        until_up(lambda: server.connect().close(), process, log)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

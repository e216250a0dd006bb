"""Servers of HTTP as processes, as their users start them, on a socket in a folder."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from servers import start, until_up
from support import PATIENCE, until

DOCS = Path(__file__).parents[2] / "docs"


def code_of(page: str) -> str:
    """The program of a page on a framework."""
    said = "<!-- not run: it needs .* runs it -->\n```python\n(.*?)```"
    (code,) = re.findall(said, (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    return code


class Server:
    """A server; what its application prints is its log."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path = path
        self._log = log

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
        with self.send(what, **request) as connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, response.read().decode()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def expect(self, line: str, times: int = 1) -> None:
        """Wait until it has said that so often."""
        until(lambda: self.log.splitlines().count(line) >= times)


@contextlib.contextmanager
def serving(command: list[str], source: str, folder: Path) -> Iterator[Server]:
    """Serve ``app`` of that source. ``{socket}`` in the command is where."""
    (folder / "program.py").write_text(source, encoding="utf-8")
    where, log = folder / "http", folder / "log"
    words = [word.format(socket=where, folder=folder) for word in command]
    # Not with -u, by which print() writes a line in two pieces, and another's may be between them.
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

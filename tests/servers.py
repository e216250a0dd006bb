"""Servers as child processes, which end when the tests do, on this machine only."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, until

LIBRARIES = Path(__file__).parent / "libraries"


class Child:
    """One of the scripts of tests/libraries. It says a line for each event."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(LIBRARIES / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: queue.Queue[str] = queue.Queue()
        self._early: list[str] = []  # what nobody has expected yet
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.strip())

    def next(self) -> str:
        return self._said.get(timeout=PATIENCE)

    def expect(self, event: str) -> None:
        """Wait until it has said that; each event is expected once."""
        while event not in self._early:
            self._early.append(self.next())
        self._early.remove(event)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start(
    command: list[str], log: Path, *, user: tuple[int, int] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server that ends with this process, as that user and group."""
    dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    if user is not None and dies_with_us:
        dies_with_us += [f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*dies_with_us, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def until_up(connect: Callable[[], Any], server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server can be connected to; it must not end."""

    def is_up() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            connect()
        except Exception:  # noqa: BLE001  (each library has its own)
            return False
        return True

    until(is_up)


def program(name: str) -> str | None:
    """Where that program is: Debian keeps PostgreSQL's servers out of the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ["PATH"], *map(str, folders)])
    return shutil.which(name, path=path)


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis of our own: the path of its socket, and its process."""
    redis = pytest.importorskip("redis")
    server = program("redis-server")
    if server is None:
        pytest.skip("there is no redis-server (Debian: redis-server)")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path, log = f"{folder}/socket", Path(folder, "log")
        command = [server, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        process = start(command, log)

        def connect() -> None:
            with redis.Redis(unix_socket_path=path) as client:
                client.ping()

        try:
            until_up(connect, process, log)
            yield path, process
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """The path of the socket of a Redis that tests share."""
    with redis_server() as (path, _):
        yield path

"""Exchanges with another process or a server; see making_program.py."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import logging
import logging.handlers
import os
import pickle
import poplib
import smtplib
import socket
import struct
import sys
import threading
import xmlrpc.client
import xmlrpc.server
from pathlib import Path
from typing import Any

from making_parts import DATA, Scenario

# Exchanges with a server: what is broken off is not taken for the next one's answer. --------------


class Exchange(Scenario):
    raises = True
    greeting = b"220 ready\r\n"

    def answer(self, line: bytes) -> bytes:
        return b"250 " + line

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with contextlib.suppress(OSError), connection, connection.makefile("rwb") as file:
                file.write(self.greeting)
                file.flush()
                for line in file:
                    if line == b"END\r\n":
                        return
                    file.write(self.answer(line))
                    file.flush()

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as end:
            end.sendall(b"END\r\n")
        self.thread.join()
        self.listener.close()


class Mails(Exchange):
    client: Any = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.number = 0

    def prepare(self) -> None:
        self.number += 1
        if self.client is None:
            self.connect()

    def connect(self) -> None:
        self.client = smtplib.SMTP("127.0.0.1", self.port)

    def ask(self) -> str:
        return self.client.docmd("NOOP", str(self.number))[1].decode().split()[-1]

    def act(self) -> str:
        return self.ask()

    def check(self, result: str, *, raised: bool) -> None:
        assert raised or result == str(self.number)
        self.number += 1
        if self.client.sock is not None:
            assert self.ask() == str(self.number)
        else:
            self.client = None

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        super().close()


class Transfers(Mails):
    def connect(self) -> None:
        self.client = ftplib.FTP()
        self.client.connect("127.0.0.1", self.port)

    def ask(self) -> str:
        return self.client.sendcmd(f"NOOP {self.number}").split()[-1]


class Letters(Mails):
    greeting = b"+OK ready\r\n"

    def answer(self, line: bytes) -> bytes:
        return b"+OK " + line

    def connect(self) -> None:
        self.client = poplib.POP3("127.0.0.1", self.port)

    def ask(self) -> str:
        return self.client.user(str(self.number)).decode().split()[-1]


class Calls(Exchange):
    def __init__(self, folder: Path) -> None:
        self.server = xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
        self.server.register_function(abs, "abs")
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        port = self.server.server_address[1]
        self.client = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}")
        self.number = 0

    def act(self) -> int:
        self.number += 1
        return self.client.abs(-self.number)  # type: ignore[return-value]

    def check(self, result: int, *, raised: bool) -> None:
        assert raised or result == self.number
        assert self.client.abs(-5) == 5

    def close(self) -> None:
        self.client("close")()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Sends(Scenario):
    """Records that are larger than what the system keeps, and a server that takes its time."""

    raises = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.handler = logging.handlers.SocketHandler(*self.listener.getsockname())
        self.sent = self.received = 0
        self.ended = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.ended:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as file:
                while len(head := file.read(4)) == 4:
                    (size,) = struct.unpack(">L", head)
                    data = file.read(size)
                    if len(data) < size:
                        break
                    assert pickle.loads(data)["msg"] == DATA.decode("latin-1") * 8
                    self.received += 1

    def act(self) -> None:
        self.handler.emit(logging.makeLogRecord({"msg": DATA.decode("latin-1") * 8}))

    def check(self, result: None, *, raised: bool) -> None:
        self.sent += not raised

    def close(self) -> None:
        self.act()  # whole, whatever was broken off before
        self.handler.close()
        self.ended = True
        with contextlib.suppress(OSError):
            socket.create_connection(self.listener.getsockname()).close()
        self.thread.join()
        self.listener.close()
        assert self.received >= self.sent + 1


class Watches(Scenario):
    """asyncio reaps a child when it is told of its end."""

    raises = True  # the loop waits

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if sys.version_info < (3, 12):
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())

    async def run(self) -> None:
        self.process = await asyncio.create_subprocess_exec("true")
        self.pid = self.process.pid
        await self.process.wait()

    def act(self) -> None:
        asyncio.run(self.run())

    def check(self, result: None, *, raised: bool) -> None:
        if not raised:
            assert self.process.returncode == 0
            return
        try:
            os.waitpid(self.pid, 0)  # nobody waits for it any more
        except ChildProcessError:
            return
        assert not self.inside, "the loop was told of its end, and has not reaped it"

"""Clients of the standard library, interrupted while they wait for an answer (S10, S31)."""

from __future__ import annotations

import contextlib
import http.client
import imaplib
import socket
import threading

import pytest
from interruption import ThreadExit, allow_interruption, interrupt
from support import Started, until_blocked


class Server:
    """Keeps the first answer to itself until it may give it."""

    def __init__(self, greeting: bytes, answer) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.greeting, self.answer = greeting, answer
        self.waits, self.go_on = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.go_on.set()
        with contextlib.suppress(OSError):  # the client's end may live on in a traceback
            self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def serve(self) -> None:
        self.connection, _ = self.listener.accept()
        with (
            contextlib.suppress(OSError),
            self.connection,
            self.connection.makefile("rwb") as file,
        ):
            file.write(self.greeting)
            file.flush()
            for line in file:
                answer, slowly = self.answer(line)
                if slowly:
                    self.waits.set()
                    self.go_on.wait()
                file.write(answer)
                file.flush()


def interrupted(server, call):
    def body(started):
        started.ready.set()
        with pytest.raises(ThreadExit), allow_interruption:
            call()

    with Started(body) as started:
        server.waits.wait()
        until_blocked(started.thread)
        interrupt(started.thread)
    started.finish()
    server.go_on.set()


def test_imaplib_gives_each_command_its_own_answer():
    commands = []

    def answer(line):
        number, command = line.split()[:2]
        commands.append(command)
        count = commands.count(b"NOOP")
        listed = b"* CAPABILITY IMAP4REV1\r\n" if command == b"CAPABILITY" else b""
        last = b"* BYE\r\n" if command == b"LOGOUT" else b""
        slowly = (command, count) == (b"NOOP", 1)
        return listed + last + number + b" OK %d\r\n" % count, slowly

    with Server(b"* OK ready\r\n", answer) as server:
        client = imaplib.IMAP4(*server.address)
        interrupted(server, client.noop)
        assert client.noop() == ("OK", [b"2"])
        client.logout()


def test_http_client_refuses_the_next_request_until_it_is_closed():
    def answer(line):
        if line == b"\r\n":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True
        return b"", False

    def call():
        client.request("GET", "/")
        client.getresponse()

    with Server(b"", answer) as server:
        client = http.client.HTTPConnection(*server.address)
        interrupted(server, call)
        with pytest.raises(http.client.CannotSendRequest):
            client.request("GET", "/next")
        client.close()

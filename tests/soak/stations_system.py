"""Stations that have the system wait: pipes, sockets, TLS, children, databases, every call."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from typing import Any

from blocking_calls import CALLS, Call, made
from blocking_calls.tls import CERTIFICATE
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    defer_interruption,
    interrupt,
    interruption_fd,
    on_interrupt,
    run_in_process,
)
from support import Started

from soak.crew import WAITS, Station

MESSAGE = b"twelve bytes"
FULL = 10_000  # bytes under way


class Pipes(Station):
    """Each byte that is written is read once."""

    def open(self) -> None:
        self.ends = os.pipe()
        self.written = self.read = 0
        self.crew.start(self.write, WAITS)
        self.crew.start(self.take, WAITS)

    def write(self) -> None:
        self.written += os.write(self.ends[1], MESSAGE)

    def take(self) -> None:
        self.read += len(os.read(self.ends[0], 5))

    def check(self) -> None:
        os.close(self.ends[1])
        while data := os.read(self.ends[0], 4096):
            self.read += len(data)
        assert self.written == self.read > 0

    def close(self) -> None:
        os.close(self.ends[0])


class Sockets(Station):
    """Each byte that is sent is received once; a connection that is accepted is somebody's."""

    def open(self) -> None:
        self.near, self.far = socket.socketpair()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.sent = self.received = self.connected = self.accepted = 0
        self.crew.start(self.send, WAITS)
        self.crew.start(self.receive, WAITS)
        self.crew.start(self.connect, WAITS)
        self.crew.start(self.accept, WAITS)

    def send(self) -> None:
        self.sent += self.near.send(MESSAGE)

    def receive(self) -> None:
        self.received += len(self.far.recv(7))

    def connect(self) -> None:
        time.sleep(0.002)
        with defer_interruption, socket.create_connection(self.server.getsockname()):
            self.connected += 1

    def accept(self) -> None:
        connection, _ = self.server.accept()
        self.accepted += 1
        connection.close()

    def check(self) -> None:
        self.near.close()
        while data := self.far.recv(4096):
            self.received += len(data)
        assert self.sent == self.received > 0
        self.server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self.server.accept()
                self.accepted += 1
                connection.close()
        assert self.connected == self.accepted

    def close(self) -> None:
        for each in (self.near, self.far, self.server):
            each.close()


class Encrypted(Station):
    """TLS is usable after each wait that was interrupted."""

    def open(self) -> None:
        near, far = socket.socketpair()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(CERTIFICATE)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        shaking = Started(lambda _: server.wrap_socket(far, server_side=True))
        self.client = client.wrap_socket(near)
        self.server = shaking.finish()
        self.sent = self.received = 0
        self.crew.start(self.send, WAITS)
        self.crew.start(self.receive, WAITS)

    def send(self) -> None:
        time.sleep(0.001)
        if self.sent - self.received < FULL:  # else it would wait for room, in its shield
            with defer_interruption:
                self.sent += self.client.send(MESSAGE)

    def receive(self) -> None:
        self.received += len(self.server.recv(7))

    def check(self) -> None:
        self.server.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                self.received += len(self.server.recv(4096))
        assert self.sent == self.received > 0

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Children(Station):
    """A child that somebody waits for is waited for, and what it has written is closed."""

    def open(self) -> None:
        self.crew.start(self.subprocess)
        self.crew.start(self.process)

    def subprocess(self) -> None:
        seconds = str(self.crew.chance.random() * 0.02)
        with (
            defer_interruption,
            subprocess.Popen(["/bin/sleep", seconds], stdout=subprocess.PIPE) as child,
            on_interrupt(child.terminate),
        ):
            try:
                with allow_interruption:
                    child.communicate()
            except ThreadExit:
                child.kill()
                raise

    def process(self) -> None:
        time.sleep(0.05)
        assert run_in_process(sum, (1, 2)) == 3


class Databases(Station):
    """A query ends when its thread is asked, and the connection is usable."""

    long = """
        with recursive numbers(i) as (select 1 union all select i + 1 from numbers limit 20000)
        select sum(i) from numbers
    """

    def open(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.crew.start(self.query)

    def query(self) -> None:
        try:
            with on_interrupt(self.connection.interrupt), allow_interruption:
                self.connection.execute(self.long).fetchall()
        except sqlite3.OperationalError as error:
            assert str(error) == "interrupted"  # noqa: PT017

    def check(self) -> None:
        assert self.connection.execute("select 7").fetchall() == [(7,)]

    def close(self) -> None:
        self.connection.close()


class Selecting(Station):
    """Threads that wait for their own descriptor beside others."""

    def open(self) -> None:
        self.ends = os.pipe()
        self.crew.start(self.select, defer_interruption)
        self.crew.start(self.poll, WAITS)

    def select(self) -> None:
        ready, _, _ = select.select([interruption_fd(), self.ends[0]], [], [], 0.01)
        assert self.ends[0] not in ready
        if ready:
            assert clear_interrupt()

    def poll(self) -> None:
        poll = select.poll()
        poll.register(self.ends[0], select.POLLIN)
        poll.poll()

    def close(self) -> None:
        for each in self.ends:
            os.close(each)


def is_alone(kind: type[Call]) -> bool:
    """It is about what the whole process has one of, where others have children and signals."""
    return kind.__module__.rpartition(".")[2] in ("children", "signals", "process_locks")


class Calls(Station):
    """Every call that can wait, one after the other: woken, and nothing is lost by it (S10)."""

    kinds = tuple(kind for kind in CALLS if not is_alone(kind))

    def open(self) -> None:
        self.crew.start(self.call, defer_interruption, 2)

    def call(self) -> None:
        kind = self.crew.chance.choice(self.kinds)
        with made(kind) as call:

            def wait(started: Started) -> Any:
                started.ready.set()
                with WAITS:
                    return call.timed(3600) if call.end is None else call.wait()

            other = Started(wait).until_ready()
            time.sleep(self.crew.chance.random() * 0.002)  # most wait by then
            interrupt(other.thread)
            try:
                other.finish()
            except ThreadExit:
                call.check_untouched()
            else:
                assert kind.mutex or not kind.takes, kind
                return
            if call.end is not None and kind.remembers:
                call.end()
                Started(lambda _: call.wait()).finish()


class Programs(Station):
    """Programs that start, and are told to end at some moment of their lives."""

    source = """
import interruption, sys, threading, time
interruption.interrupt_on_signal()
def work():
    with interruption.allow_interruption:
        threading.Event().wait()
for _ in range(3):
    interruption.Thread(target=work).start()
print("ready", flush=True)
time.sleep(3600)
"""

    def open(self) -> None:
        self.crew.start(self.run, defer_interruption)

    def run(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", self.source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(self.crew.chance.random() * 0.005)
            child.terminate()
            assert child.wait() in {143, -15}
        time.sleep(0.2)

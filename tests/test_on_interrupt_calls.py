"""S10: calls that only a callback can end: a query, a child, a socket."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest
from interruption import ThreadExit, allow_interruption, interrupt, on_interrupt
from on_interrupt_parts import ONLY_WAITS, until
from support import PATIENCE, Started

ENDLESS = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r"


@pytest.mark.parametrize("region", [allow_interruption, ONLY_WAITS], ids=["both", "waits"])
def test_a_query_of_sqlite_is_broken_off(region):
    running = threading.Event()

    def body():
        connection = sqlite3.connect(":memory:")
        connection.create_function("begun", 0, running.set)
        with region, contextlib.closing(connection), on_interrupt(connection.interrupt):
            connection.execute(ENDLESS.replace("select 1", "select begun() is null"))

    other = Started(lambda _: body())
    assert running.wait(PATIENCE)
    interrupt(other.thread, reason="too long")
    with pytest.raises(ThreadExit, match="too long") as caught:
        other.finish()
    assert isinstance(caught.value.__context__, sqlite3.OperationalError)
    assert str(caught.value.__context__) == "interrupted"


def test_a_child_is_terminated():
    def body(started):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with ONLY_WAITS, child, on_interrupt(child.terminate):
            started.ready.set()
            with allow_interruption(io_interrupt=False):
                until(started.go.is_set)
            return child.wait()

    with Started(body) as other:
        interrupt(other.thread)
        other.go.set()
        try:
            assert other.finish() == -signal.SIGTERM
        except ThreadExit:
            pass  # where waiting for a child is interrupted by itself, and it is reaped by Popen


def test_a_socket_is_shut_down():
    """The thread stays in the block until it has been asked: else `recv` is interrupted by itself
    first, the block is left, and rightly no callback is run.
    """
    ours, theirs = socket.socketpair()

    def body(started):
        with ONLY_WAITS, on_interrupt(lambda: ours.shutdown(socket.SHUT_RDWR)):
            started.ready.set()
            until(started.go.is_set)
            return ours.recv(1)

    with ours, theirs:
        with Started(body) as other:
            interrupt(other.thread)
            other.go.set()
            try:
                assert other.finish() == b""
            except ThreadExit:
                pass  # where recv is interrupted by itself
        assert theirs.recv(1) == b""

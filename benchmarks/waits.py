"""The waits whose ends are timed: each blocks a thread until it is interrupted or ended."""

import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

Wait = Callable[[], object]


@dataclass
class Way:
    """What a thread does, made afresh for each time, and what ends it normally.

    ``begun`` returns when it is doing it, if that takes more than a moment.
    """

    wait: Wait
    end: Wait
    close: Wait = lambda: None
    begun: Wait = lambda: None


def closing(*ends: socket.socket | int) -> Wait:
    """To close sockets or descriptors."""

    def close() -> None:
        for end in ends:
            if isinstance(end, int):
                os.close(end)
            else:
                end.close()

    return close


def wait_for_lock(kind: Callable[[], Any]) -> Way:
    """Released by who made it."""
    lock = kind()
    lock.acquire()

    def wait() -> None:
        with lock:
            pass

    return Way(wait, lock.release)


def wait_for_event() -> Way:
    """Set."""
    event = threading.Event()
    return Way(event.wait, event.set)


def wait_for_condition() -> Way:
    """Notified."""
    condition = threading.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    def end() -> None:
        with condition:
            condition.notify()

    return Way(wait, end)


def wait_for_semaphore() -> Way:
    """One permit."""
    semaphore = threading.Semaphore(0)
    return Way(semaphore.acquire, semaphore.release)


def wait_for_item(kind: Callable[[], Any]) -> Way:
    """One item."""
    items = kind()
    return Way(items.get, lambda: items.put(1))


def wait_for_future() -> Way:
    """One result."""
    future: Future[int] = Future()
    return Way(future.result, lambda: future.set_result(1))


def wait_for_thread() -> Way:
    """Its end."""
    lock = threading.Lock()
    lock.acquire()

    def run() -> None:
        with lock:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return Way(thread.join, lock.release)


def wait_for_time() -> Way:
    """It has no end of its own: compared with the hand-off of a lock."""
    return Way(lambda: time.sleep(100), lambda: None)


def wait_for_byte(*, by_socket: bool) -> Way:
    """From a socket pair or a pipe."""
    if by_socket:
        one, other = socket.socketpair()
        return Way(lambda: one.recv(1), lambda: other.send(b"."), closing(one, other))
    read, write = os.pipe()
    return Way(
        lambda: os.read(read, 1),
        lambda: os.write(write, b"."),
        closing(read, write),
    )


def wait_for_connection() -> Way:
    """One that comes in."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.socket()

    def accept() -> None:
        server.accept()[0].close()

    return Way(
        accept,
        lambda: client.connect(server.getsockname()),
        closing(server, client),
    )


def wait_for_poll() -> Way:
    """A descriptor that turns readable."""
    read, write = os.pipe()
    poller = select.poll()
    poller.register(read, select.POLLIN)
    return Way(poller.poll, lambda: os.write(write, b"."), closing(read, write))


def wait_for_select() -> Way:
    """The same."""
    read, write = os.pipe()
    return Way(
        lambda: select.select([read], [], []),
        lambda: os.write(write, b"."),
        closing(read, write),
    )


def wait_for_child() -> Way:
    """One that reads until its pipe is closed, and is reaped if nobody has."""
    read, write = os.pipe()
    pid = os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)])
    os.close(read)
    reaped = []

    def wait() -> None:
        reaped.append(os.waitpid(pid, 0))

    def close() -> None:
        with contextlib.suppress(OSError):
            os.close(write)
        if not reaped:
            os.waitpid(pid, 0)

    return Way(wait, lambda: os.close(write), close)


HAND_OFF, SLEEP = "`lock`", "`time.sleep`"
WAITS: dict[str, Callable[[], Way]] = {
    HAND_OFF: lambda: wait_for_lock(threading.Lock),
    "`RLock`": lambda: wait_for_lock(threading.RLock),
    "`Condition.wait`": wait_for_condition,
    "`Event.wait`": wait_for_event,
    "`Semaphore.acquire`": wait_for_semaphore,
    "`Queue.get`": lambda: wait_for_item(queue.Queue),
    "`SimpleQueue.get`": lambda: wait_for_item(queue.SimpleQueue),
    "`Future.result`": wait_for_future,
    "`Thread.join`": wait_for_thread,
    SLEEP: wait_for_time,
    "`socket.recv`": lambda: wait_for_byte(by_socket=True),
    "`socket.accept`": wait_for_connection,
    "`os.read` of a pipe": lambda: wait_for_byte(by_socket=False),
    "`poll`": wait_for_poll,
    "`select`": wait_for_select,
    "`os.waitpid`": wait_for_child,
}

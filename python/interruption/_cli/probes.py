"""What the doctor tries out: for each family of blocking calls, a real call that blocks for ever.

A probe is given a stack for what it opens, and returns the call. All of them run in the thread that
the doctor waits for; what ends the call is the request, or else nothing.
"""

import contextlib
import importlib
import io
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from .._interruption import wait_for_interruption

_LONG = 86_400.0  # seconds: nobody waits for that


class Absent(Exception):  # noqa: N818  (nothing has gone wrong)
    """There is no such call in this Python, or on this system."""


class Probe(NamedTuple):
    """A call that is tried.

    call: what it is, as people write it.
    family: the name of its family in ``blocking.status()``.
    open: makes the call, and leaves in the stack what closes its objects.
    """

    call: str
    family: str
    open: Callable[[ExitStack], Callable[[], object]]


def _need(module: str, name: str) -> None:
    """Absent: there is no such module, or nothing of that name in it."""
    try:
        found = hasattr(importlib.import_module(module), name)
    except ImportError:
        found = False
    if not found:
        raise Absent(f"this Python has no {module}.{name}")


def _pipe(stack: ExitStack) -> int:
    """The end to read from; nobody writes."""
    ours, theirs = os.pipe()
    stack.callback(os.close, theirs)
    stack.callback(os.close, ours)
    return ours


def _socket(stack: ExitStack) -> socket.socket:
    """A connected socket; nobody sends."""
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    return stack.enter_context(ours)


def _folder(stack: ExitStack) -> str:
    return stack.enter_context(tempfile.TemporaryDirectory(prefix="interruption-"))


def _lock(_: ExitStack) -> Callable[[], object]:
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire


def _process_lock(_: ExitStack) -> Callable[[], object]:
    _need("_multiprocessing", "SemLock")
    import multiprocessing  # noqa: PLC0415  (not every Python has it)

    # By "fork", a lock needs no process that keeps track of it.
    method = min(multiprocessing.get_all_start_methods())
    lock = multiprocessing.get_context(method).Lock()
    lock.acquire()
    return lock.acquire


def _join(stack: ExitStack) -> Callable[[], object]:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(done.set)
    return thread.join


def _read(stack: ExitStack) -> Callable[[], object]:
    descriptor = _pipe(stack)
    return lambda: os.read(descriptor, 1)


def _file(stack: ExitStack) -> Callable[[], object]:
    file = io.FileIO(_pipe(stack), "rb", closefd=False)
    return lambda: file.read(1)


def _scan(stack: ExitStack) -> Callable[[], object]:
    """It does not wait, but raises on entry: so it waits to be asked, first."""
    folder = _folder(stack)

    def scan() -> None:
        wait_for_interruption()
        os.listdir(folder)  # noqa: PTH208  (what is tried)

    return scan


def _file_lock(stack: ExitStack) -> Callable[[], object]:
    _need("fcntl", "flock")
    import fcntl  # noqa: PLC0415  (not every system has it)

    path = os.path.join(_folder(stack), "file")  # noqa: PTH118
    one, other = (stack.enter_context(io.FileIO(path, "w")) for _ in range(2))
    fcntl.flock(one, fcntl.LOCK_EX)
    return lambda: fcntl.flock(other, fcntl.LOCK_EX)


def _child(stack: ExitStack) -> Callable[[], object]:
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    child = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))  # noqa: S603
    return lambda: os.waitpid(child.pid, 0)


def _signal(_: ExitStack) -> Callable[[], object]:
    _need("signal", "sigwait")

    def wait() -> None:
        # In this thread alone: the program's signals are none of our business.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        signal.sigwait([signal.SIGUSR2])

    return wait


def _queue(_: ExitStack) -> Callable[[], object]:
    return queue.SimpleQueue[None]().get


def _sleep(_: ExitStack) -> Callable[[], object]:
    return lambda: time.sleep(_LONG)


def _receive(stack: ExitStack) -> Callable[[], object]:
    ours = _socket(stack)
    return lambda: ours.recv(1)


def _receive_message(stack: ExitStack) -> Callable[[], object]:
    _need("socket", "CMSG_SPACE")
    ours = _socket(stack)
    return lambda: ours.recvmsg(1)


def _accept(stack: ExitStack) -> Callable[[], object]:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0))).accept


def _select(stack: ExitStack) -> Callable[[], object]:
    descriptor = _pipe(stack)
    return lambda: select.select([descriptor], [], [])


def _poll(stack: ExitStack) -> Callable[[], object]:
    _need("select", "poll")
    poll = select.poll()
    poll.register(_pipe(stack), select.POLLIN)
    return poll.poll


def _epoll(stack: ExitStack) -> Callable[[], object]:
    _need("select", "epoll")
    epoll = stack.enter_context(contextlib.closing(select.epoll()))
    epoll.register(_pipe(stack), select.EPOLLIN)
    return epoll.poll


def _tls(stack: ExitStack) -> Callable[[], object]:
    _need("ssl", "SSLContext")
    import ssl  # noqa: PLC0415  (not every Python has it)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_socket(
        _socket(stack), server_hostname="localhost", do_handshake_on_connect=False
    )
    return stack.enter_context(client).do_handshake


def _greenlet(stack: ExitStack) -> Callable[[], object]:
    """A switch waits for nothing; what comes after it does."""
    _need("greenlet", "greenlet")
    import greenlet  # noqa: PLC0415  (only with a package of others)

    wait = _queue(stack)

    def switch_and_wait() -> None:
        greenlet.greenlet(int).switch()
        wait()

    return switch_and_wait


PROBES = (
    Probe("Lock.acquire", "locks", _lock),
    Probe("multiprocessing.Lock.acquire", "process locks", _process_lock),
    Probe("Thread.join", "joins", _join),
    Probe("os.read", "descriptors", _read),
    Probe("FileIO.read", "files", _file),
    Probe("os.listdir", "folders", _scan),
    Probe("fcntl.flock", "file locks", _file_lock),
    Probe("os.waitpid", "children", _child),
    Probe("signal.sigwait", "signals", _signal),
    Probe("SimpleQueue.get", "queues", _queue),
    Probe("time.sleep", "sleep", _sleep),
    Probe("socket.recv", "sockets", _receive),
    Probe("socket.recvmsg", "messages", _receive_message),
    Probe("socket.accept", "connections", _accept),
    Probe("select.select", "select", _select),
    Probe("poll", "poll", _poll),
    Probe("epoll", "epoll", _epoll),
    Probe("SSLSocket.do_handshake", "TLS", _tls),
    Probe("greenlet.switch, SimpleQueue.get", "greenlet switches", _greenlet),
)

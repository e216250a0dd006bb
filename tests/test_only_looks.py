"""S10b: a call that cannot wait is no place to be stopped at, whatever it is of."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import os
import queue
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt

Call = Callable[[], object]


def asked(call: Call) -> bool:
    """Call it in a region with a request waiting: was it raised?"""
    me = threading.get_ident()
    try:
        with allow_interruption(async_interrupt=False):
            (interrupt(me), call())
    except ThreadExit:
        return True
    except (OSError, RuntimeError, ValueError, queue.Empty, concurrent.futures.TimeoutError):
        return False  # what the original says when there is nothing
    finally:
        clear_interrupt()
    return False


def nonblocking(one: socket.socket) -> socket.socket:
    one.settimeout(0)
    return one


def by_flag(fd: int) -> int:
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    return fd


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def of_locks(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    items: Any = queue.Queue()
    simple: Any = queue.SimpleQueue()
    future: Any = concurrent.futures.Future()
    event, semaphore, barrier = threading.Event(), threading.Semaphore(0), threading.Barrier(2)
    thread = threading.Thread(target=event.wait)
    thread.start()
    stack.callback(thread.join)
    stack.callback(event.set)
    return {
        "Queue.get_nowait": items.get_nowait,
        "Queue.get block=False": lambda: items.get(block=False),
        "Queue.get block=0": lambda: items.get(block=0),
        "Queue.get timeout=0": lambda: items.get(timeout=0),
        "SimpleQueue.get_nowait": simple.get_nowait,
        "SimpleQueue.get block=False": lambda: simple.get(block=False),
        "SimpleQueue.get timeout=0": lambda: simple.get(timeout=0),
        "Future.result": lambda: future.result(0),
        "Future.exception": lambda: future.exception(timeout=0),
        "Event.wait": lambda: event.wait(0),
        "Event.wait timeout=0.0": lambda: event.wait(timeout=0.0),
        "Semaphore.acquire blocking=False": lambda: semaphore.acquire(blocking=False),
        "Semaphore.acquire blocking=0": lambda: semaphore.acquire(blocking=0),
        "Semaphore.acquire timeout=0": lambda: semaphore.acquire(timeout=0),
        "Barrier.wait": lambda: barrier.wait(0),
        "Thread.join": lambda: thread.join(0),
        "Thread.is_alive": thread.is_alive,
    }, {
        "Queue.get": items.get,
        "SimpleQueue.get": simple.get,
        "Future.result": future.result,
        "Event.wait": event.wait,
        "Semaphore.acquire": semaphore.acquire,
        "Thread.join": thread.join,
    }


def of_process_locks(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    context = multiprocessing.get_context("fork")
    items: Any = context.Queue()
    stack.callback(items.close)
    event, semaphore = context.Event(), context.Semaphore(0)
    near, far = context.Pipe()
    stack.callback(near.close)
    stack.callback(far.close)
    return {
        "Queue.get_nowait": items.get_nowait,
        "Queue.get timeout=0": lambda: items.get(timeout=0),
        "Queue.empty": items.empty,
        "Event.wait": lambda: event.wait(0),
        "Semaphore.acquire block=False": lambda: semaphore.acquire(block=False),
        "Semaphore.acquire timeout=0": lambda: semaphore.acquire(timeout=0),
        "Connection.poll": near.poll,
    }, {
        "Queue.get": items.get,
        "Event.wait": event.wait,
        "Semaphore.acquire": semaphore.acquire,
        "Connection.recv": near.recv,
    }


def of_sockets(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    near, _ = stack.enter_context(pair())
    quick = nonblocking(stack.enter_context(pair())[0])
    flagged = stack.enter_context(pair())[0]
    by_flag(flagged.fileno())
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    waiting = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    nonblocking(server)
    room = bytearray(10)
    return {
        "recv": lambda: quick.recv(1),
        "recv of O_NONBLOCK": lambda: flagged.recv(1),
        "recv MSG_DONTWAIT": lambda: near.recv(1, socket.MSG_DONTWAIT),
        "recv_into": lambda: quick.recv_into(room),
        "recv_into MSG_DONTWAIT": lambda: near.recv_into(room, 1, socket.MSG_DONTWAIT),
        "recvfrom": lambda: quick.recvfrom(1),
        "recvfrom MSG_DONTWAIT": lambda: near.recvfrom(1, socket.MSG_DONTWAIT),
        "recvmsg": lambda: quick.recvmsg(1),
        "recvmsg MSG_DONTWAIT": lambda: near.recvmsg(1, 0, socket.MSG_DONTWAIT),
        "accept": server.accept,
    }, {
        "recv": lambda: near.recv(1),
        "recv_into": lambda: near.recv_into(room),
        "recvfrom": lambda: near.recvfrom(1),
        "recvmsg": lambda: near.recvmsg(1),
        "accept": waiting.accept,
    }


def of_tls(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    in_memory = context.wrap_bio(incoming, outgoing, server_hostname="nobody")
    near = nonblocking(stack.enter_context(pair())[0])
    on_socket = stack.enter_context(
        context.wrap_socket(near, server_hostname="nobody", do_handshake_on_connect=False)
    )
    return {"SSLObject.read": in_memory.read, "SSLSocket.recv": lambda: on_socket.recv(1)}, {}


def of_watching(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    near, _ = stack.enter_context(pair())
    poll, epoll = select.poll(), stack.enter_context(select.epoll())
    poll.register(near, select.POLLIN)
    epoll.register(near, select.EPOLLIN)
    return {
        "select": lambda: select.select([near], [], [], 0),
        "select 0.0": lambda: select.select([near], [], [], 0.0),
        "poll": lambda: poll.poll(0),
        "epoll": lambda: epoll.poll(0),
        "epoll timeout=0.0": lambda: epoll.poll(timeout=0.0),
    }, {
        "select": lambda: select.select([near], [], []),
        "poll": poll.poll,
        "epoll": epoll.poll,
    }


def of_descriptors(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    quick, near = stack.enter_context(pair())[0], stack.enter_context(pair())[0]
    by_flag(quick.fileno())
    quick_file = stack.enter_context(open(os.dup(quick.fileno()), "rb", buffering=0))
    near_file = stack.enter_context(open(os.dup(near.fileno()), "rb", buffering=0))
    room = bytearray(10)
    return {
        "os.read": lambda: os.read(quick.fileno(), 1),
        "FileIO.read": lambda: quick_file.read(1),
        "FileIO.readinto": lambda: quick_file.readinto(room),
        "FileIO.readall": lambda: quick_file.readall(),  # type: ignore[attr-defined]
    }, {
        "os.read": lambda: os.read(near.fileno(), 1),
        "FileIO.read": lambda: near_file.read(1),
        "FileIO.readinto": lambda: near_file.readinto(room),
    }


def of_children(stack: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    stack.callback(child.communicate, b"")
    pid = child.pid
    return {
        "waitpid": lambda: os.waitpid(pid, os.WNOHANG),
        "wait4": lambda: os.wait4(pid, os.WNOHANG),
        "Popen.poll": child.poll,
    }, {
        "waitpid": lambda: os.waitpid(pid, 0),
        "wait4": lambda: os.wait4(pid, 0),
        "Popen.wait": child.wait,
    }


def of_signals(_: contextlib.ExitStack) -> tuple[dict[str, Call], dict[str, Call]]:
    blocked = {signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    return {"sigtimedwait": lambda: signal.sigtimedwait(blocked, 0)}, {
        "sigtimedwait": lambda: signal.sigtimedwait(blocked, 60),
        "sigwait": lambda: signal.sigwait(blocked),
    }


FAMILIES = (
    of_locks,
    of_process_locks,
    of_sockets,
    of_tls,
    of_watching,
    of_descriptors,
    of_children,
    of_signals,
)


@pytest.mark.skipif(sys.platform != "linux", reason="some calls are Linux's")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__[3:])
def test_what_cannot_wait_never_raises_and_what_can_does(family):
    # S10b
    with contextlib.ExitStack() as stack:
        looks, waits = family(stack)
        assert [name for name, call in looks.items() if asked(call)] == []
        assert [name for name, call in waits.items() if not asked(call)] == []


def test_sleeping_for_no_time_gives_way_to_a_request_too():
    # S10b: whoever calls it has nothing in hand, and asks for others to run
    assert asked(lambda: time.sleep(0))

"""Calls with arguments made by chance, outside of a region and inside: they come to the same (S10).

Run by test_blocking_arguments.py, in a process of its own: ``SEED COUNT [CALL ...]``. It prints a
line for each call that came to something else in a region, and last how many were made.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import multiprocessing
import os
import queue
import random
import re
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import interruption
from blocking_calls.tls import connected
from support import seeded

# A call that waits for ever, in or out of a region, ends by a signal.
LIMIT = 0.05
SKIPPED = {
    "_signal.pause",  # takes no arguments, and waits for a signal
    "_imp.exec_dynamic",
    "_imp.exec_builtin",
    "greenlet._greenlet.greenlet.switch",
    "greenlet._greenlet.greenlet.throw",
}


def shut(descriptor: int) -> None:
    """It may have been closed, by open() of a descriptor."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


class Late(Exception):
    """It waits."""


ASKED: list[str] = []  # what the arguments were asked for


class Index:
    def __index__(self) -> int:
        ASKED.append("index")
        return 3


class BadIndex:
    def __index__(self) -> int:
        ASKED.append("bad index")
        raise LookupError("no index")


class Descriptor:
    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        ASKED.append("fileno")
        return self.number


class Path:
    def __init__(self, path: object) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        ASKED.append("path")
        return self.path


class Number(int):
    def __int__(self) -> int:
        ASKED.append("int")
        return 2

    __index__ = __int__


Value = Callable[[SimpleNamespace], Any]


def constant(value: Any) -> Value:
    return lambda _: value


POOL: list[Value] = [
    *map(
        constant,
        (None, True, False, 0, 1, 3, -1, -2, 2**31, 2**63, 2**70, -(2**70), 0.0, 0.001, -0.5, 1e300)
        + (float("nan"), float("inf"), "", "file", "zz", "r", "a\0b", "\udc80", b"", b"ab")
        + ((), (1,), ("127.0.0.1", 9), ("127.0.0.1", "x"), ("", 70000), int, Ellipsis),
    ),
    lambda _: [],
    lambda _: {},
    lambda _: object(),
    lambda _: Index(),
    lambda _: BadIndex(),
    lambda _: Path("file"),
    lambda a: Path(a.path),
    lambda a: Path(a.fifo),
    lambda _: Path(3),
    lambda _: Number(3),
    lambda _: bytearray(4),
    lambda _: memoryview(bytearray(6)),
    lambda _: memoryview(b"abc"),
    lambda _: memoryview(bytearray(8))[::2],
    lambda _: [bytearray(2), bytearray(3)],
    lambda _: [b"a", b"bc"],
    lambda _: [b"a", "b"],
    lambda _: ["x"],
    lambda a: a.readable,
    lambda a: a.writable,
    lambda a: Descriptor(a.readable),
    lambda a: [a.readable],
    lambda a: [Descriptor(a.writable), 0.5],
    lambda a: a.path,
    lambda a: a.fifo,
    lambda a: a.folder,
    lambda a: a.address,
    lambda a: os.fsencode(a.path),
    lambda _: signal.SIGUSR1,
    lambda _: [signal.SIGUSR1],
    lambda _: {signal.SIGUSR1, 70},
    lambda _: [signal.SIGUSR1, None],
]
NAMES = ["zz", "blocking", "timeout", "block", "fd", "file", "path", "flags", "mode", "dir_fd", "n"]
NAMES += ["length", "offset", "in_fd", "out_fd", "src", "dst", "buffers", "data", "size", "buffer"]
NAMES += ["item", "options", "pid", "idtype", "id", "sigset", "cmd", "operation", "len", "count"]
NAMES += ["maxevents", "rlist", "seconds", "closefd", "opener", "encoding", "buffering", "b"]


class Arena:
    """What a call has to do with: made anew, in the same way, for each."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack

    def pipe(self, content: bytes = b"hello") -> tuple[int, int]:
        ours, theirs = os.pipe()
        self.stack.callback(shut, ours)
        self.stack.callback(shut, theirs)
        os.write(theirs, content)
        return ours, theirs

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        self.stack.enter_context(theirs)
        self.stack.enter_context(ours)
        theirs.sendall(b"hello")
        ours.sendall(b"answer")
        return ours, theirs


def available(descriptor: int) -> int:
    """How many bytes there are to read."""
    return int.from_bytes(fcntl.ioctl(descriptor, 0x541B, b"\0" * 4), sys.byteorder)


# What a kind of calls is made on: the call, valid arguments for it, and what is to be seen after.
Made = tuple[Callable[..., Any], tuple[Any, ...], Callable[[], Any]]


def on_lock(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    lock = threading.Lock()
    if "release" in name or "exit" in name:
        lock.acquire()
    valid = {"acquire": (True, 0.001), "__exit__": (None, None, None)}
    return getattr(lock, name), valid.get(name, ()), lock.locked


def on_rlock(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    lock = threading.RLock()
    lock.acquire()
    state: tuple[Any, ...] = ()
    if name == "_acquire_restore":
        state = (lock._release_save(),)
    valid = {"acquire": (True, 0.001), "__exit__": (None, None, None)}

    def look() -> Any:
        depth = 0
        while lock._is_owned() and depth < 9:  # it may be as deep as it is told to be
            lock.release()
            depth += 1
        return depth

    return getattr(lock, name), valid.get(name, state), look


def on_semaphore(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    lock = multiprocessing.BoundedSemaphore(2)._semlock
    if "release" in name or "exit" in name:
        lock.acquire()
    valid = {"acquire": (True, 0.001), "__exit__": (None, None, None)}
    return getattr(lock, name), valid.get(name, ()), lock._get_value


def on_handle(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    handle = getattr(thread, "_handle", None) or thread._os_thread_handle  # 3.14 has renamed it
    return getattr(handle, name), (0.001,) if name == "join" else (), thread.is_alive


def on_posix(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    readable, writable = values.readable, values.writable
    file = os.open(values.path, os.O_RDWR)
    arena.stack.callback(shut, file)
    ours, theirs = values.pair
    if name.startswith("wait"):
        child = os.posix_spawn("/bin/true", ["true"], {})
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

        def reap() -> Any:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
                return "was there"
            return "was reaped"

        of_waitid = (os.P_PID, child, os.WEXITED)
        valid = {"waitpid": (child, 0), "wait": (), "wait3": (0,), "wait4": (child, 0)}
        return getattr(os, name), valid.get(name, of_waitid), reap
    valid = {
        "read": (readable, 3),
        "write": (writable, b"abc"),
        "sendfile": (ours.fileno(), file, 1, 4),
        "scandir": (values.folder,),
        "listdir": (values.folder,),
        "open": (values.to_open, os.O_RDONLY),
    }

    def look() -> Any:
        with contextlib.suppress(OSError):
            place = os.lseek(file, 0, os.SEEK_CUR)
            return place, available(readable), available(theirs.fileno()), os.fstat(file).st_size
        return None

    return getattr(os, name), valid[name], look


def on_file(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    file = arena.stack.enter_context(io.FileIO(values.path, "r+"))
    valid = {"read": (4,), "readinto": (bytearray(4),), "write": (b"abc",)}
    return (
        getattr(file, name),
        valid.get(name, ()),
        lambda: (file.tell(), os.fstat(file.fileno()).st_size),
    )


def on_open(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    return io.open, (values.to_open, "r"), lambda: sorted(os.listdir(values.folder))


def on_file_lock(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    file = os.open(values.path, os.O_RDWR)
    arena.stack.callback(shut, file)
    valid = (file, fcntl.LOCK_EX)

    def look() -> Any:
        other = os.open(values.path, os.O_RDWR)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "locked"
        finally:
            os.close(other)
        return "free"

    return getattr(fcntl, name), valid, look


def on_signal(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    arena.stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
    os.kill(os.getpid(), signal.SIGUSR1)

    def look() -> Any:
        pending = signal.sigpending()
        if signal.SIGUSR1 in pending:
            signal.sigtimedwait([signal.SIGUSR1], 0)
        return pending

    valid = ([signal.SIGUSR1],) + ((0.001,) if name == "sigtimedwait" else ())
    return getattr(signal, name), valid, look


def on_queue(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    simple.put(1)
    valid = {"get": (True, 0.001), "put": (2, True, None), "put_nowait": (3,)}
    return getattr(simple, name), valid.get(name, ()), simple.qsize


def on_sleep(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    return time.sleep, (0.001,), int


def on_socket(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    ours, theirs = values.pair
    if name in ("connect", "connect_ex"):
        client = arena.stack.enter_context(socket.socket())
        return getattr(client, name), (values.address,), int
    if name == "_accept":
        listener = arena.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        arena.stack.enter_context(socket.create_connection(listener.getsockname()))
        return listener._accept, (), lambda: select.select([listener], [], [], 0)[0] == []
    valid = {
        "recv": (3, 0),
        "recv_into": (bytearray(4), 3, 0),
        "recvfrom": (3, 0),
        "recvfrom_into": (bytearray(4), 3, 0),
        "recvmsg": (3, 16, 0),
        "recvmsg_into": ([bytearray(2), bytearray(3)], 16, 0),
        "send": (b"abc", 0),
        "sendall": (b"abc", 0),
        "sendto": (b"abc", 0, values.address),
        "sendmsg": ([b"ab", b"c"], [], 0),
        "settimeout": (0.5,),
        "setblocking": (True,),
    }
    return (
        getattr(ours, name),
        valid.get(name, ()),
        lambda: (available(ours.fileno()), available(theirs.fileno()), ours.gettimeout()),
    )


def on_select(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    return select.select, ([values.readable], [], [], 0.001), int


def on_poll(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    poll = select.poll()
    poll.register(values.readable, select.POLLIN)
    return poll.poll, (1,), int


def on_epoll(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    epoll = arena.stack.enter_context(select.epoll())
    epoll.register(values.readable, select.EPOLLIN)
    return epoll.poll, (0.001, 5), int


def on_tls(arena: Arena, name: str, values: SimpleNamespace) -> Made:
    near, far = connected()
    arena.stack.enter_context(near)
    arena.stack.enter_context(far)
    if name == "read":
        far.sendall(b"hello" * 4)
        near._sslobj.read(1)
    valid = {"read": (3,), "write": (b"abc",), "sendfile": (values.file, 0, 3)}
    return getattr(near._sslobj, name), valid.get(name, ()), near.pending


PLACES: dict[str, Callable[[Arena, str, SimpleNamespace], Made]] = {
    "_thread.LockType": on_lock,
    "_thread.RLock": on_rlock,
    "_thread._ThreadHandle": on_handle,
    "_multiprocessing.SemLock": on_semaphore,
    "posix": on_posix,
    "_io.FileIO": on_file,
    "_io": on_open,
    "fcntl": on_file_lock,
    "_signal": on_signal,
    "_queue.SimpleQueue": on_queue,
    "time": on_sleep,
    "_socket.socket": on_socket,
    "select": on_select,
    "select.poll": on_poll,
    "select.epoll": on_epoll,
    "_ssl._SSLSocket": on_tls,
}


class Plan:
    """A call and how its arguments differ from valid ones: the same each time that it is made."""

    def __init__(self, call: str, chance: random.Random) -> None:
        self.call = call
        self.on_fifo = chance.random() < 0.5
        self.changes = []
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3))):
            how = chance.choice(("replace", "replace", "drop", "add", "name", "surplus", "all"))
            number, name = chance.random(), chance.choice(NAMES)
            self.changes.append((how, number, name, chance.randrange(len(POOL))))

    def arguments(
        self, valid: tuple[Any, ...], values: SimpleNamespace
    ) -> tuple[list[Any], dict[str, Any]]:
        given, named = list(valid), dict[str, Any]()
        for how, number, name, which in self.changes:
            value, at = POOL[which](values), int(number * len(given))
            if how == "replace" and given:
                given[at] = value
            elif how == "drop" and given:
                del given[at:]
            elif how == "add":
                given.append(value)
            elif how == "name" and given:
                named[name] = given.pop()
            elif how == "surplus":
                named[name] = value
            elif how == "all":
                given = [POOL[int(number * 997 + i) % len(POOL)](values) for i in range(4)]
        return given, named


def described(value: Any) -> str:
    """What can be compared of a result."""
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(described, value))})"
    if isinstance(value, os.DirEntry) or hasattr(value, "close") or callable(value):
        return type(value).__name__
    text = re.sub(r"0x[0-9a-f]+", "0x...", repr(value))
    return f"{type(value).__name__} {text}"


def outcome(plan: Plan, region: Any, limit: float) -> tuple[str, str]:
    """What comes of it, but for what can be closed no more, because open() had its descriptor."""
    found: list[tuple[str, str]] = []
    try:
        _try(plan, region, limit, found)
    except OSError:
        if not found:
            raise
    return found[0]


def _try(plan: Plan, region: Any, limit: float, found: list[tuple[str, str]]) -> None:
    """What comes of it: the result or exception in words, and what is to be seen afterwards."""
    place, _, name = plan.call.rpartition(".")
    with contextlib.ExitStack() as stack:
        arena = Arena(stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="arena-"))
        path = os.path.join(folder, "file")
        with open(path, "wb") as file:
            file.write(b"0123456789")
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        stack.callback(shut, os.open(fifo, os.O_RDWR))
        readable, writable = arena.pipe()
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        values = SimpleNamespace(
            readable=readable,
            writable=writable,
            pair=arena.pair(),
            path=path,
            fifo=fifo,
            to_open=fifo if plan.on_fifo else path,
            folder=folder,
            file=stack.enter_context(open(path, "rb")),
            address=listener.getsockname(),
        )
        call, valid, look = PLACES[place](arena, name, values)
        given, named = plan.arguments(valid, values)
        result: Any = None
        ASKED.clear()
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            with region:
                result = call(*given, **named)
        except Exception as error:  # noqa: BLE001  (of whatever kind: it is compared)
            said = f"raises {type(error).__name__}: {error}"
        else:
            said = f"returns {described(result)}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        said += f" with {described(given)}" if place != "_ssl._SSLSocket" else ""
        said = said.replace(folder, "FOLDER")
        seen = f"{described(look())}, asked for {' '.join(ASKED)}"
        for made in result if isinstance(result, tuple) else (result,):
            if isinstance(made, int) and plan.call in ("posix.open", "_socket.socket._accept"):
                os.close(made)
            elif hasattr(made, "close"):
                made.close()
        said = said.replace(str(listener.getsockname()[1]), "PORT")
        if name.startswith("wait"):
            said = re.sub(r"[\d.e-]*\d", "N", said)  # children's ids, and their use of the machine
        if plan.call in ("posix.open", "_socket.socket._accept"):
            said = re.sub(r"int \d+", "int N", said)
        found.append((re.sub(r"0x[0-9a-f]+|\d{5}(?=\))", "N", said), seen))


def late(*_: object) -> None:
    raise Late


def main() -> None:
    seed, count, *wanted = sys.argv[1:]
    # What is written to a small number, a dup() of 1 among them, does not get there.
    out = os.fdopen(fcntl.fcntl(1, fcntl.F_DUPFD, 200), "w", buffering=1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)  # what is written to a small number goes nowhere
    signal.signal(signal.SIGALRM, late)
    os.chdir(tempfile.mkdtemp())
    interruption.blocking.enable()
    families = interruption.blocking.status().families
    calls = sorted({call for family in families for call in family.calls} - SKIPPED)
    calls = [call for call in calls if not wanted or call in wanted]
    chance = seeded(int(seed))
    made = 0
    for call in calls * int(count):
        plan = Plan(call, chance)
        made += 1
        for attempt in range(5):  # on a loaded machine the limit comes at a chance moment
            outside = outcome(plan, contextlib.nullcontext(), LIMIT * 2**attempt)
            inside = outcome(plan, interruption.allow_interruption, LIMIT * 2**attempt)
            if outside == inside:
                break
        else:
            print(f"{call} {plan.changes}\n  outside {outside}\n  inside  {inside}", file=out)
    print(len(calls), made, file=out)


main()

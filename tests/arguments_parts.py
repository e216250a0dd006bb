"""What arguments_program.py calls with: arguments of every kind, and what they are about."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any


def shut(descriptor: int) -> None:
    """It may have been closed, by open() of a descriptor."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


ASKED: list[str] = []  # what the arguments were asked for


class Index:
    def __init__(self, number: int = 3) -> None:
        self.number = number

    def __index__(self) -> int:
        ASKED.append("index")
        return self.number


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


class Arena:
    """What a call has to do with: made anew, in the same way, for each, once it is needed."""

    def __init__(self, stack: contextlib.ExitStack, chance: random.Random) -> None:
        self.stack = stack
        self.chance = chance

    def state(self, *states: str) -> str:
        """One of them, the same each time that this call is made."""
        return self.chance.choice(states)

    def pipe(self, content: bytes = b"hello") -> tuple[int, int]:
        ours, theirs = os.pipe()
        self.stack.callback(shut, ours)
        self.stack.callback(shut, theirs)
        os.write(theirs, content)
        return ours, theirs

    def pair(self, kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.stack.enter_context(theirs)
        self.stack.enter_context(ours)
        return ours, theirs

    def in_thread(self, take: Callable[[], Any], give: Callable[[], Any]) -> None:
        """Another thread takes it, and gives it back in the end."""
        taken, over = threading.Event(), threading.Event()

        def hold() -> None:
            take()
            taken.set()
            over.wait()
            with contextlib.suppress(RuntimeError):  # somebody has given it back meanwhile
                give()

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        self.stack.callback(lambda: (over.set(), thread.join()))

    @functools.cached_property
    def folder(self) -> str:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="arena-"))
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(b"0123456789")
        os.mkfifo(os.path.join(folder, "fifo"))
        return folder

    @property
    def path(self) -> str:
        return os.path.join(self.folder, "file")

    @functools.cached_property
    def fifo(self) -> str:
        fifo = os.path.join(self.folder, "fifo")
        self.stack.callback(shut, os.open(fifo, os.O_RDWR))
        return fifo

    @functools.cached_property
    def pipes(self) -> tuple[int, int]:
        return self.pipe()

    readable = property(lambda self: self.pipes[0])
    writable = property(lambda self: self.pipes[1])

    @functools.cached_property
    def file(self) -> Any:
        return self.stack.enter_context(open(self.path, "rb"))

    @functools.cached_property
    def closed(self) -> socket.socket:
        closed = socket.socket()
        closed.close()
        return closed

    @functools.cached_property
    def address(self) -> Any:
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return listener.getsockname()

    @functools.cached_property
    def deaf(self) -> Any:
        """Where nobody listens."""
        nobody = self.stack.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))
        return nobody.getsockname()


Value = Callable[[Arena], Any]


def constant(value: Any) -> Value:
    return lambda _: value


POOL: list[Value] = [
    *map(
        constant,
        (None, True, False, 0, 1, 2, 3, 5, 60, 64, 99, 257, -1, -2, 2**31, 2**40, 2**63, 2**70)
        + (-(2**70), 10**400, 0.0, -0.0, 0.001, 1.5, -0.5, -1e-12, 1e-12, 1e100, 1e300, 2**30)
        + (float("nan"), float("inf"), float("-inf"), "", "1", "file", "zz", "r", "rw", "a\0b")
        + ("\udc80", "/nowhere", b"", b"ab", (), (1,), int, Ellipsis, 100_000)
        + (("127.0.0.1", 9), ("127.0.0.1", "x"), ("", 70000), ("255.255.255.255", 1))
        + (("127.0.0.1\0", 1), ("a" * 70 + ".b", 1)),
    ),
    lambda _: [],
    lambda _: {},
    lambda _: object(),
    lambda _: Index(),
    lambda _: Index(-1),
    lambda _: Index(10**100),
    lambda _: BadIndex(),
    lambda _: Path("file"),
    lambda a: Path(a.path),
    lambda a: Path(a.fifo),
    lambda _: Path(3),
    lambda _: Number(3),
    lambda _: bytearray(4),
    lambda _: bytearray(),
    lambda _: memoryview(bytearray(6)),
    lambda _: memoryview(b"abc"),
    lambda _: memoryview(bytearray(8))[::2],
    lambda _: [bytearray(2), bytearray(3)],
    lambda _: iter([bytearray(2), bytearray(3)]),
    lambda _: [b"a", b"bc"],
    lambda _: iter([b"a", b"bc"]),
    lambda _: [b"a", "b"],
    lambda _: ["x"],
    lambda a: a.readable,
    lambda a: a.writable,
    lambda a: Descriptor(a.readable),
    lambda a: [a.readable],
    lambda a: [a.readable] * 2000,
    lambda a: [Descriptor(a.writable), 0.5],
    lambda a: [a.closed],
    lambda _: [100_000],
    lambda _: [-1],
    lambda a: a.path,
    lambda a: a.path + "/x",
    lambda a: a.fifo,
    lambda a: a.folder,
    lambda a: a.address,
    lambda a: a.deaf,
    lambda a: os.fsencode(a.path),
    lambda _: os.getpid(),
    lambda _: signal.SIGUSR1,
    lambda _: [signal.SIGUSR1],
    lambda _: {signal.SIGUSR1, 70},
    lambda _: [signal.SIGUSR1, None],
]
NAMES = ["zz", "blocking", "timeout", "block", "fd", "file", "path", "flags", "mode", "dir_fd", "n"]
NAMES += ["length", "offset", "in_fd", "out_fd", "src", "dst", "buffers", "data", "size", "buffer"]
NAMES += ["item", "options", "pid", "idtype", "id", "sigset", "cmd", "operation", "len", "count"]
NAMES += ["maxevents", "rlist", "seconds", "closefd", "opener", "encoding", "buffering", "b"]
NAMES += ["nbytes", "secs"]

"""Pipes, terminals, sockets and files, by descriptor and by file object."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import tty
from typing import Any

from .base import Call, leave_out

FULL = 65536  # what a pipe holds


def waiting_bytes(fd: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])


class _Ends(Call):
    """A reading end and a writing one, which the child of a fork would share."""

    forks = False

    def __init__(self) -> None:
        self.reader, self.writer = self.make()
        self.closed: set[int] = set()

    def make(self) -> tuple[int, int]:
        return os.pipe()

    def close_end(self, end: int) -> None:
        """Once only: another thread may be given the number meanwhile."""
        self.closed.add(end)
        os.close(end)

    def close(self) -> None:
        for end in {self.reader, self.writer} - self.closed:
            os.close(end)


class _Read(_Ends):
    def wait(self) -> Any:
        return os.read(self.reader, 10)

    def end(self) -> None:
        os.write(self.writer, b"x")

    def check_untouched(self) -> None:
        assert not select.select([self.reader], [], [], 0)[0]


class ReadPipe(_Read):
    pass


class ReadFifo(_Read):
    def make(self) -> tuple[int, int]:
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(f"{folder}/fifo")
            both = os.open(f"{folder}/fifo", os.O_RDWR)
            return os.open(f"{folder}/fifo", os.O_RDONLY), both


class ReadSocket(_Read):
    def make(self) -> tuple[int, int]:
        return tuple(end.detach() for end in socket.socketpair())


class ReadTerminal(_Read):
    def make(self) -> tuple[int, int]:
        master, slave = pty.openpty()
        return slave, master

    def end(self) -> None:
        os.write(self.writer, b"x\n")


class ReadRawTerminal(_Read):
    def make(self) -> tuple[int, int]:
        master, slave = pty.openpty()
        tty.setraw(slave)
        return slave, master


class ReadMaster(_Read):
    def make(self) -> tuple[int, int]:
        return pty.openpty()


class ReadEventfd(_Read):
    def make(self) -> tuple[int, int]:
        both = os.eventfd(0)
        return both, both

    def end(self) -> None:
        os.eventfd_write(self.writer, 3)


class _ReadFile(_Read):
    """By a file object upon the descriptor."""

    buffering = 0

    def __init__(self) -> None:
        super().__init__()
        self.file = open(self.reader, "rb", buffering=self.buffering, closefd=False)  # noqa: SIM115


class FileRead(_ReadFile):
    def wait(self) -> Any:
        return self.file.read(10)


class FileReadinto(_ReadFile):
    def wait(self) -> Any:
        buffer = bytearray(10)
        return self.file.readinto(buffer), buffer


class FileReadall(_ReadFile):
    """It ends with the file."""

    shared = False

    def wait(self) -> Any:
        return self.file.readall()

    def end(self) -> None:
        os.write(self.writer, b"abc")
        self.close_end(self.writer)


class FileReadToTheEnd(FileReadall):
    def wait(self) -> Any:
        return self.file.read()


class BufferedReadline(_ReadFile):
    buffering = -1
    shared = False

    def wait(self) -> Any:
        return self.file.readline()

    def end(self) -> None:
        os.write(self.writer, b"a line\n")


class BufferedRead(BufferedReadline):
    def wait(self) -> Any:
        return self.file.read(3)


class TextReadline(BufferedReadline):
    def __init__(self) -> None:
        super().__init__()
        self.file = open(self.reader, closefd=False)  # noqa: SIM115


class TextIteration(TextReadline):
    def wait(self) -> Any:
        return next(self.file)


class _Write(_Ends):
    """To something that is full."""

    takes = False

    def __init__(self) -> None:
        super().__init__()
        self.fill()
        self.before = waiting_bytes(self.reader)

    def fill(self) -> None:
        os.write(self.writer, b"y" * FULL)

    def wait(self) -> Any:
        return os.write(self.writer, b"x")

    def end(self) -> None:
        os.read(self.reader, FULL)

    def check_untouched(self) -> None:
        assert waiting_bytes(self.reader) == self.before


class WritePipe(_Write):
    pass


class WriteFifo(_Write):
    make = ReadFifo.make


class WriteSocket(_Write):
    make = ReadSocket.make

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"y" * FULL)
        os.set_blocking(self.writer, True)

    def end(self) -> None:
        os.read(self.reader, 1 << 24)


class FileWrite(_Write):
    def __init__(self) -> None:
        super().__init__()
        self.file = open(self.writer, "wb", buffering=0, closefd=False)  # noqa: SIM115

    def wait(self) -> Any:
        return self.file.write(b"x")


class Sendfile(_Write):
    def __init__(self) -> None:
        super().__init__()
        self.source = tempfile.TemporaryFile()  # noqa: SIM115
        self.source.write(b"z" * 3 * 4096)
        self.source.flush()

    def wait(self) -> Any:
        return os.sendfile(self.writer, self.source.fileno(), 100, 5000)

    def close(self) -> None:
        super().close()
        self.source.close()


class _FileLock(Call):
    """Of a file that this has locked."""

    takes = False
    mutex = True
    forks = False

    def __init__(self) -> None:
        self.file = tempfile.NamedTemporaryFile()  # noqa: SIM115
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def wait(self) -> Any:
        with open(self.file.name, "r+b") as own:
            result = fcntl.flock(own, fcntl.LOCK_SH)
            fcntl.flock(own, fcntl.LOCK_UN)
            return result

    def end(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def close(self) -> None:
        self.file.close()


class Flock(_FileLock):
    pass


class Lockf(_FileLock):
    """Which only another process can hold."""

    def __init__(self) -> None:
        super().__init__()
        script = (
            "import fcntl, sys\nwith open(sys.argv[1], 'r+b') as file:\n"
            "    fcntl.lockf(file, fcntl.LOCK_EX, 10); print(flush=True); sys.stdin.read()"
        )
        self.holder = subprocess.Popen(
            [sys.executable, "-c", script, self.file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout is not None
        self.holder.stdout.readline()

    def wait(self) -> Any:
        with open(self.file.name, "r+b") as own:
            result = fcntl.lockf(own, fcntl.LOCK_EX, 5, 3)
            fcntl.lockf(own, fcntl.LOCK_UN)
            return result

    def end(self) -> None:
        assert self.holder.stdin is not None
        self.holder.stdin.close()
        self.holder.wait()

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait()
        for pipe in (self.holder.stdin, self.holder.stdout):
            assert pipe is not None
            pipe.close()
        super().close()


if not hasattr(os, "eventfd"):
    leave_out("ReadEventfd")

"""S10: files, folders and terminals, where the table of calls does not say it."""

from __future__ import annotations

import gc
import io
import os
import pty
import shutil
import socket
import threading
from pathlib import Path

import pytest
from chance import seeded
from interruption import ThreadExit, interrupt
from region_parts import interrupted, waiting, waits
from support import expect_script, in_thread

HERE = str(Path(__file__).parent)

# Files and folders. -------------------------------------------------------------------------------


def asked(function):
    """What it does in a region, when the thread is asked."""

    def body():
        with waits:
            interrupt(threading.get_ident())
            return function()

    return in_thread(body)


READS = {
    "os.read": lambda path: os.read(os.open(path, os.O_RDONLY), 3),
    "read": lambda path: open(path, "rb").read(),  # noqa: SIM115
    "readline": lambda path: open(path).readline(),  # noqa: SIM115
    "raw": lambda path: open(path, "rb", 0).read(3),  # noqa: SIM115
    "raw readall": lambda path: open(path, "rb", 0).readall(),  # noqa: SIM115
    "readinto": lambda path: open(path, "rb", 0).readinto(bytearray(3)),  # noqa: SIM115
    "scandir": lambda path: os.scandir(path.parent),
    "listdir": lambda path: os.listdir(path.parent),
    "walk": lambda path: list(os.walk(path.parent)),
    "glob": lambda path: list(path.parent.glob("*")),
    "copytree": lambda path: shutil.copytree(path.parent, path.parent.with_name("copy")),
    "copyfileobj": lambda path: shutil.copyfileobj(path.open("rb"), io.BytesIO()),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", READS)
def test_reads_of_files_and_folders_raise_on_entry(name, tmp_path):  # S10b
    path = tmp_path / "file"
    path.write_bytes(b"four")
    with pytest.raises(ThreadExit):
        asked(lambda: READS[name](path))
    gc.collect()  # what they have left open is closed while its warning is ignored


def test_reads_in_cleanup_do_not_raise_on_entry(tmp_path):  # S10b
    path = tmp_path / "file"
    path.write_bytes(b"four")

    def read():
        try:
            raise KeyError
        except KeyError:
            return path.read_bytes(), os.listdir(tmp_path)

    assert asked(read) == (b"four", ["file"])


def test_writes_of_files_are_left_alone(tmp_path):  # S10b
    path = tmp_path / "file"
    assert asked(lambda: path.write_bytes(b"four")) == 4
    assert path.read_bytes() == b"four"


def test_files_are_read_as_outside(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1234567890" * 10000)

    def read():
        with open(path, "rb", 0) as file:
            return file.read(7), file.readinto(bytearray(5)), file.tell(), file.read(), file.read()

    expected = read()
    with waits:
        assert read() == expected


def test_sendfile_sends_all(tmp_path):
    data = seeded(3).randbytes(1_000_003)
    path = tmp_path / "file"
    path.write_bytes(data)
    one, other = socket.socketpair()
    with path.open("rb") as file:
        started = waiting(lambda: os.sendfile(one.fileno(), file.fileno(), 5, len(data)))
        got = b""
        while len(got) < len(data) - 5:
            got += other.recv(100_000)
        assert started.finish() == len(data) - 5
    assert got == data[5:]
    one.close()
    other.close()


# In slices. ---------------------------------------------------------------------------------------


def test_a_signal_that_comes_while_the_gil_is_waited_for_is_handled(tmp_path):  # S10e
    path = tmp_path / "file"
    path.touch()
    expect_script(
        """
        import fcntl, os, signal, sys, threading, time
        from interruption import *
        sys.path.insert(0, sys.argv[2])
        from support import until_blocked
        one, other = open(sys.argv[1]), open(sys.argv[1])
        fcntl.flock(one, fcntl.LOCK_EX)
        signal.signal(signal.SIGUSR1, lambda *_: 1 / 0)
        def send(main):
            until_blocked(main)
            sys.setswitchinterval(100)
            end = time.perf_counter() + 0.1  # longer than a slice: main now waits for the GIL
            while time.perf_counter() < end:
                pass
            os.kill(os.getpid(), signal.SIGUSR1)
        sender = threading.Thread(target=send, args=[threading.main_thread()])
        signal.alarm(60)
        sender.start()
        try:
            with allow_interruption:
                fcntl.flock(other, fcntl.LOCK_EX)
        except ZeroDivisionError:
            print("handled")
        """,
        str(path),
        HERE,
        stdout="handled\n",
    )


def test_no_descriptor_is_left_behind(pipe):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    interrupted(lambda: os.read(pipe[0], 1))
    gc.collect()
    before = opened()
    for _ in range(5):
        interrupted(lambda: os.read(pipe[0], 1))
    assert opened() <= before


# Terminals, input. --------------------------------------------------------------------------------


def test_a_line_of_a_terminal_that_is_not_ended_is_not_lost():  # S10a
    master, slave = pty.openpty()
    with open(slave) as file:
        os.write(master, b"half a ")
        interrupted(file.readline)
        os.write(master, b"line\n")
        assert file.readline() == "half a line\n"
    os.close(master)


def test_input_of_a_pipe_is_woken():  # S10
    expect_script(
        """
        import os, sys, threading
        from interruption import *
        sys.path.insert(0, sys.argv[1])
        from support import until_blocked
        reader, writer = os.pipe()
        sys.stdin = open(reader)
        def ask(thread):
            until_blocked(thread)
            interrupt(thread)
        threading.Thread(target=ask, args=[threading.main_thread()]).start()
        try:
            with allow_interruption:
                input()
        except ThreadExit:
            print("woken")
        clear_interrupt()
        os.write(writer, b"there\\n")
        print(input())
        """,
        HERE,
        stdout="woken\nthere\n",
    )

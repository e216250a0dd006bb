"""S10: FIFOs, which are waited for when they are opened."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import re
import stat
from pathlib import Path

import pytest
from blocking_files_parts import HERE, interrupted, waiting, waits
from support import expect_script, until


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def times_asleep(thread):
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)[1])


def flags_of(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)


@pytest.mark.parametrize("region", [waits, contextlib.nullcontext()])
@pytest.mark.parametrize("way", [os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_a_fifo_is_opened_as_asked(fifo, way, region):
    opened = waiting(lambda: os.open(fifo, way), region)
    other = os.open(fifo, os.O_WRONLY if way == os.O_RDONLY else os.O_RDONLY)
    fd = opened.finish()
    large = getattr(os, "O_LARGEFILE", 0) or 0o100000
    assert flags_of(fd)[0] & ~large == way
    assert flags_of(fd)[1] == fcntl.FD_CLOEXEC
    writer, reader = (other, fd) if way == os.O_RDONLY else (fd, other)
    os.write(writer, b"x")
    assert os.read(reader, 10) == b"x"
    os.close(fd)
    os.close(other)


def test_a_writer_that_has_gone_lets_the_reader_in(fifo):
    opened = waiting(lambda: os.open(fifo, os.O_RDONLY))
    os.close(os.open(fifo, os.O_WRONLY))
    fd = opened.finish()
    assert os.read(fd, 10) == b""
    os.close(fd)


def test_a_writer_waits_for_the_next_fifo_of_the_name_when_it_is_gone(fifo):
    opened = waiting(lambda: os.open(fifo, os.O_WRONLY | os.O_CREAT))
    fifo.unlink()
    before = times_asleep(opened.thread)
    until(lambda: times_asleep(opened.thread) > before + 1)  # it has looked, and found none
    assert not fifo.exists()  # nor does it make one
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fd = opened.finish()
    os.write(fd, b"x")
    assert os.read(reader, 10) == b"x"
    for each in (fd, reader):
        os.close(each)


def test_a_reader_is_let_in_by_what_is_written(fifo):
    opened = waiting(lambda: open(fifo, "rb"))  # noqa: SIM115
    with open(fifo, "wb") as file:
        file.write(b"abc")
    with opened.finish() as file:
        assert file.read() == b"abc"
        assert stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)


@pytest.mark.parametrize("way", ["O_RDONLY", "O_WRONLY"])
def test_a_signal_that_comes_while_the_gil_is_waited_for_is_handled(fifo, way):  # S10e
    expect_script(
        """
        import os, signal, sys, threading, time
        from interruption import *
        path, way = sys.argv[1], getattr(os, sys.argv[2])
        sys.path.insert(0, sys.argv[3])
        from support import until_blocked
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
                os.open(path, way)
        except ZeroDivisionError:
            print("handled")
        """,
        str(fifo),
        way,
        HERE,
        stdout="handled\n",
    )


def test_no_descriptor_is_left_behind(fifo, pipe):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    for function in (
        lambda: os.open(fifo, os.O_RDONLY),
        lambda: os.open(fifo, os.O_WRONLY),
        lambda: open(fifo),  # noqa: SIM115
        lambda: os.read(pipe[0], 1),
    ):
        interrupted(function)
        gc.collect()
        before = opened()
        for _ in range(5):
            interrupted(function)
        assert opened() <= before

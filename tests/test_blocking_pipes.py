"""S10: pipes, where the table of calls does not say it: every byte once, what buffers do."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from chance import scaled, seeded
from interruption import (
    ThreadExit,
    clear_interrupt,
    interrupt,
    interruption_requested,
)
from region_parts import interrupted, stopped, waiting, waits
from support import PATIENCE, Started, in_thread, until_blocked

FULL = 65536  # what a pipe holds

# Several readers, closing. ------------------------------------------------------------------------


def test_of_two_readers_the_other_gets_the_byte(pipe):  # S10a
    """One in a region, one not: whoever reads, nobody blocks for a byte that is gone."""
    reader, writer = pipe
    for _ in range(scaled(50)):
        inside = waiting(lambda: os.read(reader, 1))
        outside = waiting(lambda: os.read(reader, 1), contextlib.nullcontext())
        os.write(writer, b"a")
        interrupt(inside.thread)
        inside.thread.join(PATIENCE)
        os.write(writer, b"b")
        got = outside.finish()
        if inside.raised is None:
            assert sorted([inside.returned, got]) == [b"a", b"b"]
        else:
            assert got == b"a"
            assert os.read(reader, 10) == b"b"


def test_a_reader_whose_byte_another_takes_waits_on(pipe):  # S10a
    reader, writer = pipe
    os.set_blocking(reader, True)
    both = [waiting(lambda: os.read(reader, 1)) for _ in range(2)]
    os.write(writer, b"a")
    while all(one.thread.is_alive() for one in both):
        time.sleep(0.001)
    (left,) = (one for one in both if one.thread.is_alive())
    until_blocked(left.thread)
    stopped(left)


def test_what_another_file_got_the_number_of_is_not_read(pipe):
    reader, writer = pipe
    started = waiting(lambda: os.read(reader, 10))
    other, to_other = os.pipe()
    os.write(to_other, b"not yours")
    os.dup2(other, reader)
    os.close(other)
    with contextlib.suppress(BrokenPipeError):
        os.write(writer, b"x")  # the one that is waited for is still polled
    with pytest.raises(OSError, match=r"\[Errno 9\]"):
        started.finish()
    assert os.read(reader, 20) == b"not yours"
    os.close(to_other)


def test_a_writer_that_goes_is_the_end(pipe):
    reader, writer = pipe
    started = waiting(lambda: os.read(reader, 10))
    os.close(writer)
    assert started.finish() == b""


def test_a_reader_that_goes_is_an_error(pipe):
    reader, writer = pipe
    os.write(writer, b"x" * FULL)
    started = waiting(lambda: os.write(writer, b"x"))
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        started.finish()


# Every byte once. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [os.pipe, lambda: [end.detach() for end in socket.socketpair()]])
def test_each_byte_is_written_once_by_a_writer_interrupted_at_random(make):  # S10a
    seed = 8
    chance = seeded(seed)
    reader, writer = make()
    data = seeded(seed).randbytes(scaled(20_000_000))
    chunk = 300_000

    def write_all(_started):
        done = 0
        while done < len(data):
            clear_interrupt()
            with contextlib.suppress(ThreadExit), waits:
                while done < len(data):
                    done += os.write(writer, data[done : done + chunk])
        os.close(writer)

    started = Started(write_all)
    parts = []
    while part := os.read(reader, chance.randrange(1, 200_000)):
        parts.append(part)
        if chance.random() < 0.3 and started.thread.is_alive():
            interrupt(started.thread)
    started.finish()
    os.close(reader)
    assert b"".join(parts) == data, f"seed {seed}"


# Writing. -----------------------------------------------------------------------------------------


def test_a_blocking_write_returns_when_all_is_written(pipe):
    reader, writer = pipe
    data = seeded(1).randbytes(10 * FULL + 1)
    started = waiting(lambda: os.write(writer, data))
    parts = []
    while sum(map(len, parts)) < len(data):
        parts.append(os.read(reader, 10000))
    assert started.finish() == len(data)
    assert b"".join(parts) == data


@pytest.mark.parametrize("cleanup", [False, True])
def test_of_a_write_that_is_partly_done_the_part_is_the_result(pipe, cleanup):  # S10a
    _, writer = pipe

    def write():
        if not cleanup:
            return os.write(writer, b"x" * 2 * FULL), interruption_requested()
        try:
            raise KeyError
        except KeyError:
            return os.write(writer, b"x" * 2 * FULL), interruption_requested()

    started = waiting(write)
    interrupt(started.thread)
    assert started.finish() == (FULL, True)


def test_a_write_that_need_not_wait_does_not_raise(pipe):  # S10b
    reader, writer = pipe

    def body():
        with waits:
            interrupt(threading.get_ident())
            return os.write(writer, b"x"), os.write(writer, b"yz")

    assert in_thread(body) == (1, 2)
    assert os.read(reader, 10) == b"xyz"


def test_what_a_close_flushes_is_not_lost(pipe):  # S10b
    reader, writer = pipe

    def body():
        with waits:
            with open(writer, "wb") as file:
                file.write(b"kept")
                interrupt(threading.get_ident())

    in_thread(body)
    assert os.read(reader, 10) == b"kept"


def test_a_buffered_writer_keeps_what_it_could_not_write(pipe):  # S10a
    reader, writer = pipe
    os.write(writer, b"x" * FULL)
    file = open(writer, "wb", closefd=False)  # noqa: SIM115
    file.write(b"kept")
    interrupted(file.flush)
    assert len(os.read(reader, FULL)) == FULL
    file.flush()
    assert os.read(reader, 100) == b"kept"


# What buffers do. ---------------------------------------------------------------------------------


def test_what_is_buffered_stays_there(pipe):  # S10a
    reader, writer = pipe
    os.write(writer, b"abc")
    file = open(reader, "rb", closefd=False)  # noqa: SIM115
    assert file.read(1) == b"a"
    assert file.peek() == b"bc"
    with waits:
        assert file.read(2) == b"bc"
    interrupted(lambda: file.read(1))
    os.write(writer, b"d")
    assert file.read(1) == b"d"


# Descriptors that do not wait. --------------------------------------------------------------------


def test_descriptors_that_do_not_wait_do_not(pipe):
    reader, writer = pipe
    for end in pipe:
        os.set_blocking(end, False)
    with waits:
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        with open(reader, "rb", 0, closefd=False) as file:
            assert file.read(1) is None
            assert file.readall() is None
        assert os.write(writer, b"x" * 2 * FULL) == FULL
        with pytest.raises(BlockingIOError) as caught:
            os.write(writer, b"x")
        assert caught.value.errno == errno.EAGAIN


def test_a_socket_with_a_time_limit_of_its_own_keeps_it():
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
    for region in (contextlib.nullcontext(), waits):
        with region, pytest.raises(BlockingIOError):
            os.read(one.fileno(), 1)
    one.close()
    other.close()


def test_a_child_that_reads_our_pipe_sees_it_blocking(pipe):
    """The flags of the file, which others share, are left alone while we wait."""
    reader, writer = pipe
    started = waiting(lambda: os.read(reader, 1))
    assert os.get_blocking(reader)
    child = subprocess.Popen(
        [sys.executable, "-c", "import os; os.write(1, os.read(0, 1))"],
        stdin=reader,
        stdout=subprocess.PIPE,
    )
    stopped(started)
    os.write(writer, b"x")
    assert child.communicate(timeout=PATIENCE)[0] == b"x"

"""S16: interruption_fd."""

import asyncio
import errno
import os
import resource
import select
import selectors
import threading

import pytest
from interruption import (
    ThreadExit,
    check_interrupt,
    clear_interrupt,
    interrupt,
    interruption_fd,
    interruption_requested,
)
from support import PATIENCE, Started, in_thread


def readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def test_it_is_readable_exactly_while_there_is_a_request():  # S16
    fd = interruption_fd()
    assert not readable(fd)
    interrupt(threading.get_ident())
    assert readable(fd)
    with pytest.raises(ThreadExit):
        check_interrupt()
    assert readable(fd)
    clear_interrupt()
    assert not readable(fd)
    interrupt(threading.get_ident())
    assert readable(fd)


def test_it_is_readable_at_once_when_the_request_came_first():  # S16
    def body(started):
        started.ready.set()
        started.go.wait(PATIENCE)
        return readable(interruption_fd())

    with Started(body) as other:
        interrupt(other.thread)
        assert other.finish() is True


def test_a_thread_has_one_and_threads_do_not_share_it():  # S16
    def body(started):
        fd = interruption_fd()
        started.ready.set()
        started.go.wait(PATIENCE)
        assert interruption_fd() == fd
        return fd

    with Started(body) as one, Started(body) as two:
        fds = {one.finish(), two.finish(), interruption_fd()}
    assert len(fds) >= 2  # (numbers of ended threads are given out again)


def test_it_is_not_inherited_and_does_not_block():  # S16
    fd = interruption_fd()
    assert not os.get_inheritable(fd)
    assert not os.get_blocking(fd)


def test_it_wakes_a_selector():  # S16
    def body(started):
        with selectors.DefaultSelector() as selector:
            selector.register(interruption_fd(), selectors.EVENT_READ)
            started.ready.set()
            return len(selector.select(PATIENCE))

    with Started(body) as other:
        interrupt(other.thread)
        assert other.finish() == 1


def test_it_wakes_an_asyncio_loop():  # S16
    async def main(started):
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(interruption_fd(), asked.set)
        started.ready.set()
        try:
            await asyncio.wait_for(asked.wait(), PATIENCE)
        finally:
            loop.remove_reader(interruption_fd())
        return interruption_requested()

    with Started(lambda started: asyncio.run(main(started))) as other:
        interrupt(other.thread)
        assert other.finish() is True


def test_it_is_closed_when_the_thread_ends():  # S16, S18
    fd = in_thread(interruption_fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_threads_that_never_ask_for_one_have_none():  # S16
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()

    def body(started):
        assert not interruption_requested()
        started.ready.set()
        started.go.wait(PATIENCE)

    others = [Started(body).until_ready() for _ in range(20)]
    for other in others:
        interrupt(other.thread)
    assert count() == before
    for other in others:
        other.finish()


def test_without_descriptors_it_is_an_error_and_works_later():  # S16
    def body():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        holes = [os.dup(0) for _ in range(highest)]  # so that the next one would be above the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        try:
            with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is what counts)
                interruption_fd()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in holes:
                os.close(fd)
        assert caught.value.errno == errno.EMFILE
        interrupt(threading.get_ident())
        assert interruption_requested()
        assert readable(interruption_fd())

    in_thread(body)

"""S31: the program closes descriptors that are the library's, and their numbers become its own.

Nothing is written to what has the number then, or taken from it, it is not closed, and who waits
is still woken. A daemon closes all that there are; a bug closes one twice.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocking_calls import CALLS, Call, made
from interruption import (
    ThreadExit,
    allow_interruption,
    clear_interrupt,
    interrupt,
    interruption_fd,
    wait_for_interruption,
)
from interruption._interruption import _switch
from support import PATIENCE, Started, expect_script, in_thread, until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="what is open is not told"
)

waits = allow_interruption(async_interrupt=False)

# One for each way of waiting with descriptors of the library's own.
WAYS = [
    "SocketRecv",
    "SocketAccept",
    "SocketSendAll",
    "Select",
    "Poll",
    "Epoll",
    "TlsRead",
    "ReadPipe",
    "ReadFifo",
    "WriteFifo",
    "ReadTerminal",
    "FileRead",
    "Waitpid",
    "PopenWait",
    "Sigwait",
    "Sigtimedwait",
]
KINDS = [kind for kind in CALLS if kind.__name__ in WAYS]

DATA = b"precious"


def open_now() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the folder itself
            os.fstat(int(name))
            found.add(int(name))
    return found


class File:
    """A file of the program's, in which would be seen that somebody has used it."""

    def __init__(self, make: Callable[[contextlib.ExitStack], tuple[int, int]]) -> None:
        self._stack = contextlib.ExitStack()
        self._fd, self._peer = make(self._stack)

    def give(self, number: int) -> File:
        """It has that number now; what had it is closed."""
        os.dup2(self._fd, number, inheritable=False)
        self._number = number
        return self

    def check(self) -> None:
        """It is as it was. Takes the number back."""
        assert os.path.sameopenfile(self._number, self._fd), "it was closed"
        if self._peer < 0:
            assert os.lseek(self._number, 0, os.SEEK_CUR) == 0
        assert os.read(self._number, 100) == DATA
        if self._peer >= 0:
            assert not select.select([self._number, self._peer], [], [], 0)[0]
        os.close(self._number)
        self._stack.close()


def regular(stack: contextlib.ExitStack) -> tuple[int, int]:
    file = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    file.write(DATA)
    file.seek(0)
    return file.fileno(), -1


def stream(stack: contextlib.ExitStack) -> tuple[int, int]:
    one, other = map(stack.enter_context, socket.socketpair())
    other.send(DATA)
    return one.fileno(), other.fileno()


def datagrams(stack: contextlib.ExitStack) -> tuple[int, int]:
    one, other = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    other.send(DATA)
    return one.fileno(), other.fileno()


def tcp(stack: contextlib.ExitStack) -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = stack.enter_context(socket.create_connection(server.getsockname()))
        other = stack.enter_context(server.accept()[0])
    other.send(DATA)
    return one.fileno(), other.fileno()


FILES = [regular, stream, datagrams, tcp]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    with made(request.param) as one:
        yield one


class Waiter(Started):
    """A thread that waits in the call, in a region, as often as it is told to."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self._wait = wait
        self._turn = threading.Semaphore(0)
        self._results: list[Any] = []
        super().__init__(self._wait_in_turns)

    def _wait_in_turns(self, _: Started) -> None:
        while True:
            assert self._turn.acquire(timeout=PATIENCE)
            if self.go.is_set():
                return
            self.ready.set()
            try:
                with waits:
                    result = self._wait()
            except ThreadExit as error:
                result = type(error)
                clear_interrupt()
            self._results.append(result)

    def begin(self) -> None:
        """It waits, and is blocked."""
        self.ready.clear()
        self._turn.release()
        self.until_blocked()

    def result(self) -> Any:
        until(lambda: self._results)
        return self._results.pop()

    def is_woken(self) -> None:
        interrupt(self.thread)
        assert self.result() is ThreadExit

    def end(self) -> None:
        self.go.set()
        self._turn.release()
        self.finish()


def given_away(numbers: set[int], *files: Callable[..., tuple[int, int]]) -> list[File]:
    """Those numbers are the program's own from now on."""
    kinds = files or (regular, stream)
    return [File(kinds[i % len(kinds)]).give(number) for i, number in enumerate(sorted(numbers))]


def test_no_file_that_got_a_number_of_ours_is_touched(call: Call) -> None:  # S31
    before = open_now()
    waiter = Waiter(call.wait)
    waiter.begin()
    assert open_now() - before, "the thread waits without a descriptor"
    waiter.is_woken()
    files = given_away(open_now() - before)
    waiter.begin()
    waiter.is_woken()
    waiter.begin()
    waiter.is_woken()
    waiter.end()
    for file in files:
        file.check()
    assert open_now() == before
    call.check_untouched()


@pytest.mark.parametrize("kind", FILES)
def test_no_kind_of_file_is_touched(kind: Callable[..., tuple[int, int]]) -> None:  # S31
    (recv,) = (each for each in KINDS if each.__name__ == "SocketRecv")
    with made(recv) as call:
        before = open_now()
        waiter = Waiter(call.wait)
        waiter.begin()
        waiter.is_woken()
        files = given_away(open_now() - before, kind)
        waiter.begin()
        waiter.is_woken()
        waiter.end()
        for file in files:
            file.check()


def test_a_thread_that_waits_meanwhile_is_still_woken(call: Call) -> None:  # S31
    before = open_now()
    waiter = Waiter(call.wait)
    waiter.begin()
    for number in sorted(open_now() - before):  # as os.closerange() does
        os.close(number)
    files = [File(kind).give(os.dup(0)) for kind in FILES]
    waiter.is_woken()
    waiter.end()
    for file in files:
        file.check()
    assert open_now() == before
    call.check_untouched()


def test_a_wait_whose_descriptors_are_closed_still_ends_by_itself(call: Call) -> None:  # S31
    before = open_now()
    waiter = Waiter(call.wait)
    waiter.begin()
    for number in sorted(open_now() - before):
        os.close(number)
    assert call.end is not None
    call.end()
    result = waiter.result()
    assert result is not ThreadExit
    call.shown(result)
    waiter.end()


# Those that wait for a file of the library's own, beside the sockets that all are woken by.
OWN = ["Waitpid", "PopenWait", "Sigwait", "Sigtimedwait"]


@pytest.mark.parametrize("name", OWN)
def test_no_wait_goes_on_for_a_file_that_got_the_number(name: str) -> None:  # S31
    (kind,) = (each for each in KINDS if each.__name__ == name)
    with made(kind) as call, contextlib.ExitStack() as stack:
        before = open_now()
        waiter = Waiter(call.wait)
        waiter.begin()
        numbers = [
            number
            for number in open_now() - before
            if not str(Path(f"/proc/self/fd/{number}").readlink()).startswith("socket:")
        ]
        assert numbers
        one, other = map(stack.enter_context, socket.socketpair())  # nothing happens in there
        for number in numbers:
            os.dup2(one.fileno(), number, inheritable=False)
        _switch(waiter.thread, True, True)  # it looks for all anew
        assert call.end is not None
        call.end()
        result = waiter.result()
        assert result is not ThreadExit
        call.shown(result)
        waiter.end()
        for number in numbers:
            assert os.path.sameopenfile(number, one.fileno()), "it was closed"
            os.close(number)
        assert not select.select([one, other], [], [], 0)[0]


def test_each_descriptor_of_a_wait_may_be_closed_alone(call: Call) -> None:  # S31
    before = open_now()
    waiter = Waiter(call.wait)
    for place in range(4):
        waiter.begin()
        ours = sorted(open_now() - before)
        if place < len(ours):
            os.close(ours[place])
        waiter.is_woken()
    waiter.end()
    assert open_now() == before


def test_a_closed_interruption_fd_is_replaced_and_its_number_left_alone() -> None:  # S16, S31
    def body() -> None:
        before = open_now()
        number = interruption_fd()
        (hidden,) = open_now() - before - {number}
        files = given_away({number, hidden})
        interrupt(threading.get_ident())
        another = interruption_fd()
        assert another != number
        assert select.select([another], [], [], 0)[0]
        clear_interrupt()
        assert not select.select([another], [], [], 0)[0]
        files += given_away({another})
        interrupt(threading.get_ident())
        assert wait_for_interruption(0)
        clear_interrupt()
        for file in files:
            file.check()

    in_thread(body)


def test_a_childs_files_are_left_alone() -> None:  # S18, S31
    expect_script("""
        import os, socket, tempfile, threading
        from interruption import *
        ours, theirs = socket.socketpair()
        me = threading.get_ident()
        def is_woken():
            timer = threading.Timer(0.05, interrupt, [me])
            timer.start()
            try:
                with allow_interruption:
                    ours.recv(1)
            except ThreadExit:
                pass
            timer.join()
            assert clear_interrupt()
        def open_now():
            return {n for n in range(3, 1024) if os.path.lexists(f"/proc/self/fd/{n}")}
        before = open_now()
        interruption_fd()
        while len(hidden := open_now() - before) < 3:
            is_woken()  # once, unless it was asked before it waited
        files = []
        for number in hidden:
            file = tempfile.TemporaryFile(buffering=0)
            file.write(b"precious")
            file.seek(0)
            os.dup2(file.fileno(), number)
            files.append((file, number))
        def check():
            for file, number in files:
                assert os.path.sameopenfile(file.fileno(), number)
                assert os.pread(number, 100, 0) == b"precious"
                assert os.lseek(number, 0, os.SEEK_CUR) == 0
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                check()
                is_woken()
                interruption_fd()
                check()
                thread = threading.Thread(target=wait_for_interruption)
                thread.start()
                assert interrupt(thread)
                thread.join()
                check()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        check()
        is_woken()
        check()
    """)


def test_a_daemon_that_closes_everything_goes_on() -> None:  # S31
    """Threads have waited before, and wait again when it has opened files of its own everywhere."""
    expect_script("""
        import fcntl, os, socket, tempfile, threading
        from interruption import *
        again = threading.Barrier(5)
        results = []
        def work():
            interruption_fd()
            for _ in range(2):
                again.wait()
                ours, theirs = socket.socketpair()
                try:
                    with allow_interruption(async_interrupt=False):
                        again.wait()
                        ours.recv(1)
                except ThreadExit:
                    results.append(clear_interrupt())
                ours.detach(), theirs.detach()
                again.wait()
        def ask():
            again.wait()
            again.wait()
            for thread in threads:
                interrupt(thread)
            again.wait()
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        ask()
        os.closerange(3, 1024)
        numbers = []
        for _ in range(30):
            low, name = tempfile.mkstemp()
            os.unlink(name)
            os.pwrite(low, b"precious", 0)
            numbers += [low, fcntl.fcntl(low, fcntl.F_DUPFD, 512)]
        ask()
        for thread in threads:
            thread.join()
        assert results == [True] * 8, results
        for number in numbers:
            assert os.pread(number, 100, 0) == b"precious"
            assert os.lseek(number, 0, os.SEEK_CUR) == 0
    """)

"""The memory and the descriptors that threads take: series as JSON.

Run by ``run.py``: ``python memory.py asked``, of threads that never used the library and are asked
for the first time (S3); ``waiting``, of threads that wait in regions, for a lock or a byte. Heap
memory and file descriptors, each a thread. In a process of its own, because what else a process
has allocated and freed would count too.
"""

import argparse
import contextlib
import ctypes
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from figures import Series, hand_over
from interruption import ThreadExit, allow_interruption, interrupt_all_threads

ASKED = "a thread that never looked, once asked"
STACK_SIZE = 256 * 1024  # bytes of address space; the default would be megabytes for each thread


class Mallinfo2(ctypes.Structure):
    """glibc's ``struct mallinfo2``: what ``malloc`` has given out, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]
    hblkhd: int
    uordblks: int


class Usage:
    """Reads what the process holds at the moment. OSError: its C library is not glibc >= 2.33."""

    def __init__(self) -> None:
        """Find the C library's function."""
        try:
            self._mallinfo2 = ctypes.CDLL(None).mallinfo2
        except AttributeError as error:
            raise OSError("the C library has no mallinfo2()") from error
        self._mallinfo2.restype = Mallinfo2

    def allocated(self) -> int:
        """Bytes given out by ``malloc``, in its heaps and mapped by themselves."""
        info: Mallinfo2 = self._mallinfo2()
        return info.uordblks + info.hblkhd

    @staticmethod
    def descriptors() -> int:
        """Open file descriptors (and, every time, the one that this looks with)."""
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path objects would be allocated


@contextlib.contextmanager
def blocked_threads(count: int) -> Iterator[None]:
    """Have ``count`` more threads, all blocked on a lock; end them on leaving.

    A lock, as waiting for one allocates nothing: a thread that is only just about to wait when the
    memory is read makes no difference.
    """
    gate = threading.Lock()
    started = threading.Semaphore(0)

    def block() -> None:
        started.release()
        with gate:
            pass

    with gate:
        threads = [threading.Thread(target=block) for _ in range(count)]
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        yield
    for thread in threads:
        thread.join()


Wait = Callable[[], object]


class Growth:
    """What the process holds more than when this was made. Reading it allocates nothing itself."""

    def __init__(self) -> None:
        """Read it first, and before for what reading allocates once."""
        self._usage = Usage()
        self._read()
        self._before = self._read()

    def _read(self) -> tuple[int, int]:
        return self._usage.allocated(), self._usage.descriptors()

    def series(self, what: str, count: int) -> list[Series]:
        """A thread's share of it."""
        found = zip(("bytes", "descriptors"), self._read(), self._before, strict=True)
        return [
            Series("memory", what, unit, [(after - before) / count], f"{count} threads", unit)
            for unit, after, before in found
        ]


def asked(count: int, reason: str | None) -> list[Series]:
    """Ask ``count`` threads that never used the library."""
    # What the first call ever allocates is not the threads': one thread, which stays, is asked
    # before.
    with blocked_threads(1):
        interrupt_all_threads(reason)
        with blocked_threads(count):
            growth = Growth()
            threads = interrupt_all_threads(reason)
            name = ASKED if reason is None else f"{ASKED}, with a reason"
            series = growth.series(name, count)
    if threads != count + 1:
        raise RuntimeError(f"{threads} threads were asked, not {count + 1}")
    return series


def until_all_wait(count: int) -> None:
    """Until so many more threads are asleep in the kernel than could be by chance."""
    while True:
        time.sleep(0.05)
        states = [
            path.read_text().rpartition(")")[2].split()[0]
            for path in Path("/proc/self/task").glob("*/stat")
        ]
        if states.count("S") >= count:
            return


def waiting(count: int, what: str, wait: Wait, *, region: bool) -> list[Series]:
    """Have ``count`` threads enter regions, or not, and wait there."""
    gate = threading.Lock()
    started = threading.Semaphore(0)

    def run() -> None:
        started.release()
        with gate:
            pass
        inside = allow_interruption if region else contextlib.nullcontext()
        with contextlib.suppress(ThreadExit), inside:
            wait()

    gate.acquire()
    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        started.acquire()
    until_all_wait(count)
    growth = Growth()
    gate.release()
    until_all_wait(count)
    return growth.series(f"{what}, {'in a region' if region else 'outside'}", count)


def waits(count: int) -> dict[str, Wait]:
    """For a lock, and for a byte that nobody sends."""
    lock = threading.Lock()
    lock.acquire()
    pairs: list[Any] = [socket.socketpair() for _ in range(count)]

    turn = itertools.count()

    def receive() -> None:
        pairs[next(turn)][0].recv(1)

    def take() -> None:
        with lock:
            pass

    return {"a thread that waits for a lock": take, "a thread in `recv`": receive}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=["asked", "waiting"])
    parser.add_argument("--threads", type=int, default=1000, metavar="N")
    parser.add_argument("--reason", help="the request's reason (default: none)")
    parser.add_argument("--wait", type=int, default=0, help="which of the waits")
    parser.add_argument("--region", action="store_true", help="wait in regions")
    arguments = parser.parse_args()
    threading.stack_size(STACK_SIZE)
    if arguments.what == "asked":
        hand_over(asked(arguments.threads, arguments.reason))
    else:
        what, wait = list(waits(arguments.threads).items())[arguments.wait]
        hand_over(waiting(arguments.threads, what, wait, region=arguments.region))
        sys.stdout.flush()
        os._exit(0)  # the threads wait for ever


if __name__ == "__main__":
    main()

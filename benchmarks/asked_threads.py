"""What it costs to have asked threads that never used the library (S3).

Prints a JSON object: ``bytes`` of heap memory and file ``descriptors``, each a thread, after
``interrupt_all_threads()`` has asked ``--threads`` of them for the first time. Run in a process of
its own by ``bench_flag.py``, because what else a process has allocated and freed would count too.
"""

import argparse
import contextlib
import ctypes
import json
import os
import sys
import threading
from collections.abc import Iterator

from interruption import interrupt_all_threads

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


def measure(count: int, reason: str | None) -> dict[str, float]:
    """Ask ``count`` threads that never used the library; what that has cost for each of them."""
    usage = Usage()
    # What the first call ever allocates is not the threads': one thread, which stays, is asked
    # before, and what is read here is read once.
    with blocked_threads(1):
        interrupt_all_threads(reason)
        with blocked_threads(count):
            usage.allocated(), usage.descriptors()
            before = usage.allocated(), usage.descriptors()
            asked = interrupt_all_threads(reason)
            after = usage.allocated(), usage.descriptors()
    if asked != count + 1:
        raise RuntimeError(f"{asked} threads were asked, not {count + 1}")
    return {
        "bytes": (after[0] - before[0]) / count,
        "descriptors": (after[1] - before[1]) / count,
    }


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2000, metavar="N", help="how many to ask")
    parser.add_argument("--reason", help="the request's reason (default: none)")
    arguments = parser.parse_args()
    threading.stack_size(STACK_SIZE)
    sys.stdout.write(json.dumps(measure(arguments.threads, arguments.reason)) + "\n")


if __name__ == "__main__":
    main()

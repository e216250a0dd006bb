"""What a process has, counted while it rests, and whether that grows."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

TASKS = Path("/proc/self/task")
GOING = 30  # seconds in which a thread or a child that ends is gone


class Account(NamedTuple):
    """Counted by `count` when the threads of a round have ended."""

    threads: int
    tasks: int  # the kernel's threads
    children: int
    descriptors: dict[int, str]
    blocks: int  # of Python's allocator
    heap: int  # bytes that C code has from malloc
    resident: int  # bytes of memory


class _MallInfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


_LIBC: Any = ctypes.CDLL(None)


def keep_together() -> None:
    """Have the C library use one arena. It gives each thread its own, up to eight a processor, and
    what of them is not in use is not given back: that looks as if memory grew, for an hour."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(-8, 1)  # M_ARENA_MAX


def _heap() -> int:
    """Bytes in use, after what is not in use was given back; 0 where the C library does not say."""
    if not hasattr(_LIBC, "mallinfo2"):
        return 0
    _LIBC.malloc_trim(0)
    _LIBC.mallinfo2.restype = _MallInfo2
    info = _LIBC.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def _descriptors() -> dict[int, str]:
    """What is open, without the numbers that the kernel gives to each pipe and socket anew."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = str(Path("/proc/self/fd", name).readlink()).split(":[")[0]
        except FileNotFoundError:
            continue  # the listing's own
    return found


def _children() -> int:
    """Children of this process, also those that have ended and were not waited for."""
    parents = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.append(int(stat.read_text().rpartition(")")[2].split()[1]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return parents.count(os.getpid())


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def count(before: Account | None = None) -> Account:
    """Collect what is garbage, and count. A thread or child that is about to go is waited for, if
    there are more of them than before."""
    for _ in range(3):
        gc.collect()
    deadline = time.monotonic() + GOING
    while before is not None and time.monotonic() < deadline:
        if len(os.listdir(TASKS)) <= before.tasks and _children() <= before.children:
            break
        time.sleep(0.001)
    return Account(
        threading.active_count(),
        len(os.listdir(TASKS)),
        _children(),
        _descriptors(),
        sys.getallocatedblocks(),
        _heap(),
        _resident(),
    )


def what_is_left(before: Account, now: Account) -> list[str]:
    """What there may be no more of than before: threads, children, descriptors."""
    complaints = [
        f"{name}: {getattr(before, name)} at first, now {getattr(now, name)}"
        for name in ("threads", "tasks", "children")
        if getattr(now, name) > getattr(before, name)
    ]
    more = sorted(now.descriptors.keys() - before.descriptors.keys())
    if len(now.descriptors) > len(before.descriptors):
        complaints.append(f"descriptors: {[(each, now.descriptors[each]) for each in more]}")
    return complaints


# More than that between the middle and the last third of a run is a leak, however long it was: with
# every minute a smaller one is found. What is below comes from caches that fill, and tables that
# are doubled, by chance.
GROWTH = {"blocks": 4_000, "heap": 1 << 20, "resident": 8 << 20}
FEWEST = 9  # rounds of which this can be said


def what_grows(rounds: list[Account]) -> list[str]:
    """What was more in the end, round by round, than in the middle.

    The first third is left out, in which caches are filled. Of the others each has its lowest
    point: what was in use for a while does not count.
    """
    if len(rounds) < FEWEST:
        return []
    third = len(rounds) // 3
    parts = rounds[third:-third], rounds[-third:]
    complaints = []
    for name, limit in GROWTH.items():
        begin, end = (min(getattr(account, name) for account in part) for part in parts)
        if end - begin > limit:
            complaints.append(f"{name}: from {begin} to {end} in {len(rounds)} rounds")
    return complaints

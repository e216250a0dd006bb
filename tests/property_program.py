"""What the threads of test_properties.py run: blocks of every form, steps, waits.

It is a program as its users write it. What leads the threads through it is in property_driver.py,
and protected; so requests are delivered between statements in here, and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time

import interruption
from interruption import allow_interruption, defer_interruption
from support import PATIENCE

# Steps. -------------------------------------------------------------------------------------------


def run_on():
    """Statements until one of them is the last."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pass
    raise AssertionError("the request is not delivered")


def run_a_little():
    total = 0
    for number in range(3):
        total += number
    return total


def call(function, *arguments, **keywords):
    return function(*arguments, **keywords)


def explain_itself():
    return interruption.explain(threading.get_ident()).state


# Blocks: each runs `inside` in itself. ------------------------------------------------------------

REGIONS = {
    "region": allow_interruption,
    "waits only": allow_interruption(async_interrupt=False),
    "statements only": allow_interruption(io_interrupt=False),
    "neither": allow_interruption(async_interrupt=False, io_interrupt=False),
}
BLOCKS = {**REGIONS, "shield": defer_interruption}
FORMS = ("with", "decorator", "manager", "stack")


@contextlib.contextmanager
def managed(block):
    with block:
        yield


def in_block(form, block, inside):
    if form == "with":
        with block:
            inside()
    elif form == "decorator":
        block(inside)()
    elif form == "manager":
        with managed(block):
            inside()
    else:
        with contextlib.ExitStack() as stack:
            stack.enter_context(block)
            inside()


def in_block_of_generator(form, block, inside):
    if form == "with":
        with block:
            yield from inside()
    elif form == "decorator":
        yield from block(inside)()
    elif form == "manager":
        with managed(block):
            yield from inside()
    else:
        with contextlib.ExitStack() as stack:
            stack.enter_context(block)
            yield from inside()


async def in_block_of_coroutine(form, block, inside):
    if form == "with":
        with block:
            await inside()
    elif form == "decorator":
        await block(inside)()
    elif form == "manager":
        with managed(block):
            await inside()
    else:
        with contextlib.ExitStack() as stack:
            stack.enter_context(block)
            await inside()


class AtExit:
    def __init__(self, inside):
        self._inside = inside

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._inside()


def in_cleanup(form, inside):
    if form == "finally":
        try:
            run_a_little()
        finally:
            inside()
    elif form == "except":
        try:
            raise LookupError
        except LookupError:
            inside()
    else:
        with AtExit(inside):
            run_a_little()


def in_cleanup_of_generator(form, inside):
    if form == "finally":
        try:
            run_a_little()
        finally:
            yield from inside()
    else:
        try:
            raise LookupError
        except LookupError:
            yield from inside()


def with_lock(form, inside):
    lock = threading.Lock()
    if form == "with":
        with lock:
            inside()
    else:
        lock.acquire()
        try:
            inside()
        finally:
            lock.release()
    assert not lock.locked()


def with_lock_of_generator(form, inside):
    lock = threading.Lock()
    if form == "with":
        with lock:
            yield from inside()
    else:
        lock.acquire()
        try:
            yield from inside()
        finally:
            lock.release()
    assert not lock.locked()


# Waits: what a thread blocks in until another one frees it. ---------------------------------------


class Wait:
    mutex = False  # a lock that is acquired for itself (S10c)
    in_library = True  # the innermost frame is the standard library's

    def close(self):
        pass


class LockWait(Wait):
    mutex = True
    in_library = False
    make = staticmethod(threading.Lock)

    def __init__(self):
        self._lock = self.make()
        self._lock.acquire()

    def block(self, timeout=-1):
        got = self._lock.acquire(timeout=timeout)
        if got:
            self._lock.release()
        return got

    def free(self):
        self._lock.release()

    def is_whole(self):
        """Nothing was lost to whoever left the wait."""
        got = self._lock.acquire(blocking=False)
        if got:
            self._lock.release()
        return got


class RLockWait(LockWait):
    make = staticmethod(threading.RLock)


class EventWait(Wait):
    def __init__(self):
        self._event = threading.Event()

    def block(self, timeout=None):
        return self._event.wait(timeout)

    def free(self):
        self._event.set()

    def is_whole(self):
        return self._event.wait(0)


class ConditionWait(Wait):
    def __init__(self):
        self._condition = threading.Condition()

    def block(self, timeout=None):
        with self._condition:
            return self._condition.wait(timeout)

    def free(self):
        with self._condition:
            self._condition.notify()

    def is_whole(self):
        got = self._condition.acquire(blocking=False)
        if got:
            self._condition.release()
        return got


class QueueWait(Wait):
    make = staticmethod(queue.Queue)

    def __init__(self):
        self._queue = self.make()

    def block(self, timeout=None):
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return False

    def free(self):
        self._queue.put(True)

    def is_whole(self):
        return self._queue.get(block=False)


class SimpleQueueWait(QueueWait):
    in_library = False
    make = staticmethod(queue.SimpleQueue)


class ReadWait(Wait):
    in_library = False

    def __init__(self):
        self._read, self._write = os.pipe()

    def block(self, timeout=None):
        if timeout is not None:
            time.sleep(timeout)
            return False
        return os.read(self._read, 1) == b"."

    def free(self):
        os.write(self._write, b".")

    def is_whole(self):
        return os.read(self._read, 1) == b"."

    def close(self):
        os.close(self._read)
        os.close(self._write)


WAITS = (LockWait, RLockWait, EventWait, ConditionWait, QueueWait, SimpleQueueWait, ReadWait)

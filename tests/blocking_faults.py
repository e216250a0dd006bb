"""What test_blocking_faults.py does in processes of their own, with calls of one family.

Each part prints "done" if all is well; what is wrong is told with the name of the call.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import errno
import functools
import gc
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from blocking_calls import Call, made, named
from interruption import ThreadExit, allow_interruption, blocking, clear_interrupt, interrupt
from support import PATIENCE, Started

waits = allow_interruption(async_interrupt=False)

# Some CPython 3.12 crash where they collect a loop with a memoryview in it (gh-77894), such as is
# left behind by a queue of processes that cannot send.
gc.disable()
atexit.register(gc.freeze)
# Nothing of this outlives the test, if it hangs.
signal.alarm(int(PATIENCE))
# What is sent to a thread that had no memory to wait for it.
signal.signal(signal.SIGUSR2, lambda *_: None)


def waiting_of(call: Call) -> Callable[[], Any]:
    """A wait until its end; of what has none, one that is long enough to be interrupted."""
    return call.wait if call.end is not None else lambda: call.timed(0.2)


def outside(call: Call) -> Any:
    """What a wait returns that nothing happens to, as it is shown."""
    wait = waiting_of(call)
    started = Started(lambda started: (started.ready.set(), wait())[1]).until_blocked()
    if call.end is not None:
        call.end()
    return call.shown(started.finish())


class Watch:
    """Tells when a thread is blocked, without memory or descriptors to speak of.

    Of the main thread, give None.
    """

    def __init__(self, thread: threading.Thread | None) -> None:
        folder = f"/proc/self/task/{os.getpid() if thread is None else thread.native_id}"
        self.stat = os.open(f"{folder}/stat", os.O_RDONLY)
        self.status = os.open(f"{folder}/status", os.O_RDONLY)

    def close(self) -> None:
        os.close(self.stat)
        os.close(self.status)

    def look(self) -> tuple[bool, bytes]:
        """Is it asleep, and what would change if it had run meanwhile?"""
        state = os.pread(self.stat, 4096, 0).rpartition(b")")[2].split()[0]
        return state == b"S", os.pread(self.status, 4096, 0).partition(b"ctxt_switches")[2]

    def until_blocked(self) -> bool:
        """False: it has ended."""
        seen, times = b"", 0
        while times < 4:
            time.sleep(0.0005)  # whoever waits for the GIL runs now
            try:
                asleep, now = self.look()
            except ProcessLookupError:
                return False
            times = times + 1 if asleep and now == seen else 0
            seen = now
        return True


# Out of memory. -----------------------------------------------------------------------------------

MOST = 60  # allocations that are made to fail, one after the other
# What is written in Python, and may lose count of itself when an allocation fails in it.
PYTHON = re.compile("(Process)?(Condition|Event|Semaphore|Bounded|Barrier|.*Queue|Future|AsComp)")
VAIN = 6  # so many in a row that did not hit the call: those that follow are beyond it


class Memory:
    """One allocation of the process fails, the one after so many, whoever makes it."""

    def __init__(self) -> None:
        import _testcapi

        self.fail_after = lambda count: _testcapi.set_nomemory(count, count + 1)
        self.restore = _testcapi.remove_mem_hooks


def persist(*steps: Callable[[], Any]) -> None:
    """Do one after the other, again if an allocation fails in it."""
    for step in steps:
        while True:
            try:
                step()
                break
            except MemoryError:
                pass


class Attempt:
    """One wait in which an allocation may fail, and what came of it."""

    def __init__(self, memory: Memory, call: Call, in_the_call: int | None) -> None:
        self.raised: BaseException | None = None
        self.returned: Any = None
        self.memory = memory
        self.wait = waiting_of(call)
        self.in_the_call = in_the_call
        self.begun = threading.Lock()
        self.begun.acquire()
        self.over = threading.Lock()
        self.over.acquire()
        self.thread = threading.Thread(target=self.body)
        self.thread.start()
        self.watch = Watch(self.thread)

    def body(self) -> None:
        self.begun.acquire()
        try:
            with waits:
                if self.in_the_call is not None:
                    self.memory.fail_after(self.in_the_call)
                self.returned = self.wait()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            self.memory.restore()
            self.raised = error
        self.memory.restore()
        self.over.release()

    def join(self) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the call hangs"
        self.watch.close()


def interrupted(memory: Memory, call: Call, count: int, *, early: bool) -> Attempt:
    """An allocation fails before it blocks, or after it is asked."""
    attempt = Attempt(memory, call, count if early else None)
    blocked = attempt.watch.until_blocked
    fail = functools.partial(memory.fail_after, count)
    ask = functools.partial(interrupt, attempt.thread)
    persist(attempt.begun.release, blocked, *([] if early else [fail]), ask, blocked)
    memory.restore()
    return attempt


def stays(attempt: Attempt) -> bool:
    """It waits as the original does, though it is asked, and asked again."""
    interrupt(attempt.thread)
    return attempt.watch.until_blocked()


def found(memory: Memory, call: Call, count: int, expected: Any) -> bool:
    """It need not wait. Was it hit?"""
    assert call.end is not None
    call.end()
    attempt = Attempt(memory, call, count)
    persist(attempt.begun.release, attempt.over.acquire)
    attempt.join()
    return check_result(attempt, call, expected)


def ended(memory: Memory, call: Call, count: int, expected: Any) -> bool:
    """An allocation fails when what is waited for is there. Was the call hit?"""
    attempt = Attempt(memory, call, None)
    attempt.begun.release()
    attempt.watch.until_blocked()
    spoiled = []

    def end() -> None:
        assert call.end is not None
        try:
            call.end()
        except Exception:  # noqa: BLE001  (Python's own code is not always clear about it)
            memory.restore()
            spoiled.append(True)
            interrupt(attempt.thread)

    persist(functools.partial(memory.fail_after, count), end, attempt.over.acquire)
    attempt.join()
    return not spoiled and check_result(attempt, call, expected)


def check_result(attempt: Attempt, call: Call, expected: Any) -> bool:
    if attempt.raised is None:
        result = call.shown(attempt.returned)
        # What it sends in several pieces may end after one of them.
        assert result == expected or (type(call).__name__ == "Sendfile" and 0 < result < expected)
        return False
    lock = isinstance(attempt.raised, RuntimeError) and "can't allocate" in str(attempt.raised)
    assert lock or isinstance(attempt.raised, errors_of(call)), repr(attempt.raised)
    return True


def errors_of(call: Call) -> type[Exception]:
    return Exception if PYTHON.match(type(call).__name__) else MemoryError


def check_the_next(call: Call, expected: Any) -> None:
    """Nothing is held or lost: whoever comes next gets what there is to get."""
    call.check_untouched()
    if call.end is not None:
        assert outside(call) == expected


def each(kind: type[Call], way: Callable[[Call, int], bool]) -> None:
    """Go through the allocations until the call does not get that far."""
    vain = 0
    for count in range(0, MOST, 1 if kind.end is not None else 5):
        with made(kind) as call:
            hit = way(call, count)
        vain = 0 if hit else vain + 1
        if vain == VAIN:
            break


def no_memory(*names: str) -> None:
    memory = Memory()
    for kind in map(named, names):
        with made(kind) as call:
            expected = outside(call)
        for name, way in no_memory_ways(memory, kind, expected):
            try:
                each(kind, way)
            except BaseException as error:
                memory.restore()
                error.add_note(f"{kind.__name__}, {name}")
                raise
    print("done")  # noqa: T201


def no_memory_ways(
    memory: Memory, kind: type[Call], expected: Any
) -> Iterator[tuple[str, Callable[[Call, int], bool]]]:
    def asked(call: Call, count: int, *, early: bool) -> bool:
        attempt = interrupted(memory, call, count, early=early)
        if stays(attempt):
            assert early, "it did not wait as the original"
            if call.end is not None:
                call.end()
            attempt.join()
            # Of several waits the next one may be interrupted.
            if kind.whole or not isinstance(attempt.raised, ThreadExit):
                check_result(attempt, call, expected)
            return True
        attempt.join()
        if not isinstance(attempt.raised, ThreadExit) and PYTHON.match(kind.__name__):
            # Also the queue of processes, whose feeder gives room when it loses an item so.
            return True
        if not isinstance(attempt.raised, ThreadExit):
            assert attempt.raised is not None or call.end is None, "it did not wait"
            check_result(attempt, call, expected)
        check_the_next(call, expected)
        return isinstance(attempt.raised, MemoryError)

    yield "before it blocks", lambda call, count: asked(call, count, early=True)
    yield "after it is asked", lambda call, count: asked(call, count, early=False)
    if kind.end is not None and not PYTHON.match(kind.__name__):
        yield "after its end", lambda call, count: ended(memory, call, count, expected)
        if kind.remembers:
            yield "without a wait", lambda call, count: found(memory, call, count, expected)


# Out of descriptors. ------------------------------------------------------------------------------


class Descriptors:
    """All that the process may have are used up, but for so many."""

    def __init__(self, free: int) -> None:
        self.soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        self.used: list[int] = []
        with contextlib.suppress(OSError):
            while True:
                self.used.append(os.dup(0))
        for _ in range(free):
            os.close(self.used.pop())

    def give_back(self) -> None:
        for fd in self.used:
            os.close(fd)
        self.used = []
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.soft, hard))


class Scarce:
    """A thread that waits where there are no descriptors, or few; and what came of it."""

    def __init__(self, call: Call, free: int) -> None:
        self.raised: BaseException | None = None
        self.returned: Any = None
        self.begun = threading.Lock()
        self.begun.acquire()
        self.wait = waiting_of(call)
        self.thread = threading.Thread(target=self.body)
        self.thread.start()
        self.watch = Watch(self.thread)
        self.descriptors = Descriptors(free)
        self.begun.release()
        self.blocked = self.watch.until_blocked()

    def body(self) -> None:
        self.begun.acquire()
        try:
            with waits:
                self.returned = self.wait()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            self.raised = error

    def over(self) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the call hangs"
        self.descriptors.give_back()
        self.watch.close()

    def check_failed(self) -> None:
        """It says what is wrong."""
        assert isinstance(self.raised, OSError), repr(self.raised)
        assert self.raised.errno == errno.EMFILE


def few_descriptors(*names: str) -> None:
    blocking.enable()
    for kind in map(named, names):
        with made(kind) as call:
            expected = outside(call)
        for free in (0, 1, 2):
            for try_it in (asked_with_few, ended_with_few):
                with made(kind) as call:
                    try:
                        try_it(call, free, expected)
                    except BaseException as error:
                        error.add_note(f"{kind.__name__}, {try_it.__name__} ({free} left)")
                        raise
    print("done")  # noqa: T201


def asked_with_few(call: Call, free: int, expected: Any) -> None:
    scarce = Scarce(call, free)
    interrupt(scarce.thread)
    scarce.over()
    if not isinstance(scarce.raised, ThreadExit):
        scarce.check_failed()
    check_the_next(call, expected)


def ended_with_few(call: Call, free: int, expected: Any) -> None:
    scarce = Scarce(call, free)
    if scarce.blocked and call.end is not None:
        try:
            call.end()
        except OSError:  # that needs one, too
            scarce.descriptors.give_back()
            call.end()
    scarce.over()
    if scarce.raised is None:
        assert call.shown(scarce.returned) == expected
    else:
        scarce.check_failed()


def main_without_descriptors(*names: str) -> None:
    """A handler of a signal runs while the main thread waits, and it can be interrupted."""
    blocking.enable()
    for kind in map(named, names):
        if kind.end is not None:
            try:
                handled_with_few(kind)
            except BaseException as error:
                error.add_note(kind.__name__)
                raise
    print("done")  # noqa: T201


def handled_with_few(kind: type[Call]) -> None:
    owner = concurrent.futures.ThreadPoolExecutor(1)
    call = owner.submit(kind).result()
    watch = Watch(None)
    handled = threading.Semaphore(0)
    signal.signal(signal.SIGUSR1, lambda *_: handled.release())

    def disturb() -> bool:
        watch.until_blocked()
        os.kill(os.getpid(), signal.SIGUSR1)
        done = handled.acquire(timeout=PATIENCE)
        watch.until_blocked()
        interrupt(threading.main_thread())
        return done

    descriptors = Descriptors(0)
    disturbing = owner.submit(disturb)
    raised: BaseException | None = None
    try:
        with waits:
            call.wait()
    except (ThreadExit, OSError) as error:
        raised = error
    done = disturbing.result()
    clear_interrupt()
    descriptors.give_back()
    watch.close()
    assert done, "the handler did not run"
    if not isinstance(raised, ThreadExit):
        assert isinstance(raised, OSError), "it was not interrupted"
        assert raised.errno == errno.EMFILE
    owner.submit(call.close).result()
    owner.shutdown()


def first_region_without_descriptors() -> None:
    """Nothing needs one to be interposed."""
    descriptors = Descriptors(0)
    with waits:
        pass
    left = [family.name for family in blocking.status().families if not family.interposed]
    descriptors.give_back()
    assert left == ["greenlet switches"]  # which has not been imported
    print("done")  # noqa: T201

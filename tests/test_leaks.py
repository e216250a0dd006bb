"""No references, no memory and no descriptors are leaked."""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest
from chance import scaled
from interruption import (
    Thread,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    explain,
    get_include,
    install,
    interrupt,
    interrupt_all_threads,
    interruption_fd,
    interruption_requested,
    protect,
    uninstall,
    unprotect,
    wait_for_interruption,
)

CALLS = 10_000
ME = threading.get_ident()


class Stop(Exception):
    """Another class to ask for."""


def refuses(error, function, *arguments, **keywords):
    with pytest.raises(error):
        function(*arguments, **keywords)


def deliver():
    interrupt(ME, reason="r")
    try:
        check_interrupt()
    except ThreadExit:
        pass


def deliver_another():
    interrupt(ME, Stop, reason="r")
    try:
        check_interrupt()
    except Stop:
        pass
    clear_interrupt()


def ask_twice():
    interrupt(ME, reason="a")
    interrupt(ME, Stop, reason="b")
    clear_interrupt()


def deliver_in_region():
    try:
        with allow_interruption:
            interrupt(ME, reason="r")
            for _ in range(3):
                pass
    except ThreadExit:
        pass
    clear_interrupt()


def raise_at_entry():
    interrupt(ME, reason="r")
    try:
        with allow_interruption:
            pass
    except ThreadExit:
        pass
    clear_interrupt()


def defer():
    try:
        with allow_interruption, defer_interruption:
            interrupt(ME)
    except ThreadExit:
        pass
    clear_interrupt()


def regions():
    lock = threading.RLock()
    with allow_interruption, allow_interruption(io_interrupt=False), defer_interruption, lock:
        threading.Lock().acquire()


@allow_interruption
def decorated():
    pass


@allow_interruption
def generator():
    yield 1
    yield 2


def drop_generator():
    next(generator())


pytestmark = pytest.mark.xdist_group("leaks")  # with HERE

GO = threading.Event()
HERE = Thread(target=GO.wait)
FINISHED = threading.Thread(target=int)


@pytest.fixture(scope="module", autouse=True)
def _threads():
    """HERE runs during the tests of this file; FINISHED has ended."""
    for thread in (HERE, FINISHED):
        thread.start()
    FINISHED.join()
    yield
    GO.set()
    HERE.join()


FUNCTIONS = {
    "interrupt": lambda: interrupt(HERE, reason="r"),
    "interrupt by ident": lambda: interrupt(HERE.ident, Stop),
    "interrupt, finished": lambda: interrupt(FINISHED),
    "interrupt, waiting": ask_twice,
    "interrupt, bad thread": lambda: refuses(TypeError, interrupt, "x"),
    "interrupt, bad ident": lambda: refuses(ValueError, interrupt, 2**70),
    "interrupt, not started": lambda: refuses(RuntimeError, interrupt, threading.Thread()),
    "interrupt, bad class": lambda: refuses(TypeError, interrupt, ME, UnicodeDecodeError),
    "interrupt, bad reason": lambda: refuses(TypeError, interrupt, ME, reason=3),
    "interrupt, bad keyword": lambda: refuses(TypeError, interrupt, ME, why=3),
    "interrupt_all_threads": lambda: interrupt_all_threads(reason="all"),
    "interruption_requested": interruption_requested,
    "check_interrupt": deliver,
    "check_interrupt, another class": deliver_another,
    "clear_interrupt": clear_interrupt,
    "wait_for_interruption": lambda: wait_for_interruption(0),
    "wait_for_interruption, bad": lambda: refuses(ValueError, wait_for_interruption, float("nan")),
    "interruption_fd": interruption_fd,
    "regions and shields": regions,
    "allow_interruption, delivered": deliver_in_region,
    "allow_interruption, at entry": raise_at_entry,
    "defer_interruption": defer,
    "decorated": decorated,
    "generator": lambda: list(generator()),
    "generator, dropped": drop_generator,
    "explain": lambda: explain(HERE),
    "leave, bad": lambda: refuses(RuntimeError, defer_interruption.__exit__, None, None, None),
    "ThreadExit": lambda: ThreadExit("r").reason,
    "ThreadExit, bad": lambda: refuses(TypeError, ThreadExit, 3),
    "Thread": lambda: Thread().interruption_requested,
    "Thread.interrupt": lambda: HERE.interrupt() or HERE.interruption_requested,
    "protect": lambda: (protect("wave"), protect("wave"), unprotect("wave")),
    "protect, missing": lambda: (protect("a.b", missing_ok=True), unprotect("a.b")),
    "protect, bad": lambda: refuses(ValueError, protect, ""),
    "get_include": get_include,
    "install": lambda: (install(), uninstall()),
}


COUNTED = hasattr(sys, "gettotalrefcount")


@pytest.mark.skipif(not COUNTED, reason="needs a debug build of Python")
@pytest.mark.parametrize("name", FUNCTIONS if COUNTED else ["any"])
def test_ten_thousand_calls_leak_no_reference(name):
    function = FUNCTIONS[name]

    def grown(calls):
        gc.collect()
        before = sys.gettotalrefcount()
        for _ in range(calls):
            function()
        gc.collect()
        return sys.gettotalrefcount() - before

    grown(100)  # what is made once is made now
    # A leak of one reference a call would be CALLS; what the interpreter caches is far below.
    assert grown(CALLS) < CALLS // 20
    clear_interrupt()


def test_threads_leave_no_descriptor_and_no_object_behind():  # S18
    class Reason(str):
        __slots__ = ()

    def body():
        interruption_fd()
        interrupt(threading.get_ident(), reason=Reason("r"))
        wait_for_interruption()

    def live(count):
        for _ in range(count):
            thread = threading.Thread(target=body)
            thread.start()
            thread.join()

    live(10)
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    blocks = sys.getallocatedblocks()
    count = scaled(2000)
    live(count)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert sys.getallocatedblocks() - blocks < count // 4


def test_memory_of_the_core_is_given_back():  # S1, S18
    """Resident memory after many threads that were asked, looked or not, and ended."""

    def resident():
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def live(count):
        for number in range(count):
            go = threading.Event()
            thread = threading.Thread(target=go.wait if number % 2 else interruption_requested)
            thread.start()
            interrupt(thread, reason="r" * 100)
            go.set()
            thread.join()

    live(scaled(2000))
    before = resident()
    count = scaled(20_000)
    live(count)
    # A record is some 200 bytes, its reason 150: leaking them would be more than this for each.
    assert resident() - before < max(count * 100, 1 << 20)

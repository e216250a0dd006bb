"""Built-in functions that were replaced before the first region are found all the same (S10)."""

from __future__ import annotations

import textwrap

import pytest
from support import expect_script

WORK = """
import threading, time
from interruption import ThreadExit, allow_interruption, blocking, interrupt

class Blocked:
    def __init__(self, call):
        self.began, self.ended = threading.Event(), None
        self.thread = threading.Thread(target=self.run, args=(call,), daemon=True)
        self.thread.start()
        self.began.wait()

    def run(self, call):
        try:
            with allow_interruption:
                self.began.set()
                call()
        except ThreadExit:
            self.ended = "woken"

def wakes(call):
    blocked = Blocked(call)
    interrupt(blocked.thread)
    blocked.thread.join(60)
    return blocked.ended

def refused():
    return [family.name for family in blocking.status().families
            if family.reason and "has not been imported" not in family.reason]
"""


def expect(source: str, stdout: str) -> None:
    expect_script(WORK + textwrap.dedent(source), stdout=stdout)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("time.sleep", "time.sleep(3600)"),
        ("os.read", "os.read(os.pipe()[0], 1)"),
        ("select.select", "select.select([os.pipe()[0]], [], [])"),
        ("select.poll", "poll.poll()"),
        ("select.epoll", "epoll.poll()"),
        ("socket.socket", "pair[0].recv(1)"),
        ("_socket.socket", "pair[0].recv(1)"),
        ("_thread.LockType", "lock.acquire()"),
        ("threading.Lock", "lock.acquire()"),
        ("threading.RLock", "threading.Event().wait()"),
        ("_queue.SimpleQueue", "simple.get()"),
        ("queue.SimpleQueue", "simple.get()"),
        ("_io.FileIO", "file.read(1)"),
        ("io.open", "file.read(1)"),
    ],
)
def test_a_mock_at_the_first_region_is_no_obstacle(name, call):  # S10
    expect(
        f"""
        import io, os, queue, select, socket, _io, _queue, _socket, _thread
        from unittest import mock
        pair, file = socket.socketpair(), io.FileIO(os.pipe()[0])
        poll, epoll = select.poll(), select.epoll()
        poll.register(os.pipe()[0]), epoll.register(pair[1], select.EPOLLIN)
        simple, lock = queue.SimpleQueue(), threading.Lock()
        lock.acquire()
        with mock.patch("{name}"):
            with allow_interruption:
                pass
            assert refused() == [], blocking.status()
        print(wakes(lambda: {call}))
        """,
        "woken\n",
    )


def test_a_class_in_python_that_has_the_name_of_one_in_c_is_not_it():  # S10
    expect(
        """
        import _thread
        lock = threading.Lock()
        lock.acquire()
        _thread.LockType = type("_thread.lock", (), {})
        print(wakes(lock.acquire))
        print(refused())
        """,
        "woken\n[]\n",
    )


def test_what_a_library_has_taken_away_is_found():  # S10
    """As gevent does with select.epoll, which it cannot offer."""
    expect(
        """
        import select, socket
        epoll, pair = select.epoll(), socket.socketpair()
        epoll.register(pair[0], select.EPOLLIN)
        del select.epoll, select.poll
        print(wakes(epoll.poll))
        print(refused())
        """,
        "woken\n[]\n",
    )


def test_replaced_by_a_function_that_calls_the_original():  # S10
    expect(
        """
        original = time.sleep
        def sleep(seconds):
            original(seconds)
        time.sleep = sleep
        print(wakes(lambda: time.sleep(3600)), time.sleep is sleep)
        """,
        "woken True\n",
    )


@pytest.mark.parametrize("module", ["types.ModuleType('time')", "math"])
@pytest.mark.parametrize("where", ["this thread's next region", "another thread's first region"])
def test_what_stands_for_a_module_is_refused_until_it_has_gone(where, module):  # S10, S32
    expect(
        f"""
        import math, sys, types
        from unittest import mock
        with mock.patch.dict(sys.modules, {{"time": {module}}}):
            with allow_interruption:
                pass
            (sleep,) = [one for one in blocking.status().families if one.name == "sleep"]
            print(sleep.interposed, sleep.reason)
            print(refused())
        if {where!r} == "this thread's next region":
            with allow_interruption:
                print(refused())
        else:
            threading.Thread(target=lambda: allow_interruption.__enter__()).start()
        print(wakes(lambda: time.sleep(3600)))
        """,
        "False RuntimeError: what sys.modules has under 'time' is not the module in C: another "
        "library has replaced it\n['sleep']\n"
        + ("[]\n" if where == "this thread's next region" else "")
        + "woken\n",
    )


def test_it_is_not_looked_for_after_disable():  # S10
    expect(
        """
        import sys, types
        from unittest import mock
        with mock.patch.dict(sys.modules, {"time": types.ModuleType("time")}):
            with allow_interruption:
                pass
        blocking.disable()
        with allow_interruption:
            pass
        print(blocking.status().enabled, any(one.interposed for one in blocking.status().families))
        blocking.enable()
        print(wakes(lambda: time.sleep(3600)))
        """,
        "False False\nwoken\n",
    )


def test_a_class_of_the_same_name_is_not_taken_for_it():  # S10
    expect(
        """
        import _queue
        class SimpleQueue:
            def get(self): raise AssertionError
        SimpleQueue.__module__ = "_queue"
        real, _queue.SimpleQueue = _queue.SimpleQueue, SimpleQueue
        print(wakes(real().get), refused())
        """,
        "woken []\n",
    )

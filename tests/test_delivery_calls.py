"""S9: functions that C code calls again and again are interrupted, whatever they consist of.

No event tells that C code enters them. On 3.13 and later a function on one line has no ``LINE``
event without ``PY_START`` (gh-155992); and if the C code gives up the GIL between its calls,
whoever looks at the thread then finds nothing of theirs on its stack.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import sqlite3
import sys
import threading
import time

import pytest
from delivery_parts import assert_nothing_armed
from interruption import Thread, ThreadExit, allow_interruption, explain, interrupt
from support import PATIENCE, Started, until


def reduces():
    functools.reduce(lambda left, _right: left, itertools.repeat(1))


def finds_the_greatest():
    max(itertools.count(), key=lambda number: number)


def filters():
    any(filter(lambda _number: False, itertools.count()))


def maps():
    sum(map(lambda number: number, itertools.repeat(0)))  # noqa: C417


def substitutes():
    re.sub("x", lambda _match: "", "x" * 10**9)


def calls_until_a_value_comes():
    for _ in iter(lambda: 1, 2):
        pass


# fmt: off
class Zero:
    def __index__(self): return 0

    def __add__(self, _other): return self

    __radd__ = __add__

    def __len__(self): return 0
# fmt: on


def adds():
    sum(itertools.repeat(Zero()))


def asks_for_truth():
    any(itertools.repeat(Zero()))


def drives_a_generator():
    any(0 for _ in itertools.count())


def gives_up_the_gil(rows=10**9):
    """SQLite's functions are called with the GIL, which is given up between the rows."""

    def double(number):
        doubled = number + number
        return doubled  # noqa: RET504

    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("double", 1, double)
        connection.execute(
            "with recursive row(n) as (select 1 union all select n + 1 from row limit ?)"
            " select count(double(n)) from row",
            [rows],
        ).fetchall()


CALLERS = [
    reduces,
    finds_the_greatest,
    filters,
    maps,
    substitutes,
    calls_until_a_value_comes,
    adds,
    asks_for_truth,
    drives_a_generator,
    gives_up_the_gil,
]


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.__name__)
def test_what_c_code_calls_is_interrupted(caller):  # S9
    def body(started):
        # What SQLite's function raises becomes an error of its own.
        with pytest.raises((ThreadExit, sqlite3.OperationalError)), allow_interruption:
            started.ready.set()
            caller()

    with Started(body) as started:
        time.sleep(0.01)  # to be found at work: neither sooner nor later goes wrong
        interrupt(started.thread)
    started.finish()


@pytest.fixture
def _kept():
    """The GIL is given up by C code alone: who looks at a thread finds it in nothing else."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


# Each row takes its time, in C.
ROWS = """
    with recursive row(n) as (select 1 union all select n + 1 from row)
    select count(double(n)) + count(hex(randomblob(20000))) from row
"""


def double(number):
    doubled = number + number
    return doubled  # noqa: RET504


def make_rows():
    for number in itertools.count():
        blob = b"1" * (number % 2)
        yield (blob,)


@pytest.fixture
def database():
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.create_function("double", 1, double)
        connection.execute("create table made (one)")
        yield connection


SELDOM_FOUND = {
    "a function": lambda database: database.execute(ROWS).fetchall(),
    "a generator": lambda database: database.executemany(
        "insert into made select ? where length(hex(randomblob(20000))) = 0", make_rows()
    ),
}


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize("what", SELDOM_FOUND)
def test_what_is_never_found_at_work_is_interrupted(what, database):  # S9
    def body(started):
        with pytest.raises((ThreadExit, sqlite3.OperationalError)), allow_interruption:
            started.ready.set()
            SELDOM_FOUND[what](database)

    with Started(body) as started:
        time.sleep(0.01)  # as above
        interrupt(started.thread)
    started.finish()
    assert_nothing_armed(body.__code__, double.__code__, make_rows.__code__)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of SQLite's
@pytest.mark.usefixtures("_kept")
def test_nor_where_the_library_has_called_the_c_code(database):  # S9
    """A thread's run() is the innermost function in Python then."""
    thread = Thread(target=database.execute, args=(ROWS,), interruptible=True)
    thread.start()
    time.sleep(0.01)
    interrupt(thread)
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("_kept")
def test_a_function_on_one_line_is_interrupted_by_itself():  # S9
    """Nobody has the GIL to look at the thread."""
    ended = []

    # fmt: off
    def left_of(left, _right): return left
    # fmt: on

    def body(_started):
        me = threading.get_ident()
        with pytest.raises(ThreadExit), allow_interruption:
            ended.append((interrupt(me), functools.reduce(left_of, itertools.repeat(1, 10**5))))

    Started(body).finish()
    assert ended == []


def test_other_threads_run_the_same_functions_meanwhile():  # S9
    """What tells of calls is told by them, too, and is not to be switched off for that."""
    stop = threading.Event()

    # fmt: off
    def identity(number): return number
    # fmt: on

    def run_beside():
        while not stop.is_set():
            sum(map(identity, range(100)))

    def body(started):
        with pytest.raises(ThreadExit), allow_interruption:
            started.ready.set()
            sum(map(identity, itertools.repeat(0)))

    others = [threading.Thread(target=run_beside) for _ in range(8)]
    for other in others:
        other.start()
    try:
        with Started(body) as started:
            interrupt(started.thread)
        started.finish()
    finally:
        stop.set()
        for other in others:
            other.join()


def test_a_lock_that_is_released_in_what_c_code_calls():  # S9
    """While a lock is held no entries are watched; afterwards they are."""
    lock = threading.Lock()
    going = [True]

    def body(started):
        numbers = itertools.count()

        def step(_number):
            if next(numbers) == 0:
                lock.acquire()
                started.ready.set()
                while going:
                    pass
                lock.release()
            return 0

        with pytest.raises(ThreadExit), allow_interruption(io_interrupt=False):
            sum(map(step, itertools.repeat(0)))

    started = Started(body).until_ready()
    interrupt(started.thread)
    until(lambda: explain(started.thread).state == "holding a lock")
    going.clear()
    started.finish()
    assert not lock.locked()

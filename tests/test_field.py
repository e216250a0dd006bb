"""In the field: what people do in threads that are stopped, in the midst of it, again and again.

Nothing is damaged (S31), nobody is left running (S9, S10). Each thread is asked a little later than
the one before, so that requests fall all over the work; in many threads, in one after the other.
"""

from __future__ import annotations

import asyncio
import cmd
import collections
import concurrent.futures
import configparser
import contextlib
import contextvars
import csv
import dbm.dumb
import functools
import gc
import gzip
import heapq
import io
import itertools
import json
import logging.handlers
import operator
import os
import queue
import re
import shutil
import socket
import socketserver
import sqlite3
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import weakref
import xml.sax
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import interruption
import pytest
from chance import scaled, seeded
from interruption import ThreadExit, allow_interruption, interrupt
from support import PATIENCE, until, until_blocked

# A socket that an exception leaves behind is closed when it is dropped, and Python tells of it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

TIMES = scaled(300)


@pytest.fixture(autouse=True)
def _dropped_here(collecting_fast: None) -> Iterator[None]:  # noqa: ARG001  (left after this)
    yield
    gc.collect()


def torn(work: Callable[[], object], times: int = TIMES) -> list[BaseException]:
    """Call it in regions of threads that are asked in the midst of it; what came out of them."""
    chance = seeded(1)
    raised: list[BaseException] = []

    def run(began: threading.Event) -> None:
        try:
            with allow_interruption:
                began.set()
                while True:
                    work()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            raised.append(error)

    for _ in range(times):
        began = threading.Event()
        thread = threading.Thread(target=run, args=[began])
        thread.start()
        assert began.wait(PATIENCE)
        time.sleep(chance.random() * 0.004)
        assert interrupt(thread)
        thread.join(PATIENCE)
        assert not thread.is_alive(), interruption.explain(thread)
    assert {type(error) for error in raised} == {ThreadExit}, raised
    return raised


# Nothing is damaged. ------------------------------------------------------------------------------


def test_a_file_that_is_replaced_is_always_whole(tmp_path):
    target = tmp_path / "state.json"

    def save() -> None:
        with tempfile.NamedTemporaryFile("w", dir=tmp_path, delete=False) as file:
            try:
                json.dump(list(range(500)), file)
                file.close()
                os.replace(file.name, target)  # noqa: PTH105
            finally:
                Path(file.name).unlink(missing_ok=True)

    save()
    torn(save)
    assert json.loads(target.read_text()) == list(range(500))
    assert list(tmp_path.iterdir()) == [target]


def test_temporary_folders_do_not_stay(tmp_path):
    def work() -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            for name in "abc":
                Path(folder, name).write_text(name)
            shutil.copytree(folder, f"{folder}/copy")

    torn(work)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_rotated_loses_no_line_and_no_lock(tmp_path):
    path = tmp_path / "log"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=2000, backupCount=10_000)
    logger = logging.getLogger("interruption.field")
    logger.addHandler(handler)
    logger.propagate = False
    numbers = itertools.count()
    torn(lambda: logger.warning("line %d ends", next(numbers)))
    logger.warning("by another thread")
    logger.removeHandler(handler)
    handler.close()
    lines = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert [line for line in lines if not re.fullmatch(r"line \d+ ends", line)] == [
        "by another thread"
    ]
    assert len(lines) == len(set(lines))


def test_archives_are_closed(tmp_path):
    made = itertools.count()

    def work() -> None:
        path = tmp_path / f"{next(made)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in "abc":
                archive.writestr(name, name * 5000)
        with gzip.open(path.with_suffix(".gz"), "wb") as file:
            file.write(bytes(20_000))

    torn(work, scaled(100))
    for path in tmp_path.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    for path in tmp_path.glob("*.gz"):
        gzip.decompress(path.read_bytes())


def test_a_dumb_database_can_be_opened_again(tmp_path):
    path = str(tmp_path / "it")

    def work() -> None:
        with dbm.dumb.open(path, "c") as database:
            for key in "abc":
                database[key] = key * 100

    work()
    torn(work)
    with dbm.dumb.open(path, "r") as database:
        assert {key: database[key] for key in database} == {
            key.encode(): key.encode() * 100 for key in "abc"
        }


def test_transactions_are_whole(tmp_path):
    path = tmp_path / "bank"

    def connect() -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(path, timeout=PATIENCE))

    with connect() as connection, connection:
        connection.execute("create table accounts (owner unique, amount)")
        connection.executemany("insert into accounts values (?, 100)", ["a", "b"])

    def work() -> None:
        with connect() as connection, connection:
            for owner, change in (("a", -1), ("b", 1)):
                connection.execute(
                    "update accounts set amount = amount + ? where owner = ?", (change, owner)
                )

    torn(work, scaled(100))
    with connect() as connection:
        assert connection.execute("select sum(amount) from accounts").fetchone() == (200,)


def test_a_row_writer_writes_rows():
    written: list[str] = []
    writer = csv.writer(type("File", (), {"write": staticmethod(written.append)}))
    torn(lambda: writer.writerow([1, "two", 3.5]))
    assert set(written) == {"1,two,3.5\r\n"}


def test_caches_have_whole_values():
    class Report:
        @functools.cached_property
        def text(self) -> str:
            return "".join(str(number) for number in range(100))

    @functools.lru_cache(maxsize=8)
    def squares(count: int) -> list[int]:
        return [number * number for number in range(count)]

    reports = [Report()]
    numbers = itertools.count()

    def work() -> None:
        reports.append(Report())
        assert len(reports[-1].text) == 190
        count = next(numbers) % 50
        assert len(squares(count)) == count

    torn(work)
    assert {len(report.text) for report in reports} == {190}
    assert [squares(count)[-1:] for count in range(1, 50)] == [[n * n] for n in range(49)]


def test_an_item_is_done_or_waits():
    orders: queue.PriorityQueue[int] = queue.PriorityQueue()
    done: list[int] = []
    for number in range(50_000):
        orders.put(number)

    def work() -> None:
        number = orders.get()
        try:
            done.append(number)
        finally:
            orders.task_done()

    torn(work)
    while not orders.empty():
        work()
    orders.join()
    # One that was taken and not yet in the `try` is gone, as by any exception; none comes twice.
    assert len(done) == len(set(done))
    assert len(done) >= 50_000 - TIMES


def test_a_barrier_can_be_used_by_others():
    barrier = threading.Barrier(2)
    torn(barrier.wait)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda _: barrier.wait(PATIENCE), range(2))) == [0, 1]


def test_who_goes_over_futures_leaves_them_as_they_were():
    futures: list[concurrent.futures.Future[int]] = [concurrent.futures.Future() for _ in range(3)]

    def work() -> None:
        with contextlib.suppress(concurrent.futures.TimeoutError):
            list(concurrent.futures.as_completed(futures, timeout=0.001))

    torn(work)
    assert [future._waiters for future in futures] == [[], [], []]  # noqa: SLF001


def test_children_are_reaped_and_their_pipes_closed():
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    def children() -> set[str]:
        lists = Path("/proc/self/task").glob("*/children")
        return {pid for each in lists for pid in each.read_text().split()}

    command = [sys.executable, "-Sc", "print(input())"]

    def work() -> None:
        subprocess.run(command, input="x", capture_output=True, text=True, check=True)

    torn(work, 5)
    before = descriptors()
    others = children()
    torn(work, scaled(100))
    assert descriptors() <= before
    assert children() <= others


def test_a_module_that_was_being_imported_is_whole(tmp_path, monkeypatch):
    package = tmp_path / "field_package"
    package.mkdir()
    (package / "__init__.py").write_text("from .part import LINES\n")
    lines = "".join(f"LINES.append({number})\n" for number in range(200))
    (package / "part.py").write_text(f"LINES = []\n{lines}")
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        import field_package  # type: ignore[import-not-found]

        assert len(field_package.LINES) == 200
        for name in ("field_package", "field_package.part"):
            sys.modules.pop(name, None)

    torn(work)
    work()


def test_an_event_loop_is_closed_with_all_that_is_in_it():
    closed: collections.Counter[str] = collections.Counter()

    async def ticks() -> Any:
        closed["begun"] += 1
        try:
            while True:
                yield
                await asyncio.sleep(0)
        finally:
            closed["ended"] += 1

    async def consume() -> None:
        async with contextlib.aclosing(ticks()) as generator:
            async for _ in generator:
                await asyncio.to_thread(len, "")

    async def main() -> None:
        await asyncio.gather(consume(), consume())

    torn(lambda: asyncio.run(main()), scaled(100))
    assert closed["begun"] == closed["ended"] > 0


def test_a_server_can_be_started_again_at_its_port():
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()

    def work() -> None:
        with Server(address, Handler) as server:
            server.serve_forever()

    torn(work, scaled(100))
    with Server(address, Handler) as server:
        threading.Thread(target=server.handle_request).start()
        with socket.create_connection(address) as client, client.makefile("rw") as file:
            file.write("whole\n")
            file.flush()
            assert file.readline() == "whole\n"


def test_what_is_dropped_is_finalized():
    counts: collections.Counter[str] = collections.Counter()

    class Thing:
        def __init__(self) -> None:
            counts["made"] += 1
            weakref.finalize(self, count_twice)

        def __del__(self) -> None:
            counts["begun"] += 1
            counts["ended"] += 1

    def count_twice() -> None:
        counts["first"] += 1
        counts["second"] += 1

    torn(Thing)
    assert counts["begun"] == counts["ended"]
    assert counts["first"] == counts["second"]


def test_what_a_context_variable_had_it_has_again():
    variable = contextvars.ContextVar("variable", default="outer")

    @contextlib.contextmanager
    def setting(value: str) -> Iterator[None]:
        token = variable.set(value)
        try:
            yield
        finally:
            variable.reset(token)

    seen = []

    def work() -> None:
        try:
            with setting("inner"):
                assert variable.get() == "inner"
                len("")
        finally:
            seen.append(variable.get())

    torn(work)
    assert set(seen) == {"outer"}


# Nobody is left running. --------------------------------------------------------------------------


class Endless:
    """What goes on for ever, by what C code calls of it."""

    def __getitem__(self, index: int) -> int:
        return 0

    def __lt__(self, other: object) -> bool:
        for _ in range(1000):
            pass
        return True

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return False


class Shell(cmd.Cmd):
    use_rawinput = False
    prompt = ""

    def do_again(self, _line: str) -> None:
        self.cmdqueue.append("again")


class Sax(xml.sax.ContentHandler):
    def characters(self, _content: str) -> None:
        while True:
            pass


def endless_generators() -> Iterator[int]:
    yield from (number for number in itertools.count() if number < 0)


def read_lines() -> None:
    reader, writer = os.pipe()
    with open(reader) as file, open(writer, "w"):
        for _ in file:
            pass


def read_socket() -> None:
    one, other = socket.socketpair()
    with one, other, one.makefile() as file:
        file.readline()


def read_headers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        urllib.request.urlopen(f"http://127.0.0.1:{server.getsockname()[1]}/")


def join_in_a_chain() -> None:
    ended = threading.Event()
    first = threading.Thread(target=ended.wait)
    second = threading.Thread(target=first.join)
    try:
        first.start()
        second.start()
        second.join()
    finally:
        ended.set()


def done_by_nobody() -> None:
    orders: queue.Queue[int] = queue.Queue()
    orders.put(1)
    orders.join()


async def polls() -> None:
    while True:
        await asyncio.sleep(0)


def matches() -> None:
    while True:
        match [1, {"a": 2}]:
            case [int(), {"a": 3}]:
                break
            case _:
                pass


ENDLESS: dict[str, Callable[[], object]] = {
    "sum of a sequence": lambda: sum(Endless()),  # type: ignore[arg-type]
    "a map in a deque": lambda: collections.deque(map(lambda n: n, itertools.count()), maxlen=0),  # noqa: C417
    "takewhile": lambda: list(itertools.takewhile(lambda n: n >= 0, itertools.repeat(0))),
    "iter with a sentinel": lambda: all(iter(lambda: 1, 0)),
    "a dictionary's keys": lambda: {Endless(): n for n in range(10**6)},
    "a heap": lambda: [heapq.heapify([Endless() for _ in range(1000)]) for _ in range(10**6)],
    "an attribute's getter": lambda: all(
        operator.attrgetter("real.imag.denominator")(n) for n in itertools.count()
    ),
    "any of a generator": lambda: any(n < 0 for n in itertools.count()),
    "generators in each other": lambda: list(endless_generators()),
    "a formatter": lambda: [string.Formatter().format("{:>{}}", 1, 2) for _ in itertools.count()],
    "a callback of json": lambda: [
        json.loads("[{}, {}]", object_hook=lambda found: found) for _ in itertools.count()
    ],
    "a callback of a parser": lambda: xml.sax.parseString("<a>b</a>", Sax()),  # noqa: S317
    "a configuration": lambda: [
        configparser.ConfigParser().read_string("[a]\nb = 1") for _ in itertools.count()
    ],
    "a shell": lambda: Shell(stdin=io.StringIO("again\n"), stdout=io.StringIO()).cmdloop(),
    "a match": matches,
    "a loop that polls": lambda: asyncio.run(polls()),
    "lines of a pipe": read_lines,
    "lines of a socket": read_socket,
    "an answer by HTTP": read_headers,
    "the end of a chain of threads": join_in_a_chain,
    "an order that nobody does": done_by_nobody,
    "a subprocess that does not read": lambda: subprocess.run(
        [sys.executable, "-Sc", "import time; time.sleep(1000)"], input=bytes(10**6), check=True
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end_is_stopped(name):  # S9, S10
    torn(ENDLESS[name], 3)


@pytest.mark.parametrize("name", [name for name in ENDLESS if "that does not" not in name])
def test_so_is_each_task_of_an_executor(name):  # S29
    with interruption.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(ENDLESS[name]) for _ in range(2)]
        until(lambda: all(future.running() for future in futures))
        assert [future.cancel() for future in futures] == [True, True]
        concurrent.futures.wait(futures, PATIENCE)
        assert [future.cancelled() for future in futures] == [True, True]


@pytest.mark.parametrize("name", ["lines of a pipe", "an order that nobody does", "a match"])
def test_explain_has_said_what_came_true(name):  # S19
    """Shielded it is said that it waits for the shield; then for nothing, and it stops."""
    go = threading.Event()

    def run() -> None:
        with contextlib.suppress(ThreadExit), allow_interruption:
            with interruption.defer_interruption:
                go.wait()
            ENDLESS[name]()

    thread = threading.Thread(target=run)
    thread.start()
    until_blocked(thread)
    interrupt(thread)
    assert interruption.explain(thread).state == "shielded"
    go.set()
    thread.join(PATIENCE)
    assert interruption.explain(thread).state == "finished"

"""What the standard library makes, torn: ``making_program.py ROW ROUNDS FOLDER``.

An operation is called in a region again and again, and the thread is asked to stop when the
standard library begins one line of its own in there, another one each time; or while it calls code
of the program's, a hook that is told what it does. Afterwards the operation has done its work, or
it has not begun. In the end nobody is left: no child that is not known, no zombie, no file.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dbm.dumb
import ftplib
import gc
import importlib
import logging
import logging.config
import logging.handlers
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.heap
import multiprocessing.managers
import multiprocessing.pool
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import multiprocessing.util
import os
import pickle
import shelve
import shutil
import smtplib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
import xmlrpc.client
import xmlrpc.server
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from interruption._interruption import _makers

LIBRARY = os.path.dirname(os.__file__) + os.sep
DATA = bytes(range(256)) * 4096


class Row:
    """A function of the standard library that makes something."""

    def __init__(self, name: str) -> None:
        (self.function, self.kind), *_ = [
            (function, kind)
            for module, function, kind, _ in _makers()
            if f"{module}.{function}" == name
        ]

    def is_of(self, frame: Any) -> bool:
        code = frame.f_code
        return code.co_qualname == self.function and code.co_filename.startswith(LIBRARY)

    def runs(self, frame: Any) -> bool:
        """Is it that frame's function, or has it called that?"""
        while frame is not None and not self.is_of(frame):
            frame = frame.f_back
        return frame is not None


class Torn:
    """What became of a call. What an exception keeps alive has gone."""

    def __init__(self) -> None:
        self.lines = 0  # of the library
        self.own = 0  # those of the row's function among them
        self.result: Any = None
        self.raised: str | None = None

    def call(self, act: Callable[[], Any], region: Any, before: Callable[[], object]) -> Torn:
        box: list[Any] = []
        try:
            with region:
                before()
                box.append(act())
        except ThreadExit as error:
            self.raised = "".join(traceback.format_exception(error))
        finally:
            sys.settrace(None)
            clear_interrupt()
        if self.raised is None:
            (self.result,) = box
        return self


def tear(act: Callable[[], Any], row: Row, at: int | None, *, own: bool = False) -> Torn:
    """Call it in a region, and ask when the library begins that line; -1: as it is called.

    own: of the row's function's lines, it is that one.

    The region is about waits only, for what is called is code of the program's.
    """
    me, process, torn = threading.get_ident(), os.getpid(), Torn()

    def trace(frame: Any, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(LIBRARY) or os.getpid() != process:
            return None
        if event == "line":
            if at == (torn.own if own else torn.lines) and (row.is_of(frame) or not own):
                interrupt(me)
            torn.lines += 1
            torn.own += row.is_of(frame)
        return trace

    def before() -> None:
        sys.settrace(trace)
        if at == -1:
            interrupt(me)

    return torn.call(act, allow_interruption(async_interrupt=False), before)


class Hook:
    """Called by the interpreter at what is of interest to who watches a program (PEP 578)."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.me, self.process = threading.get_ident(), os.getpid()
        self.on = False
        self.count = 0
        self.at: int | None = None
        sys.addaudithook(self.hear)

    def hear(self, _event: str, _arguments: object) -> None:
        if not self.on or threading.get_ident() != self.me:
            return
        self.on = False  # what follows is of interest, too
        if os.getpid() == self.process and self.row.runs(sys._getframe(1)):  # noqa: SLF001
            self.count += 1
            if self.count - 1 == self.at:
                self.ask()
        self.on = True

    def ask(self) -> None:
        """Be asked for some statements. What is called by the library is of what it makes."""
        interrupt(self.me)
        number = 0
        for each in range(10):
            number += each
        clear_interrupt()

    def tear(self, act: Callable[[], Any], at: int | None) -> Torn:
        """Call it in a region, and ask while what the hook is told at that time is told."""
        self.count, self.at, torn = 0, at, Torn()

        def before() -> None:
            self.on = True

        try:
            return torn.call(act, allow_interruption, before)
        finally:
            self.on = False


class Scenario:
    """One operation. Subclasses say what it is and what has to be so afterwards."""

    raises = False  # may it be broken off?

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inside = False  # was it asked in the row's function?

    def prepare(self) -> None:
        """Before each call, outside of the region."""

    def act(self) -> Any:
        raise NotImplementedError

    def check(self, result: Any, *, raised: bool) -> None:
        """After each call."""

    def close(self) -> None:
        """After the last."""


# Threads and children. ---------------------------------------------------------------------------


class Threads(Scenario):
    def prepare(self) -> None:
        self.ran: list[int] = []

    def act(self) -> threading.Thread:
        thread = threading.Thread(target=self.ran.append, args=(1,))
        thread.start()
        return thread

    def check(self, result: threading.Thread, *, raised: bool) -> None:
        result.join()
        assert self.ran == [1]


class Children(Scenario):
    def act(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def check(self, result: subprocess.Popen[bytes], *, raised: bool) -> None:
        assert result.communicate(b"1") == (b"1", None)
        assert result.returncode == 0


class Submits(Scenario):
    kind: Any = concurrent.futures.ThreadPoolExecutor

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.executor: Any = None
        self.uses = 0

    def prepare(self) -> None:
        if self.uses % 5 == 0:
            self.close()
            self.executor = self.kind(2)
        self.uses += 1

    def act(self) -> concurrent.futures.Future[int]:
        return self.executor.submit(abs, -1)

    def check(self, result: concurrent.futures.Future[int], *, raised: bool) -> None:
        assert result.result() == 1

    def close(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()


class SubmitsToProcesses(Submits):
    kind = concurrent.futures.ProcessPoolExecutor


def child(path: str) -> None:
    with open(path, "a") as file:
        file.write("1")


class Processes(Scenario):
    methods: tuple[str, ...] = ("fork", "spawn", "forkserver")
    number = 0

    def prepare(self) -> None:
        self.number += 1
        self.path = str(self.folder / str(self.number))
        context: Any = multiprocessing.get_context(self.methods[self.number % len(self.methods)])
        self.process = context.Process(target=child, args=(self.path,))

    def act(self) -> None:
        self.process.start()

    def check(self, result: None, *, raised: bool) -> None:
        self.process.join()
        assert self.process.exitcode == 0
        assert Path(self.path).read_text() == "1"
        self.process.close()


class ByForkserver(Processes):
    methods = ("forkserver",)


def stops(path: str) -> None:
    """In the child of a fork within a region: what waits there is interrupted, too."""
    try:
        with allow_interruption(async_interrupt=False):
            interrupt(threading.get_ident())
            time.sleep(60)
    except ThreadExit:
        child(path)


class Bootstraps(Processes):
    methods = ("fork",)

    def prepare(self) -> None:
        super().prepare()
        self.process._target = stops  # noqa: SLF001  (else it is the same)


class StartsForkserver(Scenario):
    def prepare(self) -> None:
        self.server: Any = multiprocessing.forkserver._forkserver  # noqa: SLF001
        self.server._stop()  # noqa: SLF001

    def act(self) -> None:
        self.server.ensure_running()

    def check(self, result: None, *, raised: bool) -> None:
        assert os.waitpid(self.server._forkserver_pid, os.WNOHANG) == (0, 0)  # noqa: SLF001
        self.server.ensure_running()


class StopsForkserver(StartsForkserver):
    def prepare(self) -> None:
        super().prepare()
        self.server.ensure_running()
        self.pid = self.server._forkserver_pid  # noqa: SLF001

    def act(self) -> None:
        self.server._stop()  # noqa: SLF001

    def check(self, result: None, *, raised: bool) -> None:
        assert not Path(f"/proc/{self.pid}").exists()


class StartsTracker(Scenario):
    def prepare(self) -> None:
        self.tracker: Any = multiprocessing.resource_tracker.ResourceTracker()

    def act(self) -> None:
        self.tracker.ensure_running()

    def check(self, result: None, *, raised: bool) -> None:
        pid = self.tracker._pid  # noqa: SLF001
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        self.tracker._stop()  # noqa: SLF001
        assert not Path(f"/proc/{pid}").exists()


class Registers(StartsTracker):
    def act(self) -> None:
        self.tracker.register("/nothing", "noop")


class StopsTracker(StartsTracker):
    def prepare(self) -> None:
        super().prepare()
        self.tracker.ensure_running()
        self.pid = self.tracker._pid  # noqa: SLF001

    def act(self) -> None:
        self.tracker._stop()  # noqa: SLF001

    def check(self, result: None, *, raised: bool) -> None:
        assert not Path(f"/proc/{self.pid}").exists()


class Pools(Scenario):
    def act(self) -> Any:
        return multiprocessing.get_context("fork").Pool(2)

    def check(self, result: Any, *, raised: bool) -> None:
        assert result.map(abs, [-1, 1]) == [1, 1]
        result.terminate()
        result.join()


class EndsPools(Pools):
    def prepare(self) -> None:
        self.pool = super().act()

    def act(self) -> None:
        self.pool.terminate()

    def check(self, result: None, *, raised: bool) -> None:
        self.pool.join()


# What processes share. ---------------------------------------------------------------------------


class Managers(Scenario):
    def act(self) -> Any:
        manager = multiprocessing.managers.SyncManager(ctx=multiprocessing.get_context("fork"))
        manager.start()
        return manager

    def check(self, result: Any, *, raised: bool) -> None:
        assert result.list([1])[0] == 1
        result.shutdown()


class EndsManagers(Managers):
    def prepare(self) -> None:
        self.manager = super().act()

    def act(self) -> None:
        self.manager.shutdown()

    def check(self, result: None, *, raised: bool) -> None:
        assert not self.manager._process.is_alive()  # noqa: SLF001


class Managed(Managers):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.manager = super().act()
        assert self.manager._number_of_objects() == 0  # noqa: SLF001

    def act(self) -> Any:
        return self.manager.list([1])

    def check(self, result: Any, *, raised: bool) -> None:
        assert result[0] == 1
        del result
        gc.collect()

    def close(self) -> None:
        gc.collect()
        assert self.manager._number_of_objects() == 0  # noqa: SLF001
        self.manager.shutdown()


class Forgets(Managed):
    def prepare(self) -> None:
        self.proxy = [self.manager.list([1])]

    def act(self) -> Any:
        self.proxy.clear()

    def check(self, result: None, *, raised: bool) -> None:
        assert self.manager._number_of_objects() == 0  # noqa: SLF001


class Asks(Managed):
    raises = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.numbers = self.manager.list(range(100))
        self.number = 0

    def act(self) -> int:
        self.number += 1
        return self.numbers[self.number % 100]

    def check(self, result: int, *, raised: bool) -> None:
        assert raised or result == self.number % 100
        assert self.numbers[50] == 50

    def close(self) -> None:
        del self.numbers
        super().close()


class Memory(Scenario):
    def act(self) -> multiprocessing.shared_memory.SharedMemory:
        return multiprocessing.shared_memory.SharedMemory(create=True, size=64)

    def check(self, result: multiprocessing.shared_memory.SharedMemory, *, raised: bool) -> None:
        result.close()
        result.unlink()


class Unlinks(Memory):
    def prepare(self) -> None:
        self.memory = super().act()
        self.memory.close()

    def act(self) -> None:
        self.memory.unlink()

    def check(self, result: None, *, raised: bool) -> None:
        assert not Path("/dev/shm", self.memory.name).exists()


class Semaphores(Scenario):
    def act(self) -> Any:
        return multiprocessing.get_context("spawn").Lock()

    def check(self, result: Any, *, raised: bool) -> None:
        with result:
            assert not result.acquire(block=False)


class Arenas(Scenario):
    def act(self) -> Any:
        return multiprocessing.heap.Arena(4096)

    def check(self, result: Any, *, raised: bool) -> None:
        result.buffer[:1] = b"1"


class Messages(Scenario):
    """Somebody at the other end, who gets them whole."""

    raises = True

    def prepare(self) -> None:
        self.near, self.far = multiprocessing.Pipe()
        self.other = threading.Thread(target=self.serve)
        self.got: list[bytes] = []
        self.other.start()

    def serve(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self.got.append(self.far.recv_bytes())

    def act(self) -> None:
        self.near.send_bytes(DATA)

    def check(self, result: None, *, raised: bool) -> None:
        self.near.send_bytes(b"last")
        self.near.close()
        self.other.join()
        self.far.close()
        assert self.got in ([DATA, b"last"], [b"last"]), [len(one) for one in self.got]
        assert raised or len(self.got) == 2


class Received(Messages):
    def serve(self) -> None:
        self.far.send_bytes(DATA)
        self.far.send_bytes(b"last")

    def act(self) -> bytes:
        return self.near.recv_bytes()

    def check(self, result: bytes, *, raised: bool) -> None:
        assert (self.near.recv_bytes() if raised else result) == DATA
        assert self.near.recv_bytes() == b"last"
        self.other.join()
        self.near.close()
        self.far.close()


# Files. ------------------------------------------------------------------------------------------


class Logs(Scenario):
    """Each record opens a new file."""

    raises = True  # the handler is not all of it

    class Handler(logging.handlers.TimedRotatingFileHandler):
        def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
            return True

        def rotation_filename(self, default_name: str) -> str:
            return default_name + "." + str(time.monotonic_ns())

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.logger = logging.getLogger("torn")
        self.logger.propagate = False
        self.logger.addHandler(self.Handler(folder / "log", when="D", backupCount=1000))
        self.expected: list[str] = []

    def act(self) -> None:
        self.logger.warning("%d", len(self.expected))

    def check(self, result: None, *, raised: bool) -> None:
        assert not raised
        self.expected.append(str(len(self.expected)))

    def close(self) -> None:
        logging.shutdown()
        found = [line for path in self.folder.iterdir() for line in path.read_text().split()]
        assert sorted(found, key=int) == self.expected


class Configures(Scenario):
    def act(self) -> None:
        handler = {"class": "logging.FileHandler", "filename": str(self.folder / "log")}
        root = {"handlers": ["file"], "level": "INFO"}
        logging.config.dictConfig({"version": 1, "handlers": {"file": handler}, "root": root})

    def check(self, result: None, *, raised: bool) -> None:
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.FileHandler)


class ConfiguresByFile(Configures):
    def act(self) -> None:
        logging.config.fileConfig(str(self.folder / "config"))

    def prepare(self) -> None:
        lines = ["[loggers]", "keys=root", "[handlers]", "keys=file", "[formatters]", "keys="]
        lines += ["[logger_root]", "handlers=file", "level=INFO", "[handler_file]"]
        lines += ["class=FileHandler", f"args=({str(self.folder / 'log')!r},)"]
        (self.folder / "config").write_text("\n".join(lines))


class Databases(Scenario):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database: Any = dbm.dumb.open(str(folder / "data"))
        self.expected: dict[bytes, bytes] = {}

    def act(self) -> None:
        self.database[b"%d" % len(self.expected)] = b"1"

    def check(self, result: None, *, raised: bool) -> None:
        self.expected[b"%d" % len(self.expected)] = b"1"
        with dbm.dumb.open(str(self.folder / "data")) as found:
            assert {key: found[key] for key in found.keys()} == self.expected

    def close(self) -> None:
        self.database.close()


class Deletes(Databases):
    def prepare(self) -> None:
        self.database[b"key"] = b"2"

    def act(self) -> None:
        del self.database[b"key"]

    def check(self, result: None, *, raised: bool) -> None:
        with dbm.dumb.open(str(self.folder / "data")) as found:
            assert list(found.keys()) == []


class Commits(Databases):
    def prepare(self) -> None:
        self.database[b"%d" % len(self.expected)] = b"1"

    def act(self) -> None:
        self.database.sync()


class Shelves(Scenario):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shelf: Any = shelve.Shelf(dbm.dumb.open(str(folder / "shelf")), writeback=True)
        self.count = 0

    def prepare(self) -> None:
        self.count += 1
        self.shelf["a"] = self.shelf["b"] = self.count

    def act(self) -> None:
        self.shelf.sync()

    def check(self, result: None, *, raised: bool) -> None:
        assert self.shelf.writeback
        with shelve.Shelf(dbm.dumb.open(str(self.folder / "shelf"))) as found:
            assert found["a"] == found["b"] == self.count

    def close(self) -> None:
        self.shelf.close()


class TemporaryFolders(Scenario):
    def prepare(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        for name in "ab":
            Path(self.temporary.name, name).mkdir()

    def act(self) -> None:
        self.temporary.cleanup()

    def check(self, result: None, *, raised: bool) -> None:
        assert not Path(self.temporary.name).exists()


class Finalizes(Scenario):
    def finalizer(self, target: Any, path: str) -> Callable[[], object]:
        return weakref.finalize(target, shutil.rmtree, path)

    def prepare(self) -> None:
        self.path = tempfile.mkdtemp()
        Path(self.path, "a").mkdir()
        self.target = threading.Event()
        self.finish = self.finalizer(self.target, self.path)

    def act(self) -> None:
        self.finish()

    def check(self, result: None, *, raised: bool) -> None:
        assert not Path(self.path).exists()


class FinalizesOfProcesses(Finalizes):
    def finalizer(self, target: Any, path: str) -> Callable[[], object]:
        return multiprocessing.util.Finalize(target, shutil.rmtree, (path,))


# Exchanges with a server: what is broken off is not taken for the next one's answer. --------------


class Exchange(Scenario):
    raises = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with contextlib.suppress(OSError), connection, connection.makefile("rwb") as file:
                file.write(b"220 ready\r\n")
                file.flush()
                for line in file:
                    if line == b"END\r\n":
                        return
                    file.write(b"250 " + line)
                    file.flush()

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as end:
            end.sendall(b"END\r\n")
        self.thread.join()
        self.listener.close()


class Mails(Exchange):
    client: Any = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.number = 0

    def prepare(self) -> None:
        self.number += 1
        if self.client is None:
            self.connect()

    def connect(self) -> None:
        self.client = smtplib.SMTP("127.0.0.1", self.port)

    def ask(self) -> str:
        return self.client.docmd("NOOP", str(self.number))[1].decode().split()[-1]

    def act(self) -> str:
        return self.ask()

    def check(self, result: str, *, raised: bool) -> None:
        assert raised or result == str(self.number)
        self.number += 1
        if self.client.sock is not None:
            assert self.ask() == str(self.number)
        else:
            self.client = None

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        super().close()


class Transfers(Mails):
    def connect(self) -> None:
        self.client = ftplib.FTP()
        self.client.connect("127.0.0.1", self.port)

    def ask(self) -> str:
        return self.client.sendcmd(f"NOOP {self.number}").split()[-1]


class Calls(Exchange):
    def __init__(self, folder: Path) -> None:
        self.server = xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
        self.server.register_function(abs, "abs")
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        port = self.server.server_address[1]
        self.client = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}")
        self.number = 0

    def act(self) -> int:
        self.number += 1
        return self.client.abs(-self.number)  # type: ignore[return-value]

    def check(self, result: int, *, raised: bool) -> None:
        assert raised or result == self.number
        assert self.client.abs(-5) == 5

    def close(self) -> None:
        self.client("close")()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Sends(Scenario):
    """Records that are larger than what the system keeps, and a server that takes its time."""

    raises = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.handler = logging.handlers.SocketHandler(*self.listener.getsockname())
        self.sent = self.received = 0
        self.ended = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.ended:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as file:
                while len(head := file.read(4)) == 4:
                    (size,) = struct.unpack(">L", head)
                    data = file.read(size)
                    if len(data) < size:
                        break
                    assert pickle.loads(data)["msg"] == DATA.decode("latin-1") * 8
                    self.received += 1

    def act(self) -> None:
        self.handler.emit(logging.makeLogRecord({"msg": DATA.decode("latin-1") * 8}))

    def check(self, result: None, *, raised: bool) -> None:
        self.sent += not raised

    def close(self) -> None:
        self.act()  # whole, whatever was broken off before
        self.handler.close()
        self.ended = True
        with contextlib.suppress(OSError):
            socket.create_connection(self.listener.getsockname()).close()
        self.thread.join()
        self.listener.close()
        assert self.received >= self.sent + 1


class Watches(Scenario):
    """asyncio reaps a child when it is told of its end."""

    raises = True  # the loop waits

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if sys.version_info < (3, 12):
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())

    async def run(self) -> None:
        self.process = await asyncio.create_subprocess_exec("true")
        self.pid = self.process.pid
        await self.process.wait()

    def act(self) -> None:
        asyncio.run(self.run())

    def check(self, result: None, *, raised: bool) -> None:
        if not raised:
            assert self.process.returncode == 0
            return
        try:
            os.waitpid(self.pid, 0)  # nobody waits for it any more
        except ChildProcessError:
            return
        assert not self.inside, "the loop was told of its end, and has not reaped it"


ROWS: dict[str, type[Scenario]] = {
    "asyncio.unix_events.PidfdChildWatcher._do_wait": Watches,
    "asyncio.unix_events._PidfdChildWatcher._do_wait": Watches,
    "concurrent.futures.process.ProcessPoolExecutor.submit": SubmitsToProcesses,
    "concurrent.futures.thread.ThreadPoolExecutor.submit": Submits,
    "dbm.dumb._Database.__setitem__": Databases,
    "dbm.dumb._Database.__delitem__": Deletes,
    "dbm.dumb._Database._commit": Commits,
    "ftplib.FTP.getresp": Transfers,
    "logging.Handler.handle": Logs,
    "logging.config.DictConfigurator.configure": Configures,
    "logging.config.fileConfig": ConfiguresByFile,
    "logging.handlers.SocketHandler.send": Sends,
    "multiprocessing.connection.Connection._recv_bytes": Received,
    "multiprocessing.connection.Connection._recv": Received,
    "multiprocessing.connection.Connection._send": Messages,
    "multiprocessing.forkserver.ForkServer.ensure_running": StartsForkserver,
    "multiprocessing.forkserver.ForkServer.connect_to_new_process": ByForkserver,
    "multiprocessing.forkserver.ForkServer._stop": StopsForkserver,
    "multiprocessing.heap.Arena.__init__": Arenas,
    "multiprocessing.managers.BaseManager.start": Managers,
    "multiprocessing.managers.BaseManager._create": Managed,
    "multiprocessing.managers.BaseManager.register.<locals>.temp": Managed,
    "multiprocessing.managers.BaseManager._finalize_manager": EndsManagers,
    "multiprocessing.managers.BaseProxy._incref": Managed,
    "multiprocessing.managers.BaseProxy._decref": Forgets,
    "multiprocessing.managers.BaseProxy._callmethod": Asks,
    "multiprocessing.pool.Pool.__init__": Pools,
    "multiprocessing.pool.Pool._terminate_pool": EndsPools,
    "multiprocessing.process.BaseProcess.start": Processes,
    "multiprocessing.process.BaseProcess._bootstrap": Bootstraps,
    "multiprocessing.resource_tracker.ResourceTracker.ensure_running": StartsTracker,
    "multiprocessing.resource_tracker.ResourceTracker._send": Registers,
    "multiprocessing.resource_tracker.ResourceTracker._stop": StopsTracker,
    "multiprocessing.shared_memory.SharedMemory.__init__": Memory,
    "multiprocessing.shared_memory.SharedMemory.unlink": Unlinks,
    "multiprocessing.synchronize.SemLock.__init__": Semaphores,
    "multiprocessing.util.Finalize.__call__": FinalizesOfProcesses,
    "shelve.Shelf.sync": Shelves,
    "smtplib.SMTP.getreply": Mails,
    "subprocess.Popen.__init__": Children,
    "tempfile.TemporaryDirectory.cleanup": TemporaryFolders,
    "threading.Thread.start": Threads,
    "weakref.finalize.__call__": Finalizes,
    "xmlrpc.client.Transport.single_request": Calls,
}


def children() -> dict[int, str]:
    """The children of this process, with what the kernel says of each."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid():
                found[int(path.parent.name)] = state
    return found


def helpers() -> set[int]:
    """Those that multiprocessing keeps to itself."""
    tracker: Any = multiprocessing.resource_tracker._resource_tracker  # noqa: SLF001
    server: Any = multiprocessing.forkserver._forkserver  # noqa: SLF001
    return {tracker._pid, server._forkserver_pid}  # noqa: SLF001


def choose(count: int, rounds: int) -> Iterator[int]:
    """So many of them, from all over."""
    rounds = min(rounds, count)
    for number in range(rounds):
        yield number * count // rounds


def ways_to_tear(
    scenario: Scenario, row: Row, rounds: int
) -> Iterator[tuple[str, bool, Callable[[], Torn]]]:
    """Where it is asked, whether that is in the row's function, and the call."""
    scenario.prepare()
    calm = tear(scenario.act, row, None)
    scenario.check(calm.result, raised=False)
    yield "as it was called", False, lambda: tear(scenario.act, row, -1)
    for at in sorted({0, calm.own - 1}) if calm.own else ():
        yield f"at its own line {at}", True, lambda at=at: tear(scenario.act, row, at, own=True)
    for at in choose(calm.lines, rounds):
        yield f"at line {at} of {calm.lines}", False, lambda at=at: tear(scenario.act, row, at)
    if scenario.raises or row.kind not in ("makes", "cleans"):
        return
    hook = Hook(row)
    scenario.prepare()
    calm = hook.tear(scenario.act, None)
    scenario.check(calm.result, raised=False)
    count = hook.count
    for at in choose(count, rounds):
        yield f"in hook {at} of {count}", True, lambda at=at: hook.tear(scenario.act, at)


def main(name: str, rounds: int, folder: Path) -> None:
    importlib.import_module("multiprocessing.popen_spawn_posix")
    (folder / "work").mkdir()
    (folder / "temporary").mkdir()
    tempfile.tempdir = str(folder / "temporary")
    row, scenario = Row(name), ROWS[name](folder / "work")
    scenario.prepare()
    scenario.check(scenario.act(), raised=False)
    broken = done = 0
    for where, inside, way in ways_to_tear(scenario, row, rounds):
        scenario.prepare()
        scenario.inside = inside
        torn = way()
        if torn.raised is not None and not scenario.raises:
            raise SystemExit(f"{torn.raised}\n{name} was torn, asked {where}")
        done += 1
        broken += torn.raised is not None
        scenario.check(torn.result, raised=torn.raised is not None)
        del torn
    scenario.close()
    del scenario, way
    gc.collect()
    left = {pid: state for pid, state in children().items() if pid not in helpers()}
    assert not left, f"children that nobody knows: {left}"
    assert "Z" not in children().values()
    files = [name for name in os.listdir(folder / "temporary") if not name.startswith("pymp-")]
    assert not files, files
    if broken:
        print(f"broken off {broken} of {done} times", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

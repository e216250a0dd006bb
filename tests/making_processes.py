"""Threads, children, and what processes share; see making_program.py."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.heap
import multiprocessing.managers
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import os
import pickle
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from interruption import ThreadExit, allow_interruption, interrupt
from making_parts import DATA, Scenario

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
        self.tracker.unregister("/nothing", "noop")


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


class Unpickles(Managed):
    """As what another process has sent: nothing of the manager's is around it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.proxy = self.manager.list([1])
        self.pickled = pickle.dumps(self.proxy)

    def act(self) -> Any:
        return pickle.loads(self.pickled)

    def close(self) -> None:
        del self.proxy
        super().close()


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

"""What the standard library makes, torn: ``making_program.py ROUNDS FOLDER ROW...``.

An operation is called in a region again and again, and the thread is asked to stop when the
standard library begins one line of its own in there, another one each time; or while it calls code
of the program's, a hook that is told what it does. Afterwards the operation has done its work, or
it has not begun. In the end nobody is left: no child that is not known, no zombie, no file.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from making_exchanges import Calls, Letters, Mails, Sends, Transfers, Watches
from making_files import (
    Commits,
    Configures,
    ConfiguresByFile,
    Databases,
    Deletes,
    Finalizes,
    FinalizesOfProcesses,
    Logs,
    Shelves,
    TemporaryFolders,
)
from making_parts import Hook, Row, Scenario, Torn, tear
from making_processes import (
    Arenas,
    Asks,
    Bootstraps,
    Children,
    EndsManagers,
    EndsPools,
    Managed,
    Managers,
    Memory,
    Messages,
    Processes,
    Received,
    Registers,
    Semaphores,
    StartsForkserver,
    StartsTracker,
    StopsForkserver,
    StopsTracker,
    Submits,
    SubmitsToProcesses,
    Threads,
    Unpickles,
)

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
    "multiprocessing.forkserver.ForkServer._stop": StopsForkserver,
    "multiprocessing.heap.Arena.__init__": Arenas,
    "multiprocessing.managers.BaseManager.start": Managers,
    "multiprocessing.managers.BaseManager.register.<locals>.temp": Managed,
    "multiprocessing.managers.BaseManager._finalize_manager": EndsManagers,
    "multiprocessing.managers.BaseProxy._incref": Unpickles,
    "multiprocessing.managers.BaseProxy._callmethod": Asks,
    "multiprocessing.pool.Pool._terminate_pool": EndsPools,
    "multiprocessing.process.BaseProcess.start": Processes,
    "multiprocessing.process.BaseProcess._bootstrap": Bootstraps,
    "multiprocessing.resource_tracker.ResourceTracker.ensure_running": StartsTracker,
    "multiprocessing.resource_tracker.ResourceTracker._send": Registers,
    "multiprocessing.resource_tracker.ResourceTracker._stop": StopsTracker,
    "multiprocessing.shared_memory.SharedMemory.__init__": Memory,
    "multiprocessing.synchronize.SemLock.__init__": Semaphores,
    "multiprocessing.util.Finalize.__call__": FinalizesOfProcesses,
    "poplib.POP3._getline": Letters,
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


def tear_row(name: str, rounds: int, folder: Path) -> None:
    folder.mkdir()
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
        print(f"{name}: broken off {broken} of {done} times", file=sys.stderr)


def main(rounds: int, folder: Path, *rows: str) -> None:
    """Each row in a child of its own, which begins with what is imported here."""
    for module in ("pool", "popen_spawn_posix"):
        importlib.import_module(f"multiprocessing.{module}")
    failed = []
    for number, row in enumerate(rows):
        child = os.fork()
        if child == 0:
            tear_row(row, rounds, folder / str(number))
            sys.exit()
        if os.waitpid(child, 0)[1] != 0:
            failed.append(row)
    if failed:
        sys.exit(f"torn: {', '.join(failed)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])

"""Files, and what is done at their end; see making_program.py."""

from __future__ import annotations

import dbm.dumb
import logging
import logging.config
import logging.handlers
import multiprocessing
import multiprocessing.util
import shelve
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from making_parts import Scenario

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

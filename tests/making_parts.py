"""A call of the standard library, torn at one of its lines; see making_program.py."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
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

    hear.__cantrace__ = True  # type: ignore[attr-defined]  # it is code as any other

    def ask(self) -> None:
        """Be asked for some statements and a wait. What the library calls is of what it makes."""
        interrupt(self.me)
        number = 0
        for each in range(10):
            number += each
        if self.row.kind == "makes":  # what cleans up is woken where it waits (S10c)
            time.sleep(0.0001)
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

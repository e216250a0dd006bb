"""``python -m interruption run``: an unchanged program, whose threads stop when they are asked.

All of it happens in the main thread, before the program begins; the process is the program's from
there on. What is done about its threads is in ``run_threads``.
"""

import atexit
import io
import logging
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Literal, NamedTuple, cast

from .. import blocking
from .._interruption import _set_own
from .._protected import is_sure, not_found, protect
from .._shutdown.shutdown import LOGGER, REPORT_AFTER, ShutdownReport, tell_by
from .._shutdown.signals import exits_with, interrupt_for_run
from . import run_threads

Region = Literal["all", "ours", "none"]

_runpy = cast("Any", runpy)  # for what has no place in its types; `pdb` uses it in the same way


class NotFoundError(Exception):
    """There is no such program, or module; the message says so to whoever has asked for it."""


class Program(NamedTuple):
    """What is to be run, as the interpreter would.

    argv0: what the program finds in ``sys.argv[0]``.
    names: what it finds in ``__main__``, besides what every main module has there.
    """

    code: CodeType
    argv0: str
    names: dict[str, Any]


# What to run. -------------------------------------------------------------------------------------


def load_script(path: str) -> Program:
    """A file of Python, or a folder or zip file with a ``__main__.py``; as ``python path``."""
    if not Path(path).exists():
        raise NotFoundError(f"there is no file {path!r} (a module is run by -m)")
    filename = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118  (".." and "." stay in it)
    if pkgutil.get_importer(filename) is None:
        _begin_path(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
        return _load_file(path, filename)
    _begin_path(filename, always=True)
    _, spec, code = _runpy._get_main_module_details(NotFoundError)  # noqa: SLF001
    return Program(code, path, _names_of(spec))


def load_module(name: str) -> Program:
    """A module, or the ``__main__`` of a package; as ``python -m name``."""
    _, spec, code = _runpy._get_module_details(name, NotFoundError)  # noqa: SLF001
    return Program(code, spec.origin, _names_of(spec))


def _begin_path(folder: str, *, always: bool = False) -> None:
    """Where the program's own modules are looked for first: there is the current folder, by -m."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


def _load_file(path: str, filename: str) -> Program:
    with io.open_code(filename) as file:
        code = cast("CodeType | None", pkgutil.read_code(cast("Any", file)))
    loader = SourcelessFileLoader if code is not None else SourceFileLoader
    if code is None:  # not compiled yet
        with io.open_code(filename) as file:
            code = compile(file.read(), filename, "exec", dont_inherit=True)
    names = {
        "__file__": filename,
        "__cached__": None,
        "__loader__": loader("__main__", filename),
        "__package__": None,
        "__spec__": None,
    }
    return Program(code, path, names)


def _names_of(spec: Any) -> dict[str, Any]:
    return {
        "__file__": spec.origin,
        "__cached__": getattr(spec, "cached", None),
        "__loader__": spec.loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }


def _become(names: dict[str, Any]) -> dict[str, Any]:
    """Let ``__main__`` be the program's, with no name of ours left in it; its namespace."""
    namespace = vars(sys.modules["__main__"])
    every = ("__name__", "__doc__", "__builtins__", "__annotations__", *names)
    found = {name: namespace[name] for name in every if name in namespace}  # differs by version
    namespace.clear()
    namespace.update(found, __doc__=None)
    namespace.update((name, value) for name, value in names.items() if name in found)
    return namespace


# How it ends. -------------------------------------------------------------------------------------


def _tell_not_found(name: str) -> None:
    """At the end: a package has been imported, and has no such module."""
    wrong = not_found(name)
    if wrong is not None and sys.stderr is not None:
        sys.stderr.write(f"interruption: {wrong}, which was named to the command\n")


def _check_found(name: str) -> None:
    """As soon as the program's own folder is among those where modules are found."""
    wrong = not_found(name)
    if wrong is not None:
        raise NotFoundError(
            f"{wrong}; what the program finds in folders of its own is found by PYTHONPATH, too"
        )
    if not is_sure(name):
        atexit.register(_tell_not_found, name)


def _execute(load: Callable[[], Program], named: Iterable[str]) -> None:
    """Load the program and run it. The first frame of ours that a traceback of it has."""
    program = load()
    for name in named:
        _check_found(name)
    sys.argv[0] = program.argv0
    exec(program.code, _become(program.names))  # noqa: S102  (that is what was asked for)


def _is_beginning(entry: TracebackType) -> bool:
    """Whether it comes before the program's first: it is ours, or of `runpy`."""
    names = entry.tb_frame.f_globals
    return names is globals() or names is vars(runpy)


def _without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the program's.

    Where it uses this package itself, these frames are left in.
    """
    at = traceback
    while at is not None and at.tb_frame.f_code is not _execute.__code__:
        at = at.tb_next
    if at is None:
        return traceback  # it came from us, not from the program
    while at is not None and _is_beginning(at):
        at = at.tb_next
    run_threads.take_out_our_frames(at)
    return at


def _print_without_our_frames() -> None:
    """An exception is about to leave the program unhandled: show where in the program it was."""
    theirs = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = theirs
        error.__traceback__ = sys.last_traceback = _without_our_frames(traceback)
        theirs(kind, error, error.__traceback__)

    sys.excepthook = excepthook


def _write_on_stderr(level: int, text: str, report: ShutdownReport) -> None:
    """Tell of a shutdown, unless a handler of the program's does: whatever it has told `logging`.

    ``logging.config`` disables all loggers that were there before, and the level of the root logger
    was set without a thought of this one.
    """
    logged = logging.getLogger(LOGGER).isEnabledFor(level) and any(
        isinstance(handler, logging.StreamHandler)
        and handler.level <= level
        and handler.stream is sys.stderr
        for handler in logging.root.handlers
    )
    if logged or level < logging.WARNING or sys.stderr is None:
        return
    # Nobody reads it any more, or it is closed: then there is nobody to tell.
    try:
        sys.stderr.write(f"interruption: {text % run_threads.without_our_frames(report)}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        sys.stderr = None  # what it keeps would fail again at the exit, whose status is 120 then
    except (OSError, ValueError):
        pass


class Wanted(NamedTuple):
    """How a program is to be run.

    grace: how many seconds threads that were asked are waited for; infinite: until they stop.
    given: whether the user has said so; then it is for the whole process.
    region: where threads may be stopped; as the command's help tells it.
    own: packages that are the program's although they are installed.
    protected: modules that are not to be interrupted inside.
    """

    grace: float
    given: bool
    region: Region
    own: tuple[str, ...]
    protected: tuple[str, ...]


def run(load: Callable[[], Program], arguments: Sequence[str], wanted: Wanted) -> None:
    """Run a program; returns when it has come to its last line.

    load: ``load_script`` or ``load_module``, with its argument.
    arguments: the program's own.

    NotFoundError: there is no such program, or no module with a name that was given. What the
    program raises is raised.
    """
    sys.argv[:] = ["-m", *arguments]
    tell_by(_write_on_stderr)
    grace = wanted.grace
    report_after = REPORT_AFTER if grace > REPORT_AFTER else None
    interrupt_for_run(grace, given=wanted.given, report_after=report_after)
    for name in wanted.protected:
        protect(name, missing_ok=True)
    _set_own(wanted.own)
    if wanted.region == "all":
        run_threads.make_regions()
    elif wanted.region == "none":
        blocking.disable()
    try:
        _execute(load, (*wanted.protected, *wanted.own))
    except NotFoundError:
        raise
    except SystemExit as error:
        exits_with(error.args[0] if error.args else None)
        raise
    except BaseException:
        _print_without_our_frames()
        raise

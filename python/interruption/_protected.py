"""What is never interrupted inside: the standard library, this package, and what users name (S9).

Where the first two are is found out once, when this is imported; the compiled part keeps it and
answers. The paths that count are those that code objects carry (``co_filename``). They are those of
the interpreter's folder or zip as a rule, but whoever ships Python may have compiled it elsewhere.
"""

from __future__ import annotations

import encodings
import os
import sys
import threading
from types import ModuleType

from ._arguments import flag
from ._interruption import _protect, _set_protected, _unprotect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# (folder, names of what is in it, whether the module's own name must agree)
_Home = tuple[str, frozenset[str], bool]


def _folder(file: str, module: str) -> str | None:
    """The folder, with its slash, that a module's file is found from; None: it is not its file."""
    stem = file.rpartition(".")[0].removesuffix("/__init__")
    tail = module.replace(".", "/")
    if stem == tail:
        return ""
    return stem.removesuffix(tail) if stem.endswith("/" + tail) else None


def _forms(folder: str) -> set[str]:
    """It, as other paths may name it.

    A relative one is what some compiler was run in: it has nothing to do with the current folder.
    """
    if not folder.startswith("/"):
        return {folder}
    return {folder, os.path.normpath(folder) + "/", os.path.realpath(folder) + "/"}


def _folders_of(module: ModuleType, function: object) -> Iterator[str]:
    """Where that module is found from, by its file and by the code of a function of it.

    Somebody may have put another function in its place.
    """
    code = getattr(function, "__code__", None)
    for file in (getattr(module, "__file__", None), getattr(code, "co_filename", None)):
        folder = _folder(file, module.__name__) if isinstance(file, str) else None
        if folder is not None:
            yield folder


def _standard_folders() -> Iterator[str]:
    """Where the interpreter has its library, and where it has taken it from."""
    version = "{}.{}".format(*sys.version_info)
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        library = f"{prefix}/{sys.platlibdir}/python"
        yield f"{library}{version}{'t' if 't' in sys.abiflags else ''}/"
        yield f"{library}{version.replace('.', '')}.zip/"
    # Imported before any folder of the user's is looked at; and a third one, as the first two may
    # be in the interpreter's own zip.
    yield from _folders_of(encodings, encodings.search_function)
    yield from _folders_of(os, os.makedirs)
    yield from _folders_of(threading, threading.settrace)


def _homes() -> tuple[_Home, ...]:
    """All that ``_set_protected`` wants to know."""
    standard = sys.stdlib_module_names
    # "<frozen os>", "<frozen importlib.util>": what is cut off there is "os>" and "importlib".
    frozen = standard | {name + ">" for name in standard}
    homes: set[_Home] = {("<frozen ", frozen, False)}
    for folder in _standard_folders():
        homes |= {(form, standard, not form.startswith("/")) for form in _forms(folder)}
    for folder in _folders_of(sys.modules[__name__], _homes):
        ours = frozenset({__name__.partition(".")[0]})
        homes |= {(form, ours, not form.startswith("/")) for form in _forms(folder)}
    return tuple(homes)


def _name(module_or_prefix: ModuleType | str) -> str:
    """What the modules' names begin with."""
    name = module_or_prefix
    if isinstance(name, ModuleType):
        name = name.__name__
    if not isinstance(name, str):
        raise TypeError(f"give a module or a module's name, not {type(name).__name__}")
    # Modules that are found by name only may be called "2to3" or "my-tool".
    if not all(f"_{part.replace('-', '_')}".isidentifier() for part in name.split(".")) or (
        "" in name.split(".")
    ):
        raise ValueError(
            f"{name!r} is no module's name: give an absolute one with dots, as 'package.module'"
        )
    return name


def _is_found(name: str) -> bool:
    """Whether there is such a module, or can be; nothing is imported to find out."""
    from importlib.util import find_spec  # noqa: PLC0415  (not before it is needed)

    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return _is_found(parent)  # it would have to be imported
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # the parent is no package
    except Exception:  # noqa: BLE001  (of a finder's own)
        return True


def is_sure(name: str) -> bool:
    """Whether a module that was found is there for certain.

    What is below a package that has not been imported, that alone knows.
    """
    parent = name.rpartition(".")[0]
    return name in sys.modules or not parent or parent in sys.modules


def not_found(name: str) -> str | None:
    """What is wrong with a name that no module has; None: nothing."""
    import difflib  # noqa: PLC0415  (not before it is needed)
    import pkgutil  # noqa: PLC0415

    if _is_found(name):
        return None
    known = {*sys.modules, *(module.name for module in pkgutil.iter_modules())}
    similar = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {similar[0]!r}?)" if similar else ""
    return f"there is no module {name!r}{hint}"


def _check_found(name: str) -> None:
    wrong = not_found(name)
    if wrong is not None:
        raise ModuleNotFoundError(
            f"{wrong}: to protect one that is made or installed later, say missing_ok=True",
            name=name,
        )


def protect(module_or_prefix: ModuleType | str, /, *, missing_ok: bool = False) -> None:
    """Never interrupt between the statements of a module (S9), for all threads from now on.

    A thread that is asked to stop while it runs that module's code stops when it is back in other
    code. For code that must not be left half done and cannot be edited; in one's own,
    ``with defer_interruption`` says more exactly what is meant. Blocking calls stay interruptible.

    module_or_prefix: a module, or its name as in ``module.__name__``; it need not be imported yet.
        Of a package, all modules below it are protected, too.
    missing_ok: True for a name that no module has now: of one that may not be installed, or is made
        by the program. Else such a name is an error.

    Protecting twice is protecting once. The standard library and this package are protected always.

    TypeError: neither a module nor a str. ValueError: a str that cannot be a module's name.
    ModuleNotFoundError: a name that no module has. Then nothing has changed.
    """
    name = _name(module_or_prefix)
    if not flag(missing_ok, "missing_ok") and not isinstance(module_or_prefix, ModuleType):
        _check_found(str.__str__(name))
    _protect(name)


def unprotect(module_or_prefix: ModuleType | str, /) -> None:
    """Take a ``protect`` of the same module or name back (S9).

    Without it: nothing. What is protected by another name stays so: ``unprotect("a.b")`` changes
    nothing where ``a`` is protected, nor for the standard library. Raises as ``protect``, but that
    no module need have the name.
    """
    _unprotect(_name(module_or_prefix))


_set_protected(_homes())

"""Docstrings as they are written here, and types of the C module, for Sphinx's autodoc.

Docstrings are written to be read by ``help()``: a line ``name: meaning`` for each argument or
attribute, and ``ValueError: when`` for errors. Sphinx is given fields instead. The C module's
signatures have no types; those of its stubs are shown.
"""

import ast
import builtins
import importlib.resources
import re
from dataclasses import is_dataclass
from typing import Any

# "name: meaning", or several names with one meaning; goes on in indented lines.
ENTRY = re.compile(r"^(\w+(?:, \w+)*): (?=\S)")
# The names of errors begin a sentence: "TypeError: ...", "TypeError, ValueError: ...".
ERROR = re.compile(r"(?:^|(?<=[.;] ))([A-Z]\w+(?:, [A-Z]\w+)*): ")

# A class as a default value.
CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>")


def _is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def _errors(text: str) -> list[str]:
    """The fields of a paragraph "AError: when. BError: when."; none, if it is no such."""
    before, *parts = ERROR.split(text)
    told = [(names.split(", "), when) for names, when in zip(parts[::2], parts[1::2], strict=True)]
    if before or not told or not all(_is_error(name) for names, _ in told for name in names):
        return []
    return [f":raises {name}: {when.strip()}" for names, when in told for name in names]


def _entries(paragraph: list[str], kind: str) -> list[str]:
    """A paragraph that begins with a line "name: meaning", as fields; then what is left of it."""
    made: list[str] = []
    rest = paragraph
    while rest and _is_entry(rest[0]):
        names, _, meaning = rest[0].partition(": ")
        lines = 1
        while lines < len(rest) and rest[lines].startswith(" "):
            lines += 1
        text = " ".join([meaning, *(line.strip() for line in rest[1:lines])])
        made += [f":{kind} {name}: {text}" for name in names.split(", ")]
        rest = rest[lines:]
    return [*made, "", *rest]


def _is_entry(line: str) -> bool:
    entry = ENTRY.match(line)
    return entry is not None and entry[1][:1].islower() and not _is_error(entry[1])


def _converted(paragraph: list[str], before: str, kind: str) -> list[str]:
    if paragraph[0].startswith("    "):
        return paragraph if before.endswith("::") else [".. code-block:: python", "", *paragraph]
    errors = _errors(" ".join(line.strip() for line in paragraph))
    if errors:
        return errors
    if _is_entry(paragraph[0]):
        return _entries(paragraph, kind)
    return paragraph


def fields(lines: list[str], kind: str) -> list[str]:
    """A docstring's lines, with fields of that kind ("param", "ivar") for what is told by name."""
    made: list[str] = []
    paragraph: list[str] = []
    before = ""
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            made += [*_converted(paragraph, before, kind), ""]
            before, paragraph = paragraph[-1], []
    return made


def _signatures() -> dict[str, tuple[str, str | None]]:
    """Arguments and result, by name: of what has no types itself, or whose types autodoc spoils."""
    package = importlib.resources.files("interruption")
    found = {}
    for file in ("_interruption.pyi", "_process.py"):
        for node in ast.parse(package.joinpath(file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                result = None if node.returns is None else ast.unparse(node.returns)
                found[node.name] = (f"({ast.unparse(node.args)})", result)
            elif isinstance(node, ast.ClassDef):
                for made in node.body:
                    if isinstance(made, ast.FunctionDef) and made.name in ("__new__", "__init__"):
                        first = made.args.posonlyargs or made.args.args
                        del first[0]
                        found[node.name] = (f"({ast.unparse(made.args)})", None)
    return found


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry point."""
    signatures = _signatures()

    def docstring(
        _app: Any, _what: str, _name: str, value: Any, _options: Any, lines: list[str]
    ) -> None:
        # What is told by name of a data class are its attributes.
        lines[:] = fields(lines, "ivar" if is_dataclass(value) else "param")

    def signature(
        _app: Any,
        what: str,
        name: str,
        _value: Any,
        _options: Any,
        arguments: str | None,
        result: str | None,
    ) -> tuple[str | None, str | None]:
        if arguments is not None:
            arguments = CLASS.sub(r"\1", arguments)
        if what in ("function", "class", "exception") and name.count(".") == 1:
            return signatures.get(name.rpartition(".")[2], (arguments, result))
        return arguments, result

    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

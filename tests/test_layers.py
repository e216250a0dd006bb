"""The shape of `src`: rooms that call downwards only, files and functions that can be read, names
that are found. docs/architecture.md says what each room is for.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.anywhere

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
# The lowest first. What stands in src/module itself puts the rooms together; only `state` is for
# all of them.
ROOMS = [
    "core", "state", "cpython", "interpose", "safepoints", "thread", "shutdown", "delivery",
    "blocking", "api", "module",
]  # fmt: skip
# What is compiled for one version or the other has one header.
TWINS = {"monitoring": "events", "tracing": "events", "joins_by_lock": "joins"}

NM = shutil.which("nm")

TEXTS = {
    path: re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    for path in sorted(SRC.rglob("*.[ch]"))
}
HEADERS = {path.name: path for path in TEXTS if path.suffix == ".h"}
ATOMIC = re.compile(r"_Atomic\((?:[^()]|\([^()]*\))*\) ?")
PUBLIC = r"(?:itr|mod)_\w+"
# In our style a definition begins a line, and so does its brace.
DEFINITION = re.compile(
    rf"^(?:\w[^\n=;(]*[ *])?({PUBLIC})(?=\([^;{{]*\)\n\{{|(?:\[\w*\])?(?: = [^;]*)?;)", re.MULTILINE
)


def defined_in(text: str) -> Iterable[str]:
    """What a file of C defines for itself."""
    yield from re.findall(r"^MOD_(?:REPLACEMENT|ORIGINAL)\((\w+)", text, re.MULTILINE)
    yield from re.findall(r"^static [^;=(]*?\{.*?\} (\w+)", text, re.DOTALL | re.MULTILINE)
    for found in re.findall(r"^(?:MOD_SELDOM )?static\b[^;{=]*", text, re.MULTILINE):
        declared = ATOMIC.sub("", found).strip()
        pointer = re.match(r"static [\w ]+\(\*(\w+)\)\(", declared)
        function = re.search(r"(\w+)\(", declared)
        if pointer or function:
            yield (pointer or function)[1]
        elif not declared.endswith(("struct", "enum")):
            yield from re.findall(r"(\w+)(?=(?:\[[^]]*\])*(?:,|$))", declared)


def room_of(path: Path) -> str:
    layer, *rooms, _ = path.relative_to(SRC).parts
    if path.stem == "state":
        return "state"
    return "core" if layer == "core" else [*rooms, "module"][0]


def unit_of(path: Path) -> str:
    return TWINS.get(path.stem, path.stem).removeprefix("itr_")


def included() -> Iterable[tuple[Path, Path]]:
    for path, text in TEXTS.items():
        for name in re.findall(r'#include "(?:[\w/]+/)?(\w+\.h)"', text):
            if name in HEADERS:
                yield path, HEADERS[name]


def named() -> Iterable[tuple[Path, Path]]:
    """Who names whose functions and variables: of all versions and systems, built or not."""
    home = {
        name: path
        for path, text in TEXTS.items()
        if path.suffix == ".c"
        for name in DEFINITION.findall(ATOMIC.sub("", text))
    }
    assert len(home) > 400
    for path, text in TEXTS.items():
        for name in set(re.findall(PUBLIC, text)) & home.keys() if path.suffix == ".c" else ():
            yield path, home[name]


def called() -> Iterable[tuple[Path, Path]]:
    """The same of what has been built here, as the linker sees it."""
    objects = {
        str(path.relative_to(SRC / layer)).replace("/", "_") + ".o": path
        for path in TEXTS
        for layer in ("core", "module")
        if path.is_relative_to(SRC / layer)
    }
    home, wanted = {}, []
    for built in ROOT.glob("build*/**/src/**/*.c.o"):
        if built.name not in objects:
            continue
        told = subprocess.run([NM, str(built)], check=True, capture_output=True, text=True)
        for *_, kind, name in map(str.split, told.stdout.splitlines()):
            if kind == "U":
                wanted.append((objects[built.name], name))
            elif kind.isupper():
                home[name] = objects[built.name]
    return [(path, home[name]) for path, name in wanted if name in home]


def check(uses: Iterable[tuple[Path, Path]]) -> None:
    users = defaultdict(set)
    for path, other in uses:
        below = ROOMS.index(room_of(other)) <= ROOMS.index(room_of(path))
        assert below, f"{path.relative_to(SRC)} uses {other.relative_to(SRC)}, which is above it"
        if unit_of(path) != unit_of(other):
            users[unit_of(path)].add(unit_of(other))
    TopologicalSorter(users).prepare()  # CycleError: these units use each other


def test_what_is_included_is_below():
    check(included())


def test_what_is_named_is_below():
    check([*included(), *named()])


@pytest.mark.skipif(NM is None, reason="there is no nm")
@pytest.mark.skipif(not any(ROOT.glob("build*/**/src/**/*.c.o")), reason="nothing is built here")
def test_what_is_called_is_below():
    check(called())


def test_every_room_has_its_place():
    assert {room_of(path) for path in TEXTS} == set(ROOMS)


def test_no_two_files_have_one_name():
    names = Counter(path.name for path in TEXTS if path.parent.name != "posix")  # linux's twins
    assert [name for name, times in names.items() if times > 1] == []


def test_no_file_is_longer_than_600_lines_and_no_function_than_60():
    for path in [*TEXTS, *(ROOT / "python").rglob("*.py")]:
        assert path.read_text().count("\n") <= 600, path
    for path, text in TEXTS.items():
        for function in re.findall(
            r"^\w[^\n;=]*\([^;{}]*\)\n\{\n.*?^\}", text, re.DOTALL | re.MULTILINE
        ):
            assert function.count("\n") < 60, f"{path}: {function[:60]}"


# The modules for frameworks show that what is public is enough. Private names in them are others'.
PYTHON = ROOT / "python" / "interruption"
MODULES = {*PYTHON.rglob("[!_]*.py")} - {PYTHON / "blocking.py", *PYTHON.glob("_*/*.py")}
THEIRS = {"_Context", "_activity", "_getframe", "_task_spec", "_typeshed"}


@pytest.mark.parametrize(
    "module", sorted(MODULES), ids=lambda module: str(module.relative_to(PYTHON))
)
def test_a_module_for_a_framework_is_short_and_uses_what_is_public(module):
    text = module.read_text()
    assert text.count("\n") <= 150
    own, used = set(), set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                own.add(name)
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(attr=name):
                used.add(name)
            case ast.Import() | ast.ImportFrom():
                used |= set((getattr(node, "module", None) or "").split("."))
                used |= {part for each in node.names for part in each.name.split(".")}
    private = {name for name in used - own if re.match("_(?!_)", name)}
    assert private <= THEIRS


def test_no_static_name_stands_in_two_files():
    """grep, gdb and perf find one thing by a name."""
    places = defaultdict(set)
    for path, text in TEXTS.items():
        for name in defined_in(text) if path.suffix == ".c" else ():
            places[name].add(unit_of(path))
    assert len(places) > 700
    assert {name: where for name, where in places.items() if len(where) > 1} == {}

"""The C header, through the example extension that a user would write."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import interruption
import pytest
from interruption import ThreadExit, interrupt, interruption_requested, wait_for_interruption
from support import Started

pytestmark = pytest.mark.xdist_group("c_api")  # the extensions are built once

EXAMPLE = Path(__file__).parents[1] / "examples" / "c_extension"
FOR_EVER = 2**63


@pytest.fixture(scope="session")
def countdown(tmp_path_factory):
    """The extension, built as docs/c-api.md says, into a folder of its own."""
    target = tmp_path_factory.mktemp("countdown")
    root = tmp_path_factory.mktemp("root")
    source = root / "examples" / "c_extension"
    source.mkdir(parents=True)
    for file in EXAMPLE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    # The tests' environment has what the first installs, so nothing is fetched.
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for command in documented_command().split("&&"):
        name, *arguments = shlex.split(command)
        assert name == "pip"
        if source.relative_to(root).as_posix() in arguments:
            arguments += ["--no-deps", "--target", str(target)]
        subprocess.run([*pip, *arguments], check=True, cwd=root, env=build_environment())
    sys.path.insert(0, str(target))
    try:
        yield importlib.import_module("countdown")
    finally:
        sys.path.remove(str(target))


def documented_command():
    page = Path(__file__).parents[1] / "docs" / "c-api.md"
    (command,) = re.findall(r"```sh\n(.*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL)
    return command


def build_environment():
    import os

    return {**os.environ, "CFLAGS": os.environ.get("CFLAGS", "") + " -Wall -Wextra -Werror"}


def test_the_header_is_found():
    assert Path(interruption.get_include(), "interruption.h").is_file()


def test_a_loop_that_nobody_interrupts_ends_by_itself(countdown):
    assert countdown.countdown(1000) == 0
    assert countdown.countdown_attached(1000) is None


@pytest.mark.parametrize("function", ["countdown", "countdown_attached"])
def test_a_long_loop_stops_when_its_thread_is_asked(countdown, function):  # S1, S5
    def body(started):
        started.ready.set()
        getattr(countdown, function)(FOR_EVER)

    with Started(body) as other:
        assert interrupt(other.thread, reason="enough")
        with pytest.raises(ThreadExit, match="enough"):
            other.finish()


def test_a_loop_stops_at_once_when_its_thread_was_asked_before(countdown):  # S4
    interrupt(threading.get_ident())
    for _ in range(2):
        with pytest.raises(ThreadExit):
            countdown.countdown(FOR_EVER)


def test_another_threads_request_does_not_stop_it(countdown):
    with Started(lambda started: started.ready.set() or wait_for_interruption()) as other:
        interrupt(other.thread)
        assert countdown.countdown(1000) == 0


def test_a_thread_is_asked_from_c(countdown):  # S1, S2
    me = threading.get_ident()
    assert countdown.ask(me) is True
    assert countdown.ask(me) is False
    assert interruption_requested()
    with Started(lambda started: started.ready.set() or countdown.countdown(FOR_EVER)) as other:
        assert countdown.ask(other.thread.ident, LookupError, "from C") is True
        with pytest.raises(LookupError) as caught:
            other.finish()
        assert caught.value.reason == "from C"


def test_errors_are_those_of_interrupt(countdown):  # S1, S2
    me = threading.get_ident()
    with pytest.raises(ValueError, match="no live Python thread has the ident 0"):
        countdown.ask(0)
    with pytest.raises(ValueError, match="no live Python thread has the ident 12345"):
        countdown.ask(12345)
    with pytest.raises(TypeError, match="subclass of BaseException"):
        countdown.ask(me, int)
    with pytest.raises(TypeError, match="reason must be a str or None"):
        countdown.ask(me, ThreadExit, 3)
    assert not interruption_requested()


def build_with_header(tmp_path, header, name):
    """The example under that name, built with that header."""
    (tmp_path / "interruption.h").write_text(header)
    source = (EXAMPLE / "countdown.c").read_text().replace("PyInit_countdown", f"PyInit_{name}")
    (tmp_path / f"{name}.c").write_text(source.replace('"countdown"', f'"{name}"'))
    (tmp_path / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        f"setup(name='{name}', version='1', ext_modules=["
        f"Extension('{name}', ['{name}.c'], include_dirs=['.'])])\n"
    )
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)


def test_an_extension_compiled_for_another_abi_is_refused_in_words(tmp_path, monkeypatch):
    header = Path(interruption.get_include(), "interruption.h").read_text()
    newer = header.replace(
        "#define INTERRUPTION_ABI_VERSION 1", "#define INTERRUPTION_ABI_VERSION 99"
    )
    assert newer != header
    build_with_header(tmp_path, newer, "future")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"ABI version 99 .* but version 1 is installed"):
        importlib.import_module("future")


def test_an_extension_compiled_with_an_older_header_works(tmp_path, monkeypatch):
    """One from before there were scopes: its table is shorter, and it asks for all of that."""
    header = Path(interruption.get_include(), "interruption.h").read_text()
    slots = re.search(
        r"    /\* Scopes\. An earlier .*?(?=\} Interruption_CAPI;)", header, re.DOTALL
    )
    fills = re.search(r"    Interruption_NotImportedNew,.*?(?=\};)", header, re.DOTALL)
    functions = re.search(r"/\*\n \* Scopes: .*?(?=#ifdef __cplusplus\n\})", header, re.DOTALL)
    older = header
    for part in (slots, fills, functions):
        older = older.replace(part[0], "")
    older = older.replace("offsetof(Interruption_CAPI, new_scope)", "sizeof(Interruption_CAPI)")
    assert "scope(" not in older
    build_with_header(tmp_path, older, "of_an_older_header")
    monkeypatch.syspath_prepend(tmp_path)
    past = importlib.import_module("of_an_older_header")
    assert past.countdown_attached(1000) is None
    assert past.ask(threading.get_ident()) is True
    with pytest.raises(ThreadExit):
        past.countdown_attached(FOR_EVER)


def test_the_header_is_plain_c_plus_plus_too(tmp_path):
    import shutil
    import sysconfig

    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    (tmp_path / "try.cpp").write_text('#include "interruption.h"\nint main() { return 0; }\n')
    include = [f"-I{interruption.get_include()}", f"-I{sysconfig.get_path('include')}"]
    options = ["-std=c++17", "-Wall", "-Wextra", "-fsyntax-only"]
    subprocess.run([compiler, *options, *include, str(tmp_path / "try.cpp")], check=True)


FORGETFUL = """
#include <interruption.h>

static PyObject *
current_flag(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return Interruption_CurrentFlag() == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
check(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return Interruption_Check() < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
interrupt(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return Interruption_Interrupt(PyThread_get_thread_ident(), NULL, NULL) < 0 ? NULL
                                                                               : Py_NewRef(Py_None);
}

static PyObject *
new_scope(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return Interruption_NewScope(1.0);
}

static PyObject *
enter_scope(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return Interruption_EnterScope(module) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
leave_scope(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return Interruption_LeaveScope(module) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
interrupt_scope(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return Interruption_InterruptScope(module, NULL, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
current_deadline(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    double when;
    return Interruption_CurrentDeadline(&when) < 0 ? NULL : PyFloat_FromDouble(when);
}

static PyObject *
check_raising(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    PyErr_SetString(PyExc_KeyError, "its own");
    return Interruption_Check() < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"current_flag", current_flag, METH_NOARGS, NULL},
    {"check", check, METH_NOARGS, NULL},
    {"interrupt", interrupt, METH_NOARGS, NULL},
    {"new_scope", new_scope, METH_NOARGS, NULL},
    {"enter_scope", enter_scope, METH_NOARGS, NULL},
    {"leave_scope", leave_scope, METH_NOARGS, NULL},
    {"interrupt_scope", interrupt_scope, METH_NOARGS, NULL},
    {"current_deadline", current_deadline, METH_NOARGS, NULL},
    {"check_raising", check_raising, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "forgetful", NULL, 0,
                                 methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit_forgetful(void)
{
    PyObject *module = PyModule_Create(&definition);
#ifdef Py_GIL_DISABLED
    if (module != NULL) {
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
    }
#endif
    return module;
}
"""
COMPILERS = [
    pytest.param(found, marks=[pytest.mark.anywhere] if "clang" in name else [])
    for name in ("cc", "c++", "clang", "clang++")
    if (found := shutil.which(name))
]


@pytest.fixture(scope="session", params=COMPILERS, ids=lambda path: Path(path).name)
def forgetful(request, tmp_path_factory):
    """An extension that does not call Interruption_Import(); C++ is to take the header, too."""
    folder = tmp_path_factory.mktemp("forgetful")
    suffix = ".cpp" if request.param.endswith("++") else ".c"
    (folder / f"forgetful{suffix}").write_text(FORGETFUL)
    includes = [f"-I{sysconfig.get_paths()['include']}", f"-I{interruption.get_include()}"]
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]
    target = folder / "forgetful.so"
    source = f"forgetful{suffix}"
    command = [request.param, *flags, *includes, "-o", str(target), source]
    subprocess.run(command, check=True, cwd=folder)
    spec = importlib.util.spec_from_file_location("forgetful", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, source


OF_SCOPES = ["new_scope", "enter_scope", "leave_scope", "interrupt_scope", "current_deadline"]


@pytest.mark.parametrize("function", ["current_flag", "check", "interrupt", *OF_SCOPES])
def test_an_import_that_was_forgotten_is_an_error_that_names_it(forgetful, function):
    module, source = forgetful
    with pytest.raises(RuntimeError) as caught:
        getattr(module, function)()
    assert str(caught.value).startswith(f"Interruption_Import() has not been called in {source}: ")
    assert not interruption_requested()


def test_an_exception_that_is_set_stays_where_the_import_was_forgotten(forgetful):
    module, _ = forgetful
    with pytest.raises(KeyError, match="its own"):
        module.check_raising()

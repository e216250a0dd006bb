"""S9: which code is never interrupted inside: the standard library's, imports, our own."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import inspect
import json
import json.decoder
import logging
import queue
import sys
import threading
import types
from pathlib import Path

import interruption
import pytest
from interruption import _interruption
from interruption._interruption import (
    _is_protected,
    _protect,
    _set_protected,
    _unprotect,
)
from protected_parts import LIBRARY, code_of, protected, run_source
from support import Started


def functions_of_the_standard_library():
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in sys.stdlib_module_names:
            for value in list(vars(module).values()):
                if isinstance(value, types.FunctionType) and value.__module__ == name:
                    yield value


def test_all_of_the_standard_library_is_protected():  # S9
    functions = [
        function
        for function in functions_of_the_standard_library()
        if function.__code__.co_filename != "<string>"
    ]
    assert len(functions) > 500
    assert [function for function in functions if not protected(function)] == []


def test_methods_and_nested_functions_of_it_are_protected():
    nested = [
        constant
        for constant in contextlib.ContextDecorator.__call__.__code__.co_consts
        if isinstance(constant, types.CodeType)
    ]
    assert nested
    for code in (threading.Condition.wait.__code__, queue.Queue.get.__code__, *nested):
        assert _is_protected(code, vars(contextlib))


def test_code_of_the_user_is_not_protected():
    assert not protected(protected)
    assert not protected(pytest.raises)  # in site-packages, often below the library's folder
    assert not _is_protected((lambda: None).__code__, globals())


def test_code_made_of_a_string_is_the_users_also_when_the_standard_library_makes_it():
    @dataclasses.dataclass
    class Point:
        x: int

    pair = collections.namedtuple("pair", "x y")  # noqa: PYI024
    namespace = {}
    exec("def function(): pass", namespace)  # noqa: S102
    for function in (Point.__init__, pair.__new__, namespace["function"]):
        assert not protected(function)
    assert not _is_protected(code_of("<string>"), vars(threading))
    assert not _is_protected(code_of("<stdin>"), vars(threading))
    assert not _is_protected(code_of(""), vars(threading))


@pytest.mark.parametrize(
    "file",
    [
        "site-packages/queue.py",
        "site-packages/json/decoder.py",
        "dist-packages/queue.py",
        "test/test_queue.py",
        "test/support/threading_helper.py",
        "../queue.py",
        "queues.py",
        "queu.py",
        "my.queue.py",
        "",
    ],
)
def test_not_all_below_the_librarys_folder_is_the_standard_library(file):
    assert not _is_protected(code_of(f"{LIBRARY}/{file}"), {"__name__": "queue"})


@pytest.mark.parametrize("file", ["queue.py", "json/decoder.py", "asyncio/events.py", "this.pyc"])
def test_all_that_has_its_names_is(file):
    assert _is_protected(code_of(f"{LIBRARY}/{file}"), {})


@pytest.mark.parametrize("file", ["queue.py", "code.py", "/home/user/queue.py", "./json/x.py"])
@pytest.mark.parametrize("name", ["queue", "__main__", "json.x", "code"])
def test_a_file_elsewhere_is_the_users_whatever_its_name(file, name):
    assert not _is_protected(code_of(file), {"__name__": name})
    assert not _is_protected(code_of(f"{Path.cwd()}/{file}"), {"__name__": name})


def test_frozen_modules_of_the_standard_library_are_protected():
    bootstrap = sys.modules["_frozen_importlib"]
    for name in ("_find_and_load", "_load_unlocked", "_call_with_frames_removed"):
        function = getattr(bootstrap, name)
        assert function.__code__.co_filename == "<frozen importlib._bootstrap>"
        assert protected(function)
    for name in ("os", "importlib.util", "importlib._bootstrap_external", "zipimport", "runpy"):
        assert _is_protected(code_of(f"<frozen {name}>"), {})


@pytest.mark.parametrize("module_globals", [{}, {"__name__": 3}, {"__name__": None}, {3: 4}])
def test_globals_without_a_name_decide_nothing(module_globals):
    assert _is_protected(threading.Thread.run.__code__, module_globals)
    assert not _is_protected(protected.__code__, module_globals)


def test_this_package_is_protected_and_its_tests_are_not():
    for function in (interruption.protect, interruption.Thread.interrupt, interruption.install):
        assert protected(function)
    assert not protected(Started.finish)
    beside = Path(interruption.__file__).parents[1] / "interruption_tools" / "__init__.py"
    assert not _is_protected(code_of(str(beside)), {"__name__": "interruption_tools"})


def frames():
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def importing():
    """By what the C code tells it by (`mod_is_import_machinery`)."""
    names = {"<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"}
    return any(frame.f_code.co_filename in names for frame in frames())


def test_while_a_module_is_imported_or_reloaded_its_machinery_is_on_the_stack(
    tmp_path, monkeypatch
):
    (tmp_path / "users_import.py").write_text("import test_hook; test_hook.seen()")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    hook = types.ModuleType("test_hook")
    hook.seen = lambda: seen.append(importing())
    monkeypatch.setitem(sys.modules, "test_hook", hook)
    assert not importing()
    module = importlib.import_module("users_import")
    monkeypatch.setitem(sys.modules, "users_import", module)
    importlib.reload(module)
    spec = importlib.util.spec_from_file_location("users_import", tmp_path / "users_import.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert seen == [True] * 3
    assert not importing()


def test_other_code_of_the_standard_library_is_no_import():
    seen = []
    threading.Thread(target=lambda: seen.append(importing())).run()
    json.loads("1", parse_int=lambda _: seen.append(importing()))
    logging.Filterer().addFilter(importing)
    assert seen == [False] * 2


def test_until_it_is_known_what_is_protected_everything_is():
    run_source(
        f"""
        from importlib.util import module_from_spec, spec_from_file_location
        spec = spec_from_file_location("_interruption", {_interruption.__file__!r})
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        code = compile("", "x.py", "exec")
        assert module._is_protected(code, {{}})
        module._protect("users_own")
        assert module._is_protected(code, {{}})
        module._set_protected((("/library/", frozenset(["queue"]), False),))
        assert not module._is_protected(code, {{}})
        assert module._is_protected(code, {{"__name__": "users_own"}})
        assert module._is_protected(compile("", "/library/queue.py", "exec"), {{}})
        """,
        path=[],
    )


def test_private_hooks_check_their_arguments():
    for wrong in ((), (1, {}), (protected.__code__, 1), (protected.__code__,)):
        with pytest.raises(TypeError):
            _is_protected(*wrong)
    for wrong in (
        [],
        (1,),
        ((),),
        (("a", frozenset(), 1),),
        (("a", [], True),),
        (("a", ("b",), True),),
        ((1, frozenset(), True),),
    ):
        with pytest.raises(TypeError, match="homes must be"):
            _set_protected(wrong)
    for function in (_protect, _unprotect):
        with pytest.raises(TypeError, match="must be a str, not int"):
            function(1)

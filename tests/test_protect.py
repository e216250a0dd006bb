"""S9: what users protect, and unprotect."""

from __future__ import annotations

import importlib
import sys
import threading
import types
from pathlib import Path

import interruption
import pytest
from chance import scaled, seeded
from interruption import protect, unprotect
from interruption._interruption import _is_protected
from protected_parts import code_of, protected, run_source
from support import PATIENCE, Started


@pytest.fixture
def make_module(tmp_path, monkeypatch):
    """Makes a module of the user's, real and importable; at the end it is forgotten."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(name):
        path = tmp_path.joinpath(*name.split("."))
        path.mkdir(parents=True)
        (path / "__init__.py").write_text("def function(): pass")
        importlib.invalidate_caches()
        made.append(name)
        return lambda: importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)
        unprotect(name)


def test_a_module_is_protected_from_then_on(make_module):
    module = make_module("users_own")()
    assert not protected(module.function)
    assert protect(module) is None
    assert protected(module.function)
    assert unprotect(module) is None
    assert not protected(module.function)


def test_a_name_protects_also_what_is_imported_later_and_what_is_below(make_module):
    protect("users_own", missing_ok=True)
    module, below = make_module("users_own")(), make_module("users_own.below")()
    beside = make_module("users_own_too")()
    assert protected(module.function)
    assert protected(below.function)
    assert not protected(beside.function)


def test_a_module_below_does_not_protect_the_package(make_module):
    package, below = make_module("users_own")(), make_module("users_own.below")()
    protect("users_own.below", missing_ok=True)
    assert protected(below.function)
    assert not protected(package.function)


def test_it_is_the_globals_name_that_counts(make_module):
    module = make_module("users_own")()
    protect("users_own", missing_ok=True)
    exec("def made(): pass", vars(module))  # noqa: S102
    assert protected(module.made)
    assert not _is_protected(module.function.__code__, {"__name__": "another"})
    assert not _is_protected(module.function.__code__, {})


def test_protecting_twice_is_protecting_once(make_module):
    module = make_module("users_own")()
    for what in (module, "users_own", module):
        protect(what)
    unprotect("users_own")
    assert not protected(module.function)


def test_unprotect_takes_back_that_name_only(make_module):
    below = make_module("users_own")() and make_module("users_own.below")()
    protect("users_own", missing_ok=True)
    unprotect("users_own.below")
    unprotect("users_ow")
    unprotect("never_protected")
    assert protected(below.function)
    protect("users_own.below", missing_ok=True)
    unprotect("users_own")
    assert protected(below.function)


def test_the_standard_library_and_this_package_stay_protected():
    for module in (threading, interruption, "interruption._thread"):
        unprotect(module)
        protect(module)
        unprotect(module)
    assert protected(threading.Thread.run)
    assert protected(interruption.Thread.interrupt)


def test_the_main_module_can_be_protected(site):
    run_source(
        """
        import interruption, probe, sys
        interruption.protect(sys.modules["__main__"])
        def function(): pass
        assert probe.protected(function)
        interruption.unprotect("__main__")
        assert not probe.protected(function)
        """,
        path=[site],
    )


def test_names_beyond_ascii_are_names():
    for name in ("größe", "模块.部分", "a\N{MATHEMATICAL BOLD SMALL B}", "2to3", "my-tool.x"):
        protect(name, missing_ok=True)
        code = code_of("x.py")
        assert _is_protected(code, {"__name__": name})
        assert _is_protected(code, {"__name__": name + ".below"})
        assert not _is_protected(code, {"__name__": name + "x"})
        unprotect(name)
        assert not _is_protected(code, {"__name__": name})


class Name(str):
    __slots__ = ()

    def __eq__(self, other):
        raise AssertionError

    def __hash__(self):
        raise AssertionError


def test_no_method_of_a_str_of_another_class_is_called():
    protect(Name("users_own"), missing_ok=True)
    assert _is_protected(code_of("x.py"), {"__name__": Name("users_own.x")})
    unprotect(Name("users_own"))
    assert not _is_protected(code_of("x.py"), {"__name__": Name("users_own.x")})


@pytest.mark.parametrize("function", [protect, unprotect])
def test_what_is_no_module_and_no_name_is_refused(function):
    for wrong in (None, 3, b"a", Path("a"), ["a"], object(), protected):
        with pytest.raises(TypeError, match="give a module or a module's name, not "):
            function(wrong)
    nameless = types.ModuleType("x")
    nameless.__name__ = None
    with pytest.raises(TypeError, match="not NoneType"):
        function(nameless)
    for wrong in ("", ".", ".x", "x.", "a..b", "a b", "a/b.py", "a.*", "a\0b", "\ud800"):
        with pytest.raises(ValueError, match="no module's name: give an absolute one"):
            function(wrong)
    with pytest.raises(TypeError):
        function()


def test_a_name_that_no_module_has_is_refused(make_module):
    """A slip of the pen would protect nothing, in silence."""
    make_module("users_package")
    make_module("users_package.below")
    code = code_of("x.py")
    for wrong, hint in {
        "users_packge": "did you mean 'users_package'?",
        "interuption": "did you mean 'interruption'?",
        "no_such_module_anywhere": "",
        "no_such_module_anywhere.below": "",
        "os.nothing": "",
        "interruption._nothing": "",
        "json.decodr": "",
    }.items():
        with pytest.raises(ModuleNotFoundError, match="there is no module") as caught:
            protect(wrong)
        assert hint in str(caught.value)
        assert caught.value.name == wrong
        assert not _is_protected(code, {"__name__": wrong})
        unprotect(wrong)
        protect(wrong, missing_ok=True)
        assert _is_protected(code, {"__name__": wrong})
        unprotect(wrong)


def test_a_module_is_found_before_it_is_imported_and_not_imported_for_that(make_module):
    make_module("users_package")
    make_module("users_package.below")
    for name in ("users_package", "users_package.below", "users_package.not_known_yet"):
        protect(name)
        unprotect(name)
    assert "users_package" not in sys.modules


def test_a_finder_that_fails_says_nothing(monkeypatch):
    class Broken:
        def find_spec(self, *_):
            raise RuntimeError("broken")

    for name in ("difflib", "pkgutil"):  # with which it looks for a name
        importlib.import_module(name)
    monkeypatch.setattr(sys, "meta_path", [Broken()])
    protect("who_knows")  # it may be there
    unprotect("who_knows")


def test_threads_protect_and_ask_at_once():
    """Each thread's own name is protected exactly while it says so; what stays stays."""
    code = code_of("x.py")
    protect("stays", missing_ok=True)

    def body(started):
        mine = f"own.t{threading.get_ident()}"
        choose = seeded(mine, anew=True)
        started.ready.set()
        started.go.wait(PATIENCE)
        for _ in range(scaled(2000)):
            count = choose.randrange(3)
            for _ in range(count):
                protect(mine, missing_ok=True)
            assert _is_protected(code, {"__name__": mine + ".x"}) is (count > 0)
            assert _is_protected(code, {"__name__": "stays"})
            unprotect(mine)
            assert not _is_protected(code, {"__name__": mine})

    others = [Started(body).until_ready() for _ in range(4)]
    for other in others:
        other.go.set()
    for other in others:
        other.finish()
    unprotect("stays")


def test_a_signal_handler_protects_while_its_thread_does(site):
    run_source(
        """
        import signal
        from interruption import protect, unprotect
        from interruption._interruption import _is_protected
        code, names = compile("", "x.py", "exec"), []
        def handler(*_):
            name = f"handler.n{len(names)}"  # the next signal may come before this one is done
            names.append(name)
            protect(name, missing_ok=True)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while len(names) < 100:
            protect("mine", missing_ok=True)
            assert _is_protected(code, {"__name__": "mine"})
            unprotect("mine")
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert all(_is_protected(code, {"__name__": name}) for name in names)
        """,
        path=[site],
    )

"""S9: which code is never interrupted inside. Each way of shipping Python is tried in a process."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import inspect
import json
import json.decoder
import logging
import os
import py_compile
import queue
import random
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import threading
import types
import venv
import zipapp
import zipfile
from pathlib import Path

import interruption
import pytest
from interruption import _interruption, protect, unprotect
from interruption._interruption import (
    _is_import_machinery,
    _is_protected,
    _protect,
    _set_protected,
    _unprotect,
)
from support import PATIENCE, Started, scaled

LIBRARY = Path(sysconfig.get_path("stdlib"))

# What the processes import to look for themselves.
PROBE = """
    import contextlib, importlib, json.decoder, logging, os, queue, runpy, sys, threading
    import interruption
    from interruption._interruption import _is_protected

    STANDARD = [
        threading.Thread.run, queue.Queue.get, json.decoder.JSONDecoder.decode, logging.info,
        contextlib.ExitStack.close, os.makedirs, os.path.join, importlib.import_module,
        importlib._bootstrap._find_and_load, runpy.run_path,
        sys.modules["encodings"].search_function, sys.modules["codecs"].getincrementaldecoder,
    ]
    OURS = [interruption.protect, interruption.Thread.interrupt, interruption.install]

    def protected(function):
        return _is_protected(function.__code__, function.__globals__)

    def file(function):
        return function.__code__.co_filename

    def check():
        for function in STANDARD + OURS:
            assert protected(function), (function, file(function))
        for function in (protected, file, check):
            assert not protected(function), (function, file(function))
"""


def protected(function):
    return _is_protected(function.__code__, function.__globals__)


def code_of(file):
    """A code object as the compiler makes it for a file of that name."""
    return compile("pass", file, "exec")


def copy_package(folder):
    """This package, in that folder, however it is installed here."""
    package = folder / "interruption"
    package.mkdir(parents=True)
    for source in Path(interruption.__file__).parent.glob("*.py"):
        shutil.copy(source, package)
    shutil.copy(_interruption.__file__, package)
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder with this package and `probe`, for PYTHONPATH."""
    folder = copy_package(tmp_path_factory.mktemp("site"))
    (folder / "probe.py").write_text(textwrap.dedent(PROBE))
    return folder


def run(*arguments, path, executable=sys.executable, **popen):
    """Run Python so, with that PYTHONPATH; it must succeed and be silent."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        **popen.pop("env", {}),
    }
    done = subprocess.run(
        [executable, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment,
        **popen,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run_source(source, **how):
    run("-c", textwrap.dedent(source), **how)


@pytest.fixture(scope="session")
def library_files(site):
    """The files of the standard library that a process with `probe` needs."""
    source = """
        import sys, zipimport, probe
        files = {getattr(module, "__file__", None) for module in sys.modules.values()}
        print("\\n".join(file for file in files if file))
    """
    environment = {**os.environ, "PYTHONPATH": str(site)}
    listed = subprocess.check_output(
        [sys.executable, "-c", textwrap.dedent(source)], text=True, env=environment
    )
    files = [Path(line) for line in listed.splitlines()]
    alias = LIBRARY / "collections" / "abc.py"  # in sys.modules it is another module
    if alias.exists() and alias not in files:
        files.append(alias)
    return [
        file.relative_to(LIBRARY)
        for file in files
        if file.suffix == ".py"
        and file.is_relative_to(LIBRARY)
        and "-packages" not in str(file.relative_to(LIBRARY))
    ]


def home_with(tmp_path, library_files, put):
    """A PYTHONHOME whose library is what `put(source, relative path, target)` has put there."""
    library = tmp_path / "home" / sys.platlibdir / LIBRARY.name
    for file in library_files:
        target = library / file
        target.parent.mkdir(parents=True, exist_ok=True)
        put(LIBRARY / file, file, target)
    environment = {"PYTHONHOME": f"{tmp_path / 'home'}:{sys.base_exec_prefix}"}
    return library, environment


# The standard library.


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


def test_frozen_modules_of_the_user_are_not(site):
    source = """
        import __hello__, probe  # frozen, and in no library
        assert probe.file(__hello__.main) == "<frozen __hello__>"
        assert not probe.protected(__hello__.main)
    """
    run("-X", "frozen_modules=on", "-c", textwrap.dedent(source), path=[site])
    for name in ("mine", "mine.os", "osx", "o", "", "__main__"):
        assert not _is_protected(code_of(f"<frozen {name}>"), {"__name__": "os"})


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


# The same, shipped in other ways.


def test_in_a_plain_process(site):
    run_source("import probe; probe.check()", path=[site])


def test_in_an_isolated_process_without_site(site):
    run_source(
        f"import sys; sys.path.insert(0, {str(site)!r}); import probe; probe.check()", path=[]
    )
    source = f"import sys; sys.path.insert(0, {str(site)!r}); import probe; probe.check()"
    run("-I", "-S", "-c", source, path=[])


def test_without_frozen_modules(site):
    source = """
        import importlib.util, probe
        assert probe.file(importlib.util.find_spec).endswith("util.py")
        probe.check()
        assert probe.protected(importlib.util.find_spec)
    """
    run("-X", "frozen_modules=off", "-c", textwrap.dedent(source), path=[site])


@pytest.mark.parametrize("symlinks", [True, False])
def test_in_a_virtual_environment(site, tmp_path, symlinks):
    venv.create(tmp_path / "env", symlinks=symlinks, with_pip=False)
    (packages,) = (tmp_path / "env").glob(f"lib/{LIBRARY.name}/site-packages")
    (packages / "users.py").write_text("def function(): pass")
    run_source(
        """
        import sys, probe, users
        assert sys.prefix != sys.base_prefix
        probe.check()
        assert not probe.protected(users.function)
        """,
        path=[site],
        executable=str(tmp_path / "env" / "bin" / "python"),
    )


def test_from_a_zip(site, tmp_path, library_files):
    archive = tmp_path / "library.zip"
    with zipfile.ZipFile(archive, "w") as library:
        for file in library_files:
            library.write(LIBRARY / file, str(file))
        library.writestr("users.py", "def function(): pass")
    run_source(
        f"""
        import probe, threading, users
        assert threading.__file__.startswith({str(archive)!r})
        assert probe.file(threading.Thread.run).startswith({str(archive)!r})
        probe.check()
        assert not probe.protected(users.function)
        """,
        path=[archive, site],
    )


def test_moved_to_another_folder(site, tmp_path, library_files):
    library, environment = home_with(
        tmp_path, library_files, lambda source, _, target: shutil.copy(source, target)
    )
    packages = copy_package(library / "site-packages")
    (packages / "queue_user.py").write_text("def function(): pass")
    run_source(
        f"""
        import probe, queue_user, threading
        assert threading.__file__.startswith({str(library)!r})
        assert probe.interruption.__file__.startswith({str(packages)!r})
        probe.check()
        assert not probe.protected(queue_user.function)
        """,
        path=[packages, site],
        env=environment,
    )


def test_reached_by_a_symbolic_link(site, tmp_path, library_files):
    _, environment = home_with(
        tmp_path, library_files, lambda source, _, target: shutil.copy(source, target)
    )
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "site").symlink_to(site)
    environment = {"PYTHONHOME": environment["PYTHONHOME"].replace("home", "link")}
    run_source(
        f"""
        import os, probe, threading
        assert threading.__file__.startswith({str(tmp_path / "link")!r})
        probe.check()
        # What is compiled by the other name is the same.
        file = {str(tmp_path / "home")!r} + threading.__file__.partition("/link")[2]
        assert os.path.samefile(file, threading.__file__)
        assert probe._is_protected(compile("", file, "exec"), {{}})
        """,
        path=[tmp_path / "site"],
        env=environment,
    )


@pytest.mark.parametrize("elsewhere", ["/build/python/Lib/", "Lib/", ""])
def test_compiled_elsewhere_and_without_sources(site, tmp_path, library_files, elsewhere):
    library, environment = home_with(
        tmp_path,
        library_files,
        lambda source, file, target: py_compile.compile(
            str(source), cfile=str(target.with_suffix(".pyc")), dfile=f"{elsewhere}{file}"
        ),
    )
    work = tmp_path / "work"
    work.mkdir()
    for name in ("code.py", "statistics.py", "Lib"):
        if name.endswith(".py"):
            (work / name).write_text("def function(): pass")
    source = f"""
        import code, os, statistics, threading
        import probe
        assert threading.__file__ == {str(library / "threading.pyc")!r}
        assert probe.file(threading.Thread.run) == {elsewhere + "threading.py"!r}
        probe.check()
        assert not probe.protected(code.function)
        assert not probe.protected(statistics.function)
        # A script may be called like a module.
        script = compile("", {elsewhere + "code.py"!r}, "exec")
        if not {elsewhere!r}.startswith("/"):
            assert not probe._is_protected(script, {{"__name__": "__main__"}})
            assert not probe._is_protected(script, {{}})
    """
    run_source(source, path=[site], env=environment, cwd=work)


def test_an_editable_install_has_its_sources_and_its_compiled_part_apart(site, tmp_path):
    build = tmp_path / "build"
    build.mkdir()
    sources = tmp_path / "python" / "interruption"
    shutil.copytree(site / "interruption", sources)
    (compiled,) = sources.glob("_interruption.*.so")
    shutil.move(compiled, build)
    (tmp_path / "python" / "beside.py").write_text("def function(): pass")
    shutil.copy(site / "probe.py", tmp_path / "probe.py")
    run_source(
        f"""
        import importlib.util, sys

        class Finder:
            def find_spec(self, name, path, target=None):
                if name == "interruption":
                    return importlib.util.spec_from_file_location(
                        name, {str(sources / "__init__.py")!r}, submodule_search_locations=[])
                if name == "interruption._interruption":
                    return importlib.util.spec_from_file_location(
                        name, {str(build / compiled.name)!r})
                if name.startswith("interruption."):
                    return importlib.util.spec_from_file_location(
                        name, {str(sources)!r} + "/" + name.partition(".")[2] + ".py")

        sys.meta_path.insert(0, Finder())
        import probe, beside
        assert probe.interruption.__file__ == {str(sources / "__init__.py")!r}
        probe.check()
        assert not probe.protected(beside.function)
        """,
        path=[tmp_path, tmp_path / "python"],
    )


# The user's own, started in all ways.

USERS = """
    import sys, probe
    def function(): pass
    assert not probe.protected(function), probe.file(function)
    assert not probe._is_protected(sys._getframe().f_code, globals())
    probe.check()
"""


def test_a_script_that_is_called_like_a_standard_module(site, tmp_path):
    for name in ("code.py", "statistics.py"):
        (tmp_path / name).write_text(textwrap.dedent(USERS))
        run(name, path=[site], cwd=tmp_path)
        run(f"./{name}", path=[site], cwd=tmp_path)
        run(tmp_path / name, path=[site])


def test_a_module_that_is_called_like_a_standard_one_and_shadows_it(site, tmp_path):
    (tmp_path / "statistics.py").write_text(textwrap.dedent(USERS))
    (tmp_path / "xmlrpc").mkdir()
    (tmp_path / "xmlrpc" / "__init__.py").touch()
    (tmp_path / "xmlrpc" / "client.py").write_text(textwrap.dedent(USERS))
    run("-c", "import statistics, xmlrpc.client", path=[site], cwd=tmp_path)
    run("-m", "statistics", path=[site], cwd=tmp_path)
    run("-m", "xmlrpc.client", path=[site], cwd=tmp_path)


def test_a_package_run_as_a_module_and_a_command(site, tmp_path):
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "__main__.py").write_text(textwrap.dedent(USERS))
    run("-m", "users", path=[site], cwd=tmp_path)
    run("users", path=[site], cwd=tmp_path)
    run("-c", textwrap.dedent(USERS), path=[site])


def test_an_application_in_a_zip(site, tmp_path):
    users = tmp_path / "users"
    users.mkdir()
    (users / "__main__.py").write_text(textwrap.dedent(USERS) + "import statistics")
    (users / "statistics.py").write_text(textwrap.dedent(USERS))
    zipapp.create_archive(users, tmp_path / "users.pyz")
    run(tmp_path / "users.pyz", path=[site])


# protect and unprotect.


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
    protect("users_own")
    module, below = make_module("users_own")(), make_module("users_own.below")()
    beside = make_module("users_own_too")()
    assert protected(module.function)
    assert protected(below.function)
    assert not protected(beside.function)


def test_a_module_below_does_not_protect_the_package(make_module):
    package, below = make_module("users_own")(), make_module("users_own.below")()
    protect("users_own.below")
    assert protected(below.function)
    assert not protected(package.function)


def test_it_is_the_globals_name_that_counts(make_module):
    module = make_module("users_own")()
    protect("users_own")
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
    protect("users_own")
    unprotect("users_own.below")
    unprotect("users_ow")
    unprotect("never_protected")
    assert protected(below.function)
    protect("users_own.below")
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
        protect(name)
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
    protect(Name("users_own"))
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


def test_threads_protect_and_ask_at_once():
    """Each thread's own name is protected exactly while it says so; what stays stays."""
    seed = random.randrange(2**32)  # noqa: S311
    code = code_of("x.py")
    protect("stays")

    def body(started):
        mine = f"own.t{threading.get_ident()}"
        choose = random.Random(f"{seed} {mine}")  # noqa: S311
        started.ready.set()
        started.go.wait(PATIENCE)
        for _ in range(scaled(2000)):
            count = choose.randrange(3)
            for _ in range(count):
                protect(mine)
            assert _is_protected(code, {"__name__": mine + ".x"}) is (count > 0), seed
            assert _is_protected(code, {"__name__": "stays"}), seed
            unprotect(mine)
            assert not _is_protected(code, {"__name__": mine}), seed

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
            names.append(f"handler.n{len(names)}")
            protect(names[-1])
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while len(names) < 100:
            protect("mine")
            assert _is_protected(code, {"__name__": "mine"})
            unprotect("mine")
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert all(_is_protected(code, {"__name__": name}) for name in names)
        """,
        path=[site],
    )


# Imports.


def frames():
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def importing():
    return any(_is_import_machinery(frame.f_code) for frame in frames())


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
    assert not _is_import_machinery(importlib.import_module.__code__)
    assert not _is_import_machinery(code_of("<frozen importlib._bootstrap_>"))
    assert not _is_import_machinery(code_of("<frozen importlib.util>"))
    assert _is_import_machinery(code_of("<frozen importlib._bootstrap_external>"))


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
        module._set_protected((("/library/", ("queue",), False),))
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
    with pytest.raises(TypeError):
        _is_import_machinery(1)
    for wrong in (
        [],
        (1,),
        ((),),
        (("a", (), 1),),
        (("a", [], True),),
        (("a", (1,), True),),
        ((1, (), True),),
    ):
        with pytest.raises(TypeError, match="homes must be"):
            _set_protected(wrong)
    for function in (_protect, _unprotect):
        with pytest.raises(TypeError, match="must be a str, not int"):
            function(1)

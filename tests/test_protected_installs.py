"""S9: which code is protected, in each way of shipping Python and of starting a program."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
import textwrap
import venv
import zipapp
import zipfile
from pathlib import Path

import pytest
from interruption._interruption import _is_protected
from protected_parts import LIBRARY, code_of, copy_package, run, run_source


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


def test_frozen_modules_of_the_user_are_not(site):
    source = """
        import __hello__, probe  # frozen, and in no library
        assert probe.file(__hello__.main) == "<frozen __hello__>"
        assert not probe.protected(__hello__.main)
    """
    run("-X", "frozen_modules=on", "-c", textwrap.dedent(source), path=[site])
    for name in ("mine", "mine.os", "osx", "o", "", "__main__"):
        assert not _is_protected(code_of(f"<frozen {name}>"), {"__name__": "os"})

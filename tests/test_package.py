"""The package as users get it: names, documentation, types."""

from __future__ import annotations

import importlib.machinery
import inspect
import modulefinder
import os
import re
import shutil
import subprocess
import sys
import textwrap
from importlib import resources
from pathlib import Path

import interruption
import pytest
from support import PATIENCE, expect_script, run_python


def test_everything_public_is_documented_with_its_rule():
    for name in interruption.__all__:
        text = inspect.getdoc(getattr(interruption, name))
        assert text, name
        if name not in ("get_include", "Thread"):
            assert re.search(r"\bS\d+\b", text), name


def test_signatures_can_be_read():
    assert str(inspect.signature(interruption.interrupt_all_threads)) == "(reason=None)"
    assert str(inspect.signature(interruption.wait_for_interruption)) == "(timeout=None)"
    assert list(inspect.signature(interruption.interrupt).parameters) == [
        "thread",
        "exc_type",
        "reason",
    ]
    assert str(inspect.signature(interruption.ThreadExit)) == "(reason=None)"


def test_hot_functions_take_no_arguments_at_no_cost():
    for name in ("interruption_requested", "check_interrupt", "clear_interrupt", "interruption_fd"):
        function = getattr(interruption, name)
        assert inspect.isbuiltin(function)
        assert str(inspect.signature(function)) == "()"


def test_the_package_is_typed():
    package = resources.files("interruption")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("_interruption.pyi").is_file()


def loaded(statement):
    """The modules that are there in a new interpreter when it has run that."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return set(done.stdout.split())


def test_importing_it_imports_little_besides():
    """Who uses a name pays for it; nobody else does."""
    plain = loaded("import threading, queue, signal")
    more = loaded("import interruption") - plain
    assert more <= {
        "__future__",
        "atexit",
        "interruption",
        "interruption._arguments",
        "interruption._broken_off",
        "interruption._interruption",
        "interruption._monitoring",
        "interruption._protected",
        "interruption._self_test",
        "interruption._thread_exit",
    }


def test_all_that_is_public_is_found_before_it_is_asked_for():
    expect_script(
        """
        import interruption
        missing = set(interruption.__all__) - set(dir(interruption))
        assert not missing, missing
        assert "explain" not in vars(interruption)
        assert set(interruption._LATER) < set(interruption.__all__)
        exec("from interruption import {}".format("*"))  # all of it, also what is not named here
        assert set(interruption.__all__) <= set(vars(interruption)) & set(globals())
        assert blocking.__name__ == "interruption.blocking"
        assert explain is interruption.explain
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_each_name_can_be_the_first():
    """In a child each of a process that has imported nothing."""
    expect_script(
        """
        import os, sys
        for name in sys.argv[1:]:
            assert "interruption" not in sys.modules
            if os.fork() == 0:
                exec(f"from interruption import {name}; {name}.__doc__")
                sys.exit()
            assert os.wait()[1] == 0, name
        """,
        *sorted(interruption.__all__),
    )


def test_many_threads_may_be_the_first():
    expect_script(
        """
        import interruption, sys, threading
        sys.setswitchinterval(1e-6)
        barrier, found = threading.Barrier(8), []
        def first():
            barrier.wait()
            found.append((interruption.explain, interruption.Thread, interruption.shutdown))
        threads = [threading.Thread(target=first) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(set(found)) == 1 and len(found) == 8
        """
    )


def follow(program):
    """What its imports lead to; not through the standard library, which never comes back to us."""
    finder = modulefinder.ModuleFinder(excludes=[*sys.stdlib_module_names, *NOT_OURS])
    finder.run_script(str(program))
    return finder


def found_by_following(statement, folder):
    """Modules of ours that those find who make one file of a program: they read its bytecode."""
    program = folder / "program.py"
    program.write_text(statement)
    finder = follow(program)
    return {name for name in finder.modules if name.partition(".")[0] == "interruption"}


found_by_path = pytest.mark.skipif(
    importlib.machinery.PathFinder.find_spec("interruption") is None,
    reason="an editable install is found by a hook, which nobody can follow",
)

# What only the command line needs.
COMMAND = ("interruption.__main__", "interruption._cli")
# What is imported by programs only: each is for those who have the framework.
FRAMEWORKS = (
    "interruption.anyio",
    "interruption.asgi",
    "interruption.asyncio",
    "interruption.celery",
    "interruption.dask",
    "interruption.dramatiq",
    "interruption.huey",
    "interruption.pytest_plugin",
    "interruption.temporal",
    "interruption.trio",
    "interruption.wsgi",
)
NOT_OURS = [
    "anyio",
    "celery",
    "dask",
    "distributed",
    "dramatiq",
    "dramatiq_abort",
    "huey",
    "pytest",
    "temporalio",
    "trio",
]


@found_by_path
@pytest.mark.anywhere
def test_what_follows_imports_finds_every_module(tmp_path):
    package = Path(interruption.__file__).parent
    files = [path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py")]
    every = {".".join(path.parts).removesuffix(".__init__") for path in files}
    every.add("interruption._interruption")
    of_frameworks = {name for name in every if name.startswith(FRAMEWORKS)}
    assert of_frameworks >= set(FRAMEWORKS)
    every -= of_frameworks
    of_command = {name for name in every if name.startswith(COMMAND)}
    assert found_by_following("import interruption", tmp_path) >= every - of_command
    assert found_by_following("import interruption.__main__", tmp_path) == every
    assert found_by_following(f"import {', '.join(of_frameworks)}", tmp_path) >= of_frameworks


@found_by_path
@pytest.mark.anywhere
def test_a_program_of_the_modules_that_were_found_runs(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        from interruption import *

        @allow_interruption
        def work():
            while True:
                pass

        def run():
            try:
                work()
            finally:
                print("finally")

        thread = Thread(target=run)
        thread.start()
        assert thread.interrupt() is True
        thread.join()
        with ThreadPoolExecutor() as executor:
            print(executor.submit(pow, 2, 3).result())
        print(explain(thread).state)
        """)
    )
    only = tmp_path / "only"
    package = Path(interruption.__file__).parent
    for name, module in follow(program).modules.items():
        if name.startswith("interruption"):
            copy = only / Path(module.__file__).relative_to(package.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module.__file__, copy)
    done = run_python("-S", program, env={**os.environ, "PYTHONPATH": str(only)})
    assert done.stdout == "finally\n8\nfinished\n", done.stderr


def test_a_slip_of_the_pen_is_told_what_was_meant():
    done = run_python("-c", "import interruption; interruption.interupt_all_threads()")
    assert "has no attribute 'interupt_all_threads'" in done.stderr
    assert "Did you mean" in done.stderr

"""Everything that is checked, by name: ``nox`` runs it all, ``nox -s tests`` the suite everywhere.

Environment: ITR_STRESS and INTERRUPTION_STRESS scale the stress tests, in percent.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = False
nox.needs_version = ">=2024.4.15"

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PYTHON_FILES = ["python", "tests", "examples", "benchmarks", "noxfile.py"]
TYPED = [
    "examples/hash_tree.py",
    "tests/typing_cases.py",
    "benchmarks/bench_flag.py",
    "benchmarks/bench_regions.py",
    "benchmarks/asked_threads.py",
    "benchmarks/region_loops.py",
    "benchmarks/loops.py",
]
LINTERS = ["ruff==0.14.*", "mypy==1.18.*", "clang-format==21.*"]


def _answers(command: str) -> bool:
    """Whether the interpreter is there and starts: a version manager's shim may not."""
    path = shutil.which(command)
    if path is None:
        return False
    check = "import sys, venv; sys.exit(sys.implementation.name != 'cpython')"
    return subprocess.run([path, "-c", check], capture_output=True, check=False).returncode == 0


def _interpreters() -> list[str]:
    """Every supported CPython that there is: plain, debug (-dbg) and free-threaded (t) builds."""
    names = [f"python{version}{kind}" for version in VERSIONS for kind in ("", "-dbg", "t")]
    return [name for name in names if _answers(name)]


@nox.session(python=_interpreters())
def tests(session: nox.Session) -> None:
    """The suite, with the C core's own tests. Warnings of the compiler are errors."""
    session.install(".[test]", "--config-settings=setup-args=-Dwerror=true")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and C."""
    session.install(*LINTERS)
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    root = Path(__file__).parent
    folders = ("include", "src", "tests/core", "examples", "benchmarks")
    sources = [str(path) for folder in folders for path in sorted((root / folder).rglob("*.[ch]"))]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, and that the stubs of the C module say what it does."""
    session.install(*LINTERS, ".[bench]")
    session.run("mypy", "python/interruption", *TYPED)
    session.run(
        "python", "-m", "mypy.stubtest", "interruption._interruption", "--ignore-disjoint-bases"
    )


def _test_core(session: nox.Session, name: str, option: str, *runs: list[str]) -> None:
    """Build the C core alone with that option, and test it once for each list of arguments."""
    build = str(Path(session.create_tmp(), f"core-{name}"))
    shutil.rmtree(build, ignore_errors=True)
    options = ["-Dcore_only=true", "-Dwerror=true", "-Db_lundef=false", option]
    options += ["--buildtype=debugoptimized"]
    session.run("meson", "setup", build, *options, external=True)
    test = ["meson", "test", "-C", build, "--print-errorlogs", "--timeout-multiplier=5"]
    for arguments in runs:
        session.run(
            *test,
            *arguments,
            env={"TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1"},
            external=True,
        )


@nox.session(python=False)
@nox.parametrize("tool", ["thread", "address,undefined"])
def sanitize(session: nox.Session, tool: str) -> None:
    """The C core's tests under a sanitizer. Needs meson and ninja."""
    _test_core(session, tool.partition(",")[0], f"-Db_sanitize={tool}", [])


@nox.session(python=False)
def valgrind(session: nox.Session) -> None:
    """The C core's tests under valgrind. Needs meson, ninja and valgrind."""
    command = "--wrapper=valgrind --quiet --error-exitcode=1 --fair-sched=yes"
    forking = ["fork", "stress_fork"]
    others = ["parker", "record", "registry", "stress_requests", "stress_wait", "stress_open"]
    _test_core(
        session,
        "valgrind",
        "-Db_sanitize=none",
        [f"{command} --leak-check=full", *others],
        # A child leaves behind what its parent's other threads held: its leaks mean nothing.
        [f"{command} --leak-check=no", *forking],
    )


@nox.session
def packages(session: nox.Session) -> None:
    """The sdist and the wheel are built; the wheel works in an environment of its own."""
    session.install("build")
    target = str(Path(session.create_tmp(), "dist"))
    shutil.rmtree(target, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", target)
    (wheel,) = Path(target).glob("*.whl")
    (sdist,) = Path(target).glob("*.tar.gz")
    clean = str(Path(session.create_tmp(), "clean"))
    shutil.rmtree(clean, ignore_errors=True)
    session.run("python", "-m", "venv", clean)
    python = str(Path(clean, "bin", "python"))
    session.run(python, "-m", "pip", "install", str(wheel), external=True)
    script = (
        "import interruption, pathlib, threading;"
        "interruption.interrupt(threading.get_ident());"
        "assert interruption.interruption_requested();"
        "assert pathlib.Path(interruption.get_include(), 'interruption.h').is_file();"
        "print(interruption.__version__, 'works')"
    )
    with session.chdir(session.create_tmp()):
        session.run(python, "-c", script, external=True)
    session.log(f"{sdist.name} and {wheel.name} are good")


@nox.session
def editable(session: nox.Session) -> None:
    """An editable install works: import, the header's folder, a change of a source file."""
    session.install("meson-python", "meson", "ninja", "pytest", "setuptools")
    session.install("--no-build-isolation", "--editable", ".")
    session.run(
        "pytest", "-q", "tests/test_package.py", "tests/test_looking.py", "tests/test_c_api.py"
    )

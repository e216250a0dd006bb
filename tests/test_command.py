"""`python -m interruption`: what may be said to it, and what it says to what may not."""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor

import interruption
import pytest
from interruption._cli.command import seconds as seconds_of
from support import run_python


def command(*arguments, cwd=None):
    return run_python(*arguments, cwd=cwd)


def run(*arguments, cwd=None):
    return command("-m", "interruption", *arguments, cwd=cwd)


def both(program, *options, cwd):
    """The program as ever, and as it is run by us; both at once, for that takes half the time."""
    with ThreadPoolExecutor(2) as pool:
        ever = pool.submit(command, *program, cwd=cwd)
        done = pool.submit(run, "run", *options, *program, cwd=cwd)
    return ever.result(), done.result()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("500ms", 0.5),
        ("1m", 60),
        ("2h", 7200),
        ("1.5s", 1.5),
        (".5", 0.5),
        ("7", 7),
        ("0", 0),
        (" 3S ", 3),
    ],
)
def test_durations_are_given_as_people_write_them(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "5 secs", "-1s", "1e3", "nan", "inf", "5s5s", "1d", "٣s", "9" * 400]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="give a number with ms, s, m or h"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: run | doctor | demo"),
        (["walk"], "'walk'"),
        (["run"], "say what to run: a file, as program.py, or a module"),
        (["run", "-m"], "say which module to run"),
        (["run", "no-such-file.py"], "there is no file 'no-such-file.py'"),
        (["run", "-m", "no_such_module"], "No module named no_such_module"),
        (["run", "-m", "os.path.nothing"], "os.path.nothing"),
        (["run", "--grace", "soon", "x.py"], "'soon' is no duration: give a number with ms, s, m"),
        (["run", "--grace", "soon", "x.py"], "'forever': no limit"),
        (["run", "--grace"], "expected one argument"),
        (["run", "--grace", "-1s", "x.py"], "'-1s' is less than nothing: give a number with ms"),
        (["run", "--grace=-.5", "x.py"], "'-.5' is less than nothing"),
        (["doctor", "--patience", "-1s"], "'-1s' is less than nothing"),
        (["run", "--region", "some", "x.py"], "'some'"),
        (["run", "--regions", "all", "x.py"], "--regions"),
        (["doctor", "--patience", "x"], "'x' is no duration"),
        (["doctor", "who"], "unrecognized arguments: who"),
        (["demo", "other"], "unrecognized arguments: other"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, words, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m interruption")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--help"],
            ["run | doctor | demo", "examples:", "Ctrl-C", "python -m interruption run --help"],
        ),
        (["run", "--help"], ["--grace TIME", "all ", "ours ", "none ", "exit status", "forever"]),
        (["doctor", "--help"], ["--json", "exit status"]),
        (["demo", "--help"], ["Ctrl-C", "exit status"]),
        (["--version"], [interruption.__version__]),
    ],
)
def test_help_teaches(arguments, words):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in words if word not in done.stdout] == []
    assert max(map(len, done.stdout.splitlines())) <= 100


# What a program can see of how it was started.
SEES = '''
"""Its documentation."""
import json, sys
own = {name: value for name, value in globals().items() if name.startswith("__")}
own["__builtins__"] = type(__builtins__).__name__
own["__loader__"] = type(__loader__).__name__
own["__spec__"] = __spec__ and [__spec__.name, __spec__.origin, __spec__.parent]
print(json.dumps({
    "own": own,
    "all": sorted(set(globals()) - {"own", "json", "sys"}),
    "argv": sys.argv,
    "path": sys.path,
    "is main": sys.modules["__main__"].__dict__ is globals(),
    "file": (lambda: 0).__code__.co_filename,
}, indent=1, sort_keys=True))
'''


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name in ("program.py", "folder/__main__.py", "package/__main__.py", "package/inner.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(SEES)
    (folder / "package/__init__.py").write_text("import sys; print(sys.argv)")
    (folder / "folder/link.py").symlink_to(folder / "program.py")
    with zipfile.ZipFile(folder / "zipped", "w") as file:
        file.write(folder / "program.py", "__main__.py")
    subprocess.run(
        [sys.executable, "-c", "import py_compile; py_compile.compile('program.py', 'code.pyc')"],
        cwd=folder,
        check=True,
    )
    return folder


@pytest.mark.parametrize(
    "program",
    [
        ["program.py"],
        ["./program.py"],
        ["folder/../program.py"],
        ["folder/link.py"],
        ["folder"],
        ["zipped"],
        ["code.pyc"],
        ["-m", "package"],
        ["-m", "package.inner"],
        ["-mprogram"],
    ],
    ids=" ".join,
)
def test_the_program_finds_everything_as_ever(program, programs):
    arguments = ["--grace", "x", "-m", "--", "", "last"]
    ever, done = both([*program, *arguments], "--grace=1s", cwd=programs)
    assert (ever.returncode, ever.stderr) == (0, "")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", ever.stdout)


def test_an_absolute_path_is_one(programs, tmp_path):
    program = programs / "program.py"
    ever, done = both([program], cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", ever.stdout)


@pytest.mark.parametrize("program", [["program.py"], ["folder"]])
def test_without_an_unsafe_path_there_is_none(program, programs):
    ever = command("-P", *program, cwd=programs)
    done = command("-P", "-m", "interruption", "run", *program, cwd=programs)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", ever.stdout)


def test_two_dashes_end_our_own_options(programs):
    (programs / "-m").write_text("import sys; print(sys.argv)")
    done = run("run", "--region", "ours", "--", "-m", "--", "x", cwd=programs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['-m', '--', 'x']\n", "")


# Programs that end in every way, and what is printed then. All of it is to be as ever.
ENDS = {
    "plain": "print('done')",
    "exit status": "raise SystemExit(3)",
    "exit with a text": "import sys; sys.exit('it is over')",
    "exit": "import sys; sys.exit()",
    "os._exit": "import os; os._exit(5)",
    "exception": """
        def inner():
            raise ValueError("no")
        def outer():
            inner()
        outer()
        """,
    "chain": """
        def inner():
            raise ValueError("no")
        try:
            inner()
        except ValueError as error:
            raise RuntimeError("why") from error
        """,
    "group": """
        raise ExceptionGroup("all", [ValueError(1), ValueError(2)])
        """,
    "syntax": "def :",
    "null byte": "x = '\\0'",
    "no such import": "import no_such_module",
    "ctrl-c": "raise KeyboardInterrupt",
    "excepthook": """
        import sys, traceback
        def excepthook(kind, error, entries):
            assert sys.excepthook is excepthook
            assert error.__traceback__ is entries is sys.last_traceback
            print("theirs", kind, [entry.name for entry in traceback.extract_tb(entries)])
        sys.excepthook = excepthook
        1 / 0
        """,
    "atexit": """
        import atexit, sys
        atexit.register(lambda: print("atexit", sys.last_value, hasattr(sys, "argv")))
        1 / 0
        """,
    "thread": """
        import threading
        def inner():
            1 / 0
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        """,
    "thread of a class": """
        import threading
        class Own(threading.Thread):
            def run(self):
                assert "run" not in vars(self)
                raise ValueError("no")
        thread = Own()
        thread.start()
        thread.join()
        """,
    "deep thread": """
        import sys, threading
        def deeper():
            try:
                deeper()
            finally:
                pass
        thread = threading.Thread(target=deeper)
        def excepthook(args):
            entry, names = args.exc_traceback, []
            while entry is not None:
                names.append(entry.tb_frame.f_code.co_name)
                entry = entry.tb_next
            print(names[:3], names[-1])
        threading.excepthook = excepthook
        thread.start()
        thread.join()
        """,
    "thread twice": """
        import threading
        thread = threading.Thread()
        thread.start()
        thread.join()
        thread.start()
        """,
    "thread not made": """
        import threading
        class Own(threading.Thread):
            def __init__(self):
                pass
        Own().start()
        """,
    "thread that cannot be": """
        import threading
        threading._start_joinable_thread = threading._start_new_thread = None
        thread = threading.Thread(target=print)
        before = dict(vars(thread))
        try:
            thread.start()
        except TypeError:
            print("run" in vars(thread))
        """,
    "future": """
        import traceback
        from concurrent.futures import ThreadPoolExecutor, wait
        def inner():
            1 / 0
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(inner)
            print(pool.submit(int, "3").result(), pool.submit(int, "x").exception())
        print([entry.name for entry in traceback.extract_tb(future.exception().__traceback__)])
        """,
    "processes": """
        import multiprocessing
        def double(number):
            return 2 * number
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """,
    "pickle": """
        import pickle
        class Own:
            pass
        print(type(pickle.loads(pickle.dumps(Own()))) is Own)
        """,
    "late names": """
        import threading, time
        def late():
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            import __main__
            print(value, __name__, __main__.value)
        threading.Thread(target=late).start()
        value = 5
        """,
    "input": "print(input())",
}


RUNPY = re.compile(r'  File "(<frozen runpy>|.*/runpy\.py)"')


@pytest.mark.parametrize(
    ("how", "program"),
    [
        *((how, ["program.py"]) for how in ENDS),
        *((how, ["-m", "program"]) for how in ("plain", "exit status", "exception", "processes")),
    ],
)
def test_the_program_ends_as_ever(how, program, tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(ENDS[how]))
    ever, done = both(program, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (ever.returncode, ever.stdout)
    assert done.stderr.splitlines() == _without_runpy(ever.stderr)


def _without_runpy(text):
    """The lines of a traceback, without what `python -m` has at the beginning.

    Debug builds have its source.
    """
    lines = text.splitlines()
    while any(map(RUNPY.match, lines)):
        at = next(number for number, line in enumerate(lines) if RUNPY.match(line))
        rest = itertools.dropwhile(lambda line: line.startswith("    "), lines[at + 1 :])
        lines = lines[:at] + list(rest)
    return lines


def test_an_error_in_a_module_that_cannot_be_compiled_is_the_programs(tmp_path):
    (tmp_path / "program.py").write_text("def :")
    done = run("run", "-m", "program", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "SyntaxError" in done.stderr
    assert "interruption" not in done.stderr


def test_an_import_that_a_package_lacks_is_its_own_error(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("import no_such_module")
    (tmp_path / "package/__main__.py").touch()
    done = run("run", "-m", "package", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "__init__.py" in done.stderr
    assert "site-packages" not in done.stderr

"""What the test_protected files and test_protect.py ask, here and in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import interruption
from interruption import _interruption
from interruption._interruption import _is_protected
from support import PATIENCE

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


def make_site(folder):
    """Make that folder one with this package and `probe`, for PYTHONPATH."""
    copy_package(folder)
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

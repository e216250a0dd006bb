"""The C header, through the example extension that a user would write."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import interruption
import pytest
from interruption import ThreadExit, interrupt, interruption_requested, wait_for_interruption
from support import Started

EXAMPLE = Path(__file__).parents[1] / "examples" / "c_extension"
FOR_EVER = 2**63


@pytest.fixture(scope="session")
def countdown(tmp_path_factory):
    """The extension, built as its README line says, into a folder of its own."""
    target = tmp_path_factory.mktemp("countdown")
    source = tmp_path_factory.mktemp("source")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-build-isolation", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True, env=build_environment())
    sys.path.insert(0, str(target))
    try:
        yield importlib.import_module("countdown")
    finally:
        sys.path.remove(str(target))


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


def test_an_extension_compiled_for_another_abi_is_refused_in_words(tmp_path):
    header = Path(interruption.get_include(), "interruption.h").read_text()
    newer = header.replace(
        "#define INTERRUPTION_ABI_VERSION 1", "#define INTERRUPTION_ABI_VERSION 99"
    )
    assert newer != header
    (tmp_path / "interruption.h").write_text(newer)
    source = (EXAMPLE / "countdown.c").read_text().replace("PyInit_countdown", "PyInit_future")
    (tmp_path / "future.c").write_text(source.replace('"countdown"', '"future"'))
    (tmp_path / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        "setup(name='future', version='1', ext_modules=["
        "Extension('future', ['future.c'], include_dirs=['.'])])\n"
    )
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ImportError, match=r"ABI version 99 .* but version 1 is installed"):
            importlib.import_module("future")
    finally:
        sys.path.remove(str(tmp_path))


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

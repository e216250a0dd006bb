"""pytest-xdist, pytest-timeout and coverage.py beside us: real runs over small test files."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import textwrap
from pathlib import Path

import pytest
from chance import scaled
from support import PATIENCE, run_python


def need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"there is no {module}")


# A file of tests as a user's would be: threads, regions, interruptions, in whatever thread runs it.
TESTS = """
    import os, queue, subprocess, sys, threading, time

    import pytest
    from interruption import (
        Thread, ThreadExit, allow_interruption, clear_interrupt, defer_interruption, interrupt,
        interrupt_all_threads, interruption_requested, run_in_process,
    )

    @pytest.fixture(autouse=True)
    def _not_asked():
        assert not interruption_requested()
        yield
        clear_interrupt()

    def spin():
        while True:
            pass

    def wait():
        queue.Queue().get()

    def sleep():
        time.sleep(3600)

    def read():
        os.read(os.pipe()[0], 1)

    @pytest.mark.parametrize("body", [spin, wait, sleep, read])
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("again", range(AGAIN))
    def test_threads(body, count, again):
        log, ready = [], threading.Barrier(count + 1)
        def work():
            try:
                with allow_interruption:
                    ready.wait()
                    body()
            except ThreadExit as stopped:
                log.append(stopped.reason)
        threads = [Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        ready.wait()
        for thread in threads:
            thread.interrupt(reason=str(again))
        for thread in threads:
            thread.join()
        assert log == [str(again)] * count

    @pytest.mark.parametrize("body", [spin, wait, sleep, read])
    def test_this_thread(body):
        threading.Timer(0.05, interrupt, (threading.get_ident(),)).start()
        with pytest.raises(ThreadExit), allow_interruption:
            body()

    def test_a_process():
        threading.Timer(0.3, interrupt, (threading.get_ident(),)).start()
        with pytest.raises(ThreadExit), allow_interruption:
            run_in_process(time.sleep, 3600)

    def test_a_child():
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            threading.Timer(0.05, interrupt, (threading.get_ident(),)).start()
            with pytest.raises(ThreadExit), allow_interruption:
                child.wait()
            child.stdin.close()
            child.wait()
"""
COUNT = 4 * 2 + 4 + 2  # with AGAIN = 1

HANGS = """
    import queue, threading, time

    import pytest
    from interruption import (
        Thread, ThreadExit, allow_interruption, clear_interrupt, defer_interruption, interrupt,
    )

    @pytest.fixture(autouse=True)
    def _not_asked():
        yield
        clear_interrupt()

    def other():
        with pytest.raises(ThreadExit):  # pytest would tell of it, which Python does not
            in_region()

    def in_region():
        with allow_interruption:
            queue.Queue().get()

    def in_region_of_statements():
        with allow_interruption:
            while True:
                pass

    def in_shield():
        with allow_interruption, defer_interruption:
            time.sleep(3600)

    def asked_in_shield():
        with allow_interruption, defer_interruption:
            interrupt(threading.get_ident())
            queue.Queue().get()

    def joining():
        thread = Thread(target=other)
        thread.start()
        try:
            with allow_interruption:
                thread.join()
        finally:
            thread.interrupt()

    @pytest.mark.timeout(0.5)
    @pytest.mark.parametrize(
        "body", [in_region, in_region_of_statements, in_shield, asked_in_shield, joining]
    )
    def test_hangs(body):
        body()

    def test_goes_on():
        thread = Thread(target=other)
        thread.start()
        thread.interrupt()
        thread.join()
"""


def run_tests(folder: Path, source: str, *arguments: str) -> tuple[int, str]:
    """The tests in a pytest of their own; what it returned and wrote."""
    text = textwrap.dedent(source).replace("AGAIN", str(scaled(10)))
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    done = run_python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_it.py", cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


def summary(output: str) -> dict[str, int]:
    """How many passed, failed and so on."""
    last = output.strip().splitlines()[-1]
    return {what: int(count) for count, what in re.findall(r"(\d+) ([a-z]+)", last)}


def all_passed(output: str) -> bool:
    counts = summary(output)
    return counts.get("passed", 0) >= COUNT and not set(counts) & {"failed", "error", "errors"}


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_xdist(tmp_path: Path, dist: str) -> None:
    """Its workers run tests in the main thread, and talk to their master by threads."""
    need("xdist")
    status, output = run_tests(tmp_path, TESTS, "-n", "2", "--dist", dist)
    assert status == 0, output
    assert all_passed(output), output


def test_xdist_and_a_request_of_all_threads(tmp_path: Path) -> None:
    """A worker's own threads are asked as well: they are in no region, and do not notice."""
    need("xdist")
    source = """
        import threading, pytest
        from interruption import interrupt_all_threads
        @pytest.mark.parametrize("number", range(20))
        def test_all(number):
            assert threading.current_thread() is threading.main_thread()
            interrupt_all_threads()
    """
    status, output = run_tests(tmp_path, source, "-n", "2")
    assert status == 0, output
    assert summary(output)["passed"] == 20


def test_a_worker_of_xdist_that_crashes(tmp_path: Path) -> None:
    """It is replaced, and the other tests run; threads in regions do not keep it."""
    need("xdist")
    crash = """
        def test_crash():
            ready = threading.Event()
            def work():
                with allow_interruption:
                    ready.set()
                    sleep()
            Thread(target=work).start()
            ready.wait()
            os._exit(3)
    """
    source = textwrap.dedent(TESTS) + textwrap.dedent(crash)
    status, output = run_tests(tmp_path, source, "-n", "2")
    assert status == 1, output
    assert summary(output)["failed"] == 1
    assert summary(output)["passed"] >= COUNT


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_timeout_of_tests_that_end(tmp_path: Path, method: str) -> None:
    need("pytest_timeout")
    arguments = (f"--timeout={PATIENCE}", f"--timeout-method={method}")
    status, output = run_tests(tmp_path, TESTS, *arguments)
    assert status == 0, output
    assert all_passed(output), output


def test_timeout_by_signal(tmp_path: Path) -> None:
    """It raises in its handler, out of the wait: who hangs fails, the next test runs."""
    need("pytest_timeout")
    status, output = run_tests(tmp_path, HANGS, "--timeout-method=signal")
    assert status == 1, output
    assert summary(output) == {"failed": 5, "passed": 1}, output[-2000:]
    assert output.count("Failed: Timeout") >= 5, output


@pytest.mark.parametrize(
    "body", ["in_region", "in_region_of_statements", "in_shield", "asked_in_shield", "joining"]
)
def test_timeout_by_thread(tmp_path: Path, body: str) -> None:
    """It prints all stacks and ends the process, whatever waits."""
    need("pytest_timeout")
    status, output = run_tests(
        tmp_path, HANGS, "--timeout-method=thread", "-k", f"test_hangs and {body}"
    )
    assert status == 1, output
    assert "+ Timeout +" in output, output
    assert f"in {body}" in output, output


INTERRUPTED = """
    import threading
    from interruption import Thread, allow_interruption
    from measured import work

    def test_it():
        for _ in range(5):
            ready = threading.Event()
            thread = Thread(target=work, args=(ready,))
            thread.start()
            ready.wait()
            thread.interrupt()
            thread.join()
"""

MEASURED = """\
    import time
    from interruption import ThreadExit, allow_interruption

    def work(ready):
        try:
            with allow_interruption:
                ready.set()
                while True:
                    time.sleep(0)
                print("never")
        except ThreadExit:
            count = 1
            return count
"""


@pytest.mark.parametrize("core", ["ctrace", "sysmon"])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_coverage_of_a_test_run(tmp_path: Path, core: str, workers: tuple[str, ...]) -> None:
    """``coverage run --parallel-mode -m pytest``, its children measured as well: the lines that
    threads ran before they were interrupted are there, those behind are not."""
    need("coverage", *(["xdist"] if workers else []))
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is of 3.12")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(INTERRUPTED), encoding="utf-8")
    (tmp_path / "measured.py").write_text(textwrap.dedent(MEASURED), encoding="utf-8")
    patch = "patch = subprocess\n" if workers else ""
    rules = f"[run]\nsource = .\nparallel = true\ncore = {core}\n{patch}"
    (tmp_path / ".coveragerc").write_text(rules, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> str:
        done = run_python("-m", "coverage", *arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, "test_it.py")
    run("combine")
    run("json", "-o", "report.json")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    lines = report["files"]["measured.py"]
    assert set(lines["executed_lines"]) == {1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13}
    assert set(lines["missing_lines"]) <= {10}

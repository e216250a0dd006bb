"""interruption.pytest_plugin: tests and fixtures that hang fail where they hang (real runs)."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest
from pages import codes_of, lines_of
from support import PATIENCE

LIMIT = "--interrupt-timeout=4"  # what does not hang is done by then
A_RUN = 3 * PATIENCE  # it may have workers of its own, and coverage

HANGS = """
    import contextlib, threading, time, unittest
    import pytest

    def say(what):
        with open("said", "a") as file:
            print(what, file=file)

    @pytest.fixture(scope="session")
    def of_session():
        yield
        say("session closed")

    @pytest.fixture
    def closes():
        yield
        say("closed")

    def loop():
        while True:
            pass  # here

    def test_loops(of_session, closes):
        try:
            loop()
        finally:
            say("cleanup")

    def test_waits(closes):
        threading.Event().wait()  # there

    def test_cleanup_waits(closes):
        try:
            loop()
        finally:
            time.sleep(3600)

    class TestUnit(unittest.TestCase):
        def test_unit(self):
            self.addCleanup(say, "unit cleanup")
            time.sleep(3600)

    def test_is_good(closes):
        say("good")
"""

FIXTURES = """
    import time
    import pytest

    def say(what):
        with open("said", "a") as file:
            print(what, file=file)

    @pytest.fixture(scope="module")
    def never_set_up():
        say("set up")
        time.sleep(3600)  # in the setup

    @pytest.fixture
    def outer():
        yield 1
        say("outer closed")

    @pytest.fixture
    def never_torn_down(outer):
        yield outer + 1
        time.sleep(3600)  # in the teardown

    def test_one(never_set_up):
        pass

    def test_two(never_set_up):
        pass

    def test_three(never_torn_down):
        assert never_torn_down == 2

    class TestClass:
        @pytest.fixture
        def own(self):
            self.value = 7
            return self

        @pytest.fixture
        def yields(self, own):
            yield own

        def test_methods(self, own, yields):
            assert own is yields is self
            assert self.value == 7

    @pytest.fixture(params=[1, 2])
    def parameter(request):
        return request.param

    def test_parameter(parameter):
        assert parameter in (1, 2)
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on that source: its outcomes, as a dict, and what it said."""

    def run(source, *options, module=("pytest",), ini="[pytest]\n"):
        (tmp_path / "test_hangs.py").write_text(textwrap.dedent(source))
        (tmp_path / "pytest.ini").write_text(ini)
        command = [sys.executable, "-m", *module, "-p", "no:cacheprovider", "-rA", *options]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=A_RUN, check=False
        )
        outcomes: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            outcome, _, rest = line.partition(" ")
            if outcome in ("PASSED", "FAILED", "ERROR"):
                name = rest.partition(" - ")[0].rpartition("::")[2]
                outcomes.setdefault(name, []).append(outcome)
        said = tmp_path / "said"
        run.said = said.read_text().split("\n")[:-1] if said.exists() else []
        run.out = done.stdout + done.stderr
        return outcomes

    return run


ALL_OF_IT = {
    "test_loops": ["FAILED"],
    "test_waits": ["FAILED"],
    "test_cleanup_waits": ["FAILED"],
    "test_unit": ["FAILED"],
    "test_is_good": ["PASSED"],
}


@pytest.mark.parametrize("way", ["alone", "xdist", "coverage"])
def test_a_test_that_hangs_fails_where_it_hangs_and_the_run_goes_on(run, way):
    module, options, outcomes = ("pytest",), (LIMIT,), ALL_OF_IT
    if way != "alone":
        pytest.importorskip(way)
        names = ["test_loops", "test_is_good", *(["test_waits"] if way == "xdist" else [])]
        options = (LIMIT, "-k", " or ".join(names))
        outcomes = {name: ALL_OF_IT[name] for name in names}
    if way == "xdist":
        options = (*options, "-n", "2")
    if way == "coverage":
        module = ("coverage", "run", "-m", "pytest")
    assert run(HANGS, *options, module=module) == outcomes
    assert run.said.count("closed") == len(outcomes) - ("test_unit" in outcomes)
    assert run.said.count("session closed") == 1
    assert {"cleanup", "good"} <= set(run.said)
    assert ("unit cleanup" in run.said) == (way == "alone")
    assert re.search("^> +(while True:|pass  # here)$", run.out, re.MULTILINE)
    assert ("threading.Event().wait()  # there" in run.out) == ("test_waits" in outcomes)
    assert "Failed: test_loops was stopped here: it took longer than 4 seconds" in run.out


def test_fixtures_that_hang_fail_and_the_others_are_torn_down(run):
    assert run(FIXTURES, LIMIT) == {
        "test_one": ["ERROR"],
        "test_two": ["ERROR"],
        "test_three": ["PASSED", "ERROR"],
        "test_methods": ["PASSED"],
        "test_parameter[1]": ["PASSED"],
        "test_parameter[2]": ["PASSED"],
    }
    assert run.said == ["set up", "outer closed"]  # once: that it fails is known
    assert "time.sleep(3600)  # in the setup" in run.out
    assert "time.sleep(3600)  # in the teardown" in run.out
    assert "fixture never_torn_down was stopped here" in run.out


def test_one_that_swallows_it_is_reported_by_its_name(run):
    source = """
        import time
        import pytest

        def swallow():
            try:
                time.sleep(3600)
            except BaseException:
                pass

        @pytest.fixture
        def fixture():
            swallow()

        @pytest.mark.interrupt_timeout(1)
        def test_swallows(fixture):
            swallow()
    """
    assert run(source) == {"test_swallows": ["PASSED"]}
    for what in ("test_swallows", "fixture fixture"):
        assert f"PytestWarning: {what} took longer than 1 seconds, and went on" in run.out


MARKED = """
    import time
    import pytest

    @pytest.mark.interrupt_timeout({first})
    def test_one():
        time.sleep(3600)

    {second}
    def test_two():
        time.sleep(1)
"""


def test_a_mark_is_enough_and_goes_before_the_option(run):
    assert run(MARKED.format(first="0.2", second="")) == {
        "test_one": ["FAILED"],
        "test_two": ["PASSED"],
    }
    never = "@pytest.mark.interrupt_timeout(None)"
    assert run(MARKED.format(first="seconds=0.2", second=never), "--interrupt-timeout=0.5") == {
        "test_one": ["FAILED"],
        "test_two": ["PASSED"],
    }


def test_the_program_of_the_page(run):
    (code,) = codes_of("pytest")
    assert run(code) == {"test_answer": ["FAILED"]}
    assert set(lines_of("pytest", "text", "")) <= set(run.out.splitlines())


@pytest.mark.parametrize("value", ["0", "nan", "soon"])
def test_bad_values_are_said_before_anything_runs(run, value):
    assert run(MARKED, f"--interrupt-timeout={value}") == {}
    assert f"a number of seconds, more than 0, not {value!r}" in run.out
    assert "Traceback" not in run.out


@pytest.mark.parametrize(
    ("mark", "said"),
    [("0", "more than 0, not 0"), ("'x'", "not 'x'"), ("", "missing 1"), ("1, 2", "takes 1")],
)
def test_bad_marks_are_said_before_anything_runs(run, mark, said):
    assert run(MARKED.format(first=mark, second="")) == {}
    assert "test_hangs.py::test_one" in run.out
    assert said in run.out
    assert "Traceback" not in run.out


def test_a_bad_ini_file_is_said(run):
    assert run(MARKED, ini="[pytest]\ninterrupt_timeout = soon\n") == {}
    assert "interrupt_timeout: a number of seconds, more than 0, not 'soon'" in run.out


def test_named_once_more_it_is_the_same_and_the_ini_file_is_enough(run):
    options = ("-p", "interruption.pytest_plugin", "-k", "test_waits or good")
    source = 'pytest_plugins = ["interruption.pytest_plugin"]\n' + textwrap.dedent(HANGS)
    assert run(source, *options, ini="[pytest]\ninterrupt_timeout = 4\n") == {
        "test_waits": ["FAILED"],
        "test_is_good": ["PASSED"],
    }
    assert run(HANGS, LIMIT, "-p", "no:interruption.pytest_plugin") == {}
    assert "unrecognized arguments: --interrupt-timeout" in run.out


def test_without_being_asked_for_it_does_nothing(run):
    source = """
        import sys
        import pytest

        @pytest.fixture
        def fixture():
            yield sys._getframe().f_back.f_code.co_name

        def test_frames(fixture):
            names, frame = [fixture], sys._getframe()
            while frame := frame.f_back:
                names.append(frame.f_code.co_name)
            assert "_limited" not in names
    """
    assert run(source) == {"test_frames": ["PASSED"]}


def test_whoever_looks_around_has_time(run, tmp_path):
    source = """
        import math
        from interruption import current_deadline

        def test_debugged():
            assert current_deadline() < math.inf
            breakpoint()
            assert current_deadline() == math.inf
    """
    debugger = """
        class Nobody:
            def __init__(self, *args, **kwargs):
                pass

            def set_trace(self, *args, **kwargs):
                pass

            def reset(self):
                pass
    """
    (tmp_path / "nobody.py").write_text(textwrap.dedent(debugger))
    options = ("--interrupt-timeout=100", "--pdbcls=nobody:Nobody")
    assert run(source, *options) == {"test_debugged": ["PASSED"]}


def test_a_run_that_has_imported_the_package_before_is_not_warned(run):
    module = ("interruption", "run", "-m", "pytest")
    assert run("def test_good(): pass", "-W", "error", module=module) == {"test_good": ["PASSED"]}

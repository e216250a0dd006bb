"""The C API, called by a small extension with arguments of every kind, and with an exception set.

In a process of its own for each test: what goes wrong in C takes the process with it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import expect_script, scaled

pytestmark = pytest.mark.xdist_group("c_api_fuzz")  # the extension is built once

HERE = Path(__file__).parent

START = """
    import sys, threading
    sys.path[:0] = sys.argv[1:3]
    import interruption, probe
    from interruption import ThreadExit, clear_interrupt, interruption_requested

    me = threading.get_ident()
    NULL = probe
    before = ValueError("before")
"""


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    """Where the extension is, built."""
    folder = tmp_path_factory.mktemp("probe")
    shutil.copytree(HERE / "c_api_probe", folder, dirs_exist_ok=True)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    return str(folder)


def expect(probe, source, percent=100):
    expect_script(START + source, probe, str(HERE), str(scaled(3000, percent)))


def test_an_exception_that_is_set_stays_set(probe):
    """S12: what raises already wins, and the request waits on."""
    expect(
        probe,
        """
    assert probe.current_flag(before) == (0, before)
    assert probe.check(before) == (0, before)
    assert probe.interrupt(before, me, NULL, "why") == (1, before)
    assert probe.interrupt(before, me, NULL, NULL) == (0, before)
    assert probe.current_flag(before) == (1, before)
    assert probe.check(before) == (-1, before)
    assert interruption.explain(me).state == "not in a region"  # not delivered
    result, raised = probe.check(None)
    assert (result, type(raised), raised.reason) == (-1, ThreadExit, "why")
    assert clear_interrupt()
    """,
    )


def test_an_exception_that_is_set_hides_what_is_wrong_with_a_request(probe):
    expect(
        probe,
        """
    for wrong in ((0, NULL, NULL), (me, int, NULL), (me, NULL, 3)):
        assert probe.interrupt(before, *wrong) == (-1, before)
        result, raised = probe.interrupt(None, *wrong)
        assert result == -1 and type(raised) in (TypeError, ValueError) and str(raised)
    assert not interruption_requested()
    """,
    )


def test_references_are_kept(probe):
    expect(
        probe,
        """
    import gc
    reason, kind = "x" * 1000, type("Kind", (BaseException,), {})
    def counts():
        gc.collect()
        kept = (before, reason, kind, interruption._interruption)
        return [sys.getrefcount(what) for what in kept]
    at_first = counts()
    for _ in range(100):
        probe.interrupt(None, me, kind, reason)
        probe.interrupt(before, me, kind, reason)
        probe.interrupt(None, 0, kind, reason)
        probe.check(before)
        probe.check(None)
        probe.current_flag(before)
        clear_interrupt()
    now = counts()
    assert all(abs(a - b) < 5 for a, b in zip(now, at_first)), (at_first, now)
    """,
    )


def test_arguments_of_every_kind_are_answered(probe, percent):  # S1, S2
    expect(
        probe,
        """
    from fuzz_pool import VALUES
    from hypothesis import HealthCheck, Phase, given, settings, strategies as st

    idents = st.one_of(
        st.integers(0, 2**64 - 1), st.sampled_from([0, 1, me, me - 1, me + 1, 2**64 - 1])
    )
    exceptions = st.sampled_from([None, before, KeyboardInterrupt()])
    values = st.one_of(st.just(NULL), VALUES)

    @settings(max_examples=int(sys.argv[3]), phases=[Phase.generate], derandomize=True,
              database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(exceptions, idents, values, values)
    def try_it(exception, ident, exc_type, reason):
        result, raised = probe.interrupt(exception, ident, exc_type, reason)
        assert result in (-1, 0, 1), result
        if exception is not None:
            assert raised is exception
        elif result < 0:
            assert not isinstance(raised, SystemError) and str(raised), repr(raised)
        else:
            assert raised is None
        assert interruption_requested() is (result >= 0 and ident == me)
        if interruption_requested():
            assert probe.current_flag(None) == (1, None)
            assert probe.check(exception)[0] == -1
        clear_interrupt()
        assert probe.check(exception) == (0, exception)
    try_it()
    """,
        percent,
    )


def test_a_thread_of_every_state_is_asked(probe):  # S1
    expect(
        probe,
        """
    finished = threading.Thread(target=int)
    finished.start()
    finished.join()
    assert probe.interrupt(None, finished.ident, NULL, NULL)[0] == -1

    def work():
        go.wait()
        answers.append(probe.current_flag(None))
        answers.append(type(probe.check(None)[1]))
        answers.append(probe.check(before))
    go, answers = threading.Event(), []
    thread = threading.Thread(target=work)
    thread.start()
    assert probe.interrupt(before, thread.ident, LookupError, "why") == (1, before)
    go.set()
    thread.join()
    assert answers == [(1, None), LookupError, (-1, before)]
    assert probe.current_flag(None) == (0, None)
    """,
    )


def test_it_is_imported_when_it_has_been_already(probe):
    expect(probe, "    assert probe.import_api(None) == (0, None)\n")

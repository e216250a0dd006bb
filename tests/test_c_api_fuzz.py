"""The C API, called by a small extension with arguments of every kind, and with an exception set.

In a process of its own for each test: what goes wrong in C takes the process with it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chance import scaled
from support import expect_script

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
    from chance import examples
    from hypothesis import Phase, given, strategies as st

    idents = st.one_of(
        st.integers(0, 2**64 - 1), st.sampled_from([0, 1, me, me - 1, me + 1, 2**64 - 1])
    )
    exceptions = st.sampled_from([None, before, KeyboardInterrupt()])
    values = st.one_of(st.just(NULL), VALUES)

    @examples(int(sys.argv[3]), phases=[Phase.generate])
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


def test_a_block_of_c_is_stopped_by_its_own_limit_and_by_requests_to_it(probe):  # S22, S23
    expect(
        probe,
        """
    import math, time
    from interruption import Scope, allow_interruption, move_on_after, timeout

    def wait(scope):
        threading.Event().wait()

    seen = []
    assert probe.call_in_scope(None, 0.01, wait) == (1, None)
    assert probe.call_in_scope(None, 3600, seen.append) == (0, None)
    assert probe.call_in_scope(None, math.inf, seen.append) == (0, None)
    assert [type(scope) for scope in seen] == [move_on_after, Scope]
    # What is not for it goes on; and it is asked from C, too, by another thread.
    assert probe.call_in_scope(None, 3600, lambda scope: 1 / 0)[0] == -1
    def stop(scope):
        seen.append(scope)
        other = threading.Thread(target=lambda: answers.append(
            probe.interrupt_scope(before, scope, KeyError, "why")))
        try:
            other.start()
            wait(scope)
        except KeyError as error:
            answers.append(error.reason)
            raise
        finally:
            other.join()
    answers = []
    assert probe.call_in_scope(None, 3600, stop) == (1, None)
    assert sorted(answers, key=str) == [(1, before), "why"]
    assert probe.interrupt_scope(None, seen[-1], NULL, NULL) == (0, None)  # it has been left
    # An outer limit passes it, and ends at its own exit.
    with move_on_after(0.01) as limit:
        result, raised = probe.call_in_scope(None, 3600, wait)
        raise raised
    assert limit.expired()
    assert not interruption_requested()
    """,
    )


def test_a_scope_that_the_thread_was_asked_before_is_not_entered(probe):  # S7
    expect(
        probe,
        """
    interruption.interrupt(me)
    result, raised = probe.call_in_scope(None, 3600, lambda scope: 1 / 0)
    assert (result, type(raised)) == (-4, ThreadExit)
    assert probe.enter_scope(before, interruption.Scope()) == (-1, before)
    clear_interrupt()
    assert probe.call_in_scope(None, 3600, lambda scope: None) == (0, None)
    """,
    )


def test_scopes_of_python_are_entered_and_left_by_c(probe):  # S23, S26
    expect(
        probe,
        """
    import time
    from interruption import Scope, timeout

    limit, stopped = timeout(0), None
    assert probe.enter_scope(before, limit) == (0, before)
    try:
        time.sleep(1)
    except ThreadExit as error:
        stopped = error
    result, raised = probe.leave_scope(stopped, limit)
    assert (result, type(raised), raised.__cause__) == (-1, TimeoutError, stopped)
    # What leaves it is told by what is set; who does not have it is refused, and nothing is lost.
    scope = Scope()
    assert probe.enter_scope(None, scope) == (0, None)
    assert probe.leave_scope(before, scope) == (-1, before)
    result, raised = probe.leave_scope(None, scope)
    assert (result, type(raised)) == (-1, RuntimeError)
    result, raised = probe.leave_scope(before, scope)
    assert (result, type(raised), raised.__context__) == (-1, RuntimeError, before)
    for wrong in (NULL, 3, interruption.allow_interruption):
        for call in (probe.enter_scope, probe.leave_scope):
            result, raised = call(None, wrong)
            assert (result, type(raised)) == (-1, TypeError), (call, wrong)
        assert probe.enter_scope(before, wrong) == (-1, before)
        assert probe.interrupt_scope(None, wrong, NULL, NULL)[0] == -1
    result, raised = probe.interrupt_scope(None, Scope(), int, NULL)
    assert (result, type(raised)) == (-1, TypeError)
    for seconds in (-1, float("nan")):
        result, raised = probe.call_in_scope(None, seconds, print)
        assert (result, type(raised)) == (-2, ValueError)
        assert probe.call_in_scope(before, seconds, print) == (-2, before)
    assert probe.call_in_scope(before, 1, print) == (-3, before)
    """,
    )


def test_the_deadline_is_passed_on_to_a_wait_of_c(probe):  # S27
    expect(
        probe,
        """
    import math, time
    from interruption import current_deadline, defer_interruption, move_on_after, timeout

    assert probe.current_deadline(before) == (0, math.inf, before)
    with timeout(3600), timeout(1800) as limit:
        assert probe.current_deadline(None) == (0, limit.when(), None)
        with defer_interruption:
            assert probe.current_deadline(before) == (0, math.inf, before)
    with move_on_after(0.05) as limit:
        probe.wait_in_c()
    assert limit.expired() and time.monotonic() >= limit.when()
    try:
        with timeout(0.05):
            probe.wait_in_c()
    except TimeoutError:
        pass
    else:
        raise AssertionError("it was not stopped")
    """,
    )


def test_references_to_scopes_are_kept(probe):
    expect(
        probe,
        """
    import gc
    scope = interruption.Scope()
    kind = type("Kind", (BaseException,), {})
    def counts():
        gc.collect()
        return [sys.getrefcount(what) for what in (before, scope, kind, interruption.Scope)]
    at_first = counts()
    for _ in range(100):
        probe.enter_scope(before, scope)
        probe.leave_scope(None, scope)
        probe.leave_scope(before, scope)
        probe.interrupt_scope(before, interruption.Scope(), kind, "why")
        probe.interrupt_scope(None, scope, int, NULL)
        probe.call_in_scope(None, 3600, lambda scope: None)
        probe.call_in_scope(None, 0, lambda scope: interruption.check_interrupt())
    now = counts()
    assert all(abs(a - b) < 5 for a, b in zip(now, at_first)), (at_first, now)
    """,
    )


def test_an_older_library_gives_all_that_it_has_to_a_newer_header(probe):
    """One from before there were scopes: its table is shorter."""
    expect_script(
        """
    import ctypes, math, sys, threading
    import interruption
    from interruption import clear_interrupt

    class Table(ctypes.Structure):
        _fields_ = [("abi_version", ctypes.c_uint32), ("size", ctypes.c_uint32),
                    *((name, ctypes.c_void_p) for name in ("current_flag", "check", "interrupt"))]

    python = ctypes.pythonapi
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    python.PyCapsule_New.restype = ctypes.py_object
    python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = b"interruption._C_API"
    now = python.PyCapsule_GetPointer(interruption._C_API, name)
    older = Table.from_buffer_copy((ctypes.c_char * ctypes.sizeof(Table)).from_address(now))
    assert older.size > ctypes.sizeof(Table)
    older.size = ctypes.sizeof(Table)
    interruption._C_API = python.PyCapsule_New(ctypes.addressof(older), name, None)

    sys.path.insert(0, sys.argv[1])
    import probe
    assert probe.interrupt(None, threading.get_ident(), probe, "why") == (1, None)
    assert probe.current_flag(None) == (1, None) and probe.check(None)[0] == -1
    assert clear_interrupt()
    scope = interruption.Scope()
    for call, arguments in (
        (probe.enter_scope, (scope,)),
        (probe.leave_scope, (scope,)),
        (probe.interrupt_scope, (scope, probe, probe)),
        (probe.current_deadline, ()),
        (probe.call_in_scope, (3600, print)),
    ):
        *result, raised = call(None, *arguments)
        assert result[0] < 0 and type(raised) is ImportError, (call, result, raised)
        assert "install a later one" in str(raised)
        before = ValueError("before")
        assert call(before, *arguments)[-1] is before
    """,
        probe,
    )

"""S19: why a thread that was asked has not stopped yet."""

from __future__ import annotations

import pickle
import queue
import signal
import sys
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from types import ModuleType

import interruption
import pytest
from chance import scaled
from interruption import (
    Explanation,
    Scope,
    Thread,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    defer_interruption,
    explain,
    explain_all,
    interrupt,
    move_on_after,
)
from support import PATIENCE, Started, in_thread

HERE = __file__
LINES = Path(HERE).read_text(encoding="utf-8").splitlines()


def line_of(mark):
    """The line with that comment."""
    (found,) = [n for n, line in enumerate(LINES, 1) if "  # " in line and line.endswith(mark)]
    return found


def explained(body, state, *, asked=True):
    """Start it, ask it, and wait until it is explained so; then let it go on."""
    other = Started(body)
    with other:
        if asked:
            interrupt(other.thread)
        deadline = time.monotonic() + PATIENCE
        while (found := explain(other.thread)).state != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.001)
        assert type(found) is Explanation
        assert found.thread is other.thread
        assert str(found).startswith(f"{other.thread.name}: {found.reason}\n")
        assert found.stack[-1].name in str(found)
        if found.place is not None:
            assert str(found.place) in found.reason
        other.may_go = True
    return found


def stay(started):
    """Run no code of the library's: that would be in its way, too."""
    while not getattr(started, "may_go", False):
        pass


def test_not_asked():
    def body(started):
        with allow_interruption:
            started.ready.set()
            stay(started)

    found = explained(body, "not asked", asked=False)
    assert (found.place, found.reason) == (None, "the thread has not been asked to stop")
    assert "stay" in str(found)


def test_not_asked_and_never_looked():
    def body(started):
        started.ready.set()
        started.go.wait(PATIENCE)

    found = explained(body, "not asked", asked=False)
    assert found.stack[-1].name == "wait"
    found = explained(body, "not in a region")
    assert found.place is None
    assert [frame.name for frame in found.stack][-3:] == ["body", "wait", "wait"]


def test_delivered():
    def body(started):
        try:
            with allow_interruption:
                started.ready.set()
                while True:
                    pass
        except ThreadExit:
            stay(started)

    assert explained(body, "delivered").place is None


def test_not_in_a_region_any_more():
    def body(started):
        with allow_interruption:
            pass
        started.ready.set()
        stay(started)

    assert explained(body, "not in a region").place is None


def test_shielded():
    def body(started):
        with allow_interruption, defer_interruption, defer_interruption:  # the shield
            started.ready.set()
            stay(started)

    found = explained(body, "shielded")
    assert (found.place.filename, found.place.lineno) == (HERE, line_of("the shield"))
    assert found.place.function.endswith("body")


def test_switched_off_by_the_region():
    def body(started):
        with allow_interruption(async_interrupt=False):  # the region
            started.ready.set()
            stay(started)

    assert explained(body, "switched off").place.lineno == line_of("the region")


def test_switched_off_for_the_thread():
    ready, go = threading.Event(), threading.Event()

    def body():
        ready.set()
        while not go.is_set():
            pass

    thread = Thread(target=body, interruptible=True)
    thread.enable_async_interrupt = False
    thread.start()
    assert ready.wait(PATIENCE)
    thread.interrupt()
    found = explain(thread)
    go.set()
    thread.join()
    assert found.state == "switched off"
    assert "for the thread" in found.reason


def test_in_protected_code():
    def body(started):
        items = queue.Queue()
        started.go.set = lambda: items.put(1)
        with allow_interruption:
            started.ready.set()
            items.get()  # the call of get

    found = explained(body, "in protected code")
    assert found.place.filename == threading.__file__
    called = line_of("the call of get")
    assert found.reason.endswith(f"{HERE}:{called} in {body.__qualname__}")
    assert found.stack[-2].name.endswith("get")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("finally", "in a `finally`"),
        ("except", "in an `except`"),
        ("entering", "entering a `with`"),
        ("leaving", "leaving a `with`"),
        ("entering by a generator", "entering a `with`"),
        ("leaving by a generator", "leaving a `with`"),
    ],
)
def test_in_cleanup(kind, words):
    from contextlib import contextmanager

    class Manager:
        def __init__(self, started):
            self.started = started

        def __enter__(self):
            if kind == "entering":
                self.started.ready.set()
                stay(self.started)

        def __exit__(self, *_):
            if kind == "leaving":
                self.started.ready.set()
                stay(self.started)

    @contextmanager
    def manager(started):
        if kind.startswith("entering"):
            started.ready.set()
            stay(started)
        yield
        if kind.startswith("leaving"):
            started.ready.set()
            stay(started)

    def body(started):
        with allow_interruption:
            if kind == "finally":
                try:
                    len(kind)
                finally:
                    started.ready.set()
                    stay(started)  # in finally
            elif kind == "except":
                try:
                    int("x")
                except ValueError:
                    started.ready.set()
                    stay(started)  # in except
            elif "generator" in kind:
                with manager(started):
                    pass
            else:
                with Manager(started):
                    pass

    found = explained(body, "in cleanup")
    assert words in found.reason
    if kind in {"finally", "except"}:
        assert found.place.lineno == line_of(f"in {kind}")


def test_importing(tmp_path, monkeypatch):
    started_here = ModuleType("started_here")
    monkeypatch.setitem(sys.modules, "started_here", started_here)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_module.py").write_text(
        "from started_here import started\n"
        "started.ready.set()\n"
        "while not started.go.is_set():\n    pass\n",
        encoding="utf-8",
    )

    def body(started):
        started_here.started = started
        with allow_interruption:
            import slow_module  # noqa: F401

    assert explained(body, "importing").reason.startswith("the thread is importing a module")


def test_in_del_and_in_a_callback():
    class Thing:
        pass

    class Finalized:
        def __init__(self, started):
            self.started = started

        def __del__(self):
            self.started.ready.set()
            stay(self.started)  # in del

    def in_del(started):
        with allow_interruption:
            Finalized(started)

    def in_callback(started):
        def called(_):
            started.ready.set()
            stay(started)  # in the callback

        with allow_interruption:
            thing = Thing()
            reference = weakref.ref(thing, called)
            del thing
            del reference

    assert explained(in_del, "in a callback").place.lineno == line_of("in del")
    assert explained(in_callback, "in a callback").place.lineno == line_of("in the callback")


@pytest.mark.parametrize("kind", ["with", "acquire", "condition"])
def test_holding_a_lock(kind):
    lock, condition = threading.RLock(), threading.Condition()

    def body(started):
        with allow_interruption:
            if kind == "acquire":
                lock.acquire()  # taken by acquire
                started.ready.set()
                stay(started)
                lock.release()
            elif kind == "condition":
                with condition:  # taken by condition
                    started.ready.set()
                    stay(started)
            else:
                with lock:  # taken by with
                    started.ready.set()
                    stay(started)

    found = explained(body, "holding a lock")
    assert (found.place.filename, found.place.lineno) == (HERE, line_of(f"taken by {kind}"))


def test_in_a_call_into_c():
    def body(started):
        number = 10**7
        with allow_interruption:
            started.ready.set()
            while not started.go.is_set():
                with defer_interruption:
                    pass
                sum(range(number))  # the call

    with Started(body) as other:
        time.sleep(0.01)
        interrupt(other.thread)
        found = explain(other.thread)
        with pytest.raises(ThreadExit):
            other.finish()
    # It may have been about to begin or to end.
    assert found.state in {
        "running",
        "in protected code",
        "shielded",
        "in cleanup",
        "delivered",
        "finished",
    }
    if found.state == "running" and found.place.lineno == line_of("the call"):
        assert "cannot be interrupted, at" in found.reason


def test_in_a_sleep():
    def body(started):
        with allow_interruption:
            started.ready.set()
            time.sleep(0.3)  # the sleep

    with Started(body) as other:
        time.sleep(0.05)
        before = explain(other.thread)
        interrupt(other.thread)
        found = explain(other.thread)
    if before.stack and before.stack[-1].lineno == line_of("the sleep"):
        assert found.state in {"running", "delivered", "finished"}
        if found.state == "running":
            assert found.place.lineno == line_of("the sleep")


def test_finished():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    found = explain(thread)
    assert (found.state, found.place, list(found.stack)) == ("finished", None, [])
    assert str(found) == f"{thread.name}: the thread has finished"


def test_what_is_no_thread():  # S1
    with pytest.raises(RuntimeError, match="not been started"):
        explain(threading.Thread())
    with pytest.raises(ValueError, match="0"):
        explain(0)
    for wrong in ("name", None, 1.5):
        with pytest.raises(TypeError):
            explain(wrong)


def test_by_ident():
    found = explain(threading.get_ident())
    assert found.thread == threading.get_ident()
    assert str(found).startswith(f"{threading.get_ident()}: the thread has not")


def names_of(found):
    return [frame.name.rpartition(".")[2] for frame in found.stack]


def test_oneself():
    """What is explained is the caller, not `explain`."""

    def body():
        me = threading.current_thread()
        assert names_of(explain(me))[-1] == "body"  # of a thread without a block
        lock = threading.Lock()
        with allow_interruption:
            lock.acquire()
            found = explain(me)
            assert (found.state, names_of(found)[-1]) == ("not asked", "body")
            interrupt(me)
            found = explain(me)
            assert (found.state, found.place.filename) == ("holding a lock", HERE)
            with defer_interruption:
                found = explain(me)
                assert found.state == "shielded"
            try:
                len(HERE)
            finally:
                found = explain(me)
                assert found.state == "in cleanup"
            found = explain(me)
            clear_interrupt()
            lock.release()
        assert names_of(found)[-1] == "body"
        interrupt(me)
        assert explain(me).state == "not in a region"
        clear_interrupt()

    in_thread(body)


def test_from_a_signal_handler():  # S20
    found = []

    def handle(*_):
        found.append(explain(threading.main_thread()))

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with defer_interruption, allow_interruption:
            signal.raise_signal(signal.SIGUSR1)
            interrupt(threading.get_ident())
            signal.raise_signal(signal.SIGUSR1)
            clear_interrupt()
        with allow_interruption(async_interrupt=False):
            interrupt(threading.get_ident())
            signal.raise_signal(signal.SIGUSR1)
            clear_interrupt()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [one.state for one in found] == ["not asked", "shielded", "switched off"]
    assert all(names_of(one)[-1] == "handle" for one in found)


def test_the_reason_is_a_sentence_for_every_state():
    from typing import get_args

    from interruption import _explain

    assert set(_explain._REASONS) == set(get_args(_explain.State))  # noqa: SLF001
    assert interruption.Explanation is _explain.Explanation


def test_while_the_thread_runs_at_full_speed():  # S20
    """Frames that come and go are looked at all the time."""
    lock = threading.Lock()

    def deep(number):
        return [deep(n) for n in range(number)]

    def generate():
        with allow_interruption:
            yield deep(2)

    def body(started):
        deliveries = 0
        while not started.go.is_set():
            started.ready.set()
            try:
                with allow_interruption:
                    deep(4)
                    with lock:
                        deep(2)
                    list(generate())
                    try:
                        deep(1)
                    finally:
                        deep(2)
                    with defer_interruption:
                        deep(2)
            except ThreadExit:
                clear_interrupt()
                deliveries += 1
        clear_interrupt()
        return deliveries

    seen = set()
    others = [Started(body).until_ready() for _ in range(2)]
    for number in range(scaled(1500)):
        for other in others:
            if number % 3 == 0:
                interrupt(other.thread)
            found = explain(other.thread)
            str(found)
            seen.add(found.state)
    counts = [other.finish() for other in others]
    assert min(counts) > 0 or len(seen) > 1
    assert seen <= {
        "not asked",
        "delivered",
        "not in a region",
        "shielded",
        "in protected code",
        "in cleanup",
        "in a callback",
        "holding a lock",
        "running",
    }


def test_threads_that_end_meanwhile():  # S20
    for _ in range(scaled(100)):
        thread = threading.Thread(target=lambda: interrupt(threading.get_ident()))
        thread.start()
        while explain(thread).state != "finished":
            pass
        thread.join()


def test_a_region_of_a_suspended_generator():  # S19, S21
    def generator():
        with allow_interruption:
            yield

    def body(started):
        suspended = generator()
        next(suspended)
        started.ready.set()
        stay(started)
        suspended.close()

    found = explained(body, "not in a region")
    assert found.place.function.endswith("generator")
    assert "not in force while that is suspended" in found.reason
    assert found.reason.endswith(str(found.place))


def test_a_shield_of_a_suspended_generator_is_no_region():  # S19, S21
    def generators():
        with defer_interruption:
            yield

    def body(started):
        suspended = [generators() for _ in range(9)]
        deque(map(next, suspended), maxlen=0)
        started.ready.set()
        stay(started)
        for generator in suspended:
            generator.close()

    found = explained(body, "not in a region")
    assert (found.place, "suspended" in found.reason) == (None, False)


def test_all_threads():  # S19
    def body(started):
        with defer_interruption, allow_interruption:
            started.ready.set()
            stay(started)

    with Started(body) as started:
        interrupt(started.thread)
        found = {explanation.thread: explanation for explanation in explain_all()}
        assert found[started.thread].state == "shielded"
        assert found[threading.current_thread()].state == "not asked"
        started.may_go = True
    assert all(explanation.thread is not started.thread for explanation in explain_all())


class Enough(BaseException):
    pass


@pytest.mark.parametrize("by_deadline", [True, False], ids=["deadline", "request"])
def test_the_scope_that_was_asked_is_named(by_deadline):  # S19, S22, S24
    """A shield in the scope delays it; what the thread holds outside of it does not."""
    scopes = []
    lock = threading.Lock()

    def body(started):
        with lock, allow_interruption, Scope(), Scope() as scope:  # asked
            scopes.append(scope)
            with defer_interruption:  # delays it
                if by_deadline:
                    scope.reschedule(time.monotonic())
                else:
                    scope.interrupt(Enough, reason="told so")
                started.ready.set()
                stay(started)

    found = explained(body, "shielded", asked=False)
    (scope,) = scopes
    assert found.place.lineno == line_of("delays it")
    assert found.asked.scope is scope
    assert found.asked.entered.lineno == line_of("# asked")
    wanted = (ThreadExit, "deadline") if by_deadline else (Enough, "told so")
    assert (found.asked.exc_type, found.asked.reason) == wanted
    assert str(found.asked) in found.reason
    assert str(found.asked.entered) in str(found.asked)
    copied = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert copied.asked.scope is None
    assert copied.asked.entered == found.asked.entered


def test_the_outermost_that_waits_is_explained():  # S19, S23
    def body(started):
        with allow_interruption, defer_interruption, Scope() as inner, defer_interruption:
            inner.interrupt(reason="inner")
            started.ready.set()
            stay(started)

    found = explained(body, "shielded")
    assert (found.asked.scope, found.asked.reason) == (None, None)
    assert "asked of" not in found.reason


def test_a_scope_that_is_on_its_way_out_is_told_to_have_been_stopped():  # S19, S25
    def body(started):
        with move_on_after(0):
            try:
                check_interrupt()
            finally:
                started.ready.set()
                stay(started)

    found = explained(body, "delivered", asked=False)
    assert type(found.asked.scope) is move_on_after
    assert found.asked.reason == "deadline"

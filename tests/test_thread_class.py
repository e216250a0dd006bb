"""The Thread class: a threading.Thread that is interrupted by a method of its own."""

import gc
import pickle
import sys
import threading
import time
import weakref

import interruption
import pytest
from interruption import Thread, ThreadExit, check_interrupt, interruption_requested
from support import PATIENCE, Started

# pytest's hook reports it, where threading's own is silent (S13).
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def wait_and_check(started):
    started.ready.set()
    started.go.wait(PATIENCE)
    check_interrupt()


def test_it_is_a_thread_like_any_other():
    seen = []
    thread = Thread(target=seen.append, args=(1,), name="mine", daemon=True)
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon, thread.is_alive()) == ("mine", True, False)
    thread.start()
    thread.join()
    assert seen == [1]


def test_interrupt_asks_it():  # S1, S2
    with Started(wait_and_check, thread_type=Thread) as other:
        assert other.thread.interrupt(reason="why") is True
        assert other.thread.interrupt() is False
        with pytest.raises(ThreadExit) as caught:
            other.finish()
        assert caught.value.reason == "why"


def test_interrupt_takes_an_exception_class():  # S2
    with Started(wait_and_check, thread_type=Thread) as other:
        other.thread.interrupt(LookupError)
        with pytest.raises(LookupError):
            other.finish()


def test_it_says_whether_it_was_asked():  # S4
    thread = Thread(target=check_interrupt)
    assert thread.interruption_requested is False
    with Started(wait_and_check, thread_type=Thread) as other:
        assert other.thread.interruption_requested is False
        other.thread.interrupt()
        assert other.thread.interruption_requested is True
        with pytest.raises(ThreadExit):
            other.finish()
    assert other.thread.interruption_requested is False


def test_it_says_so_also_after_it_has_looked():  # S4
    def body(started):
        assert not interruption_requested()
        wait_and_check(started)

    with Started(body, thread_type=Thread) as other:
        assert other.thread.interruption_requested is False
        interruption.interrupt(other.thread.ident)
        assert other.thread.interruption_requested is True
        with pytest.raises(ThreadExit):
            other.finish()


def test_before_start_it_cannot_be_asked():  # S1
    thread = Thread()
    with pytest.raises(RuntimeError, match="not been started"):
        thread.interrupt()
    thread.start()
    thread.join()
    assert thread.interrupt() is False


# interruptible=True, and the switches. ------------------------------------------------------------


def spin_until(flag):
    while not flag.is_set():
        pass


def test_interruptible_run_is_a_region():  # S9, S13
    ready = threading.Event()

    def body():
        ready.set()
        while True:
            pass

    thread = Thread(target=body, interruptible=True)
    thread.start()
    assert ready.wait(PATIENCE)
    assert thread.interrupt(reason="why") is True
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_not_interruptible_is_not_a_region():
    def body(started):
        started.ready.set()
        spin_until(started.go)

    other = Started(body, thread_type=Thread).until_ready()
    interruption.interrupt(other.thread)
    time.sleep(0.01)
    other.finish()


@pytest.mark.parametrize("how", ["subclass", "instance", "target"])
def test_whatever_run_is(how):
    ready, seen = threading.Event(), []

    def work(*args, **kwargs):
        seen.append((args, kwargs))
        ready.set()
        try:
            while True:
                pass
        except ThreadExit:
            seen.append("asked")
            raise

    class Own(Thread):
        def run(self):
            work(1, two=2)

    if how == "subclass":
        thread = Own(interruptible=True)
    elif how == "instance":
        thread = Thread(interruptible=True)
        thread.run = own = lambda: work(1, two=2)
    else:
        thread = Thread(None, work, None, (1,), {"two": 2}, daemon=True, interruptible=True)
    thread.start()
    assert ready.wait(PATIENCE)
    assert ("run" in vars(thread)) is (how == "instance")
    if how == "instance":
        assert thread.run is own
    thread.interrupt()
    thread.join(PATIENCE)
    assert seen == [((1,), {"two": 2}), "asked"]


def test_asked_before_it_begins_it_does_not_run():  # S7
    seen = []

    class Late(Thread):
        def _bootstrap_inner(self):
            self._started.set()
            interruption.interrupt(threading.get_ident(), reason="early")
            super()._bootstrap_inner()

    if not hasattr(threading.Thread, "_bootstrap_inner"):
        pytest.skip("threads begin otherwise here")
    thread = Late(target=seen.append, args=(1,), interruptible=True)
    thread.start()
    thread.join()
    assert seen == []
    thread = Late(target=seen.append, args=(1,))
    thread.start()
    thread.join()
    assert seen == [1]


def test_start_that_is_broken_off_starts_a_region_all_the_same():  # S7
    go_on, began, stopped = threading.Event(), threading.Event(), []

    class Starting(Thread):
        def _bootstrap_inner(self):
            assert go_on.wait(PATIENCE)  # it begins when start() has been left
            super()._bootstrap_inner()

    if not hasattr(threading.Thread, "_bootstrap_inner"):
        pytest.skip("threads begin otherwise here")

    def body():
        try:
            began.set()
            threading.Event().wait(PATIENCE)
        except ThreadExit:
            stopped.append(True)
            raise

    def breaks_off(*_):
        raise LookupError("while it waits for the thread to begin")

    thread = Starting(target=body, interruptible=True)
    thread._started.wait = breaks_off  # noqa: SLF001
    with pytest.raises(LookupError):
        thread.start()
    go_on.set()
    assert began.wait(PATIENCE)
    thread.interrupt()
    thread.join(PATIENCE)
    assert stopped == [True]
    assert "run" not in vars(thread)


@pytest.mark.parametrize("own", [False, True])
def test_start_that_is_broken_off_before_it_begins_can_be_repeated(monkeypatch, own):
    name = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    seen = []

    def breaks_off(*_, **__):
        raise KeyboardInterrupt

    def run():
        seen.append(vars(thread).get("run"))

    thread = Thread(target=run, interruptible=True)
    if own:
        thread.run = run
    with monkeypatch.context() as patch:
        patch.setattr(threading, name, breaks_off)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
    thread.start()
    thread.join(PATIENCE)
    assert seen == [run if own else None]
    assert thread not in threading._limbo  # noqa: SLF001
    assert thread not in threading.enumerate()


def test_start_that_fails_leaves_nothing_behind(monkeypatch):
    thread = Thread(target=int, interruptible=True)
    name = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"

    def fail(*_, **__):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, name, fail)
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
    assert "run" not in vars(thread)
    with pytest.raises(RuntimeError):
        Thread.start(Thread.__new__(Thread))
    thread = Thread(target=int, interruptible=True)
    thread.start()
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    thread.join()
    assert "run" not in vars(thread)
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    assert "run" not in vars(thread)


@pytest.mark.parametrize("how", ["target", "instance"])
def test_no_cycle_keeps_it_alive(how):
    class Thing:
        def __call__(self):
            pass

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        if how == "target":
            thread = Thread(target=thing, interruptible=True)
        else:
            thread = Thread(interruptible=True)
            thread.run = thing
        alive = weakref.ref(thing), weakref.ref(thread)
        del thing
        thread.start()
        thread.join()
        if how == "target":
            assert alive[0]() is None
        del thread
        deadline = time.monotonic() + PATIENCE
        while any(reference() is not None for reference in alive):
            assert time.monotonic() < deadline
            time.sleep(0.001)  # the thread itself may still be letting go
    finally:
        gc.enable()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Thread(context=) is of 3.14")
def test_context_is_passed_on():
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()
    context.run(variable.set, 3)
    seen = []
    thread = Thread(target=lambda: seen.append(variable.get()), context=context, interruptible=True)
    thread.start()
    thread.join()
    assert seen == [3]


def test_wrong_arguments_are_refused_as_ever():
    with pytest.raises(TypeError, match="unexpected"):
        Thread(no_such=1)
    with pytest.raises(AssertionError):
        Thread("group")
    with pytest.raises(TypeError):
        pickle.dumps(Thread())
    assert repr(Thread(name="n", interruptible=True)) == "<Thread(n, initial)>"


@pytest.mark.parametrize("when", ["before", "inside", "outside"])
def test_the_switch_keeps_a_request_waiting(when):  # S14
    ready, go, stop = threading.Event(), threading.Event(), threading.Event()
    counts = [0]

    def body():
        if when == "inside":
            thread.enable_async_interrupt = False
        ready.set()
        spin_until(go)
        while not stop.is_set():
            counts[0] += 1

    thread = Thread(target=body, interruptible=True)
    assert (thread.enable_async_interrupt, thread.enable_io_interrupt) == (True, True)
    if when == "before":
        thread.enable_async_interrupt = False
    thread.start()
    assert ready.wait(PATIENCE)
    if when == "outside":
        thread.enable_async_interrupt = False
    assert thread.enable_async_interrupt is False
    thread.interrupt()
    go.set()
    before = counts[0]
    time.sleep(0.05)
    assert counts[0] > before
    assert thread.is_alive()
    thread.enable_async_interrupt = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not stop.is_set()


def test_the_switches_and_regions_of_its_own():  # S14
    ready = threading.Event()
    seen = []

    def body():
        try:
            with interruption.allow_interruption:
                ready.set()
                while not seen:
                    pass
            seen.append("left")
        except ThreadExit:
            seen.append("raised")

    for enabled, outcome in ((False, "left"), (True, "raised")):
        seen.clear()
        ready.clear()
        thread = Thread(target=body)
        thread.enable_async_interrupt = enabled
        thread.start()
        assert ready.wait(PATIENCE)
        thread.interrupt()
        if not enabled:
            time.sleep(0.02)
            seen.append("go")
        thread.join(PATIENCE)
        assert seen[-1] == outcome


def test_switches_of_a_finished_thread_are_only_kept():
    thread = Thread(target=int)
    thread.start()
    thread.join()
    thread.enable_async_interrupt = thread.enable_io_interrupt = False
    assert (thread.enable_async_interrupt, thread.enable_io_interrupt) == (False, False)

"""Bad input gets a clear error, and changes nothing."""

import threading

import interruption
import pytest
from interruption import (
    SignalExit,
    Thread,
    ThreadExit,
    allow_interruption,
    defer_interruption,
    explain,
    interrupt,
    interrupt_all_threads,
    interrupt_on_exit,
    interruption_requested,
    protect,
    shutdown,
)
from support import PATIENCE, Started


class NoReason(Exception):
    @property
    def reason(self):
        return "fixed"


class NeedsArguments(Exception):
    def __init__(self, number):
        super().__init__(number)


class NotReallyAnException(BaseException):
    def __new__(cls):
        return 3


BAD_CALLS = [
    # the thread
    (lambda _: interrupt(), TypeError, r"interrupt\(\) missing required argument 'thread'"),
    (lambda _: interrupt(True), TypeError, "not bool"),
    (lambda _: interrupt(1.5), TypeError, "not float"),
    (lambda _: interrupt(None), TypeError, "not NoneType"),
    (lambda _: interrupt("MainThread"), TypeError, r"not str \(threading.enumerate\(\) has"),
    (lambda _: interrupt(ThreadExit), TypeError, r"not type \(the thread is given first\)"),
    (lambda _: SignalExit("SIGTERM"), TypeError, "give a signal, as signal.SIGTERM, not 'SIGTERM'"),
    (lambda _: SignalExit(999), ValueError, "no signal has the number 999"),
    (lambda _: SignalExit(-1), ValueError, "no signal has the number -1"),
    (lambda _: SignalExit(None), TypeError, "give a signal, as signal.SIGTERM, not None"),
    (lambda _: interrupt(threading.Thread), TypeError, "not type"),
    (lambda _: interrupt(0), ValueError, "no live Python thread has the ident 0"),
    (lambda _: interrupt(-1), ValueError, "no live Python thread has the ident -1"),
    (lambda _: interrupt(2**64 - 1), ValueError, "no live Python thread has the ident"),
    (lambda _: interrupt(2**64), ValueError, "no live Python thread has the ident"),
    (lambda _: interrupt(10**40), ValueError, "no live Python thread has the ident"),
    (lambda t: interrupt(t.native_id), ValueError, "native_id, the operating system's number"),
    (lambda _: interrupt(threading.Thread()), RuntimeError, r"call its start\(\) first"),
    (lambda _: explain(threading.Thread()), RuntimeError, r"call its start\(\) first"),
    (lambda t: explain(t.native_id), ValueError, "native_id, the operating system's number"),
    (lambda _: explain("MainThread"), TypeError, "not str"),
    # regions and shields
    (lambda _: allow_interruption(5), TypeError, "decorates a function, not 'int': options are"),
    (
        lambda _: allow_interruption(False),
        TypeError,
        "not 'bool': options are given by name",
    ),
    (
        lambda _: defer_interruption(2.5),
        TypeError,
        "defer_interruption has no options",
    ),
    (lambda _: allow_interruption(io_interrupt="no"), TypeError, "True or False, not 'no'"),
    (lambda _: allow_interruption(async_interrupt=0), TypeError, "True or False, not 0"),
    (lambda _: Thread(interruptible="yes"), TypeError, "interruptible must be True or False"),
    (lambda _: setattr(Thread(), "enable_io_interrupt", 1), TypeError, "enable_io_interrupt must"),
    (lambda _: setattr(Thread(), "enable_async_interrupt", None), TypeError, "not None"),
    (lambda _: shutdown(daemon="no"), TypeError, "daemon must be True or False, not 'no'"),
    (lambda _: interrupt_on_exit(at_end=1), TypeError, "at_end must be True or False, not 1"),
    (lambda _: protect("os", missing_ok="no"), TypeError, "missing_ok must be True or False"),
    (lambda _: allow_interruption(timeout=5), TypeError, "timeout"),
    (lambda _: allow_interruption(print, io_interrupt=False), TypeError, "either one function"),
    # the exception class
    (lambda t: interrupt(t, None), TypeError, "subclass of BaseException, not None"),
    (lambda t: interrupt(t, int), TypeError, "subclass of BaseException, not <class 'int'>"),
    (lambda t: interrupt(t, ValueError()), TypeError, "give the class, not an instance"),
    (lambda t: interrupt(t, "too slow"), TypeError, r"not 'too slow' \(a text goes into reason=\)"),
    (lambda t: interrupt(t, NeedsArguments), TypeError, "called without arguments"),
    (lambda t: interrupt(t, NotReallyAnException), TypeError, "called without arguments"),
    (lambda t: interrupt(t, NoReason, reason="r"), TypeError, r"given a \.reason"),
    # the reason
    (lambda t: interrupt(t, reason=3), TypeError, "reason must be a str or None, not int"),
    (lambda t: interrupt(t, reason=b"r"), TypeError, "reason must be a str or None, not bytes"),
    (lambda _: interrupt_all_threads(3), TypeError, "reason must be a str or None, not int"),
    # the call
    (lambda t: interrupt(t, ThreadExit, "r"), TypeError, "at most 2 positional arguments"),
    (lambda t: interrupt(t, thread=t), TypeError, r"given by name \('thread'\) and position"),
    (lambda t: interrupt(t, why="r"), TypeError, "keyword argument 'why'|'why' is an invalid key"),
    (lambda _: interrupt_all_threads("r", "s"), TypeError, r"at most 1 argument \(2 given\)"),
    (lambda _: interruption.interruption_requested(1), TypeError, "no arguments"),
    (lambda _: interruption.check_interrupt(1), TypeError, "no arguments"),
    (lambda _: interruption.clear_interrupt(1), TypeError, "no arguments"),
    (lambda _: interruption.interruption_fd(1), TypeError, "no arguments"),
    (
        lambda _: interruption.wait_for_interruption(1, 2),
        TypeError,
        r"at most 1 argument \(2 given\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD_CALLS)
def test_bad_input_is_refused_in_words_and_nobody_is_asked(call, error, words):  # S1, S2
    def body(started):
        started.ready.set()
        started.go.wait(PATIENCE)
        return interruption_requested()

    with Started(body) as other:
        with pytest.raises(error, match=words):
            call(other.thread)
        assert other.finish() is False
        assert not interruption_requested()


def test_keywords_are_taken(bystanders):
    with Started(lambda started: started.ready.set() or started.go.wait(PATIENCE)) as other:
        assert interrupt(thread=other.thread, exc_type=ThreadExit, reason=None) is True
        assert interrupt_all_threads(reason="why") == bystanders + 1


def test_what_went_wrong_with_an_exception_class_is_its_cause():
    with pytest.raises(TypeError) as caught:
        interrupt(threading.get_ident(), NeedsArguments)
    assert isinstance(caught.value.__cause__, TypeError)
    assert "number" in str(caught.value.__cause__)


def test_a_keyboard_interrupt_while_a_class_is_tried_comes_out_as_itself():
    class Pressed(Exception):
        def __init__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt(threading.get_ident(), Pressed)
    assert not interruption_requested()

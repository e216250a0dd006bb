"""Every public function and class, with arguments of every kind: an answer or an error in words.

Never a crash, a SystemError, a hang; and after an error nobody has been asked, and no thread and no
descriptor is left. test_bad_input.py says which error it is, where that matters.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import traceback

import interruption
import pytest
from chance import scaled
from fuzz_pool import EvilError, arguments, fresh
from interruption import blocking, clear_interrupt, interrupt, interruption_requested
from support import PATIENCE, told

# What may be raised. EvilError is the arguments' own, and so is what check_interrupt() raises.
ERRORS = (TypeError, ValueError, RuntimeError, OverflowError, AttributeError, EvilError)
OTHER_ERRORS = {
    "Thread": (AssertionError,),  # threading's own words for a `group`
    "run_in_process": (ChildProcessError,),
}

MOMENT = 0.001  # seconds

_Region = type(interruption.allow_interruption)
_Shield = type(interruption.defer_interruption)


def _nothing(*_):
    pass


def _asked_before(function):
    """A thread that has been asked calls it, so it does not wait."""

    def call(*arguments, **keywords):
        interrupt(threading.get_ident())
        return function(*arguments, **keywords)

    return call


def _protecting(function):
    """What has been protected, is not for longer."""

    def call(*arguments, **keywords):
        function(*arguments, **keywords)
        interruption.unprotect(*arguments, **keywords)

    return call


def _installing(*arguments, **keywords):
    interruption.install(*arguments, **keywords)
    interruption.uninstall()


def _disabling(*arguments, **keywords):
    blocking.disable(*arguments, **keywords)
    blocking.enable()


def _making(kind):
    """An object, and what is made of it: its text, its comparison."""

    def call(*arguments, **keywords):
        made = kind(*arguments, **keywords)
        assert isinstance(made, kind)
        made.__reduce_ex__(2)
        return made

    return call


def _briefly(*arguments, **keywords):
    """It waits for all threads of this process: not for longer than a moment."""
    given = [*arguments] or [keywords.pop("timeout", 0)]
    if given[0] is None or (isinstance(given[0], int | float) and given[0] > MOMENT):
        given[0] = MOMENT
    return interruption.shutdown(*given, **keywords)


def _entering(kind):
    """Made, entered and left."""

    def call(*arguments, **keywords):
        with kind(*arguments, **keywords):
            pass

    return call


# How each public thing is called so that it does no harm. One that is new must be put in here.
CALLS = {
    "Explanation": _making(interruption.Explanation),
    "Installation": _making(interruption.Installation),
    "Scope": _entering(interruption.Scope),
    "ThreadGroup": _entering(interruption.ThreadGroup),
    "ShutdownReport": _making(interruption.ShutdownReport),
    "SignalExit": _making(interruption.SignalExit),
    "ThreadPoolExecutor": _entering(interruption.ThreadPoolExecutor),
    "ThreadReport": _making(interruption.ThreadReport),
    "Thread": _making(interruption.Thread),
    "ThreadExit": _making(interruption.ThreadExit),
    "allow_interruption": interruption.allow_interruption,
    "check_interrupt": interruption.check_interrupt,
    "clear_interrupt": interruption.clear_interrupt,
    "current_deadline": interruption.current_deadline,
    "defer_interruption": interruption.defer_interruption,
    "explain": interruption.explain,
    "explain_all": interruption.explain_all,
    "get_include": interruption.get_include,
    "install": _installing,
    "interrupt": interruption.interrupt,
    "interrupt_all_threads": interruption.interrupt_all_threads,
    "interrupt_on_exit": _entering(interruption.interrupt_on_exit),
    "interrupt_on_signal": _entering(interruption.interrupt_on_signal),
    "interruption_fd": interruption.interruption_fd,
    "interruption_requested": interruption.interruption_requested,
    "move_on_after": _entering(interruption.move_on_after),
    "on_interrupt": _entering(interruption.on_interrupt),
    "protect": _protecting(interruption.protect),
    "run_in_process": interruption.run_in_process,
    "shutdown": _briefly,
    "timeout": _entering(interruption.timeout),
    "timeout_at": _entering(interruption.timeout_at),
    "uninstall": interruption.uninstall,
    "unprotect": interruption.unprotect,
    "wait_for_interruption": _asked_before(interruption.wait_for_interruption),
    "blocking.Family": _making(blocking.Family),
    "blocking.Status": _making(blocking.Status),
    "blocking.disable": _disabling,
    "blocking.enable": blocking.enable,
    "blocking.status": blocking.status,
    "allow_interruption.__enter__": interruption.allow_interruption.__enter__,
    "allow_interruption.__exit__": interruption.allow_interruption.__exit__,
    "type(allow_interruption)": _Region,
    "type(allow_interruption).__enter__": _Region.__enter__,
    "type(allow_interruption).__exit__": _Region.__exit__,
    "type(allow_interruption).__call__": _Region.__call__,
    "defer_interruption.__enter__": interruption.defer_interruption.__enter__,
    "defer_interruption.__exit__": interruption.defer_interruption.__exit__,
    "type(defer_interruption)": _Shield,
    "type(defer_interruption).__call__": _Shield.__call__,
    "on_interrupt.__enter__": interruption.on_interrupt.__enter__,
    "on_interrupt.__exit__": interruption.on_interrupt(_nothing).__exit__,
    "Thread.interrupt": interruption.Thread.interrupt,
    "Thread.interruption_requested": interruption.Thread.interruption_requested.fget,
    "Thread.enable_async_interrupt": interruption.Thread.enable_async_interrupt.fset,
    "Thread.enable_io_interrupt": interruption.Thread.enable_io_interrupt.fset,
    "Thread.start": interruption.Thread.start,
}
SLOW = {"run_in_process": 50}  # it may start a process


def test_nothing_public_is_forgotten():
    public = set(interruption.__all__) - {"blocking"}
    public |= {f"blocking.{name}" for name in blocking.__all__}
    public |= {f"Thread.{name}" for name in vars(interruption.Thread) if not name.startswith("_")}
    assert public - set(CALLS) == set()


def _here(answers, call, arguments, keywords):
    """In a thread of its own: what it enters is left with it."""
    try:
        call(*arguments, **keywords)
        answer = None
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        asked = interruption_requested()
        clear_interrupt()
        traceback.clear_frames(error.__traceback__)
        answer = error, asked
    answers.put(answer)


def _check_error(name, error, asked):
    if isinstance(error, interruption.ThreadExit):
        assert asked  # it stands for the request that its thread has made itself
        return
    assert isinstance(error, (*ERRORS, *OTHER_ERRORS.get(name, ()))), repr(error)
    assert str(error), repr(error)
    assert not asked or name == "wait_for_interruption"
    assert not interruption_requested(), error


def _try(name, arguments, keywords):
    answers = queue.SimpleQueue()
    thread = threading.Thread(target=_here, args=(answers, CALLS[name], arguments, keywords))
    thread.start()
    failed = answers.get(timeout=PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    if failed is not None:
        _check_error(name, *failed)
    clear_interrupt()


def _descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _fuzz(name, examples):
    _try(name, [], {})
    before = threading.active_count(), _descriptors()
    for positional, named in examples:
        with told(f"{name}(*{positional}, **{named})"):
            values = [fresh(value) for value in positional]
            _try(name, values, {key: fresh(value) for key, value in named.items()})
    assert (threading.active_count(), _descriptors()) == before


@pytest.fixture
def examples(request):
    """Made before the garbage is frozen, as hypothesis asks the collector who refers to what."""
    return arguments(scaled(SLOW.get(request.getfixturevalue("name"), 300)))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("examples", "collecting_fast")
def test_arguments_of_every_kind_are_answered_in_words(name, examples):  # S1, S2, S14, S20
    bystander = threading.Thread(target=(stop := threading.Event()).wait)
    bystander.start()
    if name == "run_in_process":
        interruption.run_in_process(int)  # what multiprocessing begins with it, stays
    try:
        _fuzz(name, examples)
        if name not in ("interrupt_all_threads", "shutdown"):
            assert interruption.explain(bystander).state == "not asked"
    finally:
        stop.set()
        bystander.join()

"""interrupt_on_signal(): it is put in force, and undone."""

from __future__ import annotations

import contextlib
import signal
import threading

import interruption
import pytest
from interruption import interrupt_on_exit, interrupt_on_signal
from on_signal_parts import STOPPING, run
from support import in_thread


@pytest.fixture
def untouched():
    """Signals have afterwards the handlers that they had before."""
    interrupt_on_exit().close()  # what a test before has abandoned is left out at the end, for good
    before = [signal.getsignal(number) for number in STOPPING]
    shutdown = threading._shutdown  # noqa: SLF001
    yield before
    assert [signal.getsignal(number) for number in STOPPING] == before
    assert threading._shutdown is shutdown  # noqa: SLF001


def test_the_program_sees_its_own_handlers(untouched):  # S30
    """Who looks whether a signal still has the handler of Python finds it so."""
    installation = interrupt_on_signal()
    assert installation.signals == STOPPING
    assert [signal.getsignal(number) for number in STOPPING] == untouched
    assert signal.getsignal(signal.SIGINT) is untouched[0]
    assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is untouched[1]
    installation.close()
    installation.close()


def test_it_is_a_context_manager():  # S30
    assert run("""
        with interrupt_on_signal(signal.SIGTERM) as installation:
            assert installation.signals == (signal.SIGTERM,)
            worker = start()
            try:
                kill()
                time.sleep(60)
            except SignalExit:
                worker.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        kill()
        time.sleep(60)
    """) == (-15, ["stopped by SIGTERM"], "")


def test_several_are_undone_in_any_order(untouched):  # S30
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]):
        installations = [interrupt_on_signal() for _ in range(3)]
        for number in order:
            installations[number].close()
        assert [signal.getsignal(number) for number in STOPPING] == untouched


def test_a_handler_that_is_set_later_stays_and_calls_the_one_before():  # S30
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("below"))
    try:
        installation = interrupt_on_signal(signal.SIGTERM)
        below = signal.getsignal(signal.SIGTERM)

        def over(signum, frame):
            seen.append("over")
            below(signum, frame)

        signal.signal(signal.SIGTERM, over)
        assert signal.getsignal(signal.SIGTERM) is over
        installation.close()
        assert signal.getsignal(signal.SIGTERM) is over
        signal.raise_signal(signal.SIGTERM)
        assert seen == ["over", "below"]
        assert in_thread(interruption.interruption_requested) is False
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not hasattr(signal, "SIGRTMAX"), reason="the system has none")
def test_a_signal_that_nobody_handles_ends_the_process_all_the_same():  # S30
    """One of these is how C code leaves word, within the process."""
    status, said, _ = run("""
        interrupt_on_signal()
        kill(signal.SIGRTMAX)
        say("goes on")
    """)
    assert (status, said) == (-signal.SIGRTMAX, [])


def test_threads_are_asked_beside_a_handler_that_is_set_later():  # S30
    """The handler decides what the signal means for the main thread, as it does without us."""
    status, said, told = run("""
        interrupt_on_signal()
        before = signal.signal(signal.SIGTERM, lambda *_: say("handled"))
        worker = start()
        kill()
        worker.join()
        assert signal.signal(signal.SIGTERM, before).__name__ == "<lambda>"
        assert signal.getsignal(signal.SIGTERM) is before is signal.SIG_DFL
        try:
            kill()
            time.sleep(60)
        except SignalExit:
            say("stopped")
    """)
    assert (status, sorted(said), told) == (0, ["handled", "stopped", "stopped by SIGTERM"], "")


def test_a_signal_that_is_ignored_later_is_ignored():  # S30
    """By the system, too: children inherit it. And it is heeded again when it has a handler."""
    assert run("""
        import subprocess
        interrupt_on_signal()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kill()
        subprocess.run(["/bin/sh", "-c", "kill -TERM $$; echo lives"], check=True)
        assert not interruption_requested()
        worker = start()
        assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.SIG_IGN
        try:
            kill()
            time.sleep(60)
        except SignalExit:
            worker.join()
    """) == (0, ["lives", "stopped by SIGTERM"], "")


def test_a_program_raises_again_what_it_has_handled():  # S30
    """As servers do at their end. It is the same signal, not an impatient user's next."""
    assert run("""
        interrupt_on_signal()
        caught = []
        def asked_again():
            with allow_interruption:
                try:
                    begun.release()
                    threading.Event().wait()
                except ThreadExit:
                    again.acquire()          # in cleanup only an insisting request ends it
        again = threading.Lock()
        again.acquire()
        worker = start(asked_again)
        before = signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))
        kill()
        assert caught == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, before)
        for _ in range(5):                   # five: the third would give up
            try:
                signal.raise_signal(signal.SIGTERM)
            except SignalExit:
                say("stopped")
        assert len(interruption._shutdown.signals._state.signals) == 1
        again.release()
        worker.join()
    """) == (0, ["stopped"] * 5, "")


def test_it_refuses_what_signal_does_in_the_same_words():
    expected = []
    for put in (contextlib.nullcontext, interrupt_on_signal):
        said = []
        for arguments in [(), (2,), (2, 3, 4), (2, "no"), ("no", 0), (0, 0), (1 << 70, 0)]:
            with put(), pytest.raises(Exception) as caught:  # noqa: PT011  (whatever it says)
                signal.signal(*arguments)
            said.append((type(caught.value), str(caught.value)))
        with put(), pytest.raises(ValueError, match="main thread") as caught:
            in_thread(lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
        said.append(str(caught.value))
        expected.append(said)
    assert expected[0] == expected[1]


def test_an_ignored_signal_stays_ignored():
    """As nohup has it, and a shell in the background."""
    assert run("""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        installation = interrupt_on_signal()
        assert installation.signals == (signal.SIGINT, signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        kill(signal.SIGHUP)
        assert not interruption_requested()
    """) == (0, [], "")


def test_a_signal_is_seen_to_once_however_often_it_is_installed():
    """A second time would insist."""
    assert run("""
        interrupt_on_signal(reason="first")
        interrupt_on_signal(reason="second")
        worker = start()
        try:
            kill()
            time.sleep(60)
        except SystemExit:
            worker.join()
            os._exit(len(interruption._shutdown.signals._state.signals))
    """) == (1, ["stopped by second"], "")


@pytest.mark.usefixtures("untouched")
def test_it_is_refused_off_the_main_thread():
    with pytest.raises(RuntimeError, match="in the main thread"):
        in_thread(interrupt_on_signal)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("error", "signals", "options"),
    [
        (ValueError, [signal.SIGKILL], {}),
        (ValueError, [signal.SIGTERM, signal.SIGSTOP], {}),
        (TypeError, [0], {}),
        (TypeError, [100_000], {}),
        (TypeError, ["SIGTERM"], {}),
        (TypeError, [True], {}),
        (TypeError, [None], {}),
        (TypeError, [[signal.SIGTERM]], {}),
        (ValueError, [], {"timeout": -1}),
        (TypeError, [], {"reason": 3}),
        (ValueError, [], {"report_after": float("nan")}),
    ],
)
def test_bad_input_is_refused_and_nothing_has_changed(error, signals, options):
    with pytest.raises(error):
        interrupt_on_signal(*signals, **options)


@pytest.mark.parametrize("time", ["Decimal(5)", "Fraction(5, 2)", "10**400", "math.inf"])
def test_any_number_of_seconds_is_a_timeout(time):
    """One past the floats is no limit, as in all that takes seconds."""
    status, said, _ = run(f"""
        import math
        from decimal import Decimal
        from fractions import Fraction

        try:
            with interrupt_on_signal(timeout={time}, report_after={time}):
                kill(signal.SIGTERM)
        except SignalExit:
            say("stopped")
    """)
    assert (status, said) == (0, ["stopped"])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("time", [10, 15, 10.0, signal.SIGRTMIN + 1])
def test_a_number_is_no_signal_but_perhaps_a_time(time):
    """Ten is SIGUSR1, in silence."""
    with pytest.raises(TypeError, match=rf"signal\.SIGTERM, not .*timeout={time!r}\)"):
        interrupt_on_signal(time)


def test_a_handler_of_a_c_library_is_refused_in_words():
    status, _, told = run("""
        import ctypes
        handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
        ctypes.CDLL(None).signal(int(signal.SIGTERM), handler)
        # Python looks at the handlers when it starts; so it is told what it would have seen.
        signal.getsignal = lambda number: None
        interrupt_on_signal()
    """)
    assert status == 1
    assert "ValueError: SIGINT has a handler of a library in C" in told

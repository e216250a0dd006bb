"""interrupt_on_signal(): it is put in force, and undone."""

from __future__ import annotations

import signal
import threading

import interruption
import pytest
from interruption import interrupt_on_signal
from on_signal_parts import STOPPING, run
from support import in_thread


@pytest.fixture
def untouched():
    """Signals have afterwards the handlers that they had before."""
    before = [signal.getsignal(number) for number in STOPPING]
    shutdown = threading._shutdown  # noqa: SLF001
    yield before
    assert [signal.getsignal(number) for number in STOPPING] == before
    assert threading._shutdown is shutdown  # noqa: SLF001


def test_the_handlers_say_whose_they_are_and_are_undone(untouched):
    installation = interrupt_on_signal()
    assert installation.signals == STOPPING
    for number, before in zip(STOPPING, untouched, strict=True):
        handler = signal.getsignal(number)
        assert handler is not before
        assert repr(handler) == (
            f"<interruption's handler of {signal.Signals(number).name}, over {before!r}>"
        )
    installation.close()
    installation.close()


def test_it_is_a_context_manager(untouched):
    with interrupt_on_signal(signal.SIGTERM) as installation:
        assert installation.signals == (signal.SIGTERM,)
        assert signal.getsignal(signal.SIGINT) is untouched[0]
        assert signal.getsignal(signal.SIGTERM) is not untouched[1]


def test_several_are_undone_in_any_order(untouched):
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]):
        installations = [interrupt_on_signal() for _ in range(3)]
        for number in order:
            installations[number].close()
        assert [signal.getsignal(number) for number in STOPPING] == untouched


def test_a_handler_over_it_stays_and_what_was_below_is_called():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("below"))
    try:
        installation = interrupt_on_signal(signal.SIGTERM)
        ours = signal.getsignal(signal.SIGTERM)

        def over(signum, frame):
            seen.append("over")
            ours(signum, frame)

        signal.signal(signal.SIGTERM, over)
        installation.close()
        assert signal.getsignal(signal.SIGTERM) is over
        signal.raise_signal(signal.SIGTERM)
        assert seen == ["over", "below"]
        assert in_thread(interruption.interruption_requested) is False
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_closed_below_somebodys_handler_the_signal_does_what_it_did(number):
    status, said, _ = run(f"""
        number = signal.{number.name}
        installation = interrupt_on_signal(number)
        ours = signal.getsignal(number)
        signal.signal(number, lambda *args: (say("over"), ours(*args)))
        installation.close()
        try:
            kill(number)
            time.sleep(60)
        finally:
            say("finally")
    """)
    # The default action of SIGTERM runs nothing; KeyboardInterrupt does.
    assert (status, said) == (-number, ["over", "finally"][: 1 + (number == signal.SIGINT)])


@pytest.mark.usefixtures("untouched")
def test_an_installation_says_what_it_does():
    with interrupt_on_signal(signal.SIGTERM, signal.SIGHUP) as installation:
        assert repr(installation) == "<interruption asks all threads on SIGTERM, SIGHUP>"
    assert repr(installation).endswith("on SIGTERM, SIGHUP, closed>")
    with interruption.interrupt_on_exit() as installation:
        assert "on an exit by an exception>" in repr(installation)
    installation = interruption.interrupt_on_exit(at_end=True)
    assert "on the end of the program>" in repr(installation)
    installation.close()


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
            os._exit(len(interruption._signals._state.signals))
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

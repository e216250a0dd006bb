"""S17: the API inside threading."""

import threading

import interruption
import pytest
from support import PATIENCE, Started, expect_script, run_script

NAMES = {
    "ThreadExit",
    "allow_interruption",
    "check_interrupt",
    "clear_interrupt",
    "defer_interruption",
    "interrupt",
    "interrupt_all_threads",
    "interruption_fd",
    "interruption_requested",
    "wait_for_interruption",
}


@pytest.fixture(autouse=True)
def _uninstall():
    yield
    interruption.uninstall()


def test_importing_changes_nothing_outside():  # S17
    expect_script("""
        import _thread, builtins, os, signal, sys, threading
        def picture():
            return [
                (owner, dict(vars(owner)))
                for owner in (_thread, builtins, os, signal, sys, threading, threading.Thread)
            ]
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        before = picture()
        import interruption
        for (owner, old), (_, new) in zip(before, picture()):
            assert old.keys() ^ new.keys() <= {"__warningregistry__"}, owner
            changed = {name for name in old if old[name] is not new[name]}
            assert not changed, (owner, changed)
        assert handlers == {number: signal.getsignal(number) for number in signal.valid_signals()}
        assert threading.active_count() == 1
    """)


def test_install_puts_the_api_into_threading_and_uninstall_takes_it_out():  # S17
    before, thread_before = dict(vars(threading)), dict(vars(threading.Thread))
    interruption.install()
    assert vars(threading).keys() - before.keys() == NAMES
    assert vars(threading.Thread).keys() - thread_before.keys() == {
        "interrupt",
        "interruption_requested",
    }
    for name in NAMES:
        assert getattr(threading, name) is getattr(interruption, name)
    interruption.uninstall()
    assert vars(threading).keys() == before.keys()
    assert vars(threading.Thread).keys() == thread_before.keys()


def test_installed_any_thread_can_be_interrupted():  # S17
    interruption.install()

    def body(started):
        started.ready.set()
        return threading.wait_for_interruption(PATIENCE)

    with Started(body) as other:
        assert other.thread.interruption_requested is False
        assert other.thread.interrupt() is True
        assert other.finish() is True


def test_twice_is_once():  # S17
    interruption.uninstall()
    interruption.install()
    interruption.install()
    interruption.uninstall()
    interruption.uninstall()
    assert not hasattr(threading, "interrupt")


def test_a_name_that_is_taken_is_an_error_and_nothing_is_changed(monkeypatch):  # S17
    monkeypatch.setattr(threading.Thread, "interrupt", "theirs", raising=False)
    before = dict(vars(threading))
    with pytest.raises(RuntimeError, match=r"Thread\.interrupt is there already"):
        interruption.install()
    assert dict(vars(threading)) == before
    assert threading.Thread.interrupt == "theirs"


def test_uninstall_leaves_what_somebody_else_has_put_there_since(monkeypatch):  # S17
    interruption.install()
    monkeypatch.setattr(threading, "interrupt", "theirs")
    interruption.uninstall()
    assert threading.interrupt == "theirs"
    assert not hasattr(threading, "interrupt_all_threads")


PROPOSAL = """
    import interruption
    interruption.install()

    # The proposal's own example, with shorter sleeps.
    from time import sleep
    from threading import Thread, interruption_requested, interrupt_all_threads

    def loop():
        while not interruption_requested():
            sleep(0.01)
        print("exiting thread!")

    threads = [Thread(target=loop) for i in range(8)]
    for thread in threads:
        thread.start()

    try:
        sleep(0.05)
        for thread in threads[:4]:
            thread.interrupt()
            thread.join()

        if interrupted_by_hand:
            raise KeyboardInterrupt
        for thread in threads[4:]:
            thread.interrupt()
            thread.join()

    except KeyboardInterrupt:
        interrupt_all_threads()
        for thread in threads:
            thread.join()
"""


@pytest.mark.parametrize("by_hand", [True, False])
def test_the_proposals_own_snippet_runs(by_hand):  # S17
    result = run_script(PROPOSAL.replace("interrupted_by_hand", str(by_hand)))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("exiting thread!") == 8  # (print writes the line in two parts)

"""S13: ThreadExit ends a thread in silence."""

import copy
import pickle
import threading

import pytest
from interruption import ThreadExit, check_interrupt, interrupt
from support import expect_script, run_script


def test_it_is_a_system_exit_and_not_an_exception():  # S13
    assert issubclass(ThreadExit, SystemExit)
    assert not issubclass(ThreadExit, Exception)
    interrupt(threading.get_ident())
    with pytest.raises(ThreadExit):
        try:
            check_interrupt()
        except Exception:  # noqa: BLE001
            pytest.fail("swallowed")


def test_it_has_a_reason_and_no_exit_code():
    error = ThreadExit("why")
    assert (error.reason, error.args, error.code, str(error)) == ("why", ("why",), None, "why")
    assert repr(error) == "ThreadExit('why')"
    assert ThreadExit(reason="why").reason == "why"
    for empty in (ThreadExit(), ThreadExit(None)):
        assert (empty.reason, empty.args, empty.code, str(empty)) == (None, (), None, "")


def test_the_reason_can_be_changed():
    error = ThreadExit()
    error.reason = "later"
    assert error.args == ("later",)
    error.reason = None
    assert error.args == ()
    with pytest.raises(TypeError, match="reason must be a str or None, not int"):
        error.reason = 3
    assert error.reason is None


def test_a_reason_is_text():
    for bad in (3, b"bytes", ValueError()):
        with pytest.raises(TypeError, match="reason must be a str or None"):
            ThreadExit(bad)
    with pytest.raises(TypeError):
        ThreadExit("one", "two")


def test_it_survives_pickle_and_copy():
    class_reason = ThreadExit("why")
    for again in (pickle.loads(pickle.dumps(class_reason)), copy.copy(class_reason)):  # noqa: S301
        assert type(again) is ThreadExit
        assert again.reason == "why"


def test_it_can_be_subclassed_with_other_arguments():
    class Numbered(ThreadExit):
        def __init__(self, number):
            super().__init__(f"number {number}")
            self.number = number

    assert (Numbered(3).reason, Numbered(3).number) == ("number 3", 3)


SILENCE = """
    import _thread, threading, interruption
    from interruption import *

    def stop():
        interrupt(threading.get_ident(), reason="why")
        check_interrupt()

    def by_hand():
        raise ThreadExit("by hand")

    class Stop(ThreadExit):
        pass

    def subclass():
        raise Stop

    for thread_type in (threading.Thread, interruption.Thread):
        for target in (stop, by_hand, subclass):
            thread = thread_type(target=target)
            thread.start()
            thread.join()
    done = threading.Event()
    def low_level():
        try:
            stop()
        finally:
            done.set()
    _thread.start_new_thread(low_level, ())
    done.wait()
"""


def test_it_ends_any_thread_in_silence():  # S13
    expect_script(SILENCE)


def test_importing_leaves_the_excepthook_and_other_exceptions_are_shown():  # S13, S17
    result = run_script("""
        import threading
        before = threading.excepthook
        import interruption
        assert threading.excepthook is before
        interruption.ThreadExit()
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        thread = threading.Thread(target=exit)
        thread.start()
        thread.join()
    """)
    assert result.returncode == 0
    assert result.stderr.count("Traceback") == 1
    assert "ZeroDivisionError" in result.stderr


def test_a_users_excepthook_stays_and_is_told():  # S13
    expect_script(
        """
        import threading
        import interruption
        def mine(args):
            print(args.exc_type.__name__)
        threading.excepthook = mine
        def body():
            raise interruption.ThreadExit
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert threading.excepthook is mine
        """,
        stdout="ThreadExit\n",
    )


def test_unhandled_in_the_main_thread_it_ends_the_program_in_silence():  # S13
    expect_script("""
        import threading
        from interruption import *
        interrupt(threading.main_thread(), reason="quiet")
        check_interrupt()
        print("not reached")
    """)


def test_what_is_raised_imports_nothing():  # S2, S13
    """By an `__import__` of the program's, which would run in the midst of a delivery."""
    expect_script(
        """
        import builtins, threading
        from interruption import *

        class Slow(Exception):
            pass

        def work():
            with allow_interruption:
                started.set()
                threading.Event().wait()

        def waits_for(exc_type):
            try:
                work()
            except exc_type:
                print("stopped")

        def no_import(name, *rest):
            raise ImportError(name)

        for exc_type in (Slow, ThreadExit):
            started = threading.Event()
            thread = threading.Thread(target=waits_for, args=[exc_type])
            thread.start()
            started.wait()
            before, builtins.__import__ = builtins.__import__, no_import
            assert interrupt(thread, exc_type)
            thread.join()
            builtins.__import__ = before
        started = threading.Event()
        thread = threading.Thread(target=work)  # it ends in silence
        thread.start()
        started.wait()
        builtins.__import__ = no_import
        assert interrupt(thread)
        thread.join()
    """,
        stdout="stopped\nstopped\n",
    )

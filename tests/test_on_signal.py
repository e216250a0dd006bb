"""interrupt_on_signal(): a signal asks all threads to stop, and then does what it did before."""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
import threading

import interruption
import pytest
from chance import scaled, seeded
from interruption import SignalExit
from on_signal_parts import STOPPING, WORKERS, run
from support import PATIENCE, run_script, start_script

# What a signal does. ------------------------------------------------------------------------------


def test_a_handler_of_the_program_is_called_and_nothing_is_raised():
    assert run("""
        seen = []
        signal.signal(signal.SIGTERM, lambda number, frame: seen.append((number, frame.f_lineno)))
        interrupt_on_signal()
        worker = start()
        kill()
        worker.join()
        assert [number for number, _ in seen] == [signal.SIGTERM], seen
    """) == (0, ["stopped by SIGTERM"], "")


def test_what_the_main_thread_makes_of_it_stands():
    status, said, _ = run("""
        interrupt_on_signal()
        start()
        try:
            kill()
            time.sleep(60)
        except SignalExit as error:
            assert (error.code, error.signum) == (143, signal.SIGTERM)
            sys.exit(3)
    """)
    assert (status, said) == (3, ["stopped by SIGTERM"])
    status, said, _ = run("""
        interrupt_on_signal()
        start()
        try:
            kill()
            time.sleep(60)
        except SignalExit as error:
            error.code = 5
            raise
    """)
    assert (status, said) == (5, ["stopped by SIGTERM"])


def test_its_status_can_be_passed_on():
    error = SignalExit(signal.SIGTERM)
    assert error.code == 143
    assert error.signum == signal.SIGTERM
    assert error.args == (143,)
    assert isinstance(error, SystemExit)
    assert not isinstance(error, interruption.ThreadExit)  # which shields keep out


def test_atexit_functions_run_and_streams_are_flushed():
    status, said, _ = run("""
        interrupt_on_signal()
        atexit.register(say, "atexit")
        start()
        kill()
        time.sleep(60)
    """)
    assert (status, sorted(said)) == (-15, ["atexit", "stopped by SIGTERM"])
    result = run_script(
        textwrap.dedent(WORKERS) + "interrupt_on_signal(); print(1, end='')\nkill()"
    )
    assert (result.returncode, result.stdout) == (-15, "1")


def test_a_signal_wakes_the_main_thread_whenever_it_comes():
    """Also between its last look at signals and the call that it waits in: while it gives up the
    GIL there, with others that want it.
    """
    for _ in range(scaled(100)):
        status, said, told = run("""
            signal.alarm(20)
            interrupt_on_signal()
            def compute():
                while not interruption_requested():
                    sum(range(100))
            def send():
                go.acquire()
                kill()
            go = threading.Semaphore(0)
            for body in (compute, compute, send):
                threading.Thread(target=body).start()
            go.release()
            time.sleep(1000)
        """)
        assert (status, said, told) == (-15, [], "")


def test_signals_of_other_names():
    status, said, _ = run("""
        interrupt_on_signal(signal.SIGRTMIN)
        start()
        kill(signal.SIGRTMIN)
        time.sleep(60)
    """)
    assert (status, said) == (-signal.SIGRTMIN, ["stopped by SIGRTMIN"])


def test_threads_that_are_started_after_it_by_one_that_was_asked_are_born_asked():
    status, said, _ = run("""
        def starter():
            begun.release()
            wait_for_interruption()
            thread = threading.Thread(target=lambda: say(interruption_requested()))
            thread.start()
            thread.join()
        interrupt_on_signal()
        asked = start(starter)
        try:
            kill()
            time.sleep(60)
        finally:
            asked.join()     # 3.12.1 starts no thread once the main one has ended
    """)
    assert (status, said) == (-15, ["True"])


def test_a_program_that_carries_on_leaves_the_block():
    assert run("""
        for _ in range(5):                   # five: the third would give up
            try:
                with interrupt_on_signal(timeout=60):
                    worker = start()
                    kill()
                    time.sleep(60)
            except SignalExit:
                worker.join()
            thread = threading.Thread(target=lambda: say(interruption_requested()))
            thread.start()
            thread.join()
    """) == (0, ["stopped by SIGTERM", "False"] * 5, "")


def test_the_second_insists():  # S8
    status, said, _ = run("""
        interrupt_on_signal()
        swallowed = threading.Event()
        def stubborn():
            with allow_interruption:
                try:
                    begun.release()
                    threading.Event().wait()
                except ThreadExit:
                    swallowed.set()
                work()
        start(stubborn)
        past_end(lambda: (kill(), swallowed.wait(), begun.acquire(), kill(signal.SIGINT)))
    """)
    assert (status, said) == (-signal.SIGINT, ["stopped by SIGINT"])


@pytest.mark.parametrize("where", ["past its end", "in a join"])
def test_the_third_gives_up_waiting(where):
    status, said, told = run(f"""
        interrupt_on_signal()
        atexit.register(say, "atexit")
        thread = start(stuck)
        def thrice():
            from interruption._shutdown.signals import _state
            for seen in range(3):
                while len(_state.signals) < seen:  # or two would be one
                    time.sleep(0.001)
                kill()
        if {where!r} == "past its end":
            past_end(thrice)
        else:
            for _ in range(3):
                try:
                    kill()
                    time.sleep(60)
                except SignalExit:
                    pass
            thread.join()
            say("joined")
            raise SignalExit(signal.SIGTERM)
    """)
    assert status == -15, told
    assert said == ["joined", "atexit"][where == "past its end" :]
    assert "still runs: the thread is not in a region" in told


def test_a_further_one_does_what_it_did_before():
    status, said, _ = run("""
        interrupt_on_signal()
        for _ in range(3):
            try:
                kill()
                time.sleep(60)
            except SignalExit:
                say("asked")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        try:
            kill()
            time.sleep(60)
        finally:
            say("never")
    """)
    assert (status, said) == (-15, ["asked"] * 3)


def test_signals_that_come_at_once_are_all_counted():
    """Also one that comes while another is being seen to."""
    status, said, _ = run("""
        numbers = signal.SIGRTMIN, signal.SIGRTMAX, signal.SIGUSR1
        interrupt_on_signal(*numbers)
        atexit.register(say, "atexit")
        start(stuck)
        def all_at_once():
            for number in numbers:
                kill(number)
        past_end(all_at_once)
    """)
    assert -status in (signal.SIGRTMIN, signal.SIGRTMAX, signal.SIGUSR1)
    assert said == ["atexit"]


def test_faulthandler_is_unharmed():
    status, said, told = run("""
        import faulthandler
        interrupt_on_signal()
        faulthandler.register(signal.SIGUSR1)
        faulthandler.register(signal.SIGTERM, chain=True)
        start()
        kill(signal.SIGUSR1)
        kill()
        time.sleep(60)
    """)
    assert (status, said) == (-15, ["stopped by SIGTERM"])
    assert told.count("most recent call first") >= 2


# A thread of the library that runs Python code past the end of the interpreter may crash it.

WORDS = """
    def words(record):
        if record.report.reason == "exit":
            time.sleep(slow)
        say(f"words on {record.report.reason}")

    logging.getLogger("interruption.shutdown").addFilter(words)
    logging.getLogger("interruption.shutdown").setLevel(logging.INFO)

    def end():
        time.sleep(0.2)
        say("atexit")

    atexit.register(end)
"""


def test_the_end_waits_for_the_last_words_of_each_shutdown():
    """An exit began one, and a signal another, which is the first to be done."""
    status, said, _ = run(
        textwrap.dedent(WORDS)
        + textwrap.dedent("""
        from interruption._shutdown import signals
        slow = 0.5
        interrupt_on_exit()
        interrupt_on_signal()
        def kill_at_the_end():
            begun.release()
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            kill()
            while not (signals._state.signals and signals._state.under_way):
                time.sleep(0.001)
        start(kill_at_the_end)
        sys.exit(3)
    """)
    )
    assert (status, said) == (-15, ["words on SIGTERM", "words on exit", "atexit"])


def test_a_signal_when_nobody_waits_any_more_begins_nothing():
    """It comes after the last words, before the handlers are back; the process ends by it."""
    status, said, _ = run(
        textwrap.dedent(WORDS)
        + textwrap.dedent("""
        slow = 0
        at_exit = interrupt_on_exit()
        interrupt_on_signal()
        def first_a_signal():
            kill()
            close()
        close, at_exit.close = at_exit.close, first_a_signal
        sys.exit(3)
    """)
    )
    assert (status, said) == (-15, ["words on exit", "atexit"])


# Forks. -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_has_the_handlers_that_were_there_before():  # S18
    assert run("""
        before = [signal.getsignal(n) for n in (2, 15, 1)]
        original = threading._shutdown
        interrupt_on_signal(); interrupt_on_exit()
        child = os.fork()
        if child == 0:
            ok = [signal.getsignal(n) for n in (2, 15, 1)] == before
            os._exit(42 * (ok and threading._shutdown is original))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"!")
            time.sleep(60)
        os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -15
    """) == (0, [], "")


@pytest.mark.parametrize("where", ["past its end", "in a join"])
def test_children_are_made_during_a_shutdown(where):
    """Forks by a worker that is asked, of its own and with another program, as `subprocess`."""
    if where == "past its end" and sys.version_info[:2] == (3, 12):
        pytest.skip("Python 3.12 forks no more after the main program's end")
    status, said, told = run(f"""
        import subprocess
        interrupt_on_signal(timeout=60)
        def forks():
            begun.release()
            assert wait_for_interruption()
            assert subprocess.run([sys.executable, "-c", "pass"]).returncode == 0
            child = os.fork()
            if child == 0:
                interrupt_on_exit()
                ok = not interruption_requested()
                worker = threading.Thread(target=lambda: say(interruption_requested()))
                worker.start()
                worker.join()
                os._exit(7 * ok)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            say(status)
        thread = start(forks)
        if {where!r} == "past its end":
            past_end(kill)
        else:
            try:
                kill()
                time.sleep(60)
            finally:
                thread.join()
    """)
    assert (status, said) == (-15, ["False", "7"]), told


# Stress. ------------------------------------------------------------------------------------------


CYCLE = """
    import atexit, faulthandler, os, random, signal, sys, threading, time
    from interruption import *
    faulthandler.dump_traceback_later(100, exit=True)
    for number in (2, 15, 1):
        signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
    seed = int(sys.argv[1])
    dice = random.Random(seed)
    os.write(1, b"!")
    interrupt_on_signal(timeout=30)
    interrupt_on_exit(timeout=30)
    finished = []
    begun = []
    def work(kind):
        begun.append(kind)
        try:
            with allow_interruption:
                while True:
                    if kind == 0: time.sleep(1000)
                    elif kind == 1: threading.Event().wait()
                    elif kind == 2: sum(range(100))
                    else: threading.Thread(target=int).start()
        finally:
            finished.append(kind)
    def check():
        # Who got as far as its `finally` has come to its end.
        if sorted(begun) != sorted(finished):
            os._exit(99)
    atexit.register(check)
    threads = [threading.Thread(target=work, args=(dice.randrange(4),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    dice.choice([
        lambda: None,
        lambda: time.sleep(1000),
        lambda: sys.exit(3),
        lambda: threads[0].join(),
        lambda: threading.Event().wait(dice.random() / 100),
    ])()
"""


# What Python says when its own handler has raised in the callback that ends a module's lock.
LOST_IN_AN_IMPORT = r"Exception ignored .*(KeyedRef|_get_module_lock)(.|\n)*KeyboardInterrupt"


def test_cycles_of_start_signal_and_exit(percent):
    """Invariant: whenever the signals come, the process ends, by a signal or as it says itself, and
    every thread that has begun has run its `finally`. 2,000 processes, seed 6.
    """
    dice = seeded(6)
    for cycle in range(scaled(2000, percent)):
        numbers = [dice.choice(STOPPING) for _ in range(dice.choice([1, 1, 1, 2]))]
        pauses = [dice.random() * dice.choice([0.002, 0.02, 0.1]) for _ in numbers]
        with start_script(CYCLE, str(cycle)) as process:
            try:
                assert process.stdout.read(1) == "!"
                for number, pause in zip(numbers, pauses, strict=True):
                    threading.Event().wait(pause)
                    process.send_signal(number)
                _, told = process.communicate(timeout=PATIENCE)
            except BaseException:
                process.kill()
                raise
        allowed = {3, *(-number for number in numbers)}
        if len(numbers) == 2 and signal.SIGINT in numbers:
            allowed.add(1)  # one that came while the interpreter printed a traceback
        if "release unlocked lock" in told:
            allowed.add(1)  # what is raised in Condition.wait() of `threading`, as by any Ctrl-C
        if signal.SIGINT in numbers and re.search(LOST_IN_AN_IMPORT, told):
            allowed.add(1)  # it came before ours were there
        assert process.returncode in allowed, (cycle, process.returncode, told)
        assert "Fatal" not in told, (cycle, told)

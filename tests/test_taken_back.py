"""Requests end with what made them, when the program goes on (S29)."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import textwrap
import threading

import pytest
from interruption import (
    ThreadExit,
    allow_interruption,
    defer_interruption,
    explain,
    interrupt,
    interruption_requested,
    shutdown,
    wait_for_interruption,
)
from interruption._interruption import _is_helper
from on_signal_parts import run
from support import PATIENCE, Started, until


@pytest.fixture(autouse=True)
def _silence():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        yield pool


def in_region():
    with allow_interruption:
        return "fine"


@pytest.mark.parametrize("looked", [False, True])
def test_an_idle_worker_of_a_pool_goes_on_after_a_shutdown(pool, looked):
    if looked:
        assert pool.submit(interruption_requested).result() is False
    assert [thread.stopped for thread in shutdown(0).threads] == [False]
    assert pool.submit(interruption_requested).result() is False
    assert pool.submit(in_region).result() == "fine"


def test_who_is_born_meanwhile_goes_on():
    go, ended, born = threading.Event(), [], []

    def child(_):
        assert go.wait(PATIENCE)
        ended.append(in_region())

    def parent(started):
        started.ready.set()
        while not interruption_requested():
            pass
        born.append(Started(child))
        assert go.wait(PATIENCE)

    started = Started(parent)
    assert started.ready.wait(PATIENCE)
    shutdown(0.3)
    until(lambda: born)
    go.set()
    started.finish()
    born[0].finish()
    assert ended == ["fine"]


def test_nobody_helps_any_more_when_it_is_over():
    shutdown(0)
    assert not _is_helper(threading.current_thread())


def test_it_goes_on_when_the_block_of_a_signal_is_left():
    status, said, told = run("""
        import concurrent.futures
        pool = concurrent.futures.ThreadPoolExecutor(1)
        pool.submit(int).result()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                with interrupt_on_signal(timeout=0.1):
                    worker = start()
                    kill(number)
                    if number == signal.SIGTERM:
                        kill(signal.SIGINT)
                    time.sleep(60)
            except (KeyboardInterrupt, SignalExit):
                worker.join()
            say(pool.submit(allow_interruption(lambda: "fine")).result())
        time.sleep(0.2)                     # past the deadline: nobody gives it up
        assert all(not thread.daemon for thread in threading.enumerate())
        assert pool.submit(interruption_requested).result() is False
    """)
    assert (status, said[:2], told) == (0, ["stopped by SIGINT", "fine"], "")
    assert said[3:] == ["fine"]


# A worker that has not come to its region when the block is left; the exit waits for it.
LATE = """
    def late():
        try:
            left.wait()
            with allow_interruption:
                threading.Event().wait()
        except ThreadExit as error:
            say(f"late stopped by {error.reason}")
    left = threading.Event()
    threading.Thread(target=late).start()
    def body(number=signal.SIGTERM):
        kill(number)
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("left_by", "status"),
    [
        ("with interrupt_on_signal(): body(signal.SIGINT)", -signal.SIGINT),
        ("with interrupt_on_signal(): body()", -signal.SIGTERM),
        ("with contextlib.closing(interrupt_on_signal()): body()", -signal.SIGTERM),
        ("asyncio.run(main())", -signal.SIGTERM),
    ],
)
def test_it_is_asked_again_if_the_program_ends_by_the_signal(left_by, status):  # S29, S30
    assert run(
        textwrap.dedent(LATE)
        + textwrap.dedent(f"""
        import asyncio, contextlib
        async def main():
            with interrupt_on_signal():
                kill()
                await asyncio.sleep(60)
        try:
            {left_by}
        finally:
            left.set()
        """)
    )[:2] == (status, [f"late stopped by {'SIGINT' if 'SIGINT' in left_by else 'SIGTERM'}"])


@pytest.mark.parametrize(
    "goes_on",
    [
        "",
        "sys.exit(0)",
        "interrupt_on_signal().close(); os.kill(os.getpid(), signal.SIGINT)",
    ],
)
def test_it_is_not_asked_again_if_the_program_has_gone_on(goes_on):
    """It ends by something else, or has put the next one in force since."""
    status, said, _ = run(
        textwrap.dedent(LATE)
        + textwrap.dedent(f"""
        def late_end():
            time.sleep(0.5)
            say(explain(worker).state)
            interrupt(worker)
        [worker] = [each for each in threading.enumerate() if "late" in each.name]
        try:
            with interrupt_on_signal(timeout=0.1):
                body()
        except SignalExit:
            left.set()
        threading.Thread(target=late_end).start()
        {goes_on}
        """)
    )
    assert status == (-signal.SIGINT if "SIGINT" in goes_on else 0)
    assert said == ["not asked", "late stopped by None"]


# One that cleans up for a while; who waits for that to have begun asks a thread that cleans up.
SAVES = """
    cleaning = threading.Event()
    def saves():
        try:
            with allow_interruption:
                try:
                    begun.release()
                    threading.Event().wait()
                finally:
                    cleaning.set()
                    time.sleep(0.5)
                    say("saved")
        except ThreadExit:
            pass
"""


def test_nobody_else_is_asked_again():
    """Neither who cleans up since the signal, nor what cleanup has started (S8, S30)."""
    status, said, _ = run(
        textwrap.dedent(LATE)
        + textwrap.dedent(SAVES)
        + textwrap.dedent("""
        def uploads():
            with allow_interruption:
                time.sleep(0.5)
                say("uploaded")
        start(saves)
        try:
            with interrupt_on_signal(timeout=60):
                body()
        finally:
            cleaning.wait()
            threading.Thread(target=uploads).start()
            left.set()
        """)
    )
    assert (status, sorted(said)) == (
        -signal.SIGTERM,
        ["late stopped by SIGTERM", "saved", "uploaded"],
    )


def test_an_exit_does_not_ask_again_who_cleans_up_for_a_signal():  # S8
    status, said, _ = run(
        textwrap.dedent(SAVES)
        + textwrap.dedent("""
        interrupt_on_exit()
        start(saves)
        try:
            with interrupt_on_signal(timeout=60):
                kill()
                time.sleep(60)
        finally:
            cleaning.wait()
        """)
    )
    assert (status, said) == (-signal.SIGTERM, ["saved"])


@pytest.mark.parametrize("daemon", [False, True])
def test_an_exit_asks_who_has_not_been_asked_while_a_block_before_it_is_waited_for(daemon):  # S3
    """The main thread has been a helper since that block, and so is what it starts."""
    status, said, _ = run(f"""
        def saves():
            try:
                work()
            finally:
                time.sleep(1)
                say("saved")
        def works():
            begun.release()
            work()
            ended.set()
        ended = threading.Event()
        interrupt_on_signal()
        with interrupt_on_exit(at_end=True):
            start(saves)
        interrupt_on_exit()
        start(works, daemon={daemon})
        try:
            sys.exit(3)
        finally:
            threading._register_atexit(ended.wait)  # before the threads are waited for
    """)
    assert (status, sorted(said)) == (3, ["saved", "stopped by exit", "stopped by exit"])


def test_it_goes_on_although_the_exit_is_looked_after_still():
    assert run("""
        import concurrent.futures
        pool = concurrent.futures.ThreadPoolExecutor(1)
        pool.submit(int).result()
        interrupt_on_exit()
        try:
            with interrupt_on_signal():
                kill()
                time.sleep(60)
        except SignalExit:
            say(pool.submit(allow_interruption(lambda: "fine")).result())
    """) == (0, ["fine"], "")


def test_what_is_about_to_stop_stops():
    """The block is left before the worker has had a chance to run; who joins it must not wait."""
    assert run("""
        def waits():
            begun.release()
            say(wait_for_interruption())
        def looks():
            interruption_requested()
            begun.release()
            while not interruption_requested():
                time.sleep(0.001)
            say("seen")
        def shielded():
            with allow_interruption:
                with defer_interruption:
                    begun.release()
                    left.wait()
                say("never")
        for body in (work, waits, looks, shielded):
            left = threading.Event()
            try:
                with interrupt_on_signal(timeout=60):
                    worker = start(body)
                    kill()
                    time.sleep(60)
            except SignalExit:
                left.set()
                worker.join()
    """) == (0, ["stopped by SIGTERM", "True", "seen"], "")


def test_somebody_elses_request_stays_whenever_it_was_made(pool):
    worker = next(iter(pool._threads))  # noqa: SLF001
    assert interrupt(worker, reason="mine")
    shutdown(0, reason="shutdown")
    with pytest.raises(ThreadExit, match="mine"):
        pool.submit(in_region).result()


def test_one_that_is_made_meanwhile_stays(pool):
    """It finds one that waits already, which stands for both."""
    worker = next(iter(pool._threads))  # noqa: SLF001
    answers = []

    def ask(started):
        started.ready.set()
        assert wait_for_interruption(PATIENCE)
        until(lambda: explain(worker).state != "not asked")
        answers.append(interrupt(worker))

    asking = Started(ask).until_blocked()
    shutdown(0.5)
    asking.finish()
    assert answers == [False]
    assert pool.submit(interruption_requested).result() is True


def test_who_has_been_stopped_stays_asked():
    """What was delivered is not taken back: the thread may ask why."""

    def body(started):
        try:
            with allow_interruption:
                started.ready.set()
                threading.Event().wait(PATIENCE)
        except ThreadExit:
            started.go.wait(PATIENCE)
            return interruption_requested()

    stopped = Started(body).until_blocked()
    shutdown(0.2)
    stopped.go.set()
    assert stopped.finish() is True


def test_a_shield_in_a_region_is_left_by_the_request():
    def body(started):
        with allow_interruption:
            with defer_interruption:
                started.ready.set()
                started.go.wait(PATIENCE)
            return "went on"

    shielded = Started(body).until_blocked()
    shutdown(0)
    shielded.go.set()
    with pytest.raises(ThreadExit):
        shielded.finish()

"""S31, S32: what the standard library is in the midst of making is made, or not begun."""

from __future__ import annotations

import concurrent.futures
import importlib
import subprocess
import sys
import threading

import making_program
import pytest
from interruption import ThreadExit, allow_interruption, blocking, clear_interrupt, interrupt
from interruption._interruption import _makers
from support import PATIENCE, expect_script, scaled

ROWS = [f"{module}.{function}" for module, function, *_ in _makers()]
MODULES = sorted({module for module, *_ in _makers()})


@pytest.mark.parametrize("row", ROWS)
def test_what_is_torn_is_made_or_not_begun(row, tmp_path):
    # S31
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", making_program.__file__]
    result = subprocess.run(
        [*command, row, str(scaled(60)), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_each_row_is_torn_by_a_test():
    assert set(ROWS) <= set(making_program.ROWS)


def test_everything_in_the_table_is_there_on_this_version():
    # S32
    for module in MODULES:
        importlib.import_module(module)
    assert [row for row in _makers() if row[3] != "there"] == []
    assert blocking.status().refused == ()


def test_what_has_gone_is_refused_by_name_and_its_class_left_alone():
    # S32: a later version calls Condition-like things otherwise, say: start() is `launch()`
    expect_script(
        """
        import threading
        from interruption import ThreadExit, allow_interruption, blocking, interrupt

        start = threading.Thread.start
        start.__code__ = start.__code__.replace(co_qualname="Thread.launch")
        threading.Thread.launch = start
        del threading.Thread.start

        ran, me = [], threading.get_ident()
        with allow_interruption(async_interrupt=False):
            thread = threading.Thread(target=ran.append, args=(1,))
            (interrupt(me), thread.launch())
            thread.join(0)
        assert ran == [1]
        (refused,) = blocking.status().refused
        assert refused.startswith("threading.Thread.start is not there"), refused
        assert refused in str(blocking.status())
        try:
            with allow_interruption(async_interrupt=False):
                threading.Event().wait()  # of another class
        except ThreadExit:
            print("stopped")
    """,
        stdout="stopped\n",
    )


def test_a_table_that_is_whole_refuses_nothing():
    # S32
    expect_script("""
        import threading
        from interruption import allow_interruption, blocking
        with allow_interruption:
            pass
        assert blocking.status().refused == (), blocking.status().refused
    """)


class Reduced:
    """The program's own code, called while a child is being started."""

    def __reduce__(self):
        interrupt(threading.get_ident())
        count = 0
        for number in range(10):
            count += number
        return (int, ())


def test_the_programs_code_that_is_called_in_between_is_not_interrupted_either(tmp_path):
    # S9, S31: between statements
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=id, args=(Reduced(),))
    try:
        with allow_interruption:
            process.start()
            process.join()
    except ThreadExit:
        pass
    finally:
        clear_interrupt()
    process.join()
    assert process.exitcode == 0
    process.close()


def test_submit_in_the_last_moment_loses_no_future():
    # S10b, S31
    ran = []
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        until_idle(executor)
        with allow_interruption(async_interrupt=False):
            future = executor.submit(ran.append, interrupt(threading.get_ident()))
        clear_interrupt()
        future.result()
    assert ran == [True]


def until_idle(executor):
    """Its thread waits for the next task: what submit() asks for by a semaphore."""
    executor._idle_semaphore.acquire()  # noqa: SLF001
    executor._idle_semaphore.release()  # noqa: SLF001

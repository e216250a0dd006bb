"""S31, S32: what the standard library is in the midst of making is made, or not begun."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import subprocess
import sys
import tempfile
import threading

import making_program
import pytest
from chance import scaled
from interruption import ThreadExit, allow_interruption, blocking, clear_interrupt, interrupt
from interruption._interruption import _makers
from support import PATIENCE, expect_script

ROWS = [f"{module}.{function}" for module, function, *_ in _makers()]
PROCESSES = 6  # that tear them, side by side
MODULES = sorted({module for module, *_ in _makers()})


@pytest.mark.parametrize("rows", [ROWS[first::PROCESSES] for first in range(PROCESSES)])
def test_what_is_torn_is_made_or_not_begun(rows, percent):
    # S31
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", making_program.__file__]
    with tempfile.TemporaryDirectory() as folder:  # a short name: sockets have theirs in it
        result = subprocess.run(
            [*command, str(scaled(150, percent)), folder, *rows],
            capture_output=True,
            text=True,
            timeout=PATIENCE * len(rows),
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
        from interruption import ThreadExit, allow_interruption, blocking
        from interruption import clear_interrupt, interrupt

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
        clear_interrupt()
        try:
            with allow_interruption(async_interrupt=False):
                (interrupt(me), threading.Event().wait())  # of another class
        except ThreadExit:
            print("stopped")
    """,
        stdout="stopped\n",
    )


def test_a_variable_that_has_gone_is_refused_by_name():
    # S32: a later version calls it otherwise
    expect_script("""
        import threading
        from multiprocessing.connection import Connection, Pipe
        from interruption import allow_interruption, blocking, interrupt

        code = Connection._send.__code__
        names = tuple("count" if name == "n" else name for name in code.co_varnames)
        Connection._send.__code__ = code.replace(co_varnames=names)
        near, far = Pipe()
        with allow_interruption(async_interrupt=False):
            far.send((interrupt(threading.get_ident()), 1)[1])
        (refused,) = blocking.status().refused
        assert refused.startswith("multiprocessing.connection.Connection._send is not"), refused
        assert near.recv() == 1
    """)


def test_a_module_that_is_being_imported_has_lost_nothing():
    # S32: what it will have is not there yet
    expect_script("""
        import sys
        from interruption import blocking

        looks = []
        def hear(event, arguments):
            begun = sys.modules.get("smtplib")
            if event == "import" and begun is not None and not hasattr(begun, "SMTP"):
                looks.append(blocking.status().refused)
        sys.addaudithook(hear)
        import smtplib
        assert looks and not any(looks), looks
        assert blocking.status().refused == ()
    """)


@pytest.mark.parametrize("name", ["inside/threading", "unthreading"])
def test_who_is_called_as_it_is_as_any_other(name, tmp_path):
    # S10: in a program's file of the same name, and one whose name ends alike
    path = tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    lines = ["import time", "class Thread:", "    def start(self):", "        time.sleep(60)"]
    path.write_text("\n".join(lines))
    expect_script(
        f"""
        import sys, threading
        import interruption
        from interruption import ThreadExit, allow_interruption, interrupt

        sys.path.insert(0, {str(tmp_path)!r})
        from {name.replace("/", ".")} import Thread
        if {name!r} == "unthreading":
            interruption.protect("unthreading")
        try:
            with allow_interruption(async_interrupt=False):
                (interrupt(threading.get_ident()), Thread().start())
        except ThreadExit:
            print("stopped")
    """,
        stdout="stopped\n",
    )


def test_a_message_that_has_not_begun_is_waited_for_as_anything():
    # S10
    near, far = multiprocessing.Pipe()
    with near, far, pytest.raises(ThreadExit):
        try:
            with allow_interruption(async_interrupt=False):
                (interrupt(threading.get_ident()), near.recv())
        finally:
            clear_interrupt()


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


def test_a_child_is_not_in_the_midst_of_its_own_start():
    # S9, S18
    expect_script(
        """
        import multiprocessing, threading
        from interruption import ThreadExit, allow_interruption, interrupt

        def stops():
            try:
                with allow_interruption:
                    interrupt(threading.get_ident())
                    count = 0
                    while count < 1_000_000:
                        count += 1
            except ThreadExit:
                print("stopped")

        process = multiprocessing.get_context("fork").Process(target=stops)
        with allow_interruption:
            process.start()
            process.join()
    """,
        stdout="stopped\n",
    )


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


@pytest.mark.parametrize(
    "kind", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor]
)
def test_submit_is_whole_where_a_tool_has_wrapped_start(kind, monkeypatch):
    # S9, S31: the tool's function is called when the task is in the queue already
    start, me = threading.Thread.start, threading.get_ident()

    def wrapped(thread):
        if threading.get_ident() == me:
            interrupt(me)
            number = 0
            for each in range(10):
                number += each
        start(thread)

    future = None
    with kind(1) as executor:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", wrapped)
            try:
                with allow_interruption:
                    future = executor.submit(abs, -1)
            except ThreadExit:
                pass
            finally:
                clear_interrupt()
        assert future is not None, "it is in the queue, and nobody knows it"
        assert future.result() == 1


def until_idle(executor):
    """Its thread waits for the next task: what submit() asks for by a semaphore."""
    executor._idle_semaphore.acquire()  # noqa: SLF001
    executor._idle_semaphore.release()  # noqa: SLF001


BROKEN_OFF = """
    import signal, smtplib, socket, sys, threading
    from interruption import ThreadExit, allow_interruption, interrupt

    def send(frame, event, arg):
        if event == "call" and frame.f_code.co_name == "close":
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    mine, others = socket.socketpair()
    client = smtplib.SMTP()
    client.sock = mine
    try:
        try:
            with allow_interruption(async_interrupt=False):
                interrupt(threading.get_ident())
                sys.setprofile(send)
                client.getreply()
        finally:
            for _ in range(100):
                pass
    except KeyboardInterrupt as error:
        print(type(error.__context__) is ThreadExit, client.sock, mine.fileno())
"""


def test_what_a_signal_handler_raises_while_something_is_broken_off_is_not_lost():  # S30, S31
    expect_script(BROKEN_OFF, stdout="True None -1\n")

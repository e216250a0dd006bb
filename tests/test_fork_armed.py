"""S18, S31: a fork finds another thread wherever that one lets others run, also in setting events.

Without a GIL, whoever sets events on code waits for the world to be stopped, and a fork may come
there. With one, the interpreter's function is replaced by one that waits in the same place.
"""

import sys

import pytest
from support import expect_script

SETUP = """
    import ctypes, functools, itertools, os, signal, sqlite3, sys, threading
    from interruption import *

    came, go = os.pipe(), os.pipe()
    countdown = None  # at which call of those to wait

    def pausing(real, wanted):
        def replacement(*arguments):
            global countdown
            pauses = countdown is not None and bool(arguments[-1]) == wanted
            if pauses:
                countdown -= 1
            if pauses and countdown < 0:
                countdown = None
                os.write(came[1], b"1")
                os.read(go[0], 1)
            return real(*arguments)
        return replacement

    # fmt: off
    def step(number): return number
    # fmt: on

    def inner():
        started.release()
        while True:
            pass

    def outer():
        inner()

    def from_c():
        started.release()
        sum(map(step, itertools.repeat(0)))

    def events():
        tool = next(i for i in range(6) if sys.monitoring.get_tool(i) == "interruption")
        codes = [body.__code__ for body in (inner, outer, step, from_c)]
        local = [sys.monitoring.get_local_events(tool, code) for code in codes]
        return [sys.monitoring.get_events(tool), *local]

    def asked(body):
        global started
        started = threading.Lock()
        started.acquire()
        thread = Thread(target=body, interruptible=True)
        thread.start()
        started.acquire()
        threading.Thread(target=interrupt, args=(thread,)).start()
        return thread

    def fork_there(thread):
        os.read(came[0], 1)
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            assert not any(events()), events()
            for body in (outer, outer, from_c):
                asked(body).join()
                assert not any(events()), events()
            os._exit(0)
        os.write(go[1], b"1")
        assert os.waitpid(pid, 0)[1] == 0
        thread.join()
        assert not any(events()), events()
"""

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="there is no build without a GIL, and with it nothing waits"
)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("wanted", [True, False], ids=["arming", "disarming"])
def test_what_a_fork_cuts_is_ended_in_the_child(wanted, number):
    expect_script(f"""{SETUP}
    monitoring = sys.monitoring
    monitoring.set_local_events = pausing(monitoring.set_local_events, {wanted})
    with allow_interruption:
        pass
    countdown = {number}
    fork_there(asked(outer))
    """)


@pytest.mark.parametrize("wanted", [True, False], ids=["on", "off"])
def test_so_are_the_events_of_all_code(wanted):
    expect_script(f"""{SETUP}
    monitoring = sys.monitoring
    set_events = pausing(monitoring.set_events, {wanted})
    def telling(tool, wanted):
        set_events(tool, wanted)
        if wanted:
            os.write(followed[1], b"1")
    monitoring.set_events = telling
    with allow_interruption:
        pass
    countdown = 0
    def from_c():
        # No code of Python runs, and nothing tells what will, until all code has events. Nor does
        # SQLite hold a mutex of all connections, which a fork would leave locked.
        global followed
        followed = os.pipe()
        connection = sqlite3.connect(":memory:")
        connection.create_function("began", 0, started.release)
        into = ctypes.byref(ctypes.c_char())
        read = functools.partial(ctypes.CDLL(None).read, followed[0], into, 1)
        connection.create_function("followed", 0, read)
        connection.create_function("step", 1, step)
        try:
            connection.execute(
                "with recursive n(x) as (select coalesce(began(), followed()) union all "
                "select step(x) from n) select count(*) from n"
            )
        except sqlite3.OperationalError:
            pass  # what SQLite makes of an exception
    fork_there(asked(from_c))
    """)  # noqa: S608  (no query is made of it)


@pytest.mark.parametrize("number", range(3))
def test_what_the_forking_thread_runs_stays_armed_for_nobody_else(number):
    """Both run the same code: each counts, and the child's thread is asked for nothing."""
    expect_script(f"""{SETUP}
    monitoring = sys.monitoring
    monitoring.set_local_events = pausing(monitoring.set_local_events, False)
    def fork_in_region():
        with defer_interruption, allow_interruption:
            interrupt(threading.get_ident())
            global countdown
            countdown = {number}
            fork_there(asked(outer))
            clear_interrupt()
    fork_in_region()
    """)

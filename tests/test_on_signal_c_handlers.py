"""interrupt_on_signal() beside handlers that libraries have set in C, by sigaction (S30)."""

from __future__ import annotations

import textwrap

import on_signal_parts
import pytest
from support import compile_library

LIBRARY = """
    #define _GNU_SOURCE
    #include <setjmp.h>
    #include <signal.h>
    #include <unistd.h>

    static volatile sig_atomic_t came;
    static void (*tell_python)(int);
    static sigjmp_buf back;
    static volatile sig_atomic_t inside;

    static void on_signal(int number)
    {
        came++;
        if (inside)
            siglongjmp(back, 1);
        if (tell_python)
            tell_python(number);
    }

    static void on_signal_with_info(int number, siginfo_t *info, void *context)
    {
        if (info->si_signo == number && context)
            on_signal(number);
    }

    void set(int number, void (*tell)(int), int with_info)
    {
        struct sigaction action = {.sa_handler = on_signal};
        if (with_info) {
            action.sa_sigaction = on_signal_with_info;
            action.sa_flags = SA_SIGINFO;
        }
        tell_python = tell;
        sigaction(number, &action, 0);
    }

    int times(void) { return came; }

    int is_in_place(int number)
    {
        struct sigaction action;
        sigaction(number, 0, &action);
        return action.sa_handler == on_signal || action.sa_sigaction == on_signal_with_info;
    }

    /* A long computation that the signal ends. */
    int compute(int number)
    {
        if (sigsetjmp(back, 1))
            return inside = 0, 1;
        inside = 1;
        kill(getpid(), number);
        for (;;)
            pause();
    }
"""

BEGINNING = """
    import ctypes
    library = ctypes.CDLL(sys.argv[1])
    trip = ctypes.cast(ctypes.pythonapi.PyErr_SetInterruptEx, ctypes.c_void_p)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return compile_library(LIBRARY, tmp_path_factory.mktemp("handlers"))


def run(library, source):
    return on_signal_parts.run(textwrap.dedent(BEGINNING) + textwrap.dedent(source), library)


@pytest.mark.parametrize("with_info", [0, 1])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_it_gets_the_signal_before_with_and_after(library, number, with_info):  # S30
    """It does all there is to do, so nothing is raised; and the threads are asked beside it."""
    assert run(
        library,
        f"""
        number = signal.{number}
        library.set(number, None, {with_info})
        kill(number)
        assert library.times() == 1
        with interrupt_on_signal():
            worker = start()
            kill(number)
            worker.join()
            assert library.times() == 2
        assert library.is_in_place(number)
        kill(number)
        time.sleep(0.01)
        assert library.times() == 3
        """,
    ) == (0, [f"stopped by {number}"], "")


def test_one_that_tells_python_is_counted_once(library):  # S30
    status, said, _ = run(
        library,
        """
        library.set(signal.SIGINT, trip, 0)
        def seen():
            try:
                kill(signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                return True
        assert seen()
        with interrupt_on_signal():
            worker = start()
            for times in range(1, 3):
                assert seen()
                for _ in range(1000):        # let a message come late
                    pass
                assert len(interruption._shutdown.signals._state.signals) == times
            worker.join()
        assert seen()
        assert library.times() == 4
        """,
    )
    assert (status, said) == (0, ["stopped by SIGINT"])


def test_one_that_tells_python_late_is_counted_once(library):  # S30
    """When we have left word of it already."""
    status, said, _ = run(
        library,
        """
        library.set(signal.SIGINT, None, 0)
        tell = ctypes.pythonapi.PyErr_SetInterruptEx
        state = interruption._shutdown.signals._state
        with interrupt_on_signal():
            worker = start()
            kill(signal.SIGINT)
            worker.join()
            assert len(state.signals) == 1
            try:
                tell(signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                say("told")
            assert len(state.signals) == 1
        """,
    )
    assert (status, said) == (0, ["stopped by SIGINT", "told"])


def test_one_that_jumps_out_of_its_librarys_code(library):  # S30
    """As cysignals does. Python never hears of the signal, but from us."""
    assert run(
        library,
        """
        library.set(signal.SIGINT, trip, 0)
        with interrupt_on_signal():
            worker = start()
            assert library.compute(signal.SIGINT) == 1
            worker.join()
        assert library.compute(signal.SIGINT) == 1
        """,
    ) == (0, ["stopped by SIGINT"], "")


def test_it_leaves_the_error_of_a_system_call_alone(library):  # S30
    """Though telling Python fails: the pipe that wakes an event loop is full."""
    assert run(
        library,
        """
        library = ctypes.CDLL(sys.argv[1], use_errno=True)
        library.set(signal.SIGINT, None, 0)
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            while True:
                os.write(write, bytes(4096))
        except BlockingIOError:
            pass
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        with interrupt_on_signal():
            ctypes.set_errno(77)
            ctypes.CDLL(None, use_errno=True).kill(os.getpid(), signal.SIGINT)
            say(ctypes.get_errno())
        """,
    ) == (0, ["77"], "")


def test_one_that_comes_meanwhile_stays(library):  # S30
    assert run(
        library,
        """
        with interrupt_on_signal():
            library.set(signal.SIGTERM, None, 0)
            kill()
            assert library.times() == 1
        assert library.is_in_place(signal.SIGTERM)
        """,
    ) == (0, [], "")


def test_the_program_replaces_it(library):  # S30
    """By signal.signal(), as without us."""
    status, said, told = run(
        library,
        """
        library.set(signal.SIGTERM, None, 0)
        with interrupt_on_signal():
            signal.signal(signal.SIGTERM, lambda *_: say("handled"))
            worker = start()
            kill()
            worker.join()
        kill()
        time.sleep(0.01)
        assert library.times() == 0
        """,
    )
    assert (status, sorted(said), told) == (0, ["handled", "handled", "stopped by SIGTERM"], "")


def test_a_child_of_a_fork_has_it(library):  # S18, S30
    assert run(
        library,
        """
        library.set(signal.SIGTERM, None, 0)
        interrupt_on_signal()
        child = os.fork()
        if child == 0:
            kill()
            os._exit(40 + 2 * library.is_in_place(signal.SIGTERM) + library.times())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 43
        """,
    ) == (0, [], "")

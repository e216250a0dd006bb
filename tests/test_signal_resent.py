"""A signal wakes the main thread, also between its last look at signals and its wait.

The order is forced: one function in C raises the signal and then waits.
"""

from __future__ import annotations

import sys
import textwrap

import pytest
from support import compile_library, run_script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the timers are of Linux")

LATE = """
    #include <poll.h>
    #include <signal.h>
    #include <sys/wait.h>
    #include <unistd.h>

    /* The signal is noted by CPython, and the wait begins before that looks. */
    void late(int number) { raise(number); pause(); }

    /* A call that goes on when it is broken off: how often, until it is left alone so long? */
    int broken_off(int number, int milliseconds)
    {
        int times = 0;
        if (number)
            raise(number);
        while (poll(NULL, 0, milliseconds) < 0)
            times++;
        return times;
    }

    /* The status of a child that fails if it is broken off while the signal waits to be seen. */
    int child_broken_off(int number)
    {
        int status = -1;
        raise(number);
        pid_t child = fork();
        if (child == 0)
            _exit(broken_off(number, 200));
        while (waitpid(child, &status, 0) < 0)
            ;
        return status;
    }

    void exec_late(int number, const char *program, char **arguments)
    {
        raise(number);
        execv(program, arguments);
    }
"""

BEGINNING = """
    import ctypes, faulthandler, os, signal, socket, sys
    from interruption import *
    signal.alarm(60)
    library = ctypes.CDLL(sys.argv[1])
    seen = []
    def handler(number, frame):
        seen.append(number)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return compile_library(LATE, tmp_path_factory.mktemp("late"))


def run(library, source):
    return run_script(textwrap.dedent(BEGINNING) + textwrap.dedent(source), library)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_right_before_a_wait_ends_it(library, number):
    result = run(library, f"interrupt_on_signal(); library.late(signal.{number})")
    assert result.returncode == -{"SIGTERM": 15, "SIGINT": 2}[number], result.stderr


def test_a_handler_of_the_program_is_called_once(library):
    result = run(
        library,
        """
        signal.signal(signal.SIGUSR1, handler)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        interrupt_on_signal(signal.SIGUSR1)
        for times in (1, 2, 3, 4):           # the third puts back what was there
            if times < 4:
                library.late(signal.SIGUSR1)
            else:
                os.kill(os.getpid(), signal.SIGUSR1)
            assert seen == [signal.SIGUSR1] * times, seen
            assert ours.recv(100) == bytes([signal.SIGUSR1])
            assert library.broken_off(0, 50) == 0    # nothing comes after it has been seen
        """,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_call_that_goes_on_is_broken_off_a_few_times_only(library):
    result = run(
        library,
        """
        signal.signal(signal.SIGUSR1, handler)
        interrupt_on_signal(signal.SIGUSR1)
        times = library.broken_off(signal.SIGUSR1, 2700)  # the next pause would be 2560
        assert seen == [signal.SIGUSR1]
        assert 2 <= times <= 8, times
        """,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_who_comes_over_it_is_called_twice_at_most(library):
    """faulthandler, as a handler in C that chains to it; and a handler that comes meanwhile."""
    result = run(
        library,
        """
        signal.signal(signal.SIGUSR1, handler)
        interrupt_on_signal(signal.SIGUSR1)
        faulthandler.register(signal.SIGUSR1, chain=True)
        library.late(signal.SIGUSR1)
        assert seen == [signal.SIGUSR1]
        """,
    )
    assert result.returncode == 0, result.stderr
    assert 1 <= result.stderr.count("most recent call first") <= 2


def test_a_child_of_a_fork_is_not_sent_it_again(library):
    """Nor a parent that waits for it in C more often than any other call."""
    result = run(
        library,
        """
        signal.signal(signal.SIGUSR1, handler)
        interrupt_on_signal(signal.SIGUSR1)
        status = library.child_broken_off(signal.SIGUSR1)
        assert os.waitstatus_to_exitcode(status) == 0
        assert seen == [signal.SIGUSR1]
        """,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_next_program_is_not_sent_it_again(library):
    result = run(
        library,
        """
        interrupt_on_signal(signal.SIGTERM)
        arguments = (ctypes.c_char_p * 4)(b"sh", b"-c", b"sleep 0.2; echo lives")
        library.exec_late(signal.SIGTERM, b"/bin/sh", arguments)
        """,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "lives\n", "")

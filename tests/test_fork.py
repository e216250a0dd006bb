"""S18: fork."""

import pytest
from chance import scaled
from interruption import _interruption
from support import expect_script


def test_the_child_has_no_request_and_the_parent_keeps_its_own():  # S18
    expect_script("""
        import os, threading
        from interruption import *
        interrupt(threading.get_ident(), reason="parent's")
        pid = os.fork()
        if pid == 0:
            assert not interruption_requested()
            check_interrupt()
            assert interrupt(threading.get_ident()) is True
            assert interruption_requested()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert interruption_requested()
    """)


def test_the_child_can_start_threads_and_ask_them():  # S18
    expect_script("""
        import os, threading
        from interruption import *
        stop = threading.Event()
        others = [threading.Thread(target=stop.wait) for _ in range(5)]
        for other in others:
            other.start()
        interrupt_all_threads(reason="x" * 1000)
        pid = os.fork()
        if pid == 0:
            assert interrupt_all_threads() == 0
            for _ in range(10):
                seen = []
                thread = threading.Thread(target=lambda: seen.append(wait_for_interruption(60)))
                thread.start()
                assert interrupt_all_threads() == 1
                thread.join()
                assert seen == [True]
            assert [interrupt(other) for other in others] == [False] * 5
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        stop.set()
    """)


def test_a_thread_that_forks_is_the_childs_only_one():  # S18
    expect_script("""
        import os, threading
        from interruption import *
        statuses = []
        def body():
            interrupt(threading.get_ident())
            pid = os.fork()
            if pid == 0:
                assert not interruption_requested()
                assert interrupt_all_threads() == 0
                assert interrupt(threading.get_ident())
                os._exit(0)
            statuses.append(os.waitpid(pid, 0)[1])
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert statuses == [0]
    """)


def test_the_childs_fd_is_its_own():  # S16, S18
    expect_script("""
        import os, select, threading
        from interruption import *
        fd = interruption_fd()
        def readable():
            return bool(select.select([fd], [], [], 0)[0])
        pid = os.fork()
        if pid == 0:
            assert interruption_fd() == fd
            interrupt(threading.get_ident())
            assert readable()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert not readable()
    """)


def test_forks_in_the_middle_of_requests(percent):  # S18
    """Two threads ask without a pause while the main thread forks; no child may hang or see one.

    Invariant: each child is not asked, can be asked, starts and asks a thread, and ends.
    """
    expect_script(
        """
        import os, sys, threading
        from interruption import *
        stop = threading.Event()
        class Stop(ThreadExit):
            pass
        def ask():
            while not stop.is_set():
                interrupt(main, Stop, reason="asked")
                interrupt_all_threads(reason="all")
        main = threading.main_thread()
        idle = [threading.Thread(target=stop.wait) for _ in range(3)]
        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in idle + asking:
            thread.start()
        for _ in range(int(sys.argv[1])):
            pid = os.fork()
            if pid == 0:
                import signal
                signal.alarm(60)
                assert not interruption_requested()
                assert interrupt(threading.get_ident())
                assert clear_interrupt()
                thread = threading.Thread(target=wait_for_interruption)
                thread.start()
                assert interrupt(thread)
                thread.join()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            clear_interrupt()
        stop.set()
    """,
        str(scaled(2000, percent)),
    )


def test_subprocesses_are_not_disturbed():  # S18
    expect_script(
        """
        import subprocess, sys, threading
        from interruption import *
        interruption_fd()
        interrupt(threading.get_ident())
        code = "from interruption import *; print(interruption_requested())"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        print(result.stdout, end="")
    """,
        stdout="False\n",
    )


def test_a_fork_does_not_wait_for_what_another_thread_held():  # S18
    """The list of threads is locked when the fork comes: the child has it free, and whole."""
    if not hasattr(_interruption, "_fork_while_locked"):
        pytest.skip("this was built with -Dtesting=false, as wheels are")
    expect_script("""
        import os, signal, threading
        from interruption import *
        from interruption._interruption import _fork_while_locked
        stop = threading.Event()
        inside = threading.Barrier(6)
        def body():
            with allow_interruption:
                inside.wait()
                stop.wait()
        others = [Thread(target=body) for _ in range(5)]
        for other in others:
            other.start()
        inside.wait()
        for _ in range(50):
            pid = _fork_while_locked(os.fork)
            if pid == 0:
                signal.alarm(60)
                thread = Thread(target=wait_for_interruption, interruptible=True)
                thread.start()
                assert interrupt(thread)
                thread.join()
                with allow_interruption:
                    pass
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        interrupt_all_threads()
        for other in others:
            other.join()
    """)


def test_forks_among_threads_that_do_everything():  # S18, S31
    """Others enter regions, are asked, stopped, wait, and watch children, while one forks.

    Invariant: every child can do the same, with its first thread and with another, and ends.
    """
    expect_script("""
        import os, signal, socket, ssl, subprocess, sys, threading, time
        from interruption import *
        stop = False
        ours, theirs = socket.socketpair()
        def spin():
            while not stop:
                try:
                    with allow_interruption:
                        for _ in range(1000):
                            compile("x = 1", "<made>", "exec")
                            exec("def f(): return 1\\nf()", {})
                except ThreadExit:
                    clear_interrupt()
        def wait():
            while not stop:
                try:
                    with allow_interruption(async_interrupt=False):
                        ours.recv(1)
                except ThreadExit:
                    clear_interrupt()
        def watch():
            while not stop:
                try:
                    with allow_interruption(async_interrupt=False):
                        os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
                except (ThreadExit, ChildProcessError):
                    clear_interrupt()
                with allow_interruption, threading.Lock():
                    pass
        def ask():
            while not stop:
                for other in others:
                    interrupt(other, reason="asked")
                    explain(other)
                time.sleep(0.0005)
        others = [threading.Thread(target=body) for body in (spin, spin, wait, watch)]
        asking = threading.Thread(target=ask)
        for thread in others + [asking]:
            thread.start()
        def is_stopped(body):
            try:
                with allow_interruption:
                    body()
            except ThreadExit:
                return clear_interrupt()
        def endless():
            while True:
                pass
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                thread = Thread(target=endless, interruptible=True)
                thread.start()
                assert interrupt(thread)
                thread.join()
                me = threading.get_ident()
                for body in (endless, lambda: os.pipe() and os.read(os.pipe()[0], 1)):
                    timer = threading.Timer(0.001, interrupt, [me])
                    timer.start()
                    assert is_stopped(body)
                    timer.join()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        stop = True
        while any(thread.is_alive() for thread in others):
            for thread in others:
                interrupt(thread)
            time.sleep(0.001)
        asking.join()
    """)


def test_threads_that_another_hook_has_started_in_the_child_stay():  # S18
    """Hooks run in the order of their registration; one before ours may start threads."""
    expect_script("""
        import os, signal, threading
        def start_again():
            global thread
            thread = interruption.Thread(target=work, interruptible=True)
            thread.start()
            ready.wait()
        os.register_at_fork(after_in_child=start_again)
        import interruption
        from interruption import *
        ready = threading.Event()
        def work():
            ready.set()
            while True:
                pass
        for _ in range(5):
            with allow_interruption:
                pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                assert interrupt(thread)
                thread.join()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    """)

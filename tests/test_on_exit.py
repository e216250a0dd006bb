"""interrupt_on_exit(): the end of the main program by an exception asks all threads to stop."""

from __future__ import annotations

import signal
import sys
import textwrap
import threading

import on_signal_parts
import pytest
from interruption import interrupt_on_exit
from support import expect_script, in_thread, run_python, run_script

# What the scripts of the test_on_signal files begin with; a worker that ends by itself a moment
# later; and nobody is waited for until it has begun.
WORKERS = textwrap.dedent(on_signal_parts.WORKERS) + textwrap.dedent("""
    def short():
        for _ in range(20):
            time.sleep(0.005)
        say("asked" if interruption_requested() else "not asked")

    def start(body, **options):
        thread = threading.Thread(target=body, **options)
        thread.start()
        return thread
""")


def run(source):
    result = run_script(WORKERS + textwrap.dedent(source))
    return result.returncode, result.stdout.split("\n")[:-1], result.stderr


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("raise SystemExit(4)", 4),
        ("exit(5)", 5),
        ("raise ThreadExit", 0),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -2),
        ("with open(os.devnull): exec('try: sys.exit(6)\\nfinally: pass')", 6),
        ("import argparse; argparse.ArgumentParser().parse_args(['--unknown'])", 2),
    ],
)
def test_an_exception_asks_all_and_the_status_stays(end, status):
    found, said, _ = run(f"interrupt_on_exit(); start(work)\n{end}")
    assert (found, said) == (status, ["stopped by exit"])


@pytest.mark.parametrize(
    "end",
    [
        "",
        "try: sys.exit(1)\nexcept SystemExit: pass",
        "with open(os.devnull): pass",
        "def f():\n    return\nf()",
        "interrupt_on_exit().close()",
    ],
)
def test_the_plain_end_asks_nobody(end):
    assert run(f"interrupt_on_exit(); start(short)\n{end}") == (0, ["not asked"], "")


def test_the_plain_end_asks_if_told_to():
    assert run("interrupt_on_exit(at_end=True); start(work)") == (0, ["stopped by exit"], "")


def test_it_may_be_called_deep_inside_and_seen_from_a_module(tmp_path):
    (tmp_path / "program.py").write_text(
        WORKERS
        + textwrap.dedent("""
            def prepare():
                (lambda: interrupt_on_exit(reason=sys.argv[1]))()
            def main():
                prepare()
                if sys.argv[1] == "plain":
                    start(short)
                else:
                    start(work)
                    raise SystemExit(7)
            main()
            """)
    )
    for how, status, said in [("code", 7, "stopped by code"), ("plain", 0, "not asked")]:
        for command in (["-m", "program", how], ["program.py", how]):
            done = run_python(*command, cwd=tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (status, f"{said}\n", "")


def test_a_stuck_thread_is_reported_and_not_waited_for_longer():
    status, said, told = run("""
        interrupt_on_exit(timeout=0.5)
        atexit.register(say, "atexit")
        def stuck():
            try:
                with defer_interruption:
                    begun.release()
                    threading.Event().wait()
            finally:
                say("never")
        start(stuck, name="stuck one")
        start(work)
        for _ in range(2):
            begun.acquire()
        sys.exit(3)
    """)
    assert (status, said) == (3, ["stopped by exit", "atexit"])
    assert "stuck one: still runs: the thread is not in a region" in told
    assert "in stuck" in told


def test_threads_of_executors_are_asked_before_they_are_joined():
    """`concurrent.futures` joins its workers before the interpreter waits for threads."""
    for order in (
        "interrupt_on_exit(timeout=60); import concurrent.futures.thread",
        "import concurrent.futures.thread; interrupt_on_exit(timeout=60)",
    ):
        assert run(f"""
            {order}
            from concurrent.futures import ThreadPoolExecutor
            pool = ThreadPoolExecutor(2)
            pool.submit(int).result()        # one worker has nothing to do
            pool.submit(work)
            sys.exit(3)
        """) == (3, ["stopped by exit"], "")


def test_a_stuck_worker_of_an_executor_does_not_hold_up_the_end():
    status, said, told = run("""
        interrupt_on_exit(timeout=0.05)
        from concurrent.futures import ThreadPoolExecutor
        begun = threading.Event()
        def stuck():
            begun.set()
            threading.Event().wait()
        ThreadPoolExecutor(1).submit(stuck)
        begun.wait()
        atexit.register(say, "atexit")
        sys.exit(3)
    """)
    assert (status, said) == (3, ["atexit"])
    assert "still runs: the thread is not in a region" in told


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="Python 3.12 starts none after the main program's end"
)
def test_threads_that_stop_start_others_which_stop_too():  # S7
    assert run("""
        interrupt_on_exit()
        def next_one():
            try:
                with allow_interruption:
                    threading.Event().wait()
            finally:
                start(work)
        start(next_one)
        sys.exit(3)
    """) == (3, ["stopped by exit"], "")


def test_a_thread_whose_start_was_left_by_an_exception_is_not_waited_for():
    """As Ctrl-C inside start() leaves it: in the list of `threading`, for ever."""
    assert run("""
        interrupt_on_exit()
        thread = threading.Thread(target=int)
        threading._limbo[thread] = thread
        start(work)
        sys.exit(3)
    """) == (3, ["stopped by exit"], "")


BEGINS_LATE = """
new = hasattr(threading, "_start_joinable_thread")
name = "_start_joinable_thread" if new else "_start_new_thread"
original = getattr(threading, name)
def late_start(function, *arguments, **options):
    def body(*arguments):
        time.sleep(0.2)              # the system takes its time
        function(*arguments)
    original(body, *arguments, **options)
    raise KeyboardInterrupt

def start_and_leave(target):
    setattr(threading, name, late_start)
    try:
        threading.Thread(target=target).start()
    except KeyboardInterrupt:
        setattr(threading, name, original)
"""


def test_one_that_begins_after_its_start_was_left_is_waited_for():
    assert run(f"""
        interrupt_on_exit()
        exec({BEGINS_LATE!r})
        start_and_leave(work)
        sys.exit(3)
    """) == (3, ["stopped by exit"], "")


def test_the_end_of_a_block_stands_for_that_of_the_program():
    status, said, _ = run("""
        try:
            with interrupt_on_exit(reason="block"):
                worker = start(work)
                raise SystemExit(3)
        except SystemExit:
            worker.join()
            say("handled")
        start(short)
    """)
    assert (status, said) == (0, ["stopped by block", "handled", "not asked"])
    status, said, _ = run("""
        with interrupt_on_exit(reason="block"):
            start(work)
            raise SystemExit(3)
    """)
    assert (status, said) == (3, ["stopped by block"])
    status, said, _ = run("""
        with interrupt_on_exit():
            start(short)
    """)
    assert (status, said) == (0, ["not asked"])
    status, said, _ = run("""
        with interrupt_on_exit(at_end=True, timeout=60):
            start(work)
    """)
    assert (status, said) == (0, ["stopped by exit"])


def test_a_stuck_thread_after_a_block_is_not_waited_for_either():
    status, said, told = run("""
        with interrupt_on_exit(timeout=0.05):
            start(threading.Event().wait)
            raise SystemExit(3)
    """)
    assert (status, said) == (3, [])
    assert "still runs" in told


def test_nor_when_nothing_is_watched_any_more():
    status, _, told = run(f"""
        exec({GIVES_UP!r})
        with interrupt_on_exit():
            pass
        sys.exit(3)
    """)
    assert (status, told.count("still runs")) == (3, 1)


def test_who_begins_late_is_waited_for_although_another_is_not():
    """One whose start() was left, and that the system starts all the same."""
    status, said, _ = run(f"""
        exec({GIVES_UP!r})
        exec({BEGINS_LATE!r})
        def late():
            time.sleep(0.1)
            say("ended")
        start_and_leave(late)
        sys.exit(3)
    """)
    assert (status, said) == (3, ["ended"])


def test_one_that_is_just_beginning_is_waited_for():  # S30
    """Ctrl-C leaves its start(), and the program, when it has an id and has not said so yet."""
    status, said, _ = run("""
        interrupt_on_exit()
        begins = threading.Thread._set_ident
        def slowly(thread):
            begins(thread)
            if thread.name == "last":
                kill(signal.SIGINT)
                time.sleep(0.5)
        threading.Thread._set_ident = slowly
        threading.Thread(target=say, args=["ran"], name="last").start()
    """)
    assert (status, said) == (-signal.SIGINT, ["ran"])


@pytest.mark.skipif(not hasattr(threading, "_start_joinable_thread"), reason="from 3.13")
def test_one_that_died_before_it_began_is_not_waited_for():
    """Without memory it ends before `threading` hears of it, and stays in its list for ever."""
    assert run("""
        interrupt_on_exit()
        handle = threading._start_joinable_thread(int)
        handle.join()
        thread = threading.Thread(target=int)
        thread._handle = thread._os_thread_handle = handle
        threading._limbo[thread] = thread
        start(work)
        sys.exit(3)
    """) == (3, ["stopped by exit"], "")


def test_everything_is_put_back():  # S17
    expect_script("""
        import threading
        from interruption import *
        names = ("_shutdown", "_thread_shutdown")
        before = [getattr(threading, name, None) for name in names]
        installation = interrupt_on_exit()
        assert threading._shutdown is not before[0]
        with interrupt_on_exit(), interrupt_on_signal():
            pass
        assert threading._shutdown is not before[0]
        installation.close()
        installation.close()
        assert [getattr(threading, name, None) for name in names] == before
    """)


def test_somebody_elses_function_over_ours_stays_and_ours_is_transparent():
    status, said, _ = run("""
        for close in (False, True):
            installation = interrupt_on_exit()
            def theirs(ours=threading._shutdown, close=close):
                say(f"theirs {close}")
                ours()
            threading._shutdown = theirs
            if close:
                installation.close()
        start(work)
        sys.exit(3)
    """)
    assert (status, said) == (3, ["theirs True", "theirs False", "stopped by exit"])
    status, said, _ = run("""
        installation = interrupt_on_exit()
        def theirs(ours=threading._shutdown):
            say("theirs")
            ours()
        threading._shutdown = theirs
        installation.close()
        assert threading._shutdown is theirs
        start(short)
        sys.exit(3)
    """)
    assert (status, said) == (3, ["theirs", "not asked"])


@pytest.mark.skipif(not hasattr(threading, "_thread_shutdown"), reason="from 3.13")
def test_so_does_one_over_our_wait():
    expect_script(
        """
        import threading
        from interruption import *
        installation = interrupt_on_exit()
        def theirs(ours=threading._thread_shutdown):
            ours()
            print("theirs")
        threading._thread_shutdown = theirs
        installation.close()
        assert threading._thread_shutdown is theirs
    """,
        stdout="theirs\n",
    )


def test_daemons_are_not_waited_for():
    expect_script("""
        import threading
        from interruption import *
        interrupt_on_exit()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    """)


def test_the_end_may_come_twice():
    """Somebody calls ``threading._shutdown()``, and then the interpreter does."""
    expect_script("""
        import threading
        from interruption import *
        interrupt_on_exit()
        threading._shutdown()
    """)


GIVES_UP = """
try:
    with interrupt_on_exit(timeout=0.05):
        start(threading.Event().wait)
        raise SystemExit
except SystemExit:
    pass
state = interruption._shutdown.signals._state
while not all(each.is_done() for each in state._begun):
    time.sleep(0.001)
"""


@pytest.mark.parametrize("gives_up", ["", "shutdown(timeout=0)", GIVES_UP])
def test_a_child_of_a_fork_has_the_functions_of_python(gives_up):  # S18
    status, said, _ = run(f"""
        before = threading._shutdown
        interrupt_on_exit(timeout=0.1)
        start(threading.Event().wait)
        exec({gives_up!r})
        pid = os.fork()
        if pid == 0:
            os._exit(threading._shutdown is not before)
        say(os.waitpid(pid, 0)[1])
        os._exit(3)
    """)
    assert (status, said) == (3, ["0"])


def test_exit_functions_run_as_ever():  # S18
    """Those of `threading` while the threads stop, those of `atexit` when they have."""
    status, said, told = run("""
        interrupt_on_exit()
        atexit.register(say, "atexit")
        threading._register_atexit(say, "threading")
        start(work)
        sys.exit(3)
    """)
    assert (status, sorted(said), told) == (3, ["atexit", "stopped by exit", "threading"], "")
    assert said[-1] == "atexit"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_are_left_alone(method, tmp_path):
    """They call threading._shutdown() themselves, with their main program under way."""
    (tmp_path / "program.py").write_text(
        WORKERS
        + textwrap.dedent("""
            import multiprocessing
            interrupt_on_exit(timeout=60)

            def child():
                start(short)

            def exits():
                start(short)
                sys.exit(9)

            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                for target, status in ((child, 0), (exits, 9)):
                    process = context.Process(target=target)
                    process.start()
                    process.join()
                    assert process.exitcode == status, process.exitcode
                start(work)
                sys.exit(3)
            """)
    )
    done = run_python("-W", "ignore::DeprecationWarning", "program.py", method, cwd=tmp_path)
    said = "not asked\nnot asked\nstopped by exit\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")


def test_it_is_refused_off_the_main_thread():
    with pytest.raises(RuntimeError, match="in the main thread"):
        in_thread(interrupt_on_exit)
    installation = interrupt_on_exit()
    try:
        with pytest.raises(RuntimeError, match="in the main thread"):
            in_thread(installation.close)
    finally:
        installation.close()


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"timeout": -1}),
        (TypeError, {"timeout": "1"}),
        (TypeError, {"reason": 1}),
        (ValueError, {"report_after": -1}),
    ],
)
def test_bad_input_is_refused_and_nothing_has_changed(error, arguments):
    before = threading._shutdown  # noqa: SLF001
    with pytest.raises(error):
        interrupt_on_exit(**arguments)
    assert threading._shutdown is before  # noqa: SLF001

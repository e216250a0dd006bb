"""S18, S20: regions at interpreter exit and across fork, and requests from odd places."""

import pytest
from chance import scaled
from support import expect_script, run_python, run_script

DAEMONS = """
    import os, sys, threading, time
    from interruption import *
    def spin(ready):
        while True:
            try:
                with allow_interruption:
                    ready.release()
                    while True:
                        pass
            except ThreadExit:
                clear_interrupt()
    def shielded(ready):
        with allow_interruption, defer_interruption:
            ready.release()
            while True:
                pass
    def holding(ready):
        lock = threading.Lock()
        with allow_interruption, lock:
            ready.release()
            while True:
                pass
    ready = threading.Semaphore(0)
    threads = [threading.Thread(target=target, args=(ready,), daemon=True)
               for target in (spin, shielded, holding)]
    for thread in threads:
        thread.start()
    for thread in threads:
        ready.acquire()
    for thread in threads:
        interrupt(thread)
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise LookupError('the end')", 1, "LookupError: the end\n"),
        ("os._exit(4)", 4, ""),
        ("interrupt(threading.get_ident())\n    with allow_interruption: pass", 0, ""),
    ],
)
def test_daemon_threads_with_waiting_requests(end, status, error):  # S18
    for number in range(scaled(10)):
        result = run_script(f"{DAEMONS}    {end}\n", str(number % 4 * 0.003))
        assert (result.returncode, result.stdout) == (status, "")
        assert result.stderr.endswith(error) if error else result.stderr == ""


def test_the_child_of_a_fork_is_not_armed():  # S18
    expect_script("""
        import os, sys, threading
        from interruption import *
        def check():
            if hasattr(sys, "monitoring"):
                monitoring = sys.monitoring
                (tool,) = [n for n in range(6) if monitoring.get_tool(n) == "interruption"]
                assert monitoring.get_events(tool) == 0
                for function in (body, work):
                    assert monitoring.get_local_events(tool, function.__code__) == 0
            assert sys.gettrace() is None
        def work(stop):
            while not stop():
                pass
        statuses = []
        def body():
            lock = threading.Lock()
            with allow_interruption(io_interrupt=False):  # waitpid is not meant
                lock.acquire()
                interrupt(threading.get_ident())
                pid = os.fork()
                if pid == 0:
                    try:
                        check()
                        assert not interruption_requested()
                        lock.release()
                        calls = iter(range(1000))
                        work(lambda: next(calls) > 100)
                        try:
                            interrupt(threading.get_ident())
                            work(lambda: False)
                        except ThreadExit:
                            clear_interrupt()
                            check()
                            os._exit(0)
                    finally:
                        os._exit(1)
                statuses.append(os.waitpid(pid, 0)[1])
                lock.release()
                while True:
                    work(lambda: True)
        for _ in range(3):
            thread = threading.Thread(target=body)
            thread.start()
            thread.join()
        assert statuses == [0] * 3, statuses
        check()
    """)


def test_fork_while_others_are_armed():  # S18
    expect_script("""
        import os, signal, sys, threading
        from interruption import *
        def work(count):
            for _ in range(count):
                pass
        stop = []
        def spin():
            while not stop:
                try:
                    with allow_interruption:
                        while not stop:
                            work(10)
                except ThreadExit:
                    clear_interrupt()
        threads = [threading.Thread(target=spin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            for thread in threads:
                interrupt(thread)
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                if hasattr(sys, "monitoring"):
                    for tool in range(6):
                        if sys.monitoring.get_tool(tool) == "interruption":
                            assert sys.monitoring.get_local_events(tool, work.__code__) == 0
                            assert sys.monitoring.get_local_events(tool, spin.__code__) == 0
                work(100)
                try:
                    with allow_interruption:
                        interrupt(threading.get_ident())
                        while True:
                            work(1)
                except ThreadExit:
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.append(1)
        for thread in threads:
            thread.join()
    """)


def test_requests_from_odd_places():  # S20
    expect_script("""
        import signal, threading, weakref
        from interruption import *
        ME = threading.get_ident()
        class Deleted:
            def __del__(self):
                interrupt(ME, reason="del")
        class Thing:
            pass
        def from_del():
            Deleted()
        def from_callback():
            thing = Thing()
            reference = weakref.ref(thing, lambda _: interrupt(ME, reason="callback"))
            del thing
        def from_handler():
            signal.signal(signal.SIGUSR1, lambda *_: interrupt(ME, reason="handler"))
            signal.raise_signal(signal.SIGUSR1)
        def from_here():
            interrupt(ME, reason="here")
        for function in (from_del, from_callback, from_handler, from_here):
            try:
                with allow_interruption:
                    function()
                    while True:
                        pass
            except ThreadExit as error:
                assert function.__name__ == "from_" + error.reason, error.reason
                clear_interrupt()
    """)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, tmp_path):  # S18
    script = tmp_path / "children.py"
    script.write_text(
        f"""
import multiprocessing, threading
from interruption import *
def work(queue):
    queue.put(interruption_requested())
    try:
        with allow_interruption:
            interrupt(threading.get_ident())
            while True:
                pass
    except ThreadExit:
        queue.put("delivered")
def main():
    context = multiprocessing.get_context({method!r})
    queue = context.Queue()
    interrupt(threading.get_ident())
    process = context.Process(target=work, args=(queue,))
    process.start()
    assert (queue.get(), queue.get()) == (False, "delivered")
    process.join()
    assert process.exitcode == 0
if __name__ == "__main__":
    main()
""",
        encoding="utf-8",
    )
    result = run_python("-W", "ignore::DeprecationWarning", script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

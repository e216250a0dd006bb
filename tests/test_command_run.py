"""`python -m interruption run`: real programs that know nothing of it, and real signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import interruption
import pytest
from support import PATIENCE, until_process_blocked

PACKAGE = Path(interruption.__file__).parent
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

# What the programs share. None of them knows this package.
HEAD = f"""
import os, queue, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

signal.alarm({int(PATIENCE / 2)})
begun = threading.Semaphore(0)

def say(text):
    os.write(1, (str(text) + "\\n").encode())

def ready(count=0):
    for _ in range(count):
        begun.acquire()
    say("ready")

def wait(name="wait"):
    try:
        begun.release()
        queue.Queue().get()
    finally:
        say(name + " stopped")
"""


def start(folder, source, *options, program=("program.py",), **popen):
    (folder / "program.py").write_text(HEAD + textwrap.dedent(source))
    return subprocess.Popen(
        [sys.executable, "-m", "interruption", "run", *options, *program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        **popen,
    )


def finish(process, *signals, blocked=False):
    """Send it the signals when it is ready: its status, the sorted lines it printed, its stderr.

    ``blocked``: when all of its threads wait, too.
    """
    before = []
    with process:
        while signals and (line := process.stdout.readline()) != "ready\n":
            assert line, process.stderr.read()
            before.append(line)
        if blocked:
            until_process_blocked(process)
        for signum in signals:
            process.send_signal(signum)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, sorted("".join([*before, stdout]).splitlines()), stderr


EVERY_KIND = """
class Own(threading.Thread):
    def run(self):
        try:
            begun.release()
            while True:
                pass
        finally:
            say("computing stopped")

class Timer(threading.Timer):
    pass

def in_function():
    wait("function")

def start_all(pool):
    threading.Thread(target=in_function).start()
    Own().start()
    Timer(0, wait, ["timer"]).start()
    threading.Thread(target=wait, args=("daemon",), daemon=True).start()
    instance = threading.Thread()
    instance.run = lambda: wait("instance")
    instance.start()
    pool.submit(wait, "task")
    pool.submit(wait, "task")
    ready(7)
"""
STOPPED = sorted(
    [
        *("computing stopped", "daemon stopped", "function stopped", "instance stopped"),
        *("task stopped", "task stopped", "timer stopped"),
    ]
)


def and_daemon(said):
    """A daemon thread is asked, but not waited for: it may not come as far as to say so."""
    return sorted(said if "daemon stopped" in said else [*said, "daemon stopped"])


@pytest.mark.parametrize("program", [["program.py"], ["-m", "program"]], ids=["script", "module"])
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_stops_every_kind_of_thread(signum, program, tmp_path):
    # Kept: an exception in what runs when the pool is dropped would be lost.
    source = EVERY_KIND + "pool = ThreadPoolExecutor(2)\nstart_all(pool)\ntime.sleep(1000)\n"
    status, said, told = finish(start(tmp_path, source, program=program), signum)
    assert (status, and_daemon(said)) == (-signum, STOPPED)
    if signum == signal.SIGINT:
        assert re.match(r"Traceback .*\n  File .*program.py\", line \d+, in <module>\n", told)
        assert told.endswith("\nKeyboardInterrupt\n")
        assert str(PACKAGE) not in told
    else:
        assert told == ""


@pytest.mark.parametrize("signum", SIGNALS)
def test_it_does_when_the_main_thread_is_past_its_last_line(signum, tmp_path):
    source = """
        def ready_when_ended():
            while not concurrent.futures.thread._shutdown:  # the workers are waited for
                time.sleep(0.001)
            os.write(1, b"ready\\n")

        import concurrent.futures.thread
        ready = lambda count: [begun.acquire() for _ in range(count)]
        start_all(ThreadPoolExecutor(2))
        threading.Thread(target=ready_when_ended, daemon=True).start()
        """
    status, said, told = finish(start(tmp_path, EVERY_KIND + textwrap.dedent(source)), signum)
    assert (status, told) == (-signum, "")
    assert and_daemon(said) == STOPPED


@pytest.mark.parametrize(
    ("last", "status", "words"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit('over')", 1, "over\n"),
        ("raise ValueError('no')", 1, "ValueError: no\n"),
    ],
)
def test_leaving_the_main_thread_stops_the_others(last, status, words, tmp_path):
    source = f"threading.Thread(target=wait).start()\nready(1)\n{last}\n"
    ended, said, told = finish(start(tmp_path, source))
    assert (ended, said) == (status, ["ready", "wait stopped"])
    assert told.endswith(words)
    assert "interruption" not in told


def test_the_last_line_asks_nobody(tmp_path):
    source = """
        def work():
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            time.sleep(0.05)
            say("done")
        threading.Thread(target=work).start()
        """
    assert finish(start(tmp_path, source)) == (0, ["done"], "")


def test_tasks_that_were_not_begun_are_cancelled_and_none_stops_who_looks_at_it(tmp_path):
    source = """
        with ThreadPoolExecutor(2) as pool:
            done = pool.submit(int, "3")
            failed = pool.submit(int, "x")
            running = [pool.submit(wait) for _ in range(2)]
            pending = [pool.submit(wait) for _ in range(1000)]
            try:
                ready(2)
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
        say(f"{done.result()} {type(failed.exception()).__name__}")
        for future in running:
            try:
                future.result()
            except Exception as error:
                say(type(error).__name__)
        say(all(future.cancelled() for future in pending))
        """
    status, said, told = finish(start(tmp_path, source), signal.SIGINT)
    lines = ["3 ValueError", "CancelledError", "CancelledError", "True"]
    assert (status, said, told) == (0, sorted([*lines, "wait stopped", "wait stopped"]), "")


def test_an_executor_of_this_package_stops_as_any(tmp_path):
    source = """
        import interruption
        with interruption.ThreadPoolExecutor(1) as pool:
            running = pool.submit(wait)
            pending = [pool.submit(wait) for _ in range(10)]
            try:
                ready(1)
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
        say(all(future.cancelled() for future in [running, *pending]))
        """
    status, said, told = finish(start(tmp_path, source), signal.SIGINT)
    assert (status, said, told) == (0, ["True", "wait stopped"], "")


def test_tasks_of_asyncio_that_run_in_threads_are_stopped(tmp_path):
    source = """
        import asyncio
        async def main():
            task = asyncio.create_task(asyncio.to_thread(wait, "in a thread"))
            while not begun.acquire(blocking=False):
                await asyncio.sleep(0)
            ready()
            await task
        asyncio.run(main())
        """
    status, said, told = finish(start(tmp_path, source), signal.SIGTERM)
    assert (status, said, told) == (-signal.SIGTERM, ["in a thread stopped"], "")


def test_requests_of_a_server_with_threads_are_stopped(tmp_path):
    source = """
        import socket, socketserver
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    begun.release()
                    self.request.recv(1)
                finally:
                    say("request stopped")
        class Server(socketserver.ThreadingTCPServer):
            def service_actions(self):  # not while it is starting a thread
                if begun.acquire(blocking=False):
                    ready()
        with Server(("127.0.0.1", 0), Handler) as server:
            with socket.create_connection(server.server_address):
                server.serve_forever(0.01)
        """
    status, said, told = finish(start(tmp_path, source), signal.SIGTERM)
    assert (status, said, told) == (-signal.SIGTERM, ["request stopped"], "")


def test_what_the_standard_library_does_in_threads_of_its_own_comes_to_its_end(tmp_path):
    """A queue's feeder, a listener of logs, the manager of a pool of processes."""
    source = """
        import logging.handlers, multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def child(items):
            for item in iter(items.get, None):
                say(f"child got {item}")

        if __name__ == "__main__":
            logs = queue.Queue()
            handler = logging.StreamHandler(sys.stdout)
            listener = logging.handlers.QueueListener(logs, handler)
            listener.start()
            log = logging.getLogger("program")
            log.addHandler(logging.handlers.QueueHandler(logs))
            context = multiprocessing.get_context("spawn")
            items = context.Queue()
            process = context.Process(target=child, args=[items])
            process.start()
            items.put("one")
            pool = ProcessPoolExecutor(1, mp_context=context)
            pool.submit(int).result()
            waiting = threading.Thread(target=wait)
            waiting.start()
            try:
                ready(1)
                time.sleep(1000)
            except KeyboardInterrupt:
                waiting.join()
                items.put("two")
                items.put(None)
                process.join()
                say(pool.submit(int, "3").result(timeout=60))
                pool.shutdown()
                log.error("logged")
                listener.stop()
        """
    status, said, told = finish(start(tmp_path, source, "--grace", "1m"), signal.SIGINT)
    assert (status, told) == (0, "")
    assert said == ["3", "child got one", "child got two", "logged", "wait stopped"]


def test_a_pool_of_threads_can_be_left(tmp_path):
    source = """
        from multiprocessing.pool import ThreadPool
        ended = threading.Semaphore(0)
        def work(name):
            try:
                wait(name)
            finally:
                ended.release()
        try:
            with ThreadPool(2) as pool:
                threading.Thread(target=ready, args=[2]).start()
                pool.map(work, ["one", "two"])
        finally:
            for _ in range(2):
                ended.acquire()  # they are daemons: the end waits for none of them
        """
    status, said, _ = finish(start(tmp_path, source), signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["one stopped", "two stopped"])


STUCK = """
def stuck():
    begun.release()
    while True:
        try:
            time.sleep(1000)
        except SystemExit:
            pass

"""
"""The request has been raised in it, and it has gone on."""


def test_who_does_not_stop_is_reported_and_not_waited_for(tmp_path):
    source = STUCK + (
        "threading.Thread(target=stuck, name='the stuck one').start()\n"
        "threading.Thread(target=wait, name='the other').start()\nready(2)\n"
    )
    process = start(tmp_path, source, "--grace", "500ms")
    status, said, told = finish(process, signal.SIGTERM)
    assert (status, said) == (-signal.SIGTERM, ["wait stopped"])
    head, *lines = told.splitlines()
    assert re.fullmatch(
        r"interruption: 1 of 2 threads stopped, 1 still running after 0\.\d+ s \(SIGTERM\)", head
    )
    assert re.fullmatch(r"  the other: stopped after 0\.\d+ s", lines[0])
    assert lines[1].startswith("  the stuck one: still runs: the request has been raised in the")
    assert re.search(r"program.py\", line \d+, in stuck\n +time.sleep\(1000\)\n", told)
    assert str(PACKAGE) not in told


@pytest.mark.parametrize(
    "configuration",
    [
        "logging.config.dictConfig({'version': 1})",
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'CRITICAL'}})",
        "logging.basicConfig(level='CRITICAL', filename='log')",
        "logging.basicConfig(level='CRITICAL')",
        "logging.basicConfig(stream=sys.stdout)",
    ],
)
def test_the_report_is_on_stderr_once_however_logging_is_configured(configuration, tmp_path):
    source = STUCK + (
        f"import logging.config\n{configuration}\n"
        "threading.Thread(target=stuck, name='the stuck one').start()\n"
        "ready(1)\nsys.exit(3)\n"
    )
    status, _, told = finish(start(tmp_path, source, "--grace=0.02"))
    assert status == 3
    assert told.count("0 of 1 thread stopped, 1 still running") == 1
    assert "Error" not in told


def test_a_closed_stderr_changes_nothing(tmp_path):
    source = STUCK + "threading.Thread(target=stuck).start()\nready(1)\nsys.exit(3)\n"
    # What a stream keeps that cannot be written is written again at the exit.
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    process = start(tmp_path, source, "--grace=0.3", env=buffered)
    process.stderr.close()
    with process:
        assert process.stdout.read() == "ready\n"
    assert process.returncode == 3
    process = start(tmp_path, source.replace("ready", "sys.stderr = None; ready"), "--grace=0.02")
    assert finish(process) == (3, ["ready"], "")


REGIONS = """
import interruption

def looks():
    try:
        begun.release()
        interruption.wait_for_interruption()
    finally:
        say("looks stopped")

def opens():
    with interruption.allow_interruption:
        wait("opens")

for function in (looks, opens, wait):
    threading.Thread(target=function, name=function.__name__).start()
interruption.Thread(target=wait, args=["asks"], name="asks", interruptible=True).start()
ready(4)
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("region", "stopped"),
    [
        ("all", ["asks", "looks", "opens", "wait"]),
        ("ours", ["asks", "looks", "opens"]),
        ("none", ["looks"]),
    ],
)
def test_regions_are_where_they_are_wanted(region, stopped, tmp_path):
    grace = "1m" if region == "all" else "1s"
    status, said, told = finish(start(tmp_path, REGIONS, "--grace", grace, "--region", region))
    assert status == 3
    assert said == sorted(["ready", *(f"{name} stopped" for name in stopped)])
    running = re.findall(r"^  (\w+): still runs: (.*)$", told, re.MULTILINE)
    assert sorted([*stopped, *(name for name, _ in running)]) == ["asks", "looks", "opens", "wait"]


def test_a_thread_that_is_switched_off_is_so(tmp_path):  # S14
    source = """
        import interruption
        thread = interruption.Thread(target=wait, name="off")
        thread.enable_io_interrupt = False
        thread.start()
        ready(1)
        sys.exit(3)
        """
    status, said, told = finish(start(tmp_path, source, "--grace", "50ms"))
    assert (status, said) == (3, ["ready"])
    assert "off: still runs" in told


def test_a_second_signal_insists_and_after_a_third_nobody_is_waited_for(tmp_path):  # S8
    source = """
        def slow():
            try:
                wait("first")
            finally:
                try:
                    wait("second")
                finally:
                    say("third")
                    while True:
                        try:
                            time.sleep(1000)
                        except SystemExit:
                            pass
        threading.Thread(target=slow).start()
        ready(1)
        """
    process = start(tmp_path, source, "--grace", "forever")
    assert process.stdout.readline() == "ready\n"
    for line in ("first stopped\n", "second stopped\n"):
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == line
    assert process.stdout.readline() == "third\n"
    process.send_signal(signal.SIGTERM)
    status, said, told = finish(process)
    assert (status, said) == (-signal.SIGTERM, [])
    assert "still runs" in told


def test_the_programs_own_handler_below_ours_may_raise(tmp_path):
    """It is ours that is below, when the program sets one: then the program sees to all."""
    source = """
        import signal
        def handler(signum, frame):
            raise KeyError("theirs")
        signal.signal(signal.SIGTERM, handler)
        threading.Thread(target=wait).start()
        ready(1)
        time.sleep(1000)
        """
    status, said, told = finish(start(tmp_path, source), signal.SIGTERM)
    assert (status, said) == (1, ["wait stopped"])  # by the exception
    assert told.splitlines()[-1] == "KeyError: 'theirs'"
    assert "interruption" not in told


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    source = """
        import os, signal
        os.kill(os.getpid(), signal.SIGHUP)
        say(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
        """
    process = start(
        tmp_path, source, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    assert finish(process) == (0, ["True"], "")


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_shell_shows_130_and_143(name, status, tmp_path):
    (tmp_path / "program.py").write_text(
        f"{HEAD}\nthreading.Thread(target=wait).start()\nready(1)\n"
        f"signal.raise_signal(signal.{name})\n"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m interruption run program.py; echo $?"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == f"ready\nwait stopped\n{status}\n"


def test_what_stops_a_thread_does_not_end_an_event_loop(tmp_path):  # S30
    """A thread that hands on to asyncio what it has raised, as anyio's do: the task is cancelled,
    and asyncio ends as by Ctrl-C without us.
    """
    source = """
    import asyncio

    def work(loop, future):
        try:
            wait("worker")
        except BaseException as error:
            loop.call_soon_threadsafe(future.set_exception, error)

    async def ask():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        threading.Thread(target=work, args=(loop, future)).start()
        ready(1)
        await asyncio.shield(future)

    async def main():
        task = asyncio.create_task(ask())
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait([task])
            say(f"task cancelled: {task.cancelled()}")

    asyncio.run(main())
    """
    status, said, told = finish(start(tmp_path, source), signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["task cancelled: True", "worker stopped"])
    assert "ThreadExit" not in told

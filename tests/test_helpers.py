"""S30: threads that cleanup starts run, although all threads are asked to stop."""

from __future__ import annotations

import signal
import sys

import pytest
from on_signal_parts import run
from test_command_run import finish
from test_command_run import start as start_program

# Each lets somebody else put an answer, and waits for it.
WAYS = {
    "thread": "threading.Thread(target=answer).start()",
    "region": """
    def body():
        with allow_interruption:
            time.sleep(0.001)
            answer()
    threading.Thread(target=body).start()""",
    "interruptible": "Thread(target=answer, interruptible=True).start()",
    "low level": "__import__('_thread').start_new_thread(answer, ())",
    "of a helper": """
    def body():
        threading.Thread(target=answer).start()
    threading.Thread(target=body).start()""",
    "executor": "concurrent.futures.ThreadPoolExecutor().submit(answer)",
    "timer": "threading.Timer(0.001, answer).start()",
}

IMPORTS = "import asyncio, concurrent.futures, queue\n"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["try", "after"])
def test_the_cleanup_of_the_main_thread_gets_its_threads(way, where):  # S30
    lines = f"{WAYS[way].strip()}\n    say(answers.get())"
    tidy = (
        f"""
try:
    kill()
    time.sleep(60)
finally:
    {lines}
"""
        if where == "try"
        else f"""
try:
    kill()
    time.sleep(60)
except SignalExit:
    pass
if True:
    {lines}
"""
    )
    source = f"""{IMPORTS}
answers = queue.Queue()
def answer():
    answers.put("asked" if interruption_requested() else "answered")
interrupt_on_signal()
start()
{tidy}"""
    status, said, told = run(source)
    assert status == (-15 if where == "try" else 0)
    assert sorted(said) == ["answered", "stopped by SIGTERM"]
    assert told == ""


def test_so_does_that_of_one_that_another_thread_has_stopped():  # S30
    status, said, _ = run(f"""{IMPORTS}
answers = queue.Queue()
def body():
    with allow_interruption:
        answers.put("asked" if interruption_requested() else "answered")
def ask():
    begun.acquire()
    shutdown(60)
threading.Thread(target=ask).start()
try:
    with allow_interruption:
        begun.release()
        time.sleep(60)
except ThreadExit:
    threading.Thread(target=body).start()
    say(answers.get(timeout=60))
""")
    assert (status, said) == (0, ["answered"])


IN_CLEANUP = {
    "library": "pool = concurrent.futures.ThreadPoolExecutor(1); pool.submit(inside).result()",
    "program": "helper = threading.Thread(target=inside); helper.start(); helper.join()",
}


@pytest.mark.parametrize("who", IN_CLEANUP)
def test_in_a_workers_cleanup_libraries_get_theirs_and_the_program_none(who):  # S7, S30
    """Who starts threads while it is to end would never come to its end."""
    status, said, _ = run(f"""{IMPORTS}
def inside():
    with allow_interruption:
        say("ran")
def body():
    try:
        with allow_interruption:
            begun.release()
            time.sleep(60)
    finally:
        {IN_CLEANUP[who]}
interrupt_on_signal()
worker = start(body)
try:
    kill()
    time.sleep(60)
finally:
    worker.join()
""")
    assert (status, said) == (-15, ["ran"] if who == "library" else [])


@pytest.mark.parametrize("runner", ["main", "worker"])
def test_an_event_loop_shuts_its_executor_down(runner):  # S30
    """asyncio does so by a thread of its own, for which the loop waits."""
    source = f"""{IMPORTS}
async def main():
    try:
        await asyncio.get_running_loop().run_in_executor(None, int)
        begun.release()
        await asyncio.sleep(1000)
    finally:
        say("task finally")
def body():
    try:
        with allow_interruption:
            asyncio.run(main())
    finally:
        say("left")
interrupt_on_signal()
if {runner == "worker"}:
    start(body)
    kill()
    time.sleep(60)
else:
    threading.Thread(target=lambda: (begun.acquire(), kill())).start()
    asyncio.run(main())
"""
    status, said, _ = run(source)
    assert (status, said[0]) == (-15, "task finally")


def test_the_second_signal_asks_them_too():  # S8
    status, said, _ = run("""
        interrupt_on_signal()
        try:
            kill()
            time.sleep(60)
        finally:
            helper = start()
            kill(signal.SIGHUP)
            helper.join()
    """)
    assert (status, said) == (-signal.SIGHUP, ["stopped by SIGHUP"])


def test_they_are_waited_for_no_longer_than_the_others():
    status, _, told = run("""
        interrupt_on_signal(timeout=0.3)
        try:
            kill()
            time.sleep(60)
        finally:
            start(stuck, name="stuck helper")
    """)
    assert status == -15
    assert "stuck helper: still runs: the thread has not been asked to stop" in told


def test_whoever_is_started_by_a_thread_that_goes_on_is_asked():  # S7
    status, said, _ = run("""
        def starter():
            begun.release()
            while not interruption_requested():
                pass
            try:
                start()
            finally:
                say("left")
        def start():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        interrupt_on_signal()
        starting = threading.Thread(target=starter)
        starting.start()
        begun.acquire()
        try:
            kill()
            time.sleep(60)
        finally:
            starting.join()
    """)
    assert (status, said) == (-15, ["stopped by SIGTERM", "left"])


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="Python 3.12 starts none after the main program's end"
)
@pytest.mark.parametrize("region", ["all", "ours"])
def test_under_run_the_cleanup_of_every_thread_gets_its_threads(region, tmp_path):  # S30
    process = start_program(
        tmp_path,
        """
        done = queue.Queue()
        def tidy(name):
            threading.Thread(target=done.put, args=(name,)).start()
            say(done.get() + " tidied up")
        def work():
            try:
                wait()
            finally:
                tidy("worker")
        worker = threading.Thread(target=work, daemon=REGION)
        worker.start()
        try:
            ready(1)
            time.sleep(1000)
        finally:
            tidy("main")
        """.replace("REGION", str(region == "ours")),
        "--region",
        region,
        "--grace",
        "60s",
    )
    status, said, told = finish(process, signal.SIGTERM, blocked=True)
    wanted = ["main tidied up"] + ["wait stopped", "worker tidied up"] * (region == "all")
    assert (status, [line for line in said if line != "ready"]) == (-15, sorted(wanted))
    assert told == ""


def test_under_run_uvloop_ends_as_ever(tmp_path):  # S30
    pytest.importorskip("uvloop")
    process = start_program(
        tmp_path,
        """
        import asyncio, uvloop
        async def main():
            try:
                await asyncio.get_running_loop().run_in_executor(None, int)
                ready()
                await asyncio.sleep(1000)
            finally:
                say("cleaned up")
        uvloop.run(main())
        """,
        "--grace",
        "60s",
    )
    status, said, _ = finish(process, signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["cleaned up"])

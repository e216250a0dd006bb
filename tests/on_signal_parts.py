"""Processes for the test_on_signal files: workers that a signal stops."""

from __future__ import annotations

import signal
import textwrap

from support import run_script

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A worker that only a request ends; and the process's own signals.
WORKERS = """
    import atexit, logging, os, signal, sys, threading, time
    import interruption
    from interruption import *
    signal.alarm(120)

    def say(text):
        os.write(1, f"{text}\\n".encode())

    def kill(number=signal.SIGTERM):
        os.kill(os.getpid(), number)

    def work():
        try:
            with allow_interruption:
                begun.release()
                threading.Event().wait()
        except ThreadExit as asked:
            say(f"stopped by {asked.reason}")

    def stuck():
        begun.release()
        threading.Event().wait()

    begun = threading.Semaphore(0)

    def start(body=work, **options):
        thread = threading.Thread(target=body, **options)
        thread.start()
        begun.acquire()
        return thread

    def past_end(then):
        def body():
            begun.release()
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            then()
        start(body, daemon=True)
"""


def run(source, *arguments):
    result = run_script(textwrap.dedent(WORKERS) + textwrap.dedent(source), *arguments)
    return result.returncode, result.stdout.split("\n")[:-1], result.stderr

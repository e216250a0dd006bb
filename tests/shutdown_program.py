"""The program of test_shutdown_table.py: one main thread, two workers, one end.

    shutdown_program.py MAIN WORKER [END]

Prints "ready" when the main thread is where MAIN says; then END comes from inside, or a signal from
outside. Each `finally` that runs says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time

import interruption
from interruption import allow_interruption, defer_interruption
from support import PATIENCE, until_blocked

TIMEOUT = 0.5  # what stuck workers are given

signal.alarm(int(PATIENCE))
lock = threading.Lock()
begun = threading.Semaphore(0)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


# Workers. -----------------------------------------------------------------------------------------


def blocked() -> None:
    with allow_interruption:
        begun.release()
        queue.Queue().get()


def computing() -> None:
    with allow_interruption:
        begun.release()
        while True:
            pass


def shielded() -> None:
    with allow_interruption, defer_interruption:
        begun.release()
        queue.Queue().get()


def holding() -> None:
    with allow_interruption:
        with lock:
            begun.release()
            while True:
                pass


def in_c() -> None:
    pause = ctypes.CDLL(None).pause
    with allow_interruption:
        begun.release()
        pause()


def start(worker: str) -> threading.Thread:
    def run() -> None:
        try:
            globals()[worker]()
        finally:
            say(f"{worker} finally")

    thread = threading.Thread(target=run, name=worker)
    thread.start()
    begun.acquire()
    return thread


# The main thread. ---------------------------------------------------------------------------------


def join() -> None:
    start("blocked").join()
    while True:  # it has stopped; the exception is on its way
        pass


def sleep() -> None:
    time.sleep(1000)


def get() -> None:
    queue.Queue().get()


def recv() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


def loop() -> None:
    say("ready")
    while True:
        pass


def run_asyncio() -> None:
    async def main() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            say("task finally")

    asyncio.run(main())


def ask_user() -> None:
    input()


def ready_when_blocked() -> None:
    until_blocked(threading.main_thread())
    say("ready")


def ready_when_ended() -> None:
    while threading.main_thread().is_alive():
        time.sleep(0.001)
    say("ready")


def main() -> None:
    where, worker, *end = sys.argv[1:]
    interruption.interrupt_on_signal(timeout=TIMEOUT)
    interruption.interrupt_on_exit(timeout=TIMEOUT)
    start("blocked")
    start(worker)
    if where == "end":
        threading.Thread(target=ready_when_ended, daemon=True).start()
        for how in end:
            exec(how)  # noqa: S102  (a row of the table)
        return
    if where != "loop":
        threading.Thread(target=ready_when_blocked, daemon=True).start()
    try:
        globals()[where]()
    finally:
        say("main finally")


if __name__ == "__main__":
    main()

"""Time limits of several libraries, each tried in a worker thread: a Markdown table.

    python benchmarks/limits.py [--write docs/compared.md]

Each trial is a process of its own. A limit of 0.2 seconds is put around something that takes
longer; what is tried is in ``TRIALS``. What is not installed is named.
The extra ``limits`` has all.
"""

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import page
from figures import duration, markdown

LIMIT, LONG, IN_TIME = 0.2, 3.0, 1.2  # seconds
ATTEMPTS = 20
CALLS = 50

Block = Callable[[], Any]
Limiter = Callable[[float, Block], Any]  # runs it, and raises if the time is up


# The libraries. ----------------------------------------------------------------------------------


def ours() -> Limiter:
    """Ours."""
    timeout = importlib.import_module("interruption").timeout

    def limited(seconds: float, block: Block) -> Any:
        with timeout(seconds):
            return block()

    return limited


def stopit() -> Limiter:
    """An exception is thrown into the thread."""
    limit = importlib.import_module("stopit").ThreadingTimeout

    def limited(seconds: float, block: Block) -> Any:
        with limit(seconds, swallow_exc=False):
            return block()

    return limited


def func_timeout() -> Limiter:
    """It runs in a thread of its own, into which exceptions are thrown."""
    run = importlib.import_module("func_timeout").func_timeout
    return lambda seconds, block: run(seconds, block)


def timeout_decorator() -> Limiter:
    """By a signal: in the main thread."""
    timeout = importlib.import_module("timeout_decorator").timeout
    return lambda seconds, block: timeout(seconds)(block)()


def timeout_decorator_process() -> Limiter:
    """By a process."""
    timeout = importlib.import_module("timeout_decorator").timeout
    return lambda seconds, block: timeout(seconds, use_signals=False)(block)()


def wrapt_timeout_decorator() -> Limiter:
    """By a signal, or by a process."""
    timeout = importlib.import_module("wrapt_timeout_decorator").timeout
    return lambda seconds, block: timeout(seconds, use_signals=False)(block)()


def asyncio_timeout() -> Limiter:
    """The task is cancelled; its thread is not."""
    loops = threading.local()

    def limited(seconds: float, block: Block) -> Any:
        async def body() -> Any:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(block)

        if not hasattr(loops, "loop"):
            loops.loop = asyncio.new_event_loop()
        return loops.loop.run_until_complete(body())

    return limited


def trio() -> Limiter:
    """The task goes on; its thread, too."""
    module: Any = importlib.import_module("trio")

    def limited(seconds: float, block: Block) -> Any:
        async def body() -> Any:
            with module.fail_after(seconds):
                return await module.to_thread.run_sync(block, abandon_on_cancel=True)

        return module.run(body)

    return limited


def anyio() -> Limiter:
    """The same."""
    module: Any = importlib.import_module("anyio")

    def limited(seconds: float, block: Block) -> Any:
        async def body() -> Any:
            with module.fail_after(seconds):
                return await module.to_thread.run_sync(block, abandon_on_cancel=True)

        # As where a loop runs on: asyncio.run() would wait for the thread.
        loop = asyncio.new_event_loop()
        return loop.run_until_complete(body())

    return limited


LIBRARIES: dict[str, tuple[str, Callable[[], Limiter]]] = {
    "`interruption.timeout`": ("interruption", ours),
    "stopit": ("stopit", stopit),
    "func_timeout": ("func_timeout", func_timeout),
    "timeout-decorator": ("timeout-decorator", timeout_decorator),
    "the same, `use_signals=False`": ("timeout-decorator", timeout_decorator_process),
    "wrapt-timeout-decorator": ("wrapt-timeout-decorator", wrapt_timeout_decorator),
    "`asyncio.timeout`, `to_thread`": ("", asyncio_timeout),
    "Trio, `to_thread`": ("trio", trio),
    "AnyIO, `to_thread`": ("anyio", anyio),
}


# What is tried. ----------------------------------------------------------------------------------


def spin(seconds: float) -> None:
    """Run for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def stops(limit: Limiter, block: Block, seconds: float = LIMIT) -> str:
    """Whether it is over in time, by an exception."""
    begun = time.monotonic()
    error = ""
    try:
        limit(seconds, block)
    except BaseException as raised:  # noqa: BLE001 - that is what is told
        error = type(raised).__name__
    late = time.monotonic() - begun
    if late < seconds / 2:
        return f"fails: {error}" if error else "no"
    return "yes" if error and late < IN_TIME else f"no, after {late:.0f} s"


def running(limit: Limiter) -> str:
    """A running loop."""
    return stops(limit, lambda: spin(LONG))


def sleeping(limit: Limiter) -> str:
    """A sleep."""
    return stops(limit, lambda: time.sleep(LONG))


def locking(limit: Limiter) -> str:
    """A lock."""
    lock = threading.Lock()
    lock.acquire()
    return stops(limit, lambda: lock.acquire(timeout=LONG))


def getting(limit: Limiter) -> str:
    """A queue."""
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    return stops(limit, lambda: items.get(timeout=LONG))


def nesting(limit: Limiter) -> str:
    """A short limit around a long one."""

    def around(body: Callable[[float], object]) -> str:
        return stops(limit, lambda: limit(2.0, lambda: body(LONG)))

    told = around(spin)
    return around(time.sleep) if told == "yes" else told


def cleaning(limit: Limiter) -> str:
    """A `finally` that is under way when the time is up."""
    with tempfile.NamedTemporaryFile() as file:

        def block() -> None:
            try:
                len("something")
            finally:
                spin(2 * LIMIT)
                Path(file.name).write_text("whole", encoding="utf-8")

        told = stops(limit, block)
        if told.startswith("fails"):
            return told
        time.sleep(3 * LIMIT)  # where it goes on in a thread that nobody waits for
        return "whole" if file.read() else "cut"


def swallowing(limit: Limiter) -> str:
    """An `except Exception` in the block."""

    def block() -> None:
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:  # noqa: SIM105 - as programs do
                spin(0.05)
            except Exception:  # noqa: BLE001, S110
                pass

    return stops(limit, block)


def leaving_locks(limit: Limiter) -> str:
    """How often a `Condition` stays locked."""
    locked = 0
    for _ in range(ATTEMPTS):
        condition = threading.Condition()

        def block(condition: threading.Condition = condition) -> None:
            end = time.monotonic() + LONG
            while time.monotonic() < end:
                with condition:
                    pass

        told = stops(limit, block, 0.02)
        if told.startswith("fails"):
            return told
        free = condition.acquire(timeout=0.5)
        locked += not free
        if free:
            condition.release()
    return f"{locked} of {ATTEMPTS}"


def running_on(limit: Limiter) -> str:
    """What runs on when the time is up."""
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)

        def block() -> None:
            path.write_text(str(os.getpid()), encoding="utf-8")
            try:
                time.sleep(LONG / 2)
            finally:
                path.write_text("over", encoding="utf-8")

        told = stops(limit, block)
        if told.startswith("fails"):
            return told
        time.sleep(LIMIT)
        left = path.read_text(encoding="utf-8")
        if left == "over":
            return "nothing"
        if left == str(os.getpid()):
            return "a thread"
        with contextlib.suppress(FileNotFoundError):  # it has been killed, and waited for
            state = Path(f"/proc/{left}/stat").read_text(encoding="utf-8")
            return "nothing" if state.rpartition(")")[2].split()[0] == "Z" else "a process"
        return "nothing"


def costing(limit: Limiter) -> str:
    """What it costs if nothing happens."""
    times = []
    limit(LONG, int)
    for _ in range(CALLS):
        begun = time.perf_counter()
        limit(LONG, int)
        times.append(time.perf_counter() - begun)
    return duration(statistics.median(times))


TRIALS: dict[str, tuple[str, Callable[[Limiter], str]]] = {
    "running": ("ends a running loop", running),
    "sleeping": ("`sleep`", sleeping),
    "locking": ("a lock", locking),
    "getting": ("a queue", getting),
    "nesting": ("a short limit around another", nesting),
    "cleaning": ("a `finally` under way", cleaning),
    "swallowing": ("an `except Exception` in it", swallowing),
    "leaving_locks": ("`Condition` left locked", leaving_locks),
    "running_on": ("runs on", running_on),
    "costing": ("costs", costing),
}


# The table. --------------------------------------------------------------------------------------


def run_trial(library: str, trial: str) -> None:
    """In the process for it: in a worker thread. Prints what was found."""

    def work() -> None:
        try:
            found = TRIALS[trial][1](LIBRARIES[library][1]())
        except BaseException as error:  # noqa: BLE001 - that is what is told
            found = f"fails: {type(error).__name__}"
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        os._exit(0)  # whatever is left of it

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()  # or none could be started in it


def tried(library: str, trial: str) -> str:
    """What came of it."""
    command = [sys.executable, "-W", "ignore", __file__, "--trial", library, trial]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return "hangs"
    lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
    return str(json.loads(lines[-1])) if lines else f"ends with {done.returncode}"


def row(library: str) -> list[str]:
    """Of the table."""
    package = LIBRARIES[library][0]
    try:
        version = importlib.metadata.version(package) if package not in ("", "interruption") else ""
    except importlib.metadata.PackageNotFoundError:
        return [library, "not installed", *([""] * (len(TRIALS) - 1))]
    name = f"{library} {version}".strip()
    sys.stderr.write(f"{name}\n")
    return [name, *(tried(library, trial) for trial in TRIALS)]


def main() -> None:
    """Try all, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="FILE", help="put it there, behind its mark")
    parser.add_argument("--trial", nargs=2, metavar=("LIBRARY", "TRIAL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial:
        run_trial(*arguments.trial)
        return
    heads = [f"in a worker thread, CPython {sys.version.split()[0]}"]
    heads += [head for head, _ in TRIALS.values()]
    table = markdown(heads, [row(library) for library in LIBRARIES])
    sys.stdout.write(table)
    if arguments.write:
        page.put(arguments.write, lambda _name, _version: table)


if __name__ == "__main__":
    main()

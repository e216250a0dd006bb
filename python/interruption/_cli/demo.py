"""``python -m interruption demo``: a program that hangs on Ctrl-C, and how it stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, cast

PROGRAM = """\
import queue, threading

jobs = queue.Queue()

def work(name):
    try:
        while True:
            jobs.get()()      # waits for a job, as long as there is none
    finally:
        print(f"{name} has cleaned up\\n", end="", flush=True)

workers = [threading.Thread(target=work, args=[name]) for name in ("one", "two")]
for worker in workers:
    worker.start()
print("waiting for jobs", flush=True)
for worker in workers:
    worker.join()
"""

_READY = "waiting for jobs"
_CLEANED = "has cleaned up"
_THREADS = 2
_HANGS_AFTER = 2.0  # seconds from Ctrl-C
_PATIENCE = 60.0  # seconds
_A_MOMENT = 0.3  # seconds, in which all its threads come to wait


def _say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201  (that is what it is for)


class _Run:
    """A run of the program, with what it prints.

    Its stderr has a pipe of its own: a traceback is written in pieces, and what the threads print
    meanwhile would come in the middle of a line.
    """

    def __init__(self, command: list[str]) -> None:
        # Whoever started us may ignore SIGINT, as a shell's background does: the program shall not.
        heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)"
        self.process = subprocess.Popen(  # noqa: S603  (this interpreter, and what stands above)
            [sys.executable, "-c", f"{heed}; os.execv(sys.argv[1], sys.argv[1:])", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.cleaned_up = 0  # threads; guarded by the lock, as is what is said of the program
        self._lock = threading.Lock()
        self._ready = threading.Event()
        streams = cast("list[IO[str]]", [self.process.stdout, self.process.stderr])
        self._readers = [threading.Thread(target=self._read, args=[each]) for each in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream as lines:
            for line in map(str.rstrip, lines):
                with self._lock:
                    _say(f"    | {line}")
                    self.cleaned_up += line.endswith(_CLEANED)
                if line == _READY:
                    self._ready.set()
        self._ready.set()  # it has ended

    def seconds_to_end(self, patience: float) -> float | None:
        """After a Ctrl-C; None: it has not ended within so many seconds, and is killed."""
        try:
            self._ready.wait()
            time.sleep(_A_MOMENT)
            begin = time.perf_counter()
            _say("    (Ctrl-C)")
            self.process.send_signal(signal.SIGINT)
            self.process.wait(patience)
            return time.perf_counter() - begin
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.process.kill()
            self.process.wait()
            for reader in self._readers:
                reader.join()


def _hangs(file: Path) -> bool:
    """Run it plainly."""
    _say(f"\n$ python {file.name}\n")
    seconds = _Run([sys.executable, str(file)]).seconds_to_end(_HANGS_AFTER)
    if seconds is not None:
        _say(f"\nIt has ended by itself, {seconds:.2f} s after Ctrl-C, which is a surprise.")
        return False
    _say(f"\nIt hangs: {_HANGS_AFTER:g} s after Ctrl-C it still runs. It has been killed.")
    return True


def _stops(file: Path) -> bool:
    """Run it by the command."""
    _say(f"\n$ python -m interruption run {file.name}\n")
    run = _Run([sys.executable, "-m", "interruption", "run", str(file)])
    seconds = run.seconds_to_end(_PATIENCE)
    if seconds is None or run.cleaned_up != _THREADS:
        _say("\nIt should have stopped. See what works here: python -m interruption doctor")
        return False
    _say(f"\nIt has stopped {seconds * 1000:.0f} ms after Ctrl-C, with both threads cleaned up.")
    return True


def run() -> int:
    """Run it both ways. The exit status: 0 if all goes as it should, else 1."""
    _say("jobs.py:\n")
    for line in PROGRAM.splitlines():
        _say(f"    {line}".rstrip())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "jobs.py")
        file.write_text(PROGRAM, encoding="utf-8")
        return 0 if _hangs(file) and _stops(file) else 1

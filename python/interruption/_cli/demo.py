"""``python -m interruption demo``: a program that hangs on Ctrl-C, and how it stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
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

_CLEANED = "has cleaned up"
_THREADS = 2
_HANGS_AFTER = 2.0  # seconds from Ctrl-C
_PATIENCE = 60.0  # seconds
_A_MOMENT = 0.3  # seconds, in which all its threads come to wait


def _say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201  (that is what it is for)


def _show(lines: str) -> None:
    for line in lines.splitlines():
        _say(f"    | {line.rstrip()}")


def _press_ctrl_c(command: list[str], patience: float) -> tuple[float | None, int]:
    """Run the program until it waits, and press Ctrl-C; show what it prints.

    Returns after how many seconds it has ended, or None: it has not within so many, and is killed;
    and how many threads have cleaned up.
    """
    # Whoever started us may ignore SIGINT, as a shell's background does: the program shall not.
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    with subprocess.Popen(  # noqa: S603  (this interpreter, and what stands above)
        [sys.executable, "-c", f"{heed}; os.execv(sys.argv[1], sys.argv[1:])", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _show(cast("IO[str]", process.stdout).readline())  # it waits; or has ended, and nothing
            time.sleep(_A_MOMENT)
            _say("    (Ctrl-C)")
            begin = time.perf_counter()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=patience)
            seconds = time.perf_counter() - begin
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            seconds = None
        finally:
            process.kill()
    _show(errors + output)
    return seconds, output.count(_CLEANED)


def _hangs(file: Path) -> bool:
    """Run it plainly."""
    _say(f"\n$ python {file.name}\n")
    seconds, _ = _press_ctrl_c([sys.executable, str(file)], _HANGS_AFTER)
    if seconds is not None:
        _say(f"\nIt has ended by itself, {seconds:.2f} s after Ctrl-C, which is a surprise.")
        return False
    _say(f"\nIt hangs: {_HANGS_AFTER:g} s after Ctrl-C it still runs. It has been killed.")
    return True


def _stops(file: Path) -> bool:
    """Run it by the command."""
    _say(f"\n$ python -m interruption run {file.name}\n")
    command = [sys.executable, "-m", "interruption", "run", str(file)]
    seconds, cleaned_up = _press_ctrl_c(command, _PATIENCE)
    if seconds is None or cleaned_up != _THREADS:
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

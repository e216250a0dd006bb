"""What becomes of each program of signal_programs.py by a signal: measured, and as a table.

python tests/libraries/signal_table.py       # prints that of docs/frameworks.md
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import signal_programs
from signal_programs import ROWS, TIMEOUT

PROGRAM = str(Path(signal_programs.__file__))
PATIENCE = 20.0  # seconds; what takes longer does not end
SIGNALS = {
    "Ctrl-C": [signal.SIGINT],
    "SIGTERM": [signal.SIGTERM],
    "Ctrl-C twice": [signal.SIGINT, signal.SIGINT],
}
WAYS = {
    "plain": [PROGRAM, "{row}"],
    "run": ["-m", "interruption", "run", "--grace", f"{TIMEOUT:.0f}s", PROGRAM, "{row}"],
    "on_signal": [PROGRAM, "{row}", "on_signal"],
}


CLEANED_UP = ("cleaned up", "ended", "stopped", "shuts down")


class Outcome(NamedTuple):
    """status: as a shell shows it; None: it did not end. said: by its cleanup."""

    status: int | None
    said: tuple[str, ...]
    seconds: float
    errors: str

    def __str__(self) -> str:
        if self.status is None:
            return "does not end"
        cleanups = sum(line.endswith(CLEANED_UP) for line in self.said)  # IPython says more
        slowly = f", {self.seconds:.0f} s" if self.seconds > 2 else ""
        return f"{self.status}, {cleanups} cleanup{'s' * (cleanups != 1)}{slowly}"


def missing(name: str) -> str | None:
    """The first package that the row needs and that is not installed."""
    for package in ROWS[name][0].split():
        if importlib.util.find_spec(package) is None:
            return package
    return None


def _is_pending(pid: int) -> bool:
    """Whether a signal has not reached the process yet. Where the kernel does not tell: no."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(line.startswith("ShdPnd") and int(line.split()[1], 16) for line in lines)


def measure(name: str, way: str, signals: list[signal.Signals]) -> Outcome:
    """Start the row's program that way, signal it when it is ready, and see how it ends."""
    command = [sys.executable, *(word.format(row=name) for word in WAYS[way])]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env={**os.environ, "HOME": home, "IPYTHONDIR": home, "PYTHONWARNINGS": "ignore"},
        )
        assert process.stdout is not None
        try:
            while (line := process.stdout.readline()) not in ("ready\n", ""):
                pass
            assert line, _text(errors)
            began = time.monotonic()
            for signum in signals:
                while _is_pending(process.pid):
                    time.sleep(0.001)
                process.send_signal(signum)
            try:
                said, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                return Outcome(None, (), PATIENCE, _text(errors))
            code = process.returncode
            status = 128 - code if code < 0 else code
            lines = tuple(sorted(said.split("\n")[:-1]))
            return Outcome(status, lines, time.monotonic() - began, _text(errors))
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and its children
            except ProcessLookupError:
                pass
            process.wait()
            process.stdout.close()


def _text(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return str(file.read())  # type: ignore[attr-defined]


def main() -> None:
    print(f"| Python {sys.version.split()[0]} | signal | plain | `run` | `interrupt_on_signal` |")
    print("|---|---|---|---|---|")
    for name, (needs, _) in ROWS.items():
        if missing(name) is not None:
            continue
        packages = [each for each in needs.split() if each != "asyncio"]
        versions = [f"{each} {importlib.metadata.version(each)}" for each in packages]
        head = f"{name} ({', '.join(versions)})" if versions else name
        for sent, signals in SIGNALS.items():
            cells = [str(measure(name, way, signals)) for way in WAYS]
            print(f"| {head} | {sent} | {' | '.join(cells)} |", flush=True)
            head = ""


if __name__ == "__main__":
    main()

"""An agent that calls tools, whose user can stop the tool that runs without stopping the agent.

    python examples/agent_tools.py

Reads lines from stdin. A line that begins with ``/stop`` stops the running tool; any other names a
tool and its arguments, as a model would::

    search needle /usr/share          looks through files
    shell sleep 60                    runs a command
    compute 100000000                 computes

What the model is told of each call is printed as a line of JSON: the result, the error, or that the
user has stopped it. A stopped tool has cleaned up by then: its files are closed, its child process
is gone. EOF ends the agent, with the running tool stopped.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING

from interruption import ThreadPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable


def search(text: str, folder: str) -> str:
    """Count the files that have the text in them. Nothing in here knows that it may be stopped."""
    found = 0
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            found += path.is_file() and text.encode() in path.read_bytes()
    return f"{found} files"


def shell(*command: str) -> str:
    """Run a command. When this is stopped, ``subprocess.run`` kills the child, and waits for it."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


def compute(turns: str) -> str:
    """Do something in Python for long."""
    number = 1
    for _ in range(int(turns)):
        number = number * 48271 % 2147483647
    return str(number)


TOOLS: dict[str, Callable[..., str]] = {"search": search, "shell": shell, "compute": compute}


def tell(call: str, **what: str) -> None:
    """Print what the model is told."""
    print(json.dumps({"call": call, **what}), flush=True)


def outcome(future: Future[str]) -> dict[str, str]:
    """What has become of a call; waits for it."""
    try:
        return {"result": future.result()}
    except CancelledError:
        return {"stopped": "by the user"}
    except Exception as error:  # noqa: BLE001  (the model is to know of any)
        return {"error": f"{type(error).__name__}: {error}"}


class Agent:
    """Calls one tool after the other."""

    def __init__(self) -> None:
        """Start the thread that tools run in."""
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tools")
        self.calls: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.running: Future[str] | None = None  # guarded by the lock
        self.ending = False  # guarded by the lock

    def stop(self) -> None:
        """Stop the tool that runs, if one does; the agent goes on."""
        with self.lock:
            if self.running is not None:
                self.running.cancel()

    def end(self) -> None:
        """Stop the tool that runs, and begin no other."""
        with self.lock:
            self.ending = True
        self.stop()
        self.calls.put(None)

    def call(self, line: str) -> None:
        """Call the tool, and tell the model of it."""
        try:
            name, *arguments = shlex.split(line)
            tool = TOOLS[name]
        except (ValueError, KeyError):
            tell(line, error=f"no such tool: give one of {', '.join(TOOLS)}")
            return
        with self.lock:
            if self.ending:
                return
            future = self.running = self.executor.submit(tool, *arguments)
        print(f"running {line}", file=sys.stderr, flush=True)
        tell(line, **outcome(future))
        with self.lock:
            self.running = None

    def loop(self) -> None:
        """Call what there is to call until the end."""
        with self.executor:
            while (line := self.calls.get()) is not None:
                self.call(line)


def main() -> None:
    """Read what the user says, while tools run."""
    agent = Agent()
    thread = threading.Thread(target=agent.loop)
    thread.start()
    try:
        for line in map(str.strip, sys.stdin):
            if line.startswith("/stop"):
                agent.stop()
            elif line:
                agent.calls.put(line)
    finally:
        agent.end()
        thread.join()


if __name__ == "__main__":
    main()

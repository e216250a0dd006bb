"""Real signals to real processes: whatever the main thread and the workers are doing, the program
ends as it should, in time, with every `finally` that can run, and says who is stuck and why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chance import scaled
from support import PATIENCE

PROGRAM = Path(__file__).with_name("shutdown_program.py")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
MAINS = ["join", "sleep", "get", "recv", "loop", "run_asyncio", "ask_user", "end"]
EXITS = {
    "sys.exit(3)": 3,
    "raise SystemExit": 0,
    "raise SystemExit('bye')": 1,
    "1 / 0": 1,
    "raise KeyboardInterrupt": -signal.SIGINT,
}

# Why each does not stop; those that do have no reason.
WORKERS = {
    "blocked": None,
    "computing": None,
    "shielded": "the thread is shielded by the block at",
    "holding": "the thread holds the lock that it took in its region at",
    "in_c": "it is in a call that does not return and that cannot be interrupted",
}

# With the stress scaled down, as where one version after the other is tested, each version takes
# its share of the table, another one than the next version.
SHARES = 5 if scaled(100) < 100 else 1


def share(rows):
    return [row for n, row in enumerate(rows) if (n - sys.version_info.minor) % SHARES == 0]


def run(main, worker, *end, signum=None):
    """Exit status, what was said, and what was reported."""
    command = [sys.executable, "-X", "faulthandler", str(PROGRAM), main, worker, *end]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its terminal is not ours
    ) as process:
        try:
            if signum is not None:
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signum)
            said, reported = process.communicate(timeout=PATIENCE)
        except BaseException:
            process.kill()
            raise
    return process.returncode, sorted(said.split("\n")), reported


def check_workers(worker, said, reported):
    assert said.count("blocked finally") >= 1
    if WORKERS[worker] is None:
        assert f"{worker} finally" in said
        assert "still runs" not in reported
    else:
        assert f"{worker} finally" not in said
        assert f"{worker}: still runs" in reported
        assert reported.count("still runs") == 1
        assert WORKERS[worker] in reported


@pytest.mark.parametrize(
    ("signum", "main", "worker"),
    share([(s, m, w) for s in SIGNALS for m in MAINS for w in WORKERS]),
)
def test_a_signal(signum, main, worker):
    status, said, reported = run(main, worker, signum=signum)
    assert status == -signum, reported
    check_workers(worker, said, reported)
    assert ("main finally" in said) == (main != "end")
    assert ("task finally" in said) == (main == "run_asyncio")
    shows_traceback = signum == signal.SIGINT and main != "end"
    assert ("KeyboardInterrupt" in reported) == shows_traceback
    assert ("Traceback" in reported) == shows_traceback


@pytest.mark.parametrize(("end", "worker"), share([(e, w) for e in EXITS for w in WORKERS]))
def test_an_exit(end, worker):
    status, said, reported = run("end", worker, end)
    assert status == EXITS[end], reported
    check_workers(worker, said, reported)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_shell_sees_the_status_that_it_expects(signum):
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} {PROGRAM} sleep blocked; echo $?"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        assert shell.stdout.readline() == "ready\n"
        children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
        if not children.exists():
            shell.kill()
            pytest.skip("the system does not tell the shell's children")
        (child,) = children.read_text().split()
        os.kill(int(child), signum)
        # The shell itself may have something to say of a signal.
        assert shell.communicate(timeout=PATIENCE)[0].split()[-1] == str(128 + signum)

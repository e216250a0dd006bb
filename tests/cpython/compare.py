"""Run tests of CPython's own suite plainly, with blocking calls interposed, and inside regions.

    python tests/cpython/compare.py                       # all that concern blocking calls
    python tests/cpython/compare.py test_queue test_ssl   # these

Prints, for each test file and mode, how many tests passed, failed and were skipped, and each test
whose result is another one than plainly. Exit status 1 if there is one that `KNOWN` does not name.
The interpreter must have its `test` package; a file that is not there is passed over.
Flaky tests of CPython's own are run again on their own, `--repeat` times, before they are told;
what goes wrong with a file as a whole (it hangs, or leaves things changed) by running the file
again.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

FILES = [
    "test_threading",
    "test_thread",
    "test_threading_local",
    "test_queue",
    "test_socket",
    "test_ssl",
    "test_select",
    "test_selectors",
    "test_poll",
    "test_epoll",
    "test_subprocess",
    "test_io",
    "test_os",
    "test_fileio",
    "test_concurrent_futures",
    "test_multiprocessing_fork",
    "test_multiprocessing_spawn",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
    "test_signal",
    "test_time",
    "test_asyncio",
    "test_fcntl",
    "test_wait3",
    "test_wait4",
    "test_posix",
    "test_socketserver",
]

MODES = ("plain", "enabled", "inside")

RESOURCES = "all,-largefile,-cpu,-gui,-network,-urlfetch"

# What is called a network there, but needs only this machine.
LOCAL = ("test_socketserver",)

# Tests whose result is another one in a mode, and why. By the end of their name.
KNOWN: dict[str, dict[str, str]] = {
    "enabled": {},
    "inside": {
        "test_thread.ThreadRunningTests.test_unraisable_exception": (
            "the message names the thread's function, which is the harness's here"
        ),
        "test_os.FileTests.test_closerange": (
            "skipped: wants descriptors that nobody has, and one is the thread's wake-up descriptor"
        ),
        "test_os.TestInvalidFD.test_closerange": "skipped: the same",
    },
}

# Run in each mode before anything is compared: does it do what it is for?
PROBE = """
import os, sys, threading, time
mode = os.environ["INTERRUPTION_SUITE"]
assert ("interruption" in sys.modules) == (mode != "plain"), "interruption is imported or not"
if mode != "plain":
    from interruption import ThreadExit, blocking, clear_interrupt, interrupt
    assert blocking.status().enabled, "calls are not interposed"
    seen = []
    def wait():
        try:
            interrupt(threading.get_ident())
            time.sleep(0)
            seen.append("waited")
        except ThreadExit:
            seen.append("raised")
        clear_interrupt()
    wait()
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert seen == ["raised" if mode == "inside" else "waited"] * 2, seen
"""


def environment_of(mode: str) -> dict[str, str]:
    folder = str(Path(__file__).parent)
    return dict(os.environ, INTERRUPTION_SUITE=mode, PYTHONPATH=folder)


ignored: list[str] = []  # by --ignore


def run(mode: str, file: str, names: list[str], timeout: float) -> dict[str, str]:
    """The result of each test of a file: `passed`, `failed`, `skipped`; and of the file itself, if
    it has not come to its end (`died`) or has left something behind (`changed`)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [
            sys.executable,
            "-m",
            "test",
            "-u",
            RESOURCES + (",network" if file in LOCAL else ""),
        ]
        command += ["--junit-xml", str(report), "--tempdir", folder, "--timeout", str(timeout)]
        for name in names:
            command += ["-m", name]
        for pattern in ignored:
            command += ["-i", pattern]
        try:
            process = subprocess.run(
                [*command, file],
                env=environment_of(mode),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=3 * timeout,
                check=False,
            )
            output = process.stdout + process.stderr
        except subprocess.TimeoutExpired as error:
            output = str(error)
        try:
            results = results_of(report)
        except (OSError, ET.ParseError):
            return {whole(file): f"died: {output[-2000:]}"}
        if "altered the execution environment" in output:
            results[whole(file)] = "changed"
        return results


def whole(file: str) -> str:
    """The name by which a file itself is told of."""
    return f"{file} (the file)"


def results_of(report: Path) -> dict[str, str]:
    results = {}
    tree = ET.parse(report)  # noqa: S314  (our own child has written it)
    for case in tree.getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        result = "passed"
        if kinds & {"failure", "error"}:
            result = "failed"
        elif "skipped" in kinds:
            result = "skipped"
        results[f"{case.get('name')}"] = result
    return results


def run_and_print(mode: str, file: str, timeout: float) -> dict[str, str]:
    results = run(mode, file, [], timeout)
    counts = [list(results.values()).count(kind) for kind in ("passed", "failed", "skipped")]
    print(
        f"{file:36} {mode:8} {counts[0]:5} passed {counts[1]:3} failed {counts[2]:4} skipped",
        results.get(whole(file), ""),
        flush=True,
    )
    return results


def once_more(mode: str, file: str, name: str, timeout: float) -> str:
    """The result of one test, run on its own; or of the file, run again."""
    names = [] if name == whole(file) else [name.rpartition(".")[2]]
    return run(mode, file, names, timeout).get(name, "absent")


def differences(plain: dict[str, str], now: dict[str, str], file: str) -> list[str]:
    """Of which tests the results differ; of a file that has died, only that."""
    names = sorted(set(plain) | set(now))
    if now.get(whole(file), "").startswith("died"):
        names = [whole(file)]
    return [name for name in names if plain.get(name, "absent") != now.get(name, "absent")]


def compare_file(file: str, modes: list[str], repeat: int, timeout: float) -> list[str]:
    """What is to be told of a file, one line each; prints the figures."""
    if not is_there(file):
        print(f"{file:36} is not there", flush=True)
        return []
    plain = run_and_print("plain", file, timeout)
    if plain.get(whole(file), "").startswith("died"):
        return [f"{file}: cannot be compared, it does not end plainly"]
    told = []
    for mode in modes:
        if mode == "plain":
            continue
        now = run_and_print(mode, file, timeout)
        for name in differences(plain, now, file):
            if any(name.endswith(end) for end in KNOWN[mode]):
                continue
            before, after = plain.get(name, "absent"), now.get(name, "absent")
            told_of = f"{name}: {before} plainly, {after} {mode}"
            if any(once_more(mode, file, name, timeout) == before for _ in range(repeat)):
                print(f"    {told_of} once, not always", flush=True)
            else:
                told.append(told_of)
    return told


def is_there(file: str) -> bool:
    """Has this version, and this installation, the file?"""
    find = importlib.util.find_spec
    return find("test") is not None and find(f"test.{file}") is not None


def probe(modes: list[str]) -> None:
    """Stop if a mode is not what it says, for then nothing would be compared with nothing."""
    for mode in modes:
        process = subprocess.run(
            [sys.executable, "-c", PROBE],
            env=environment_of(mode),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            sys.exit(f"The mode {mode} does not work on {sys.executable}:\n{process.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="PATTERN", help="tests that hang on this machine"
    )
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a test file")
    options = parser.parse_args()
    if not any(is_there(file) for file in FILES):
        sys.exit(f"{sys.executable} has no package of tests (Debian: libpython3.X-testsuite)")
    probe(options.modes)
    ignored.extend(options.ignore)
    told = []
    for file in options.files or FILES:
        told += compare_file(file, options.modes, options.repeat, options.timeout)
    print(*told or ["No test has another result."], sep="\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure everything on the interpreters that are given: JSON, a Markdown table, plots.

    python benchmarks/run.py --python python3.13 --python python3.15 --output figures

Each interpreter needs what the extra ``bench`` installs; this program itself needs matplotlib for
``--plots``, and otherwise the standard library. Java and Ruby are measured beside them, where they
are installed. README.md says what the figures mean and why they can be compared.
"""

import argparse
import functools
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import page
import report
from budgets import ONE_THREAD, verdicts
from figures import JAVA, RUBY, Measured, Series, as_json, from_json, taken_over

HERE = Path(__file__).resolve().parent
TIMEOUT = 1800  # seconds for one part: only a hang takes so long

OTHERS = "others"  # Java and Ruby: no part of an interpreter
# The parts, and their arguments; the second ones are for a smoke run.
PARTS: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    ("costs.py", (), ("--debug-single-value",)),
    ("interposed.py", (), ("--rounds=1",)),
    ("loops_in_regions.py", (), ("--rounds=1", "--deliveries=1")),
    ("latency.py", ("waits", "--count=100"), ("waits", "--count=1", "--threads", "1", "2")),
    (OTHERS, (), (OTHERS,)),  # close to what they are compared with
    (
        "latency.py",
        ("bodies", "--count=100"),
        ("bodies", "--count=1", "--threads", "1", "2", "--cores", "idle"),
    ),
    ("latency.py", ("peer", "--count=50"), ("peer", "--count=1")),
    ("scopes.py", (), ("--count=2", "--threads=2", "--seconds=0.1")),
    ("executors.py", (), ("--rounds=1", "--tasks=10")),
    ("crowds.py", (), ("--threads=10", "--rounds=1", "--idle-threads=5", "--idle-seconds=0.1")),
    ("memory.py", ("asked",), ("asked", "--threads=10")),
    ("memory.py", ("asked", "--reason=because"), ()),
    ("memory.py", ("waiting",), ()),
    ("memory.py", ("waiting", "--region"), ()),
    ("memory.py", ("waiting", "--wait=1"), ()),
    ("memory.py", ("waiting", "--wait=1", "--region"), ("waiting", "--region", "--threads=5")),
    ("leaks.py", (), ("--hits=2",)),
)
COUNT_OF_PEERS = {False: "200", True: "10"}  # interruptions of each wait; in a smoke run

# What the waits of the others are compared with.
JAVA_WAITS = {
    "ReentrantLock.lockInterruptibly": "`lock`",
    "CountDownLatch.await": "`Event.wait`",
    "Semaphore.acquire": "`Semaphore.acquire`",
    "LinkedBlockingQueue.take": "`Queue.get`",
    "Thread.join": "`Thread.join`",
    "Thread.sleep": "`time.sleep`",
    "Pipe.SourceChannel.read": "`os.read` of a pipe",
}
RUBY_WAITS = {
    "Mutex#lock": "`lock`",
    "ConditionVariable#wait": "`Condition.wait`",
    "Queue#pop": "`Queue.get`",
    "Thread#join": "`Thread.join`",
    "sleep": "`time.sleep`",
    "IO#readpartial": "`os.read` of a pipe",
    "Socket#recv": "`socket.recv`",
    "TCPServer#accept": "`socket.accept`",
}
RUBY_CODE = {"loop": "`while True: pass`"}


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.1f}] {text}\n")


def printed(command: Sequence[str]) -> str:
    """What the program prints. What it complains of, is seen."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT)
    return done.stdout


# Others. -----------------------------------------------------------------------------------------


def others_lines(way: str, name: str, numbers: str) -> Iterator[Series]:
    """One line of a peer's: nanoseconds of interruptions, a bar, nanoseconds of normal ends."""
    asked, ended = ([int(value) / 1e9 for value in part.split()] for part in numbers.split("|"))
    part = "code" if name in RUBY_CODE else "wait"
    what = {**JAVA_WAITS, **RUBY_WAITS, **RUBY_CODE}[name]
    yield Series(part, what, way, asked, ONE_THREAD)
    yield Series(part, what, f"{way}, normal end", ended, ONE_THREAD)


def measure_others(*, quick: bool) -> list[Series]:
    """Java and Ruby, if they are there."""
    count = COUNT_OF_PEERS[quick]
    commands = {}
    if shutil.which("javac") and shutil.which("java"):
        commands[JAVA] = ["java", str(HERE / "Peer.java"), count]
    if shutil.which("ruby"):
        commands[RUBY] = ["ruby", str(HERE / "peer.rb"), count]
    series: list[Series] = []
    for way, command in commands.items():
        say(way)
        for line in printed(command).splitlines():
            name, _, numbers = line.partition(" ")
            series += others_lines(way, name, numbers)
    return series


# The interpreters. -------------------------------------------------------------------------------


def identify(python: Sequence[str]) -> tuple[str, str]:
    """What the interpreter is, and its version with its kind of threads."""
    source = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import figures, platform, sysconfig, json;"
        "free = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else '';"
        "print(json.dumps([figures.interpreter(), platform.python_version() + free]))"
    )
    name, version = json.loads(printed([*python, "-c", source]))
    return name, version


def parts(*, quick: bool, only: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """The parts to run, with their arguments."""
    for script, arguments, smoke in PARTS:
        if only and script.removesuffix(".py") not in only:
            continue
        if not quick:
            yield script, arguments
        elif smoke:
            yield script, smoke


def has_peer(python: Sequence[str]) -> bool:
    """Tell whether interruptible-threading is there."""
    source = "import importlib.util as u; print(u.find_spec('interruptible_threading') is not None)"
    return printed([*python, "-c", source]).strip() == "True"


def measure(python: Sequence[str], *, quick: bool, only: Sequence[str]) -> Measured:
    """Everything, on one interpreter."""
    measured = Measured(*identify(python))
    peer = has_peer(python)
    for script, arguments in parts(quick=quick, only=only):
        if "peer" in arguments and not peer:
            continue
        if script == OTHERS:
            measured.series += measure_others(quick=quick)
            continue
        say(f"{measured.version}: {script} {' '.join(arguments)}")
        output = printed([*python, str(HERE / script), *arguments])
        measured.series += taken_over(output)
    return measured


# What is made of it. -----------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """The conditions, as far as the machine tells."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return {
        "machine": f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def write(found: list[Measured], about: dict[str, str], arguments: argparse.Namespace) -> None:
    """Write the files that were asked for, print the table."""
    text = report.report(found, about)
    sys.stdout.write(text)
    if arguments.output:
        Path(f"{arguments.output}.md").write_text(text, encoding="utf-8")
    if arguments.write:
        page.put(arguments.write, functools.partial(page.measured_table, found))
    if arguments.plots:
        import plots  # noqa: PLC0415 - whoever draws needs matplotlib, nobody else

        plots.draw(found, Path(arguments.plots))


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--python",
        action="append",
        metavar="COMMAND",
        help="an interpreter to measure; may be given again (default: the one that runs this)",
    )
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    parser.add_argument(
        "--write", metavar="FILE", help="put the tables of this page in their place"
    )
    parser.add_argument("--plots", metavar="FOLDER", help="draw SVG files there, by matplotlib")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a budget is missed")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the figures mean little")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="costs, crowds ...")
    parser.add_argument(
        "--load", nargs="+", metavar="FILE", help="measure nothing: take JSON files of earlier runs"
    )
    return parser.parse_args()


def load(names: Sequence[str]) -> tuple[list[Measured], dict[str, str]]:
    """What earlier runs have measured. Of one interpreter, the later ones count."""
    found: list[Measured] = []
    about: dict[str, str] = {}
    for name in names:
        loaded, about = from_json(Path(name).read_text(encoding="utf-8"))
        for one in loaded:
            earlier = [known for known in found if known.interpreter == one.interpreter]
            if earlier:
                earlier[0].replace(one.series)
            else:
                found.append(one)
    return found, about


def measure_all(arguments: argparse.Namespace, about: dict[str, str]) -> list[Measured]:
    """All interpreters. What is measured is written after each: the next may fail."""
    found: list[Measured] = []
    for command in arguments.python or [shlex.quote(sys.executable)]:
        found.append(measure(shlex.split(command), quick=arguments.quick, only=arguments.only))
        if arguments.output:
            path = Path(f"{arguments.output}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(as_json(found, **about), encoding="utf-8")
    return found


def main() -> None:
    """Measure, write, compare."""
    arguments = read_arguments()
    if arguments.load:
        found, about = load(arguments.load)
    else:
        about = machine()
        found = measure_all(arguments, about)
    write(found, about, arguments)
    missed = [(one, verdict) for one in found for verdict in verdicts(one) if verdict.missed]
    if arguments.check:
        for one, verdict in missed:
            sys.stderr.write(
                f"missed, {one.version}: {verdict.budget.promise}: {verdict.what}: "
                f"{verdict.text} ({verdict.limit})\n"
            )
        sys.exit(bool(missed))


if __name__ == "__main__":
    main()

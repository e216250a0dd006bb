"""What frameworks do with a task that is to stop, by themselves and with us: measured, as a table.

    python tests/frameworks/table.py [--quick] [--only WORD...] [--no-costs]

It prints those of docs/frameworks.md: who stops, and how soon; what a call costs; and how soon
tasks of dask are stopped that are cancelled at random. A framework that is not installed is left
out, and named. --quick: one task each, which sleeps. --only: the frameworks with such a word in
their name.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import importlib.util
import itertools
import logging
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import table_drivers as drivers  # noqa: E402
from servers import program, redis_server  # noqa: E402
from support import PATIENCE  # noqa: E402
from table_apps import CLEANUP, KINDS  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
OURS = "with us"
ITSELF = "by itself"


class Options(NamedTuple):
    """How it is measured; times are seconds.

    lasts: a task that is not stopped, behind its limit.
    patience: for one to begin, and for the next one to end.
    """

    kinds: tuple[str, ...] = KINDS
    shots: int = 3
    lasts: float = 2.0
    limit: float = 1.0
    patience: float = 30.0


class Row(NamedTuple):
    """ways: by name, how to make a driver, of a folder for it, the limit, and Redis's socket."""

    framework: str
    job: str
    needs: str
    ways: dict
    kinds: tuple[str, ...] = KINDS


def asyncio_row(job, make):
    from interruption.asyncio import to_thread

    ways = {ITSELF: asyncio.to_thread, "`run_in_executor`, our executor": drivers.in_our_executor}
    return Row(
        "asyncio", job, "", {name: make(each) for name, each in (ways | {OURS: to_thread}).items()}
    )


def trio_way(*, ours, **options):
    def make(*_):
        import trio
        from interruption.trio import to_thread

        run_sync = to_thread.run_sync if ours else trio.to_thread.run_sync
        return drivers.Portal("trio", lambda function: run_sync(function, **options))

    return make


def anyio_way(backend, *, ours, **options):
    def make(*_):
        import anyio.to_thread
        from interruption.anyio import to_thread

        run_sync = to_thread.run_sync if ours else anyio.to_thread.run_sync
        return drivers.Portal(backend, lambda function: run_sync(function, **options))

    return make


def four(way, *args):
    """By itself and with us, waited for and abandoned."""
    abandon = {"abandon_on_cancel": True}
    return {
        ITSELF: way(*args, ours=False),
        f"{ITSELF}, `abandon_on_cancel`": way(*args, ours=False, **abandon),
        f"{OURS}, `abandon_on_cancel`": way(*args, ours=True, **abandon),
        OURS: way(*args, ours=True),
    }


def http(command, app, *, limited=False):
    """app: by the limit, what is served."""
    return lambda folder, limit, _: drivers.Http(
        folder, command.format(limit=limit), app.format(limit=limit), limit if limited else None
    )


def asgi(command):
    name = "starlette_app(ours={})"
    return {ITSELF: http(command, name.format(False)), OURS: http(command, name.format(True))}


GUNICORN = "gunicorn --bind unix:{{socket}} --chdir {{folder}} --no-control-socket program:app"
WAITRESS = "waitress --threads 1 --unix-socket={{socket}} program:app"


def wsgi(command, with_us=""):
    return {
        ITSELF: http(command, "wsgi_app()", limited=True),
        OURS: http(with_us or command, "wsgi_app({limit})", limited=True),
    }


def queue(driver, way, job):
    def make(folder, limit, redis):
        made = driver(folder, redis, way, job)
        if isinstance(job, str) and job:
            made.limit = limit
        return made

    return make


def pytest_way(*options):
    def make(folder, limit, _):
        said = [each.format(limit=limit) for each in options]
        return drivers.Pytest(folder, *said, limit=limit)

    return make


def celery_row(job, how, kinds=KINDS):
    ways = {"`-P threads`": "threads", "`-P prefork`": "prefork", OURS: "ours"}
    made = {name: queue(drivers.Celery, way, how) for name, way in ways.items()}
    return Row("Celery", job, "celery redis", made, kinds)


def dramatiq_row(job, how, kinds=KINDS, needs=""):
    made = {name: queue(drivers.Dramatiq, way, how) for name, way in QUEUED.items()}
    return Row("dramatiq", job, f"dramatiq redis {needs}".strip(), made, kinds)


def huey_row(job, how):
    made = {name: queue(drivers.Huey, way, how) for name, way in QUEUED.items()}
    return Row("huey", job, "huey redis", made)


QUEUED = {ITSELF: "", OURS: "ours"}
SOME = ("sleep", "loop")  # where a worker is started for each
FEW = (*SOME, "in cleanup")  # where a process is started for each
PRELOAD = ("--preload", "interruption.dask")
ROWS = [
    asyncio_row("cancel", lambda function: lambda *_: drivers.Asyncio(function)),
    asyncio_row(
        "time limit", lambda function: lambda _, limit, __: drivers.Asyncio(function, limit)
    ),
    Row("Trio", "cancel", "trio anyio", four(trio_way)),
    Row("anyio on asyncio", "cancel", "anyio", four(anyio_way, "asyncio")),
    Row("anyio on Trio", "cancel", "anyio trio", four(anyio_way, "trio")),
    Row(
        "Starlette on uvicorn", "client left", "starlette uvicorn",
        asgi("uvicorn --uds {{socket}} --app-dir {{folder}} program:app"),
    ),
    Row(
        "Starlette on Hypercorn, Trio", "client left", "starlette hypercorn trio",
        asgi("hypercorn -k trio --bind unix:{{socket}} --error-logfile - program:app"),
    ),
    Row(
        "gunicorn, `-k gthread`", "time limit", "gunicorn",
        wsgi(f"{GUNICORN} -k gthread --threads 1 --timeout {PATIENCE:.0f}"),
    ),
    Row(
        "gunicorn, `-k sync --timeout 1`", "time limit", "gunicorn",
        wsgi(f"{GUNICORN} --timeout 1", f"{GUNICORN} --timeout {PATIENCE:.0f}"),
    ),
    Row("waitress", "time limit", "waitress", wsgi(WAITRESS)),
    Row("dask", "cancel", "distributed", {
        ITSELF: lambda folder, *_: drivers.Dask(folder),
        OURS: lambda folder, *_: drivers.Dask(folder, *PRELOAD),
    }),
    celery_row("revoke", ""),
    celery_row("time limit", "time_limit"),
    celery_row("soft time limit", "soft_time_limit"),
    celery_row("warm shutdown, SIGTERM", signal.SIGTERM, SOME),
    celery_row("cold shutdown, SIGQUIT", signal.SIGQUIT, SOME),
    dramatiq_row("time limit", "time_limit"),
    dramatiq_row("abort", "", needs="dramatiq_abort"),
    dramatiq_row("worker shutdown", signal.SIGTERM, SOME),
    huey_row("time limit", "timeout"),
    huey_row("revoke", ""),
    Row("pytest", "time limit", "pytest", {
        ITSELF: pytest_way(),
        OURS: pytest_way("--interrupt-timeout={limit}"),
    }, FEW),
    Row("pytest-timeout", "time limit", "pytest_timeout", {
        "signal": pytest_way("--timeout={limit}", "--timeout-method=signal"),
        "thread": pytest_way("--timeout={limit}", "--timeout-method=thread"),
    }, FEW),
    Row("Jupyter", "interrupt kernel", "jupyter_client ipykernel", {
        ITSELF: lambda folder, *_: drivers.Kernel(folder, ""),
        OURS: lambda folder, *_: drivers.Kernel(folder, "%load_ext interruption"),
    }),
]  # fmt: skip


def one_of_each(rows) -> dict[str, Row]:
    """The first of each framework, by its name."""
    return {row.framework.split()[0].strip(","): row for row in reversed(rows)}


def missing(row) -> str | None:
    """The first package, or server, that the row needs and that is not there."""
    needs = row.needs.split()
    for package in needs:
        if importlib.util.find_spec(package) is None:
            return package
    if "redis" in needs and program("redis-server") is None:
        return "redis-server"
    return None


class Told:
    """What a task has said in its file: an event a line, after the time."""

    def __init__(self, file):
        self.file = Path(file)

    def events(self):
        if not self.file.exists():
            return {}
        lines = [line.split(" ", 2) for line in self.file.read_text().splitlines()]
        return {event: (float(when), *rest) for when, event, *rest in lines}

    def wait(self, seconds, *which):
        """The events, when it has said one of these; or when the time is up."""
        end = time.monotonic() + seconds
        while not (events := self.events()).keys() & set(which) and time.monotonic() < end:
            time.sleep(0.002)
        return events


class Shot(NamedTuple):
    """What came of one task. late: seconds after it was asked; inf: it ran to its end."""

    late: float | None  # None: it was killed
    at_its_end: bool  # of the call that it was in
    whole: bool
    why: str
    next: str
    goes_on: float | None  # its caller, after it has stopped


def shoot(driver, kind, file, options) -> Shot:
    """Have one run, and stopped."""
    task, other = Told(file), Told(f"{file}.next")
    limit = driver.limit
    cleans = (limit or 0) + CLEANUP if kind == "in cleanup" else 0.0
    lasts = options.lasts + (limit or 0)
    job = driver.start(kind, str(file), lasts, cleans)
    events = task.wait(options.patience, "begin")
    if "begin" not in events:
        return Shot(None, False, False, "did not begin", "", None)
    begun = events["begin"][0]
    if limit is None:
        asked = time.monotonic()
        driver.ask(job)
    else:
        asked = begun + limit
    there_is_more = lasts + cleans + CLEANUP + 2
    events = task.wait(there_is_more, "stopped", "ended")
    if "stopped" in events or "ended" in events:
        events = task.wait(options.patience, "cleaned")
        if driver.has_a_caller:
            events = task.wait(options.patience, "goes_on")
    if driver.is_used_up:
        after = ""
    else:
        driver.start_next(job, "sleep", str(other.file), 0.01)
        found = other.wait(options.patience, "ended", "stopped")
        after = "hit" if "stopped" in found else "whole" if "ended" in found else "lost"
    whole = "cleaned" in events
    stopped = events.get("stopped")
    over = max((each[0] for name, each in events.items() if name != "goes_on"), default=0)
    goes_on = events["goes_on"][0] - over if "goes_on" in events else None
    if stopped is None:
        late = float("inf") if "ended" in events else None
        return Shot(late, False, whole, "", after, goes_on)
    at_its_end = stopped[0] >= begun + lasts
    return Shot(max(0, stopped[0] - asked), at_its_end, whole, stopped[1], after, goes_on)


def measure(row, way, options, folder, redis="") -> dict[str, list[Shot]]:
    """By the kinds of tasks."""
    found: dict[str, list[Shot]] = {}
    numbers = itertools.count()

    def made():
        own = Path(folder, f"{len(list(Path(folder).iterdir()))}")
        own.mkdir()
        return own, row.ways[way](own, options.limit, redis)

    with contextlib.ExitStack() as stack:
        own, driver = made()
        stack.enter_context(driver)
        for kind in [kind for kind in row.kinds if kind in options.kinds]:
            shots = found.setdefault(kind, [])
            while len(shots) < options.shots:
                if driver.is_used_up and any(found.values()):
                    stack.close()
                    own, driver = made()
                    stack.enter_context(driver)
                file = own / f"task-{next(numbers)}"
                shots.append(shoot(driver, kind, file, options))
                if shots[-1].late in (None, float("inf")) or shots[-1].at_its_end:
                    break  # as the next would be
    return found


def of_kind(shots):
    """A cell."""
    if not shots:
        return ""
    late = [shot.late for shot in shots]
    if None in late:
        return next((shot.why for shot in shots if shot.late is None and shot.why), "killed")
    if float("inf") in late:
        return "runs on"
    if any(shot.at_its_end for shot in shots):
        return "when that returns"
    seconds = statistics.median(late)
    return (
        f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"
        if seconds < 1
        else f"{seconds:.1f} s"
    )


def of_all(found):
    """The cells beside."""
    shots = [shot for each in found.values() for shot in each]
    whole = sum(shot.whole for shot in shots)
    afters = [shot.next for shot in shots if shot.next]
    hit, lost = afters.count("hit"), afters.count("lost")
    after = f"{hit} of {len(afters)} hit" if afters else ""
    after += f", {lost} lost" if lost else ""
    goes_on = [shot.goes_on for shot in shots if shot.goes_on is not None]
    caller = ""
    if goes_on:
        caller = "when it has ended" if min(goes_on) >= 0 else "at once"
    why = sorted({shot.why for shot in shots if shot.why})
    told = "; ".join(f"`{each if len(each) < 60 else each[:50] + '...'}`" for each in why)
    return f"{whole} of {len(shots)}", after, caller, told


HEAD = ["", "", *KINDS, "cleanup whole", "next task", "its caller goes on", "the task is told"]


def line(cells):
    return f"| {' | '.join(cells)} |"


def lines_of(row, options, redis=""):
    """The lines of a row, as they are measured."""
    packages = importlib.metadata.packages_distributions()
    names = [packages[each][0] for each in row.needs.split() if each in packages]
    versions = [f"{each} {importlib.metadata.version(each)}" for each in names]
    head = f"{row.framework}: {row.job}" + (f" ({', '.join(versions)})" if versions else "")
    for way in row.ways:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(row, way, options, folder, redis)
        cells = [of_kind(found.get(kind)) for kind in KINDS]
        yield line([head, way, *cells, *of_all(found)])
        head = ""


def print_costs():
    """What the other two commands print."""
    if all(importlib.util.find_spec(each) for each in ("trio", "anyio")):
        import round_trips

        print()
        round_trips.main()
    if importlib.util.find_spec("distributed"):
        import dask_stress

        print()
        dask_stress.main()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD")
    parser.add_argument("--no-costs", action="store_true")
    given = parser.parse_args(arguments)
    options = Options(("sleep",), 1) if given.quick else Options()
    logging.disable(logging.ERROR)  # frameworks' own, of what is stopped
    words = [word.lower() for word in given.only]
    rows = [row for row in ROWS if any(word in row.framework.lower() for word in words)]
    if given.quick:
        rows = list(one_of_each(rows).values())
    absent = {row.framework: package for row in rows if (package := missing(row)) is not None}
    print(line([f"Python {sys.version.split()[0]}", *HEAD[1:]]))
    print(line(["---"] * len(HEAD)))
    with contextlib.ExitStack() as stack:
        redis = ""
        for row in rows:
            if row.framework in absent:
                continue
            if "redis" in row.needs and not redis:
                redis, _ = stack.enter_context(redis_server())
            for each in lines_of(row, options, redis):
                print(each, flush=True)
    for framework, package in absent.items():
        print(f"\nLeft out: {framework}, for there is no {package}.")
    if not given.no_costs:
        print_costs()


if __name__ == "__main__":
    main(sys.argv[1:])

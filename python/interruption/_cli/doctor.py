"""``python -m interruption doctor``: what this interpreter supports, and whether it works.

It tries what it says: a thread blocks in a call of each family, is asked, and has to stop.
"""

import contextlib
import dataclasses
import importlib
import json
import platform
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .. import blocking
from .._explain import explain
from .._interruption import ThreadExit, _makers, allow_interruption, interrupt
from .probes import PROBES, Absent

# How long to wait for a thread to block where the system does not tell, or it does not: in seconds.
_MOMENT = 0.1

# What a thread in trouble is tried in has to be a program's own code: it is not interrupted between
# two statements of ours (S9), nor are the locks that we acquire given up in a wait (S10c).
_PROGRAM = """
def blocks(region, ready, call):
    with region:
        ready()
        call()

def computes(region, ready, call):
    with region:
        ready()
        while True:
            call()
"""


def _load_program() -> dict[str, Any]:
    program: dict[str, Any] = {"__name__": "__doctor__"}
    exec(compile(_PROGRAM, "<doctor>", "exec"), program)  # noqa: S102  (the text above)
    return program


@dataclasses.dataclass(frozen=True)
class Check:
    """What became of one thing that was tried.

    what: a call, as people write it, or "between statements".
    works: whether the thread stopped; None if there is no such thing here.
    seconds: from the request until the exception was there; None if it never was.
    problem: what went wrong, or what there is not, in words; else None.
    """

    what: str
    works: bool | None
    seconds: float | None = None
    problem: str | None = None


class Patient:
    """A thread that is asked to stop; the doctor waits until it has."""

    def __init__(self, body: Callable[..., None], call: Callable[[], object]) -> None:
        self._begun = threading.Event()
        self._arguments = (body, call)
        self._ended_at: float | None = None  # written by the thread, read after its end
        self._error: BaseException | None = None  # the same
        # If nothing ends it, it must not hold up the end of the process.
        self.thread = threading.Thread(target=self._run, name="doctor", daemon=True)

    def _run(self) -> None:
        body, call = self._arguments
        try:
            body(allow_interruption, self._begun.set, call)
        except ThreadExit:
            self._ended_at = time.perf_counter()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            self._error = error
        finally:
            self._begun.set()

    def treat(self, patience: float) -> tuple[float | None, str | None]:
        """Start, ask, wait: seconds until the exception, or what went wrong."""
        self.thread.start()
        self._begun.wait(patience)
        self._wait_until_blocked()
        asked_at = time.perf_counter()
        interrupt(self.thread)
        self.thread.join(patience)
        if self.thread.is_alive():
            return None, f"not stopped after {patience:g} s: {explain(self.thread).reason}"
        if self._error is not None:
            return None, f"raised {type(self._error).__name__}: {self._error}"
        if self._ended_at is None:
            return None, "returned, before it was asked or instead of stopping"
        return self._ended_at - asked_at, None

    def _wait_until_blocked(self) -> None:
        """Let the kernel have it asleep, at three looks on end, or let a moment go by."""
        deadline = time.monotonic() + _MOMENT
        asleep = 0
        while asleep < 3 and self.thread.is_alive() and time.monotonic() < deadline:  # noqa: PLR2004
            asleep = asleep + 1 if _is_asleep(self.thread.native_id) else 0
            time.sleep(0.001)


def _is_asleep(native_id: int | None) -> bool:
    """What the kernel says; where it says nothing, False."""
    try:
        stat = Path(f"/proc/self/task/{native_id}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "S"


def _try(
    what: str,
    body: Callable[..., None],
    make_call: Callable[[contextlib.ExitStack], Callable[[], object]],
    patience: float,
) -> Check:
    try:
        with contextlib.ExitStack() as stack:
            patient = Patient(body, make_call(stack))
            seconds, problem = patient.treat(patience)
            if patient.thread.is_alive():
                stack.pop_all()  # it uses these still: they are not closed
            return Check(what, problem is None, seconds, problem)
    except Absent as absent:
        return Check(what, None, problem=str(absent))
    except Exception as error:  # noqa: BLE001  (of whatever kind: here is who tells of it)
        problem = f"could not be tried: {type(error).__name__}: {error}"
        return Check(what, works=False, problem=problem)


def _python() -> dict[str, Any]:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "build": " ".join(platform.python_build()),
        "compiler": platform.python_compiler(),
        "executable": sys.executable,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
    }


def _tool_id() -> int | None:
    """The id that this package has in ``sys.monitoring``, if it has one."""
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        for number in range(6):
            if monitoring.get_tool(number) == "interruption":
                return number
    return None


def _statements(program: dict[str, Any], patience: float) -> dict[str, Any]:
    check = _try("between statements", program["computes"], lambda _: int, patience)
    by = "sys.monitoring" if hasattr(sys, "monitoring") else "a trace function"
    return {"by": by, "tool_id": _tool_id(), "check": dataclasses.asdict(check)}


def _families(program: dict[str, Any], patience: float) -> tuple[dict[str, Any], ...]:
    checks = {
        probe.family: _try(probe.call, program["blocks"], probe.open, patience) for probe in PROBES
    }
    # Only now: calls of modules that were imported for the checks are interposed by the way.
    return tuple(
        {
            **dataclasses.asdict(family),
            "check": dataclasses.asdict(checks[family.name]) if family.name in checks else None,
        }
        for family in blocking.status().families
    )


def _refused() -> tuple[str, ...]:
    """Of all that is known by name, also in modules that nobody has imported."""
    for module, _, _, state in _makers():
        if state == "not imported":
            with contextlib.suppress(ImportError):  # of a system or build that is without it
                importlib.import_module(module)
    return blocking.status().refused


def _problems(statements: dict[str, Any], families: tuple[dict[str, Any], ...]) -> Iterator[str]:
    if statements["check"]["works"] is False:
        yield f"between statements: {statements['check']['problem']}"
    for family in families:
        check = family["check"]
        if check is not None and check["works"] is False:
            yield f"{family['name']}: {check['what']}: {check['problem']}"
        elif not family["interposed"] and (check is None or check["works"] is not None):
            yield f"{family['name']}: not interposed: {family['reason']}"


def diagnose(patience: float) -> dict[str, Any]:
    """Try everything. Blocking calls are interposed when this has been called.

    patience: how many seconds a thread is given to stop.

    Returns what ``--json`` prints, among it ``statements``: what raises between statements, on this
    version, and how trying it went; ``families``: those of ``blocking.status()``, each with what
    was tried of it; ``refused``: what that has refused besides, and why; and ``problems``: what
    should work and does not, empty if all is well.
    """
    from .. import __version__  # noqa: PLC0415  (the package is being imported before)

    blocking.enable()
    program = _load_program()
    statements = _statements(program, patience)
    families = _families(program, patience)
    refused = _refused()
    return {
        "interruption": __version__,
        "python": _python(),
        "platform": platform.platform(),
        "statements": statements,
        "families": families,
        "refused": refused,
        "problems": (*_problems(statements, families), *refused),
    }


def _mark(check: dict[str, Any] | None) -> str:
    if check is None:
        return ""
    if check["works"] is None:
        return f"not here: {check['problem']}"
    if not check["works"]:
        return f"FAILS: {check['what']}: {check['problem']}"
    return f"{check['what']} woken after {check['seconds'] * 1e3:.3f} ms"


def _family_lines(family: dict[str, Any]) -> Iterator[str]:
    mark = _mark(family["check"])
    if not family["interposed"]:
        reason = "" if family["check"] and family["check"]["works"] is None else family["reason"]
        mark = "; ".join(part for part in (mark, reason and f"not interposed: {reason}") if part)
    yield f"  {family['name']:18} {mark or 'interposed (nothing to wait for)'}"
    yield from textwrap.wrap(
        ", ".join(family["calls"]), 96, initial_indent=" " * 6, subsequent_indent=" " * 6
    )
    if family["calls"] and family["missing"]:
        yield f"      (this Python has no {', '.join(family['missing'])})"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    python, statements, problems = found["python"], found["statements"], found["problems"]
    gil = "with a GIL" if python["gil"] else "without a GIL"
    kind = f"{'free-threaded build, ' if python['free_threaded'] else ''}{gil}"
    yield f"interruption {found['interruption']}"
    yield f"{python['implementation']} {python['version']} ({kind}), {found['platform']}"
    debug = ", a debug build" if python["debug"] else ""
    yield f"  built {python['build']} by {python['compiler']}{debug}"
    yield f"  {python['executable']}"
    tool = statements["tool_id"]
    by = statements["by"] + ("" if tool is None else f", tool id {tool}")
    mark = _mark(statements["check"]).removeprefix("between statements woken ")
    yield f"between statements, by {by}: {mark}"
    yield "blocking calls:"
    for family in found["families"]:
        yield from _family_lines(family)
    if problems:
        yield f"{len(problems)} of these should work and do{'es' * (len(problems) == 1)} not:"
        yield from (f"  {problem}" for problem in problems)
    else:
        yield "everything that should work here does"


def run(*, as_json: bool, patience: float) -> int:
    """Print the diagnosis; the exit status: 1 when something that should work does not."""
    found = diagnose(patience)
    text = json.dumps(found, indent=2) if as_json else "\n".join(_lines(found))
    print(text)  # noqa: T201  (that is what it is for)
    return 1 if found["problems"] else 0

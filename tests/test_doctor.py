"""`python -m interruption doctor`: it says what there is, and notices what does not work."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import textwrap
from contextlib import ExitStack

import interruption
import pytest
from interruption import blocking
from interruption._cli import probes
from interruption._cli.doctor import Patient
from support import PATIENCE, run_python

# Families that nothing waits in: there is nothing to be woken from.
NO_WAITS = {"imports"}


def doctor(*arguments, folder=None):
    """Run it; what is in the folder's `sitecustomize.py` runs before it.

    What patients that are not woken still use is left open, of which debug builds warn.
    """
    environment = {**os.environ, "PYTHONPATH": "" if folder is None else str(folder)}
    return run_python(
        "-W", "ignore::ResourceWarning", "-m", "interruption", "doctor", *arguments, env=environment
    )


@pytest.fixture
def in_trouble(tmp_path):
    """Run it on an interpreter on which this has been done; status, and what it found."""

    def run(source, patience="2s"):
        (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(source))
        done = doctor("--json", "--patience", patience, folder=tmp_path)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    return run


def test_a_healthy_interpreter_is_told_so():
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"interruption {interruption.__version__}"
    assert platform.python_version() in lines[1]
    assert lines[-1] == "everything that should work here does"
    assert "FAILS" not in done.stdout
    assert re.search(r"^  sleep +time\.sleep woken after \d+\.\d{3} ms$", done.stdout, re.MULTILINE)


def test_all_of_it_is_data_too():
    done = doctor("--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["interruption"] == interruption.__version__
    assert found["python"]["version"] == platform.python_version()
    assert found["python"]["gil"] == getattr(sys, "_is_gil_enabled", lambda: True)()
    assert found["python"]["debug"] == hasattr(sys, "gettotalrefcount")
    assert found["problems"] == []
    statements = found["statements"]
    assert statements["check"]["works"] is True
    if hasattr(sys, "monitoring"):
        assert statements["by"] == "sys.monitoring"
        assert statements["tool_id"] in range(6)
    else:
        assert (statements["by"], statements["tool_id"]) == ("a trace function", None)
    blocking.enable()
    families = {family.name: family for family in blocking.status().families}
    assert [family["name"] for family in found["families"]] == list(families)
    for family in found["families"]:
        if family["name"] in NO_WAITS:
            assert family["check"] is None
        elif family["check"]["works"]:
            assert 0 < family["check"]["seconds"] < PATIENCE
            assert family["calls"]
        else:
            assert family["check"]["works"] is None, family


def test_every_family_is_tried():
    blocking.enable()
    families = {family.name for family in blocking.status().families}
    assert {probe.family for probe in probes.PROBES} == families - NO_WAITS


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.call)
def test_what_is_tried_really_blocks(probe):
    """Each probe fails if nobody is asked: so it is the request that ends the call."""
    ended = []

    def body(region, ready, call):
        with region:
            ready()
            call()
        ended.append(True)

    with ExitStack() as stack:
        try:
            call = probe.open(stack)
        except probes.Absent as absent:
            pytest.skip(str(absent))
        patient = Patient(body, call)
        patient.thread.start()
        patient.thread.join(0.05)
        assert patient.thread.is_alive()
        interruption.interrupt(patient.thread)
        patient.thread.join(PATIENCE)
        assert not patient.thread.is_alive()
    assert not ended


def test_a_call_that_is_not_woken_is_found(in_trouble):
    """Somebody's own sleep, in C: that is what the doctor is for."""
    status, found = in_trouble("""
        import ctypes, time
        sleep = ctypes.CDLL(None).sleep
        time.sleep = lambda seconds: sleep(int(seconds))
        """)
    assert status == 1
    (problem,) = found["problems"]
    assert problem.startswith("sleep: time.sleep: not stopped after 2 s: ")
    assert [family["name"] for family in found["families"] if not works(family)] == ["sleep"]


def works(family):
    return family["check"] is None or family["check"]["works"] is not False


def is_absent(family):
    """What this Python has not got, such as a package of others."""
    return family["check"] is not None and family["check"]["works"] is None


def test_a_call_that_does_not_wait_is_found(in_trouble):
    status, found = in_trouble("import os; os.read = lambda *_: b''")
    assert (status, found["problems"]) == (
        1,
        ["descriptors: os.read: returned, before it was asked or instead of stopping"],
    )


def test_what_cannot_be_tried_is_found(in_trouble):
    status, found = in_trouble("""
        import multiprocessing
        def methods():
            raise OSError("no")
        multiprocessing.get_all_start_methods = methods
        """)
    assert (status, found["problems"]) == (
        1,
        ["process locks: multiprocessing.Lock.acquire: could not be tried: OSError: no"],
    )


def test_switched_off_calls_are_found(in_trouble):
    status, found = in_trouble(
        """
        import interruption
        interruption.blocking.enable()
        interruption.blocking.disable()
        interruption.blocking.enable = lambda: None
        """,
        patience="20ms",
    )
    assert status == 1
    names = [family["name"] for family in found["families"] if not is_absent(family)]
    assert [problem.partition(":")[0] for problem in found["problems"]] == [
        "between statements",
        *names,
    ]


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="PEP 669 is of 3.12")
def test_a_lack_of_tool_ids_is_found(in_trouble):
    status, found = in_trouble("""
        import sys
        for number in range(6):
            sys.monitoring.use_tool_id(number, f"tool {number}")
        """)
    assert status == 1
    assert found["statements"]["tool_id"] is None
    assert "no tool id of sys.monitoring is free" in found["problems"][0]


def test_what_a_python_does_not_have_is_no_problem(in_trouble, tmp_path):
    status, found = in_trouble("""
        import sys
        sys.modules["_ssl"] = sys.modules["ssl"] = sys.modules["_multiprocessing"] = None
        """)
    assert (status, found["problems"]) == (0, [])
    problems = {
        family["name"]: family["check"]["problem"]
        for family in found["families"]
        if is_absent(family)
    }
    assert (
        problems.items()
        >= {
            "TLS": "this Python has no ssl.SSLContext",
            "process locks": "this Python has no _multiprocessing.SemLock",
        }.items()
    )
    done = doctor(folder=tmp_path)
    assert done.returncode == 0
    assert "  TLS                not here: this Python has no ssl.SSLContext\n" in done.stdout


def test_people_are_told_what_fails(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os; os.read = lambda *_: b''")
    done = doctor(folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "  descriptors        FAILS: os.read: returned, before" in done.stdout
    assert "1 of these should work and does not:\n  descriptors: os.read: " in done.stdout

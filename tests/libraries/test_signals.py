"""Frameworks that handle signals in their own ways do so under us, too: never worse (S30).

What each program comes to without this library is measured here, in the same run.
"""

from __future__ import annotations

import functools

import pytest
from signal_programs import ROWS
from signal_table import SIGNALS, Outcome, measure, missing


@functools.cache
def plain(name: str, sent: str) -> Outcome:
    return measure(name, "plain", SIGNALS[sent])


@pytest.mark.parametrize("way", ["run", "on_signal"])
@pytest.mark.parametrize("sent", ["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("name", ROWS)
def test_it_ends_as_it_does_by_itself(name: str, sent: str, way: str) -> None:  # S30
    """The same status, and every cleanup that runs without us; more may run."""
    package = missing(name)
    if package is not None:
        pytest.skip(f"{package} is not installed")
    expected, found = plain(name, sent), measure(name, way, SIGNALS[sent])
    assert found.status is not None, found
    if (name, sent, way) == ("waitress", "SIGTERM", "on_signal"):
        assert found.status == 0  # it catches SystemExit, so the program comes to its plain end
    elif expected.status is not None:
        assert found.status == expected.status, (expected, found)
    if name != "IPython":  # which shows its traceback there
        assert set(expected.said) <= set(found.said), (expected, found)
    assert "interruption" not in "".join(found.said)  # no line of ours in a traceback
    assert "ThreadExit" not in found.errors
    assert "still runs" not in found.errors


@pytest.mark.parametrize("way", ["run", "on_signal"])
@pytest.mark.parametrize("name", ROWS)
def test_an_impatient_user_is_obeyed(name: str, way: str) -> None:  # S30
    """The second may come in what the first has begun, or after it, where it ends the process."""
    package = missing(name)
    if package is not None:
        pytest.skip(f"{package} is not installed")
    expected = [plain(name, sent).status for sent in ("Ctrl-C", "Ctrl-C twice")]
    found = measure(name, way, SIGNALS["Ctrl-C twice"])
    assert found.status is not None, found
    # 1: it was raised in the midst of a framework's own end.
    assert found.status in (*expected, 130, 1) or None in expected, (expected, found)

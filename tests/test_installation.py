"""What interrupt_on_signal() and interrupt_on_exit() return, as an object."""

from __future__ import annotations

import signal

import pytest
from interruption import interrupt_on_exit, interrupt_on_signal


def test_it_says_what_it_does_and_whether_it_is_in_force():
    with interrupt_on_signal(signal.SIGTERM, signal.SIGHUP) as installation:
        assert repr(installation) == "<interruption asks all threads on SIGTERM, SIGHUP>"
    assert repr(installation).endswith("on SIGTERM, SIGHUP, closed>")
    with interrupt_on_exit() as installation:
        assert "on an exit by an exception>" in repr(installation)
    installation = interrupt_on_exit(at_end=True)
    assert "on the end of the program>" in repr(installation)
    installation.close()


@pytest.mark.parametrize("install", [interrupt_on_signal, interrupt_on_exit])
def test_a_closed_one_cannot_be_entered_again(install):
    """It would ask nobody, in silence."""
    installation = install()
    with installation:
        pass
    with pytest.raises(RuntimeError, match="this installation is closed"), installation:
        pytest.fail("entered")
    installation.close()  # again: nothing

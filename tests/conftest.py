"""Every test starts and ends with a main thread that is not asked to stop."""

import signal
from collections.abc import Iterator

import interruption
import pytest

# A shell starts what runs in its background with SIGINT ignored, and so would be what we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _not_asked() -> Iterator[None]:
    assert not interruption.interruption_requested()
    yield
    interruption.clear_interrupt()

"""Every test starts and ends with a main thread that is not asked to stop."""

from collections.abc import Iterator

import interruption
import pytest


@pytest.fixture(autouse=True)
def _not_asked() -> Iterator[None]:
    assert not interruption.interruption_requested()
    yield
    interruption.clear_interrupt()

"""The modules for frameworks, on these: real loops, servers and brokers, on this machine only.

A test whose framework or server is not there is skipped, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from servers import redis_socket
from support import until

__all__ = ["redis_socket"]  # a fixture, found here


# Any worker of pytest-xdist may run a test of these; of others one has the file, and its servers.
WITHOUT_SERVERS = ("extras", "pages", "pytest_plugin", "table", "to_thread")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") not in WITHOUT_SERVERS:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture
def own_threads() -> tuple[str, ...]:
    """How the names of threads begin that the framework keeps for itself."""
    return ()


@pytest.fixture(autouse=True)
def _no_thread_is_left(own_threads: tuple[str, ...]) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until(
        lambda: all(
            each in before or each.name.startswith((*own_threads, "overdue"))  # ends in a second
            for each in threading.enumerate()
        )
    )

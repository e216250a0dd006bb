"""Real servers for the tests of real libraries: each a child process, on this machine only.

A test whose library or server is not there is skipped, and says so.
"""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocking_calls.tls import CERTIFICATE
from interruption import allow_interruption
from servers import Child, program, redis_socket, start, until_up
from support import PATIENCE, until

__all__ = ["redis_socket"]  # a fixture, found here


def descriptors() -> dict[str, str]:
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[entry] = str(Path("/proc/self/fd", entry).readlink())
        except OSError:
            pass  # that of the folder itself
    return found


@pytest.fixture
def kept() -> tuple[str, ...]:
    """How descriptors begin that the library keeps for itself, as /proc has them."""
    return ()


@pytest.fixture(autouse=True)
def _nothing_is_left(kept: tuple[str, ...]) -> Iterator[None]:
    """No thread and no descriptor is left of a test."""
    with allow_interruption:
        pass  # what the first region opens stays
    before, threads = descriptors(), set(threading.enumerate())
    yield
    gc.collect()
    until(lambda: set(threading.enumerate()) <= threads)
    until(
        lambda: all(
            found.startswith(kept) or before.get(number) == found
            for number, found in descriptors().items()
        )
    )


@pytest.fixture(scope="session")
def http() -> Iterator[Child]:
    child = Child("http_child.py", str(CERTIFICATE))
    child.plain, child.tls, child.mute = map(int, child.next().split())
    yield child
    child.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own: what to connect to."""
    psycopg = pytest.importorskip("psycopg")
    initdb, server = program("initdb"), program("postgres")
    if initdb is None or server is None:
        pytest.skip("there is no PostgreSQL server (Debian: postgresql)")
    user = None
    if os.geteuid() == 0:  # it refuses to be run by root
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv")
        account = pwd.getpwnam("nobody")
        user = account.pw_uid, account.pw_gid
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user is not None:
            os.chown(folder, *user)
        data, log = f"{folder}/data", Path(folder, "log")
        command = [initdb, "-D", data, "--no-sync", "-A", "trust", "-U", "tests", "-E", "UTF8"]
        made = start([*command, "--locale=C"], log, user=user).wait(PATIENCE)
        assert made == 0, log.read_text()
        command = [server, "-D", data, "-k", folder, "-F", "-c", "listen_addresses="]
        process = start(command, log, user=user)
        where = f"host={folder} user=tests dbname=postgres"
        until_up(lambda: psycopg.connect(where).close(), process, log)
        yield where
        process.send_signal(2)  # fast: does not wait for clients
        process.wait(PATIENCE)

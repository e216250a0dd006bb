"""Children, connections and what processes share, under fire: see test_blocking_stress.py."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chance import scaled
from support import PATIENCE, expect_script
from test_blocking_stress import Fire

if sys.platform == "win32":
    pytest.skip("no fork", allow_module_level=True)

fork = multiprocessing.get_context("fork")
COMMAND = ["sh", "-c", "exit 3"]

# Children. ----------------------------------------------------------------------------------------

WAYS: dict[str, Any] = {
    "wait": os.wait,
    "waitpid": lambda: os.waitpid(-1, 0),
    "group": lambda: os.waitpid(0, 0),
}


def reap_any(way: str) -> None:
    """Children are begun; threads that are interrupted take one each for each of them."""
    fire = Fire(way)
    count = scaled(400) // 4 * 4
    begun = threading.Semaphore(0)
    statuses: list[int] = []

    def begin() -> None:
        for _ in range(count):
            os.posix_spawnp(COMMAND[0], COMMAND, os.environ)
            begun.release()

    def reap() -> None:
        for _ in range(count // 4):
            begun.acquire()
            statuses.append(fire.insist(WAYS[way])[1])

    fire.start(reap, 4)
    fire.start(begin)
    fire.run(slice(0, 4))
    check_reaped([os.waitstatus_to_exitcode(status) for status in statuses], count)


def reap_own() -> None:
    """Each thread waits for the children that it has begun, one after the other."""
    fire = Fire("Popen.wait")
    count = scaled(400) // 4 * 4
    codes: list[int] = []

    def run() -> None:
        for _ in range(count // 4):
            with subprocess.Popen(COMMAND) as child:
                codes.append(fire.insist(child.wait))

    fire.start(run, 4)
    fire.run()
    check_reaped(codes, count)


def check_reaped(codes: list[int], count: int) -> None:
    assert codes == [3] * count
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def run_part(call: str) -> None:
    folder = str(Path(__file__).parent)
    name = Path(__file__).stem
    source = f"import sys, contextlib, io; sys.path.insert(0, {folder!r}); import {name} as parts"
    expect_script(f"{source}\nwith contextlib.redirect_stdout(io.StringIO()): parts.{call}")


@pytest.mark.parametrize("way", WAYS)
def test_each_child_is_reaped_once(way: str) -> None:  # S10a
    """In a process of its own, which has no other children. None is left."""
    run_part(f"reap_any({way!r})")


def test_each_child_of_popen_is_reaped_by_its_own() -> None:  # S10a
    """Its status tells: one that is lost would count as 0."""
    run_part("reap_own()")


# Connections. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_each_connection_is_accepted_once(timeout: float | None) -> None:  # S10a
    fire = Fire(f"accept {timeout}")
    count = scaled(2000) // 4 * 4
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(timeout)
    got: list[int] = []

    def accept() -> None:
        for _ in range(count // 4):
            connection = fire.insist(server.accept)[0]
            with connection, connection.makefile("rb") as file:
                got.append(int(file.read()))

    def connect() -> None:
        for number in range(count):
            with socket.create_connection(server.getsockname()) as client:
                client.sendall(str(number).encode())

    fire.start(accept, 4)
    fire.start(connect)
    fire.run(slice(0, 4))
    assert sorted(got) == list(range(count))
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()
    server.close()


# Between processes. -------------------------------------------------------------------------------


def in_child(function: Any, *arguments: Any) -> Any:
    child = fork.Process(target=function, args=arguments, daemon=True)
    child.start()
    return child


def join(child: Any) -> None:
    child.join(PATIENCE)
    assert child.exitcode == 0


def use_permits(semaphore: Any, count: int) -> None:
    for _ in range(count):
        with semaphore:
            time.sleep(0.0005)  # so that others have to wait


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork where there are threads
def test_permits_of_processes_are_all_there() -> None:  # S10a, S10c
    """Another process takes them, too."""
    semaphore = fork.Semaphore(1)
    fire = Fire("process semaphore")
    count = scaled(2000)
    child = in_child(use_permits, semaphore, count)

    def work() -> None:
        semaphore.acquire()
        semaphore.release()

    def go_on() -> None:
        for _ in range(count // 4):
            fire.insist(work)

    fire.start(go_on, 4)
    fire.run()
    join(child)
    assert [semaphore.acquire(False) for _ in range(2)] == [True, False]


def give(condition: Any, tokens: Any, count: int) -> None:
    for _ in range(count):
        with condition:
            tokens.value += 1
            condition.notify()
        time.sleep(0.0005)  # so that there is something to wait for


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork where there are threads
def test_notifications_of_processes_wake_one_each() -> None:  # S10d
    """Another process gives a token with each; nobody sleeps while there is one."""
    condition = fork.Condition()
    tokens = fork.RawValue("i")
    fire = Fire("process condition")
    count = scaled(1000) // 4 * 4
    child = in_child(give, condition, tokens, count)

    def take() -> None:
        with condition:
            while not tokens.value:
                condition.wait()
            tokens.value -= 1

    def go_on() -> None:
        for _ in range(count // 4):
            fire.insist(take)

    fire.start(go_on, 4)
    fire.run()
    join(child)
    assert tokens.value == 0

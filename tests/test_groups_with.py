"""S28, S29: executors, processes and children in a scope or in a group end with it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from executor_parts import Busy, start_waiting
from interruption import (
    Scope,
    ThreadExit,
    ThreadGroup,
    ThreadPoolExecutor,
    run_in_process,
    timeout,
)
from support import in_thread, until

WAITS = "import sys, time; print(flush=True); time.sleep(3600)"


def in_a_pool(told):
    with ThreadPoolExecutor(2) as executor:
        busy = Busy()
        busy.submitted(executor)
        start_waiting(executor, time.sleep, 3600)
        told.append(busy)


def in_a_process(told):
    told.append(None)
    run_in_process(time.sleep, 3600)


def by_run(told):
    told.append(None)
    subprocess.run([sys.executable, "-c", WAITS], check=True, capture_output=True)


def by_popen(told):
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as child:
        told.append(child)
        try:
            child.stdout.read(1)
            child.wait()
        except ThreadExit:
            child.kill()
            raise


WAYS = [in_a_pool, in_a_process, by_run, by_popen]


def assert_has_ended(way, told):
    (left,) = told
    if way is by_popen:
        assert left.returncode is not None
    if way is in_a_pool:
        assert left.seen == ["asked", "cleaned up"]


@pytest.mark.parametrize("way", WAYS)
def test_in_a_scope_it_ends_with_the_scope(way):
    def body():
        told = []
        with Scope() as scope:

            def ask():
                until(lambda: told)
                scope.interrupt()

            asking = threading.Thread(target=ask)
            asking.start()
            way(told)
            pytest.fail("it goes on")
        asking.join()
        return told

    assert_has_ended(way, in_thread(body))


@pytest.mark.parametrize("way", WAYS)
def test_in_a_group_it_ends_with_the_group(way):
    def body():
        told = []
        with pytest.raises(TimeoutError), timeout(1000) as limit, ThreadGroup() as group:
            future = group.submit(way, told)
            until(lambda: told)
            limit.reschedule(0)
        assert future.cancelled()
        return told

    assert_has_ended(way, in_thread(body))


def test_a_group_that_fails_stops_what_its_tasks_run():
    def body():
        told = [[] for _ in WAYS]
        with pytest.raises(ExceptionGroup), ThreadGroup() as group:
            futures = [group.submit(way, there) for way, there in zip(WAYS, told, strict=True)]
            until(lambda: all(told))
            raise KeyError
        assert all(future.cancelled() for future in futures)

    in_thread(body)

"""interruption.overdue: calls that were asked to stop and go on are named in the log, once."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time

import pytest
from interruption import Scope, ThreadExit, interrupt, overdue
from interruption.overdue import Watch
from support import PATIENCE, Started, expect_script, until, until_blocked

LOGGER = "somebody's"
NEVER = 2 * PATIENCE


@pytest.fixture(autouse=True)
def _its_thread_is_not_left():
    """Other tests count the threads."""
    yield
    for thread in lookers():
        interrupt(thread)
        thread.join(PATIENCE)


def lookers():
    return [each for each in threading.enumerate() if each.name == "overdue"]


class Goes:
    """A function that is asked to stop, and goes on."""

    def __init__(self):
        self.scope = Scope()
        self.swallowed = threading.Event()
        self.go = threading.Event()

    def on(self, started):
        with self.scope:
            try:
                started.ready.set()
                time.sleep(PATIENCE)
            except ThreadExit:
                self.swallowed.set()
            self.go.wait()


def run(watch, function, started):
    with watch:
        function(started)


def test_what_goes_on_is_named_once_with_its_place(caplog):
    goes = Goes()
    watch = Watch(functools.partial(goes.on), LOGGER, 0.02)
    with Started(functools.partial(run, watch, goes.on)) as started:
        goes.scope.interrupt()
        goes.swallowed.wait()
        watch.expect_end("nobody wants it")
        until(lambda: caplog.records)
        watch.expect_end("nobody wants it at all")
        with Watch("later", LOGGER, 0.02) as later:
            later.expect_end("it is to stop")
            until(lambda: len(caplog.records) == 2)
        goes.go.set()
        started.finish()
    until(lambda: not lookers())
    record, later = caplog.records
    assert later.getMessage().startswith("later still runs, 0.02 s after")
    assert (record.name, record.levelno) == (LOGGER, logging.WARNING)
    line = Goes.on.__code__.co_firstlineno
    said = f"Goes.on ({__file__}:{line}) still runs, 0.02 s after it was asked to stop"
    assert record.getMessage().startswith(f"{said} (nobody wants it): ")
    assert "has caught the exception and gone on" in record.getMessage()
    assert "self.go.wait()" in record.getMessage()


def test_the_earliest_counts_and_it_may_be_asked_before_it_begins(caplog):
    watch = Watch("unnamed", LOGGER, 0.02)
    watch.expect_end("it has a limit", time.monotonic() + NEVER)
    watch.expect_end("nobody wants it")
    watch.name = "named"
    assert not lookers()  # nothing runs
    with watch:
        until(lambda: caplog.records)
        watch.expect_end("earlier than that", 0)
        until(lambda: not lookers())
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "named still runs, 0.02 s after it was asked to stop (nob"
    )


def test_what_ends_in_time_is_not(caplog):
    watch = Watch("quick", LOGGER, NEVER)
    with watch:
        watch.expect_end("it is to stop")
        until_blocked(*lookers())
    until(lambda: not lookers())  # it does not stay until the time is up
    late = Watch("quick", LOGGER, 0)
    with late:
        pass
    late.expect_end("it has ended")
    until(lambda: not lookers())
    assert caplog.records == []


def test_the_earliest_is_named_first_and_the_time_may_be_told(monkeypatch, caplog):
    monkeypatch.setattr(overdue, "_IDLE", NEVER)  # it is told of what is due sooner
    first, second = Watch("first", LOGGER, 0.02), Watch("second", LOGGER, NEVER)
    third = Watch("third", LOGGER, 30)
    with second, first, third:
        second.expect_end("it is to stop")
        first.expect_end("it is to stop")
        until(lambda: caplog.records)
        third.expect_end("it is to stop", time.monotonic() - 30)
        until(lambda: len(caplog.records) == 2)
    names = [record.getMessage().partition(" ")[0] for record in caplog.records]
    assert names == ["first", "third"]


def test_its_thread_stops_when_all_are_asked_and_comes_again(caplog):
    watch, another = Watch("one", LOGGER, NEVER), Watch("another", LOGGER, 0)
    with watch, another:
        watch.expect_end("it is to stop")
        (looker,) = lookers()
        interrupt(looker)
        looker.join(PATIENCE)
        assert not looker.is_alive()
        another.expect_end("it is to stop")
        until(lambda: caplog.records)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_in_the_child_of_a_fork_it_begins_anew():
    expect_script(
        """
        import logging, os, sys, threading
        from interruption import overdue
        from interruption.overdue import Watch

        held, go = threading.Event(), threading.Event()

        def hold():
            with overdue._guard:
                held.set()
                go.wait()

        logging.basicConfig(stream=sys.stdout, format="%(message).20s")
        parents = Watch("of the parent", "", 3600)
        with parents:
            parents.expect_end("it is to stop")
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait()
            child = os.fork()
            if child == 0:
                lines = threading.Event()
                handler = logging.getLogger().handlers[0]
                handler.flush = lambda: (sys.stdout.flush(), lines.set())
                with Watch("of the child", "", 0) as watch:
                    watch.expect_end("it is to stop")
                    lines.wait()
                os._exit(0)
            os.waitpid(child, 0)
            go.set()
        """,
        stdout="of the child still r\n",
    )


@pytest.mark.parametrize("after", [-1, float("nan")])
def test_a_time_that_is_none_is_refused(after):
    with pytest.raises(ValueError, match="give seconds, 0 or more"):
        Watch("it", LOGGER, after)

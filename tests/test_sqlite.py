"""sqlite3, broken off by on_interrupt: what becomes of the connection (S10)."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from interruption import ThreadExit, allow_interruption, interrupt, on_interrupt
from support import Started

ENDLESS = """insert into kept with recursive r(n) as (select begun() union all select n + 1 from r)
             select n from r where n < 0"""


@pytest.mark.parametrize("writes", [True, False])
def test_a_connection_is_usable_after(writes: bool) -> None:  # noqa: FBT001
    """A transaction that was writing is rolled back; one that was reading is still there."""
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute("create table kept (n int)")
        connection.commit()

        def body(started: Started) -> None:
            connection.create_function("begun", 0, lambda: started.ready.set() or 1)
            connection.execute("insert into kept values (1)")
            with allow_interruption, on_interrupt(connection.interrupt):
                connection.execute(ENDLESS if writes else ENDLESS.partition("kept")[2])

        with Started(body) as other:
            interrupt(other.thread)
            with pytest.raises(ThreadExit) as caught:
                other.finish()
        assert isinstance(caught.value.__context__, sqlite3.OperationalError)
        assert connection.in_transaction is not writes
        assert connection.execute("select * from kept").fetchall() == ([] if writes else [(1,)])
        connection.execute("insert into kept values (2)")
        connection.commit()

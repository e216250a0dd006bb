"""psycopg 3 against a PostgreSQL of our own, interrupted in a region (S10).

Its Python implementation waits in Python's calls and is woken. Its C implementation (psycopg-c,
psycopg-binary) waits in C code of its own: there on_interrupt(connection.cancel) breaks off what
runs on the server.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

psycopg = pytest.importorskip("psycopg")

from interruption import (  # noqa: E402
    ThreadExit,
    allow_interruption,
    check_interrupt,
    interrupt,
    on_interrupt,
    protect,
    unprotect,
)
from support import Started, run_script, until  # noqa: E402

LONG = "select pg_sleep(3600)"


@pytest.fixture(autouse=True)
def _protected() -> Any:
    """Its own code is interrupted where it waits, and only there."""
    protect(psycopg)
    yield
    unprotect(psycopg)


@pytest.fixture(params=["wait_poll", "wait_selector", "wait_c"])
def wait(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How it waits, as PSYCOPG_WAIT_FUNC in the environment has it."""
    function = getattr(psycopg.waiting, request.param, None)
    if function is None:
        pytest.skip("psycopg's C implementation is not there")
    monkeypatch.setattr(psycopg.waiting, "wait", function)
    return request.param


@contextlib.contextmanager
def connected(where: str) -> Any:
    with contextlib.closing(psycopg.connect(where, autocommit=True)) as connection:
        yield connection


def activity(where: str, pid: int) -> Any:
    """What the server is doing for that connection; None if it is closed."""
    with connected(where) as other:
        query = "select state, wait_event from pg_stat_activity where pid = %s"
        return other.execute(query, (pid,)).fetchone()


def breaking_off(wait: str, connection: Any) -> Any:
    """What the user says where psycopg is not woken by itself."""
    return on_interrupt(connection.cancel) if wait == "wait_c" else contextlib.nullcontext()


def stop(other: Started) -> ThreadExit:
    assert interrupt(other.thread, reason="enough")
    with pytest.raises(ThreadExit, match="enough") as caught:
        other.finish()
    return caught.value


def test_a_long_query(postgres: str, wait: str) -> None:
    """It is cancelled in the server, by psycopg or by the callback; the connection is usable."""
    with connected(postgres) as connection:

        def body(_: Started) -> None:
            with allow_interruption, breaking_off(wait, connection):
                connection.execute(LONG)

        other = Started(body)
        pid = connection.info.backend_pid
        until(lambda: activity(postgres, pid) == ("active", "PgSleep"))
        error = stop(other)
        assert not connection.closed
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("select 1").fetchone() == (1,)
        if wait == "wait_c":
            assert isinstance(error.__context__, psycopg.errors.QueryCanceled)


def test_a_query_in_a_transaction(postgres: str, wait: str) -> None:
    """It is rolled back when its block is left; what was committed before stays."""
    with connected(postgres) as connection:
        connection.execute("create temporary table kept (n int)")
        connection.execute("insert into kept values (1)")

        def body(_: Started) -> None:
            with allow_interruption, connection.transaction():
                connection.execute("insert into kept values (2)")
                with breaking_off(wait, connection):
                    connection.execute(LONG)

        other = Started(body)
        pid = connection.info.backend_pid
        until(lambda: activity(postgres, pid) == ("active", "PgSleep"))
        stop(other)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("select * from kept").fetchall() == [(1,)]


def test_waiting_for_a_lock_of_another_connection(postgres: str, wait: str) -> None:
    """The row is not taken: its holder, and others after it, go on."""
    with connected(postgres) as holder, connected(postgres) as connection:
        holder.execute("select pg_advisory_lock(1)")

        def body(_: Started) -> None:
            with allow_interruption, breaking_off(wait, connection):
                connection.execute("select pg_advisory_lock(1)")

        other = Started(body)
        pid = connection.info.backend_pid
        until(lambda: activity(postgres, pid) == ("active", "advisory"))
        stop(other)
        holder.execute("select pg_advisory_unlock(1)")
        assert holder.execute("select pg_try_advisory_lock(1)").fetchone() == (True,)
        assert connection.execute("select 1").fetchone() == (1,)


def test_with_a_connection_as_its_own_block(postgres: str, wait: str) -> None:
    """``with psycopg.connect()`` inside the region: rolled back, and closed on both sides."""
    made: list[Any] = []

    def body(_: Started) -> None:
        with allow_interruption, psycopg.connect(postgres) as connection:
            with breaking_off(wait, connection):
                made.append(connection)
                connection.execute(LONG)

    other = Started(body)
    until(lambda: made)
    pid = made[0].info.backend_pid
    until(lambda: activity(postgres, pid) == ("active", "PgSleep"))
    stop(other)
    assert made[0].closed
    until(lambda: activity(postgres, pid) is None)


def test_notifications(postgres: str, wait: str) -> None:
    """LISTEN: whoever waits for notifications is woken; the connection still hears the next one.

    Nothing runs on the server meanwhile, so there is nothing to cancel, and the C implementation
    is stopped only by a timeout of its own.
    """
    if wait == "wait_c":
        pytest.skip("no cancel: see test_notifications_where_c_waits")
    with connected(postgres) as connection, connected(postgres) as sender:
        connection.execute("listen news")

        def body(started: Started) -> None:
            with allow_interruption:
                started.ready.set()
                for _ in connection.notifies():
                    pass

        stop(Started(body).until_blocked())
        sender.execute("notify news, 'late'")
        assert [each.payload for each in connection.notifies(stop_after=1)] == ["late"]


def test_notifications_where_c_waits(postgres: str) -> None:
    """What to do: a timeout, in a loop. Each turn is a point of delivery, and nothing is lost."""
    with connected(postgres) as connection, connected(postgres) as sender:
        connection.execute("listen news")

        def body(started: Started) -> None:
            with allow_interruption:
                started.ready.set()
                while True:
                    for _ in connection.notifies(timeout=0.05):
                        pass

        stop(Started(body).until_ready())
        sender.execute("notify news, 'late'")
        assert [each.payload for each in connection.notifies(stop_after=1)] == ["late"]


def test_copy_out(postgres: str, wait: str) -> None:
    """COPY TO: in the middle of the rows. It is cancelled; the connection has to be closed.

    After an exception that is no error, Ctrl-C as well, psycopg takes the copy for ended, and the
    connection remains in the middle of it. The callback's cancel makes it an error.
    """
    with connected(postgres) as connection:

        def body(started: Started) -> None:
            query = "copy (select n, pg_sleep(case n when 5 then 3600 else 0 end)"
            query += " from generate_series(1, 10) n) to stdout"
            with allow_interruption, connection.cursor() as cursor:
                with breaking_off(wait, connection), cursor.copy(query) as copy:
                    for _ in copy:
                        started.ready.set()

        other = Started(body)
        pid = connection.info.backend_pid
        until(lambda: activity(postgres, pid) == ("active", "PgSleep"))
        stop(other)
        if wait == "wait_c":
            assert connection.execute("select 1").fetchone() == (1,)
    assert connection.closed
    until(lambda: activity(postgres, pid) is None)


def test_copy_in(postgres: str, wait: str) -> None:
    """COPY FROM: the server does not take the rows, as a trigger waits. Nothing was copied.

    psycopg holds the connection's lock as long as the copy lasts, so nothing is raised between
    statements (S9), and that it was cancelled it says at the end: the loop looks for itself.
    """
    with connected(postgres) as connection:
        connection.execute("create temporary table rows (n int, t text)")
        connection.execute(
            "create or replace function pg_temp.dawdle() returns trigger language plpgsql as"
            " $$ begin perform pg_sleep(3600); return new; end $$"
        )
        connection.execute(
            "create trigger dawdles before insert on rows"
            " for each row execute function pg_temp.dawdle()"
        )

        def body(started: Started) -> None:
            with allow_interruption, connection.cursor() as cursor:
                with breaking_off(wait, connection), cursor.copy("copy rows from stdin") as copy:
                    started.ready.set()
                    while True:
                        check_interrupt()
                        copy.write_row((1, "x" * 10_000))

        other = Started(body).until_blocked()
        pid = connection.info.backend_pid
        until(lambda: activity(postgres, pid) == ("active", "PgSleep"))
        other.until_blocked()
        stop(other)
        assert connection.execute("select count(*) from rows").fetchone() == (0,)


PURE = """
    import sys, threading
    import psycopg
    from interruption import Thread, ThreadExit, allow_interruption
    assert psycopg.pq.__impl__ == "python", psycopg.pq.__impl__
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        with psycopg.connect(sys.argv[1], autocommit=True) as other:
            def work():
                try:
                    with allow_interruption:
                        connection.execute("select pg_sleep(3600)")
                except ThreadExit:
                    print("stopped")
            thread = Thread(target=work)
            thread.start()
            pid = connection.info.backend_pid
            while other.execute("select wait_event from pg_stat_activity where pid = %s",
                                (pid,)).fetchone() != ("PgSleep",):
                pass
            thread.interrupt()
            thread.join()
        print(connection.execute("select 1").fetchone())
"""


def test_the_python_implementation(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any C of psycopg's: over libpq by ctypes, waiting as it chooses to."""
    monkeypatch.setenv("PSYCOPG_IMPL", "python")
    result = run_script(PURE, postgres)
    if "no pq wrapper available" in result.stderr:
        pytest.skip("there is no libpq (Debian: libpq5)")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "stopped\n(1,)\n"

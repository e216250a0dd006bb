"""Run a query that takes too long, and cancel it by a time limit or by Ctrl-C.

    python examples/sqlite_query.py [--timeout SECONDS] [--rows N] DATABASE

Counts pairs of rows with no index to help: N rows make N * N comparisons in SQLite's own C code,
which looks at no flag of Python's. ``on_interrupt`` says how it is broken off all the same: by
``Connection.interrupt``, which the thread that cancels calls. That does nothing to a query which is
just about to begin, so SQLite also looks for a request itself, every so many of its steps. What the
query's transaction has written until then is rolled back.

Prints the count, or how long the query ran and what is in the database afterwards.

Exit status: 0 with a result, 124 after the time limit (as timeout(1) has it), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import sys
import time
from concurrent.futures import Future, TimeoutError  # noqa: A004  (its own class up to 3.10 only)

from interruption import ThreadPoolExecutor, interruption_requested, on_interrupt

EXIT_TIMEOUT = 124
EXIT_INTERRUPTED = 130
LOOK_EVERY = 100_000  # steps of SQLite's: less than a millisecond or so

SLOW = """
    INSERT INTO counts
    SELECT count(*) FROM numbers AS a, numbers AS b WHERE a.value * b.value % 7 = 3
"""


def prepare(database: str, rows: int) -> None:
    """Make the tables."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS numbers")
        connection.execute("CREATE TABLE numbers (value INTEGER)")
        connection.execute("CREATE TABLE IF NOT EXISTS counts (value INTEGER)")
        connection.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(rows)))


def count(database: str) -> int:
    """Do it in a transaction: a task of the executor, so it runs in a region."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.set_progress_handler(interruption_requested, LOOK_EVERY)
        with on_interrupt(connection.interrupt):
            connection.execute(SLOW)
        (result,) = connection.execute("SELECT value FROM counts").fetchone()
        return int(result)


def counts_in(database: str) -> int:
    """How many counts have been written."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (result,) = connection.execute("SELECT count(*) FROM counts").fetchone()
        return int(result)


def cancel(future: Future[int], database: str, begun: float, why: str) -> None:
    """Break it off, and wait until it has cleaned up."""
    future.cancel()
    with contextlib.suppress(BaseException):
        future.result()
    seconds = time.monotonic() - begun
    print(f"{why} after {seconds:.2f} s; counts written: {counts_in(database)}")


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--timeout", type=float, help="seconds (default: no limit)")
    parser.add_argument("--rows", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("database", help="a file; it is made if there is none")
    return parser.parse_args()


def main() -> int:
    """Run it; the exit status."""
    arguments = parse()
    database: str = arguments.database
    prepare(database, arguments.rows)
    with ThreadPoolExecutor(max_workers=1) as executor:
        begun = time.monotonic()
        future = executor.submit(count, database)
        try:
            print("counting", flush=True)
            print(f"{future.result(arguments.timeout)} pairs")
        except TimeoutError:
            cancel(future, database, begun, "time is up")
            return EXIT_TIMEOUT
        except KeyboardInterrupt:
            cancel(future, database, begun, "interrupted")
            return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())

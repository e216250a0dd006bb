"""Fetch pages with several threads, following their links, and stop cleanly on Ctrl-C.

    python examples/crawler.py [--workers N] [--limit N] [--patience SECONDS] [--time SECONDS]
        [--left FILE] URL

Workers take addresses from one ``queue.Queue``, fetch them, and put the links that they find into
it, within the first page's site. They are a group: none is left behind, and what stops one without
being meant for it alone stops all. Nothing in them looks for a request: they are woken in ``get``,
in the middle of a connection, or stopped between two statements. What is done with a page is done
in a shield, so each address is exactly one of fetched, failed and left.

There are three limits: for a page (``--patience``), for all (``--time``), and for what is done at
the end whatever has happened: to write the addresses that are left into a file (``--left``).

Exit status: 0 when all is fetched, 1 when a page could not be or time was up, 130 after Ctrl-C; the
summary is printed in each case.
"""

from __future__ import annotations

import argparse
import html.parser
import queue
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from interruption import (
    ThreadGroup,
    defer_interruption,
    interrupt_on_signal,
    move_on_after,
    timeout,
)

GRACE = 10  # seconds
CLEANUP = 1  # seconds; less, so that there is time to say what has become of it


class Links(html.parser.HTMLParser):
    """The addresses that a page links to."""

    def __init__(self, page: str, text: str) -> None:
        """Look for them."""
        super().__init__()
        self.page = page
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See whether that is one."""
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.found.append(urllib.parse.urljoin(self.page, target).partition("#")[0])


class Crawler:
    """A site, and what is known of its pages."""

    def __init__(self, start: str, limit: int, patience: float) -> None:
        """Begin there; know of so many pages at most, and wait for each so many seconds."""
        self.site = urllib.parse.urlsplit(start).netloc
        self.limit = limit
        self.patience = patience
        self.to_do: queue.Queue[str] = queue.Queue()
        self.lock = threading.Lock()  # guards what follows
        self.known: set[str] = set()
        self.fetched: list[str] = []
        self.failed: list[str] = []
        self.add([start])

    def add(self, links: list[str]) -> None:
        """Put those into the queue that are new, and of this site."""
        with self.lock:
            for link in links:
                if urllib.parse.urlsplit(link).netloc == self.site and len(self.known) < self.limit:
                    if link not in self.known:
                        self.to_do.put(link)
                    self.known.add(link)

    def work(self) -> None:
        """Fetch pages, for ever: until it is interrupted."""
        while True:
            page = self.to_do.get()  # woken at once, and then nothing has been taken
            try:
                links = self.fetch(page)
            except (OSError, ValueError) as error:  # TimeoutError, too, is an OSError
                with defer_interruption:
                    if isinstance(error, urllib.error.HTTPError):
                        error.close()  # it is an answer, too
                    self.failed.append(page)
            else:
                with defer_interruption:
                    self.fetched.append(page)
                    self.add(links)
            finally:
                self.to_do.task_done()

    def fetch(self, page: str) -> list[str]:
        """Return the links of that page."""
        limit = timeout(self.patience)
        with limit, urllib.request.urlopen(page) as answer:  # noqa: S310  (the user says where)
            return Links(page, answer.read().decode("utf-8", "replace")).found

    def save(self, file: str) -> None:
        """Write the addresses that are left; all threads have ended. Nothing else breaks that off.

        It must not take for ever either: whoever reads a pipe may have stopped. Without a buffer,
        which closing the file would try to write once more.
        """
        left = sorted(self.known.difference(self.fetched, self.failed))
        lines = "".join(f"{page}\n" for page in left).encode()
        with move_on_after(CLEANUP, shield=True) as limit, Path(file).open("wb", 0) as out:
            out.write(lines)
        if limit.expired():
            print(f"{file} could not be written in time", file=sys.stderr)

    def summary(self) -> str:
        """What has become of the pages. All threads have ended."""
        left = len(self.known) - len(self.fetched) - len(self.failed)
        return f"{len(self.fetched)} fetched, {len(self.failed)} failed, {left} left"


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=1000, help="pages (default: %(default)s)")
    parser.add_argument(
        "--patience", type=float, default=30, help="seconds for a page (default: %(default)s)"
    )
    parser.add_argument("--time", type=float, help="seconds for all (default: no limit)")
    parser.add_argument("--left", metavar="FILE", help="where to write what could not be done")
    parser.add_argument("url")
    return parser.parse_args()


def main() -> None:
    """Fetch it all."""
    arguments = parse()
    crawler = Crawler(arguments.url, arguments.limit, arguments.patience)
    interrupt_on_signal(timeout=GRACE)
    in_time = True
    try:
        with timeout(arguments.time), ThreadGroup(name="crawler") as group:
            workers = [group.submit(crawler.work) for _ in range(arguments.workers)]
            crawler.to_do.join()  # Ctrl-C: all threads are asked; KeyboardInterrupt is raised here
            for worker in workers:
                worker.cancel()
    except TimeoutError:
        in_time = False
    finally:
        if arguments.left:
            crawler.save(arguments.left)
        print(crawler.summary())
    if crawler.failed or not in_time:
        sys.exit(1)


if __name__ == "__main__":
    main()

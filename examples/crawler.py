"""Fetch pages with several threads, following their links, and stop cleanly on Ctrl-C.

    python examples/crawler.py [--workers N] [--limit N] URL

Workers take addresses from one ``queue.Queue``, fetch them, and put the links that they find into
it, within the first page's site. Nothing in them looks for a request: they run in regions, and are
woken in ``get``, in the middle of a connection, or stopped between two statements. What is done
with a page is done in a shield, so each address is exactly one of fetched, failed and left.

Exit status: 0 when all is fetched, 1 when a page could not be, 130 after Ctrl-C; the summary is
printed in each case.
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

from interruption import Thread, defer_interruption, interrupt_on_signal

GRACE = 10  # seconds


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

    def __init__(self, start: str, limit: int) -> None:
        """Begin there, and know of so many pages at most."""
        self.site = urllib.parse.urlsplit(start).netloc
        self.limit = limit
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
        """Fetch pages, for ever: in a region, which is left by being interrupted."""
        while True:
            page = self.to_do.get()  # woken at once, and then nothing has been taken
            try:
                with urllib.request.urlopen(page) as answer:  # noqa: S310  (the user says where)
                    links = Links(page, answer.read().decode("utf-8", "replace")).found
            except (OSError, ValueError) as error:
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

    def summary(self) -> str:
        """What has become of the pages. All threads have ended."""
        left = len(self.known) - len(self.fetched) - len(self.failed)
        return f"{len(self.fetched)} fetched, {len(self.failed)} failed, {left} left"


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, default=1000, help="pages (default: %(default)s)")
    parser.add_argument("url")
    return parser.parse_args()


def main() -> None:
    """Fetch it all."""
    arguments = parse()
    crawler = Crawler(arguments.url, arguments.limit)
    workers = [Thread(target=crawler.work, interruptible=True) for _ in range(arguments.workers)]
    interrupt_on_signal(timeout=GRACE)
    for worker in workers:
        worker.start()
    try:
        crawler.to_do.join()  # Ctrl-C: all threads are asked, and KeyboardInterrupt is raised here
        for worker in workers:
            worker.interrupt()
    finally:
        for worker in workers:
            worker.join()
        print(crawler.summary())
    if crawler.failed:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The examples that a signal stops, as real processes with real clients."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import re
import runpy
import signal
import socket
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from chance import scaled
from interruption import ThreadPoolExecutor
from support import EXAMPLES, PATIENCE, in_thread, start_example, until, until_process_blocked

SIZE = 17 * 100 * 10  # of the server's page


# The web server. ----------------------------------------------------------------------------------


class Client:
    """Asks for one page after the other, by one connection after the other, until there is none."""

    def __init__(self, port, *, keep):
        self.port = port
        self.keep = keep
        self.answers = []
        self.first = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while self.ask():
                self.first.set()
        finally:
            self.first.set()

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.connect()
        except ConnectionError:
            return False  # it listens no more
        with connection.sock:
            for _ in range(3 if self.keep else 1):
                self.answers.append(self.answer(connection))
                self.first.set()
                if self.answers[-1] == "none":
                    return False
        return True

    def answer(self, connection):
        """What it has got: a whole page, nothing, or a part of one."""
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
        except ConnectionError:
            return "none"
        except http.client.HTTPException:
            return "part"
        try:
            return "whole" if len(answer.read()) == SIZE else "part"
        except (http.client.HTTPException, ConnectionError):
            return "part"


@pytest.fixture
def server():
    with start_example("web_server.py", "--port", 0, "--workers", 3) as process:
        try:
            line = process.stdout.readline()
            process.port = int(re.fullmatch(r"serving at port (\d+)\n", line)[1])
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("turn", range(scaled(3)))
def test_the_server_leaves_no_request_half_answered(server, signum, turn):
    clients = [Client(server.port, keep=number % 2) for number in range(6)]
    for client in clients[: 1 + turn % 3]:
        client.first.wait(PATIENCE)
    server.send_signal(signum)
    _, stderr = server.communicate(timeout=PATIENCE)
    for client in clients:
        client.thread.join(PATIENCE)
        assert not client.thread.is_alive()
    answers = [answer for client in clients for answer in client.answers]
    assert answers.count("whole") > 0
    assert answers.count("part") == 0
    assert server.returncode == -signum
    assert ("KeyboardInterrupt" in stderr) == (signum == signal.SIGINT), stderr


def test_a_connection_without_a_request_does_not_hold_the_server_up(server):
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", "/")
        assert len(connection.getresponse().read()) == SIZE
        server.send_signal(signal.SIGTERM)
        idle.settimeout(PATIENCE)
        assert idle.recv(1) == b""
        assert connection.sock.recv(1) == b""
        connection.close()
    assert server.wait(PATIENCE) == -signal.SIGTERM


@pytest.mark.parametrize("begun", [True, False])
def test_a_signal_inside_submit_cuts_no_answer(begun):
    """Its exception is raised there when the task has been queued, or has begun."""
    example = runpy.run_path(str(EXAMPLES / "web_server.py"))
    go_on = threading.Event()

    class Torn(ThreadPoolExecutor):
        def submit(self, *arguments, **options):
            super().submit(*arguments, **options)
            until(lambda: server.owners or not begun)
            raise KeyboardInterrupt

    with Torn(1) as executor:
        if not begun:
            ThreadPoolExecutor.submit(executor, go_on.wait, PATIENCE)
        with example["Server"](("127.0.0.1", 0), executor) as server:
            client = Client(server.server_port, keep=False)
            with pytest.raises(KeyboardInterrupt):
                server.handle_request()
        go_on.set()
        client.thread.join(PATIENCE)
    assert client.answers[0] == ("whole" if begun else "none")


# The crawler. -------------------------------------------------------------------------------------


class Site(http.server.BaseHTTPRequestHandler):
    """Page n links to 2n+1 and 2n+2, and some are not there."""

    last = 14
    slow: ClassVar[dict[int, threading.Event]] = {}  # pages that wait until their event is set
    blocked = None  # a page that is not answered until the event is set

    def do_GET(self):
        number = int(self.path.strip("/") or 0)
        if number == 9:
            self.send_error(404)
            return
        if number in self.slow:
            self.slow[number].wait(PATIENCE)
        if self.blocked is not None and number >= 3:
            self.server.reached.release()
            self.blocked.wait(PATIENCE)
        links = [f"/{2 * number + 1}", f"{2 * number + 2}#end", "http://elsewhere.invalid/", "/"]
        inside = [f'<a href="{link}">{link}</a>' for link in links if number <= (self.last - 2) / 2]
        body = f"<html>{''.join(inside)}</html>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # the crawler has gone


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.reached = threading.Semaphore(0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def url_of(site):
    return f"http://127.0.0.1:{site.server_port}/"


def test_the_crawler_fetches_all_there_is(site):
    with start_example("crawler.py", url_of(site)) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (1, "14 fetched, 1 failed, 0 left\n", "")


LEFT = "3 fetched, 0 failed, 4 left\n"  # 0, 1 and 2 are fetched, and their links known: 3 to 6


@contextlib.contextmanager
def crawling(site, monkeypatch, *options):
    """The crawler, when both of its workers wait for an answer."""
    go_on = threading.Event()
    monkeypatch.setattr(Site, "blocked", go_on)
    try:
        with start_example("crawler.py", "--workers", 2, *options, url_of(site)) as process:
            for _ in range(2):
                assert in_thread(lambda: site.reached.acquire(timeout=PATIENCE))
            yield process
    finally:
        go_on.set()


def left_in(file):
    return {int(line.rpartition("/")[2]) for line in file.read_text().splitlines()}


def status_of(process):
    return Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [[], ["--time", 1000]])
def test_ctrl_c_stops_the_crawler_and_no_page_is_lost(site, monkeypatch, tmp_path, options):
    left = tmp_path / "left"
    with crawling(site, monkeypatch, "--left", left, *options) as process:
        until_process_blocked(process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT, stderr
    assert stdout == LEFT
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert left_in(left) == {3, 4, 5, 6}


def counts_of(stdout):
    return [int(number) for number in re.findall(r"\d+", stdout)]


def test_the_crawler_ends_when_its_time_is_up(site, monkeypatch, tmp_path):
    left, go_on = tmp_path / "left", threading.Event()
    monkeypatch.setattr(Site, "blocked", go_on)  # however far it comes, it does not end by itself
    try:
        with start_example("crawler.py", "--time", 2, "--left", left, url_of(site)) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE)
    finally:
        go_on.set()
    assert (process.returncode, stderr) == (1, "")
    _, failed, pages = counts_of(stdout)
    assert failed == 0
    assert len(left_in(left)) == pages


def test_a_page_that_takes_too_long_fails_and_the_crawler_goes_on(site, monkeypatch):
    monkeypatch.setattr(Site, "slow", {4: threading.Event()})
    try:
        with start_example("crawler.py", "--patience", 4, url_of(site)) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE)
    finally:
        Site.slow[4].set()
    assert (process.returncode, stderr) == (1, "")
    fetched, failed, pages = counts_of(stdout)
    assert fetched > 0, stdout
    assert failed > 0, stdout  # on a loaded machine others may take too long, too
    assert pages == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody tells of its threads")
def test_ctrl_c_while_the_crawler_cleans_up_waits_for_its_limit(site, monkeypatch, tmp_path):
    nobody_reads = tmp_path / "left"
    os.mkfifo(nobody_reads)
    both = os.open(nobody_reads, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(both, b"x" * 4096)
    with crawling(site, monkeypatch, "--left", nobody_reads) as process:
        until_process_blocked(process)
        process.send_signal(signal.SIGINT)
        # Its threads have ended; it waits for who reads.
        until(lambda: "Threads:\t1\n" in status_of(process))
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT, stderr
    assert stdout == LEFT
    assert f"{nobody_reads} could not be written in time" in stderr
    os.close(both)

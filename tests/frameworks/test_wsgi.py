"""interruption.wsgi.RequestTimeout, by servers as processes."""

from __future__ import annotations

import http.client
import threading

import pytest
from interruption.wsgi import RequestTimeout
from pages import code_of
from servers_of_http import serving
from support import PATIENCE, until

SERVERS = {
    "gunicorn gthread": "gunicorn -k gthread --threads 4",
    "gunicorn sync": "gunicorn --workers 2",
    "waitress": "waitress --threads 4",
}
OPTIONS = {
    "gunicorn": [
        *("--bind", "unix:{socket}", "--chdir", "{folder}", "--no-control-socket"),
        *("--timeout", f"{PATIENCE:.0f}"),  # for a worker that starts, too
    ],
    "waitress": ["--unix-socket={socket}"],
}
LIMIT = 2  # longer than a request takes to come to where it hangs

PROGRAM = f"""
import os, sys, threading, time
from interruption.wsgi import RequestTimeout

never = threading.Event()

def spin():
    while True:
        pass

def parts(*those):
    try:
        for part in those:
            if callable(part):
                part()
            else:
                yield part
    finally:
        print("parts closed", flush=True)

def many_parts():
    try:
        while True:
            time.sleep(0.01)
            yield b"part"
    finally:
        print("many parts closed", flush=True)

def swallows():
    try:
        never.wait()
    except BaseException:
        pass

def goes_on():
    try:
        never.wait()
    except BaseException:
        while not os.path.exists(__file__ + ".gone"):
            time.sleep(0.01)

class Mine(Exception):
    pass

def raises_mine():
    try:
        spin()
    finally:
        raise Mine

def app(environ, start_response):
    path = environ["PATH_INFO"]
    try:
        if path == "/quick":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"quick"]
        if path == "/file":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return environ["wsgi.file_wrapper"](open(__file__, "rb"))
        if path == "/first_part":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return parts(spin, b"never")
        if path == "/second_part":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return parts(b"first", never.wait, b"never")
        if path == "/many_parts":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return many_parts()
        if path == "/parts":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return parts(b"first", b"second")
        if path in ("/swallows", "/goes_on"):
            {{"/swallows": swallows, "/goes_on": goes_on}}[path]()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"all the same"]
        {{"/wait": never.wait, "/spin": spin, "/sleep": lambda: time.sleep(3600),
          "/mine": raises_mine}}[path]()
    finally:
        print(f"cleaned up {{path}}", flush=True)  # in one piece: requests print side by side

limited = RequestTimeout(app, {LIMIT}, report_after=0.1)
patient = RequestTimeout(app, {PATIENCE})
in_time = ["/quick", "/file", "/parts"]

def app(environ, start_response):
    which = patient if environ["PATH_INFO"] in in_time else limited
    return which(environ, start_response)
"""


@pytest.fixture(scope="module", params=SERVERS)
def command(request):
    words = SERVERS[request.param].split()
    pytest.importorskip(words[0])
    return [*words, *OPTIONS[words[0]], "program:app"]


@pytest.fixture(scope="module")
def running(command, tmp_path_factory):
    with serving(command, PROGRAM, tmp_path_factory.mktemp("wsgi")) as server:
        yield server


@pytest.fixture
def server(running):
    running.begin()
    return running


def test_a_request_that_takes_too_long_is_stopped_and_answered(server):
    paths = ("/wait", "/spin", "/sleep")
    for path, (status, text) in zip(paths, server.get_all(*paths), strict=True):
        assert status == 503
        assert "has taken too long" in text
        assert f"cleaned up {path}" in server.log
    assert server.get_all(*["/quick"] * 8) == [(200, "quick")] * 8
    assert "GET /spin: stopped, for it was not done within" in server.log
    assert "in spin" in server.log
    assert "cleaned up /quick" in server.log


def test_an_answer_is_what_it_would_be(server):
    assert server.get("/parts") == (200, "firstsecond")
    server.expect("parts closed")
    assert server.get("/file") == (200, PROGRAM)
    swallowed, (status, _) = server.get_all("/swallows", "/mine")
    assert swallowed == (200, "all the same")
    assert status == 500


def test_one_that_swallows_it_is_reported_by_its_name(server):
    with server.send("/goes_on"):
        said = (
            f"GET /goes_on still runs, 0.1 s after it was asked to stop (it has a limit of {LIMIT} "
        )
        until(lambda: said in server.log)
        assert "in goes_on" in server.log
        (server.folder / "program.py.gone").touch()
        server.expect("cleaned up /goes_on")


def test_parts_of_an_answer_have_the_limit_too_and_many_have_one(server):
    with server.send("/many_parts") as many:
        status, text = server.get("/first_part")
        assert status == 503
        assert "has taken too long" in text
        server.expect("parts closed")
        try:
            _, text = server.get("/second_part")
        except (http.client.IncompleteRead, ConnectionResetError):
            pass
        else:
            assert text == "first"  # waitress says neither a length nor what is the last part
        server.expect("parts closed", 2)
        while many.recv(1000):
            pass
    server.expect("many parts closed")
    assert server.get("/quick") == (200, "quick")


def test_an_answer_is_closed():
    class Answer:
        closed = False

        def __iter__(self):
            yield b"part"

        def close(self):
            self.closed = True

    answer = Answer()
    found = RequestTimeout(lambda *_: answer, PATIENCE)({}, None)
    assert list(found) == [b"part"]
    found.close()
    assert answer.closed


def test_an_answer_that_is_refused_has_no_other_part():
    class Parts:
        def __iter__(self):
            return self

        def __next__(self):
            threading.Event().wait()

    parts = iter(RequestTimeout(lambda *_: Parts(), 0.2)({}, lambda *_: None))
    assert b"has taken too long" in next(parts)
    with pytest.raises(StopIteration):
        next(parts)


def test_of_two_the_shorter_counts():
    started = []

    def start_response(*args):
        started.append(args)

    for one, other in ((0.01, PATIENCE), (PATIENCE, 0.01)):
        inner = RequestTimeout(lambda *_: threading.Event().wait(), one)
        body = RequestTimeout(inner, other)({}, start_response)
        assert b"has taken too long" in b"".join(body)
    assert [status[:3] for status, *_ in started] == ["503", "503"]


def test_the_program_of_the_page(command, tmp_path):
    code = code_of("wsgi", {"seconds=0.5)": f"seconds={LIMIT})"})
    with serving(command, code, tmp_path) as server:
        assert server.get("/?0") == (200, "done\n")
        assert server.get("/?3600")[0] == 503
        server.expect("closed", 2)


@pytest.mark.parametrize(
    ("seconds", "error"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), (None, ValueError),
     ("1", TypeError)],
)  # fmt: skip
def test_seconds_that_are_none(seconds, error):
    with pytest.raises(error):
        RequestTimeout(lambda *_: [], seconds)


def test_an_application_that_is_none():
    with pytest.raises(TypeError, match="must be a WSGI application"):
        RequestTimeout("app", 1)

"""interruption.asgi.InterruptOnDisconnect, by servers as processes, with clients that hang up."""

from __future__ import annotations

import re
import threading

import pytest
from pages import code_of
from servers_of_http import serving
from support import PATIENCE, expect_script, until

anyio = pytest.importorskip("anyio")

from interruption.asgi import InterruptOnDisconnect  # noqa: E402

SERVERS = {
    "uvicorn": "uvicorn --uds {socket} --app-dir {folder} program:app",
    "hypercorn on trio": "hypercorn -k trio --bind unix:{socket} --error-logfile - program:app",
}

STARLETTE = """
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

async def echo(request):
    return PlainTextResponse(await request.body())

async def awaits(request):
    await wait_in_a_thread()

def swallows_endpoint(request):
    swallows()

async def looks(request):
    await look(request)

def routes():
    yield Route("/swallows", swallows_endpoint)
    yield Route("/looks", looks)
    paths = {"/sleep": sleep, "/spin": spin, "/quick": lambda: None}
    for path, body in paths.items():
        def endpoint(request, body=body, path=path):
            return PlainTextResponse(work(path, body))
        yield Route(path, endpoint)
    yield Route("/stream", lambda request: StreamingResponse(stream()))
    background = BackgroundTask(after)
    yield Route("/after", lambda request: PlainTextResponse("sent", background=background))
    yield Route("/echo", echo, methods=["POST"])
    yield Route("/awaits", awaits)

app = Starlette(routes=list(routes()))
"""

FASTAPI = """
from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask

app = FastAPI()

def dependency():
    try:
        yield
    finally:
        say("dependency closed")

@app.get("/sleep", response_class=PlainTextResponse)
def endpoint_sleep(it=Depends(dependency)):
    return work("/sleep", sleep)

@app.get("/spin", response_class=PlainTextResponse)
def endpoint_spin():
    return work("/spin", spin)

@app.get("/quick", response_class=PlainTextResponse)
def quick(it=Depends(dependency)):
    return work("/quick", lambda: None)

@app.get("/looks")
async def looks(request: Request):
    await look(request)

@app.get("/swallows")
def swallows_endpoint():
    swallows()

@app.get("/stream")
def streams():
    return StreamingResponse(stream())

@app.get("/after")
def endpoint_after():
    return PlainTextResponse("sent", background=BackgroundTask(after))

@app.post("/echo")
async def echo(request: Request):
    return PlainTextResponse(await request.body())

@app.get("/awaits")
async def awaits():
    await wait_in_a_thread()
"""

PARTS = """
import anyio, logging, os, threading, time
from starlette.concurrency import run_in_threadpool
from interruption.anyio import to_thread
from interruption.asgi import InterruptOnDisconnect

to_thread.report_after = 0.1

logging.basicConfig(level=logging.INFO)

def say(what):
    os.write(1, f"{what}\\n".encode())  # in one piece

def sleep():
    time.sleep(3600)

def spin():
    while True:
        pass

def swallows():
    try:
        say("begins /swallows")
        sleep()
    except BaseException:
        while not os.path.exists("gone"):
            time.sleep(0.01)
    say("swallowed")

def work(path, body):
    say(f"begins {path}")
    try:
        body()
        return path
    finally:
        say(f"closed {path}")

def stream():
    try:
        yield b"first"
        say("second step")
        sleep()
    finally:
        say("stream closed")

async def wait_in_a_thread():
    say("begins /awaits")
    try:
        await run_in_threadpool(sleep)
    except Exception as error:
        say(type(error).__name__)
        await run_in_threadpool(say, "cleanup in a thread")
        raise

async def look(request):
    say("begins /looks")
    while not await request.is_disconnected():
        await anyio.sleep(0.001)
    try:
        await run_in_threadpool(sleep)
    except Exception as error:
        say(f"looked: {type(error).__name__}")
        raise

def after():
    say("after begins")
    while not os.path.exists("gone"):
        time.sleep(0.01)
    say("after ends")
"""

WRAPPED = "app.add_middleware(InterruptOnDisconnect)\n"


@pytest.fixture(scope="module", params=SERVERS)
def server_command(request):
    for name in request.param.split(" on "):
        pytest.importorskip(name)
    return SERVERS[request.param].split()


@pytest.fixture(scope="module", params=["starlette", "fastapi"])
def running(request, server_command, tmp_path_factory):
    pytest.importorskip(request.param)
    source = {"starlette": STARLETTE, "fastapi": FASTAPI}[request.param]
    folder = tmp_path_factory.mktemp("asgi")
    with serving(server_command, PARTS + source + WRAPPED, folder) as server:
        server.has_dependencies = request.param == "fastapi"
        yield server


@pytest.fixture
def server(running):
    (running.folder / "gone").unlink(missing_ok=True)
    running.begin()
    return running


def test_an_endpoint_whose_client_has_left_is_stopped_and_no_other(server):
    with server.send("/sleep") as stays:
        server.expect("begins /sleep")
        for times, path in enumerate(("/spin", "/sleep", "/spin"), 1):
            begun = server.log.count(f"begins {path}")
            leaves = server.send(path)
            server.expect(f"begins {path}", begun + 1)
            leaves.close()
            server.expect(f"closed {path}", (times + 1) // 2)
        assert server.get("/quick") == (200, "/quick")
        assert server.log.count("closed /sleep") == 1
        assert stays.fileno() >= 0
    server.expect("closed /sleep", 2)
    if server.has_dependencies:
        server.expect("dependency closed", 3)
    assert "Traceback" not in server.log
    assert "GET /spin: stopped, for its client has left" in server.log


def test_a_coroutine_is_told_when_it_looks_and_what_it_calls_then_never_begins(server):
    with server.send("/looks"):
        server.expect("begins /looks")
    server.expect("looked: ClientDisconnected")


def test_one_that_swallows_it_is_reported_by_its_name(server):
    with server.send("/swallows"):
        server.expect("begins /swallows")
    said = r"_endpoint \(.*\.py:\d+\) still runs, 0.1 s after it was asked .*the client has left"
    until(lambda: re.search(said, server.log))
    until(lambda: "in swallows_endpoint" in server.log)  # FastAPI calls it by one of its own
    (server.folder / "gone").touch()
    server.expect("swallowed")


def test_a_stream_whose_client_has_left_is_stopped(server):
    with server.send("/stream"):
        server.expect("second step")
    server.expect("stream closed")


def test_what_is_done_after_the_answer_is_left_alone(server):
    with server.send("/after") as client:
        got = b""
        while b"sent" not in got:
            got += client.recv(1000)
        server.expect("after begins")
    assert server.get("/quick") == (200, "/quick")
    (server.folder / "gone").touch()
    server.expect("after ends")


def test_a_coroutine_gets_an_exception_and_its_cleanup_is_left_alone(server):
    with server.send("/awaits"):
        server.expect("begins /awaits")
    server.expect("ClientDisconnected")
    server.expect("cleanup in a thread")


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_the_body_of_a_request_arrives(server, expect):
    body = "x" * 300_000
    headers = f"Content-Length: {len(body)}\r\n{expect}"
    with server.send("/echo", method="POST", headers=headers) as client:
        if expect:
            assert b" 100 " in client.recv(1000)
        client.sendall(body.encode())
        got = b""
        while part := client.recv(100_000):
            got += part
    head, _, echoed = got.partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert echoed.count(b"x") == len(body)


def test_added_twice_and_with_a_function_of_somebody_elses_it_does_the_same():
    expect_script(
        """
        import anyio, anyio.to_thread, threading, time
        from interruption.asgi import InterruptOnDisconnect

        original, begun = anyio.to_thread.run_sync, threading.Event()

        async def theirs(function, *args, **options):
            print("theirs")
            return await original(function, *args, **options)

        def endpoint():
            try:
                begun.set()
                time.sleep(3600)
            finally:
                print("closed")

        async def receive():
            while not begun.is_set():
                await anyio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def app(scope, receive, send):
            await anyio.to_thread.run_sync(endpoint)

        async def main():
            scope = {"type": "http", "headers": [], "method": "GET", "path": "/"}
            await InterruptOnDisconnect(InterruptOnDisconnect(app))(scope, receive, None)
            await anyio.to_thread.run_sync(print, "as ever")

        anyio.to_thread.run_sync = theirs
        InterruptOnDisconnect(app)
        anyio.run(main)
        """,
        stdout="closed\ntheirs\nas ever\n",
    )


def test_the_program_of_the_page(tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with serving(SERVERS["uvicorn"].split(), code_of("asgi"), tmp_path) as server:
        assert server.get("/report?seconds=0") == (200, '{"report":"done"}')
        server.expect("closed")
        with server.send("/report?seconds=3600"):
            server.expect("begun", 2)
        server.expect("closed", 2)


def test_what_has_begun_before_the_whole_answer_was_sent_is_left_alone_then():
    begun, gate, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        done.append(gate.wait(PATIENCE))

    async def app(_, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, work)
            while not begun.is_set():
                await anyio.sleep(0.001)
            await send({"type": "http.response.body"})
            left.set()
            assert (await receive())["type"] == "http.disconnect"
            await anyio.sleep(0.05)  # it would have been stopped
            gate.set()

    async def main():
        scope = {"type": "http", "headers": []}
        await InterruptOnDisconnect(app)(scope, receive, send)

    async def receive():
        while not left.is_set():
            await anyio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(_):
        pass

    left = threading.Event()
    anyio.run(main)
    assert done == [True]


def test_a_client_that_asks_first_is_told_to_go_on_when_the_application_reads():
    read = []

    async def receive():
        read.append(1)
        return {"type": "http.disconnect"}

    async def app(_, receive, __):
        await anyio.sleep(0.01)
        assert read == []
        await receive()
        assert read == [1]

    scope = {"type": "http", "headers": [(b"expect", b"100-continue")]}
    anyio.run(InterruptOnDisconnect(app), scope, receive, None)


def test_web_sockets_are_left_alone_and_errors_are_the_applications():
    async def app(*given):
        if given[0]["type"] == "http":
            raise LookupError("its own")
        assert given == (socket, None, None)

    async def receive():
        await anyio.sleep(PATIENCE)

    socket = {"type": "websocket"}
    anyio.run(InterruptOnDisconnect(app), socket, None, None)
    with pytest.raises(LookupError, match="its own"):
        anyio.run(InterruptOnDisconnect(app), {"type": "http", "headers": []}, receive, None)


def test_an_application_that_is_none():
    with pytest.raises(TypeError, match="must be an ASGI application"):
        InterruptOnDisconnect("app")

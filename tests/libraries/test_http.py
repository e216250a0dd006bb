"""urllib3, requests and httpx, interrupted in the middle of a call in a region (S10)."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import users

urllib3 = pytest.importorskip("urllib3")
requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")

from blocking_calls.tls import CERTIFICATE  # noqa: E402
from interruption import (  # noqa: E402
    ThreadExit,
    allow_interruption,
    interrupt,
    protect,
    unprotect,
)
from support import Started, until_blocked  # noqa: E402

if TYPE_CHECKING:
    from servers import Child

SEED = 7
numbers = itertools.count()

# The socket of a connection that is not made yet, or of a handshake, is closed by nobody but the
# garbage collector, urllib3's, httpcore's and ssl's code expecting errors only. So for Ctrl-C.
closed_by_its_end = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")


class Urllib3:
    """A pool of one connection, and who wants another one waits; nothing has a timeout.

    The pool has block=False, and they wait for a place of our own:
    test_urllib3_gains_a_place_when_a_wait_for_one_ends says why.
    """

    modules = ("urllib3",)

    def __init__(self, connections: int = 1) -> None:
        self.places = threading.Semaphore(connections)
        self.manager = urllib3.PoolManager(
            maxsize=connections,
            timeout=None,
            retries=False,
            ca_certs=str(CERTIFICATE),
        )

    def get(self, url: str) -> str:
        with self.places:
            return self.manager.request("GET", url).data.decode()

    def put(self, url: str, body: bytes) -> None:
        with self.places:
            self.manager.request("PUT", url, body=body)

    def stream(self, url: str, started: Started) -> None:
        with self.places:
            response = self.manager.request("GET", url, preload_content=False)
            assert response.read(10) == b"x" * 10
            started.ready.set()
            response.read()

    def close(self) -> None:
        self.manager.clear()


class Requests:
    modules = ("urllib3", "requests")

    def __init__(self, connections: int = 1) -> None:
        self.places = threading.Semaphore(connections)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(CERTIFICATE)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, requests.adapters.HTTPAdapter(1, connections))

    def get(self, url: str) -> str:
        with self.places:
            return self.session.get(url).text

    def put(self, url: str, body: bytes) -> None:
        with self.places:
            self.session.put(url, data=body)

    def stream(self, url: str, started: Started) -> None:
        with self.places:
            for piece in self.session.get(url, stream=True).iter_content(10):
                assert piece == b"x" * 10
                started.ready.set()

    def close(self) -> None:
        self.session.close()


class Httpx:
    modules = ("httpx", "httpcore", "h11")
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))

    def __init__(self, connections: int = 1) -> None:
        self.client = httpx.Client(
            timeout=None,
            trust_env=False,
            verify=self.tls,
            limits=httpx.Limits(max_connections=connections),
        )

    def get(self, url: str) -> str:
        return self.client.get(url).text

    def put(self, url: str, body: bytes) -> None:
        self.client.put(url, content=body)

    def stream(self, url: str, started: Started) -> None:
        with self.client.stream("GET", url) as response:
            for piece in response.iter_bytes(10):
                assert piece == b"x" * 10
                started.ready.set()

    def close(self) -> None:
        self.client.close()


@pytest.fixture(params=[Urllib3, Requests, Httpx], ids=["urllib3", "requests", "httpx"])
def kind(request: pytest.FixtureRequest) -> type:
    return request.param


@pytest.fixture
def client(kind: type) -> Iterator[Any]:
    with contextlib.closing(kind()) as made:
        yield made


@pytest.fixture(params=["http", "https"])
def base(request: pytest.FixtureRequest, http: Child) -> str:
    port = http.plain if request.param == "http" else http.tls
    return f"{request.param}://localhost:{port}"


@contextlib.contextmanager
def protected(names: tuple[str, ...]) -> Iterator[None]:
    for name in names:
        protect(name, missing_ok=True)
    try:
        yield
    finally:
        for name in names:
            unprotect(name)


def in_region(call: Any) -> Started:
    """A thread that makes the call in a region, from before its first statement to the end."""

    def body(started: Started) -> Any:
        with allow_interruption:
            return call(started)

    return Started(body)


def stopped(other: Started) -> None:
    """Ask the thread, which waits and has no timeout: it ends, by ThreadExit out of the call."""
    other.until_blocked()
    assert interrupt(other.thread, reason="enough")
    with pytest.raises(ThreadExit, match="enough"):
        other.finish()


# One call, interrupted in one place. --------------------------------------------------------------


@pytest.mark.parametrize("path", ["/silent", "/half", "/chunk"])
def test_waiting_for_an_answer(client: Any, base: str, http: Child, path: str) -> None:
    """For the headers, for the rest of a body, for the next chunk. The connection is closed, the
    pool has its place back, and the next request makes a new one."""
    where = f"{path}?{next(numbers)}"

    def call(started: Started) -> None:
        started.ready.set()
        client.get(base + where)

    other = in_region(call)
    http.expect(f"asked {where}")
    stopped(other)
    http.expect(f"closed {where}")
    assert client.get(f"{base}/ok").startswith("/ok ")


@pytest.mark.parametrize("path", ["/half", "/chunk"])
def test_in_the_middle_of_a_streamed_body(client: Any, base: str, http: Child, path: str) -> None:
    where = f"{path}?{next(numbers)}"
    stopped(in_region(lambda started: client.stream(base + where, started)))
    http.expect(f"closed {where}")
    assert client.get(f"{base}/ok").startswith("/ok ")


def test_sending_a_body_that_nobody_reads(client: Any, base: str, http: Child) -> None:
    where = f"/unread?{next(numbers)}"

    def call(started: Started) -> None:
        started.ready.set()
        client.put(base + where, bytes(20_000_000))

    other = in_region(call)
    http.expect(f"asked {where}")
    stopped(other)
    http.go()
    http.expect(f"closed {where}")
    assert client.get(f"{base}/ok").startswith("/ok ")


@closed_by_its_end
def test_waiting_for_a_handshake(client: Any, base: str, http: Child) -> None:
    def call(started: Started) -> None:
        started.ready.set()
        client.get(f"https://localhost:{http.mute}/")

    other = in_region(call)
    http.expect("asked mute")
    stopped(other)
    http.expect("closed mute")
    assert client.get(f"{base}/ok").startswith("/ok ")


@closed_by_its_end
def test_connecting(client: Any) -> None:
    """Nobody accepts, and the backlog is full. Afterwards the same client gets through."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(server.getsockname())
        filling.append(one)
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"

    def call(started: Started) -> None:
        started.ready.set()
        client.get(url)

    stopped(in_region(call))
    for one in filling:
        one.close()
    other = Started(lambda _: client.get(url))
    while True:
        connection, _ = server.accept()
        with connection:
            if connection.recv(10000).startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                break
    assert other.finish() == "ok"
    server.close()


def test_waiting_for_a_connection_of_the_pool(client: Any, base: str, http: Child) -> None:
    """The one that waits leaves; the one that has the connection does not notice, and the next one
    has the same connection."""
    where = f"/gated?{next(numbers)}"
    first = Started(lambda _: client.get(base + where))
    http.expect(f"asked {where}")

    def call(started: Started) -> None:
        started.ready.set()
        client.get(f"{base}/never")

    stopped(in_region(call))
    http.go()
    target, connection = first.finish().split()
    assert target == where
    assert client.get(f"{base}/ok") == f"/ok {connection}"


def test_the_next_in_line_gets_the_connection(client: Any, base: str, http: Child) -> None:
    """Two wait for the only connection; the first of them leaves, the other is not forgotten."""
    where = f"/gated?{next(numbers)}"
    first = Started(lambda _: client.get(base + where))
    http.expect(f"asked {where}")

    def call(started: Started) -> str:
        started.ready.set()
        return client.get(f"{base}/ok")

    leaves, stays = in_region(call).until_blocked(), in_region(call).until_blocked()
    stopped(leaves)
    http.go()
    _, connection = first.finish().split()
    assert stays.finish() == f"/ok {connection}"


@pytest.mark.parametrize("by", ["interrupt", "Ctrl-C"])
def test_urllib3_gains_a_place_when_a_wait_for_one_ends(by: str, http: Child) -> None:
    """Whose wait for a connection of a pool with block=True is broken off, by whatever is no error,
    gives back a place that it did not have. Who gives back the next has one too many, and fails.
    """
    where = f"/gated?{next(numbers)}"
    with urllib3.HTTPConnectionPool("localhost", http.plain, maxsize=1, block=True) as pool:
        first = Started(lambda _: pool.request("GET", where, retries=False))
        http.expect(f"asked {where}")

        def wait(started: Started) -> None:
            started.ready.set()
            pool.request("GET", "/never", retries=False)

        if by == "interrupt":
            stopped(in_region(wait))
        else:

            def press(_: Started) -> None:
                until_blocked(threading.main_thread())
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

            pressing = Started(press)
            with pytest.raises(KeyboardInterrupt):
                pool.request("GET", "/never", retries=False)
            pressing.finish()
        http.go()
        with pytest.raises(urllib3.exceptions.FullPoolError):
            first.finish()


# Interrupted anywhere. ----------------------------------------------------------------------------


def interrupted_anywhere(clients: users.Clients, base: str) -> None:
    """Three who ask for numbers of their own."""

    def ask(client: Any) -> str:
        target = f"/ok?{next(numbers)}"
        assert client.get(base + target).split()[0] == target
        return target

    users.interrupted_anywhere(clients, ask, seed=SEED, rounds=2000, longest=0.004)


@closed_by_its_end
@pytest.mark.parametrize("kind", [Urllib3, Requests])
def test_a_pool_stays_whole_when_its_users_are_interrupted_anywhere(kind: type, base: str) -> None:
    """Seeded. Invariants: each answer is that to its question, and all connections come back.

    The library's own code is protected: it is interrupted where it waits, and only there.
    """
    with protected(kind.modules), contextlib.closing(kind(2)) as client:
        interrupted_anywhere(lambda: contextlib.nullcontext(client), base)
        meeting = threading.Barrier(2)  # as many at once as there may be connections

        def both(_: Started) -> str:
            meeting.wait()
            return client.get(f"{base}/ok")

        for one in [Started(both), Started(both)]:
            assert one.finish().startswith("/ok ")


@closed_by_its_end
def test_httpx_with_a_client_for_each_region(base: str) -> None:
    """Seeded. Not one client for all: httpcore loses the place that is given to one who is leaving,
    by its own PoolTimeout as well."""
    with protected(Httpx.modules):
        interrupted_anywhere(lambda: contextlib.closing(Httpx()), base)

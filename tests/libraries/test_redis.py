"""redis-py against a Redis of our own, interrupted in a region (S10)."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any

import pytest
import users

redis = pytest.importorskip("redis")

from interruption import (  # noqa: E402
    ThreadExit,
    allow_interruption,
    interrupt,
    protect,
    unprotect,
)
from support import Started, until  # noqa: E402

SEED = 9
keys = map("key{}".format, itertools.count())


@pytest.fixture(autouse=True)
def _protected() -> Any:
    """Its own code is interrupted where it waits, and only there."""
    protect(redis)
    yield
    unprotect(redis)


@contextlib.contextmanager
def client_of(path: str, connections: int = 1) -> Any:
    """A client whose pool has so many connections, for which others wait; nothing has a timeout."""
    pool = redis.BlockingConnectionPool(
        connection_class=redis.UnixDomainSocketConnection,
        path=path,
        max_connections=connections,
        timeout=None,
        socket_timeout=None,
        decode_responses=True,
    )
    with redis.Redis(connection_pool=pool) as client:
        yield client
    pool.disconnect()


@pytest.fixture
def client(redis_socket: str) -> Any:
    with client_of(redis_socket) as made:
        yield made


@pytest.fixture
def other_client(redis_socket: str) -> Any:
    with client_of(redis_socket) as made:
        yield made


def in_region(call: Any) -> Started:
    def body(started: Started) -> Any:
        with allow_interruption:
            started.ready.set()
            return call()

    return Started(body)


def stop(other: Started) -> None:
    assert interrupt(other.thread, reason="enough")
    with pytest.raises(ThreadExit, match="enough"):
        other.finish()


def blocked_clients(client: Any) -> int:
    return client.info("clients")["blocked_clients"]


def connected_clients(client: Any) -> int:
    return client.info("clients")["connected_clients"]


def test_blpop(client: Any, other_client: Any) -> None:
    """The server sees the connection closed, and gives what is pushed to somebody else; the pool
    has its place back, and the client connects again."""
    key = next(keys)
    other = in_region(lambda: client.blpop(key))
    until(lambda: blocked_clients(other_client) == 1)
    stop(other)
    until(lambda: blocked_clients(other_client) == 0)
    assert other_client.rpush(key, "kept") == 1
    assert client.lpop(key) == "kept"


def test_pubsub(client: Any, other_client: Any) -> None:
    """The subscription is closed, with its connection; listening again subscribes again."""
    channel = next(keys)
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(channel)
        other = in_region(lambda: list(listener.listen()))
        until(lambda: other_client.pubsub_numsub(channel) == [(channel, 1)])
        stop(other.until_blocked())
        again = Started(lambda _: next(listener.listen()))
        until(lambda: other_client.publish(channel, "late") == 1)
        assert again.finish()["data"] == "late"
    until(lambda: other_client.pubsub_numsub(channel) == [(channel, 0)])


def test_a_pipeline(client: Any, other_client: Any) -> None:
    """In the middle of the answers: what the server has done, it has done; the rest it may do."""
    key, waits = next(keys), next(keys)

    def call() -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.blpop(waits)
            pipeline.incr(key)
            pipeline.execute()

    other = in_region(call)
    until(lambda: blocked_clients(other_client) == 1)
    stop(other.until_blocked())
    until(lambda: blocked_clients(other_client) == 0)
    assert client.get(key) in {"1", "2"}
    assert client.incr(key)


def test_a_transaction_that_waits_for_its_answer(client: Any, other_client: Any) -> None:
    """MULTI and EXEC are sent at once: the server does it as a whole, or not at all."""
    first, second = next(keys), next(keys)
    other_client.client_pause(3_600_000, all=False)

    def call() -> None:
        with client.pipeline() as pipeline:
            pipeline.set(first, 1)
            pipeline.set(second, 1)
            pipeline.execute()

    try:
        other = in_region(call)
        stop(other.until_blocked())
    finally:
        other_client.client_unpause()
    assert len(set(client.mget(first, second))) == 1


def test_waiting_for_a_connection_of_the_pool(client: Any, other_client: Any) -> None:
    """Who waits leaves; who has the connection does not notice; the pool stays whole."""
    key = next(keys)
    first = Started(lambda _: client.blpop(key))
    until(lambda: blocked_clients(other_client) == 1)
    connections = connected_clients(other_client)
    stop(in_region(client.ping).until_blocked())
    other_client.rpush(key, "first")
    assert first.finish() == (key, "first") or first.returned == [key, "first"]
    assert client.ping()
    assert connected_clients(other_client) == connections


def test_a_lock(client: Any, redis_socket: str) -> None:
    """Whoever waits for a lock between processes leaves without it; its holder keeps it."""
    name = next(keys)
    with client_of(redis_socket) as second, client.lock(name):
        stop(in_region(second.lock(name).acquire).until_ready())
    assert client.lock(name, blocking=False).acquire()


def test_a_pool_stays_whole_when_its_users_are_interrupted_anywhere(redis_socket: str) -> None:
    """Seeded. Invariants: each answer is that to its question, and all connections come back."""

    def ask(client: Any) -> str:
        question = str(next(numbers))
        assert client.echo(question) == question
        return question

    numbers = itertools.count()
    with client_of(redis_socket, 2) as client:
        users.interrupted_anywhere(
            lambda: contextlib.nullcontext(client), ask, seed=SEED, rounds=3000, longest=0.003
        )
        meeting, key = threading.Barrier(2), next(keys)

        def both(_: Started) -> Any:
            meeting.wait()
            return client.incr(key)

        both_at_once = [Started(both), Started(both)]
        assert {other.finish() for other in both_at_once} == {1, 2}

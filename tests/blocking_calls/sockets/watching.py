"""The waits for many descriptors."""

from __future__ import annotations

import select
import selectors
import socket
from collections.abc import Callable
from typing import Any

from blocking_calls.base import leave_out

from .receiving import _Receives

NAN = float("nan")


class _Watches(_Receives):
    """The byte stays there; what is shown tells which end is ready."""

    def wait(self) -> Any:
        return self.call()

    def timed(self, seconds: float) -> Any:
        return self.call(seconds)


class Select(_Watches):
    def call(self, *timeout: Any) -> Any:
        return select.select([self.near], [], [self.near], *timeout)

    def shown(self, result: Any) -> Any:
        if not isinstance(result, tuple):
            return result
        return [[one is self.near for one in some] for some in result]

    def errors(self) -> list[Callable[[], Any]]:
        near = self.near
        closed = socket.socket()
        closed.close()
        return [
            select.select,
            lambda: select.select([near], []),
            lambda: select.select([near], [], [], "1"),
            lambda: select.select([near], [], [], -1),
            lambda: select.select([near], [], [], -1e-12),
            lambda: select.select([near], [], [], NAN),
            lambda: select.select([near], [], [], 0),
            lambda: select.select([near], [], [], 0.01),
            lambda: select.select([], [], [], 0.01),
            lambda: select.select(1, [], []),
            lambda: select.select([], ["1"], []),
            lambda: select.select([closed], [], []),
            lambda: select.select([-1], [], []),
            lambda: select.select([100000], [], []),
            lambda: select.select([near] * 2000, [], [], 0.01),
            lambda: select.select((one for one in [near]), {near: 1}, iter([near]), None),
            lambda: select.select([near], [near], [near], 60),
            lambda: select.select([near], [near], [], float("inf")),
            lambda: select.select([near], [near], [], 1e100),
            lambda: select.select([near], [near], [], 1 << 100),
        ]


class Poll(_Watches):
    def __init__(self) -> None:
        super().__init__()
        self.poll = select.poll()
        self.poll.register(self.near, select.POLLIN)

    shared = False  # an object waits once at a time

    def call(self, *timeout: Any) -> Any:
        return self.poll.poll(*(1000 * seconds for seconds in timeout))

    def shown(self, result: Any) -> Any:
        if not isinstance(result, list):
            return result
        return [(fd == self.near.fileno(), event) for fd, event in result]

    def errors(self) -> list[Callable[[], Any]]:
        poll = self.poll.poll

        return [
            lambda: poll("1"),
            lambda: poll(1, 2),
            lambda: poll(NAN),
            lambda: poll(0),
            lambda: poll(0.0),
            lambda: poll(1.5),
            lambda: self.poll.unregister(12345),
            lambda: self.far.send(b"x"),
            lambda: poll(1 << 40),  # some versions raise, others wait
            lambda: poll(1 << 100),
            lambda: poll(float("-inf")),
            lambda: poll(-0.5),
            lambda: poll(-1),
            lambda: poll(None),
        ]


class Epoll(_Watches):
    def __init__(self) -> None:
        super().__init__()
        self.epoll = select.epoll()
        self.epoll.register(self.near, select.EPOLLIN)

    def call(self, *timeout: Any) -> Any:
        return self.epoll.poll(*timeout)

    shown = Poll.shown

    def errors(self) -> list[Callable[[], Any]]:
        poll = self.epoll.poll
        return [
            lambda: poll("1"),
            lambda: poll(1, 2, 3),
            lambda: poll(1, 0),
            lambda: poll(1, -2),
            lambda: poll(1, "1"),
            lambda: poll(NAN),
            lambda: poll(0),
            lambda: poll(-0.0005),
            lambda: poll(0.0015),
            lambda: poll(wrong=1),
            lambda: poll(maxevents=5, timeout=0.01),
            lambda: self.far.send(b"x"),
            lambda: poll(-1),
            lambda: poll(None, 1),
            lambda: poll(maxevents=5),
            lambda: self.epoll.close(),
            lambda: poll(),
        ]

    def close(self) -> None:
        self.epoll.close()
        super().close()


class Selector(_Watches):
    def __init__(self) -> None:
        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.near, selectors.EVENT_READ)

    def call(self, *timeout: Any) -> Any:
        return self.selector.select(*timeout)

    def shown(self, result: Any) -> Any:
        if not isinstance(result, list):
            return result
        return [(key.fileobj is self.near, events) for key, events in result]

    def errors(self) -> list[Callable[[], Any]]:
        select = self.selector.select
        return [
            lambda: select("1"),
            lambda: select(NAN),
            lambda: select(0),
            lambda: select(-1),
            lambda: select(1, 2),
            lambda: self.far.send(b"x"),
            select,
        ]

    def close(self) -> None:
        self.selector.close()
        super().close()


if not hasattr(select, "epoll"):
    leave_out("Epoll")

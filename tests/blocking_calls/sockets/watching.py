"""The waits for many descriptors."""

from __future__ import annotations

import select
import selectors
from typing import Any

from blocking_calls.base import leave_out

from .receiving import _Receives


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


class Epoll(_Watches):
    def __init__(self) -> None:
        super().__init__()
        self.epoll = select.epoll()
        self.epoll.register(self.near, select.EPOLLIN)

    def call(self, *timeout: Any) -> Any:
        return self.epoll.poll(*timeout)

    shown = Poll.shown

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

    def close(self) -> None:
        self.selector.close()
        super().close()


if not hasattr(select, "epoll"):
    leave_out("Epoll")

"""What the entries share: a pair of sockets, of which one is waited at."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from blocking_calls.base import Call


class _Pair(Call):
    """``near`` is waited at."""

    forks = False  # parent and child share it
    kind: ClassVar[int] = socket.SOCK_STREAM

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, type(self).kind)

    def call(self) -> Any:
        raise NotImplementedError

    def wait(self) -> Any:
        self.near.settimeout(None)
        return self.call()

    def timed(self, seconds: float) -> Any:
        self.near.settimeout(seconds)
        return self.call()

    def close(self) -> None:
        self.near.close()
        self.far.close()

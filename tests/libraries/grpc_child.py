"""A gRPC server: "echo" answers, "wait" does not, "ticks" answers once and then waits.

It says what happens, a line an event, and ends when its standard input does.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

writing = threading.Lock()


def say(event: str) -> None:
    with writing:
        sys.stdout.write(f"{event}\n")
        sys.stdout.flush()


def until_left(name: str, context: Any) -> None:
    """Until the client has gone, whichever way."""
    left = threading.Event()
    if context.add_callback(left.set):
        say(f"asked {name}")
        left.wait()
    say(f"left {name}")


def echo(request: bytes, _: Any) -> bytes:
    return request


def wait(request: bytes, context: Any) -> bytes:
    until_left("wait", context)
    return request


def ticks(request: bytes, context: Any) -> Iterator[bytes]:
    yield request
    until_left("ticks", context)


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    handlers = {
        "echo": grpc.unary_unary_rpc_method_handler(echo),
        "wait": grpc.unary_unary_rpc_method_handler(wait),
        "ticks": grpc.unary_stream_rpc_method_handler(ticks),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say(str(port))
    sys.stdin.read()
    server.stop(None).wait()


main()

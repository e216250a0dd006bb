"""A web server with worker threads that stops on SIGTERM or Ctrl-C with no request half answered.

    python examples/web_server.py [--port N] [--workers N] [--grace SECONDS]

Serves a slow page. Each connection is a task of a ``ThreadPoolExecutor``, so it runs in a region:

- where it waits for the next request of a connection that is kept open, it may be interrupted;
- a request that has begun is in a shield, and is answered to its last byte.

On the signal, connections without a request are closed at once, no other is accepted, and requests
in flight are answered, within the time of grace. Who waits in the queue gets no answer at all, and
may ask the next server.

Exit status: that of the signal (143 for SIGTERM, as a shell has it).
"""

from __future__ import annotations

import argparse
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from interruption import ThreadPoolExecutor, defer_interruption, interrupt_on_signal

if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future

PIECE = b"some of the page\n" * 100
PIECES = 10
PAUSE = 0.03  # seconds between two pieces, for whatever is slow in a real one


class Handler(BaseHTTPRequestHandler):
    """One connection: one request after the other."""

    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds: a client that sends half a request holds nobody up for longer

    def handle_one_request(self) -> None:
        """Wait for a request, then answer it whole."""
        try:
            self.rfile.peek(1)  # type: ignore[attr-defined]  # may be interrupted
        except OSError:
            self.close_connection = True
            return
        with defer_interruption:  # what has been asked for meanwhile is raised at its end
            super().handle_one_request()

    def do_GET(self) -> None:
        """Answer, slowly."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(PIECE) * PIECES))
        self.end_headers()
        for _ in range(PIECES):
            self.wfile.write(PIECE)
            time.sleep(PAUSE)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(HTTPServer):
    """Serves each connection in a task of an executor."""

    def __init__(self, address: tuple[str, int], executor: ThreadPoolExecutor) -> None:
        """Listen there."""
        self.executor = executor
        self.owners: dict[socket.socket, str] = {}  # who serves or closes a connection
        super().__init__(address, Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Accepted: serve it in a task, and close it if that never begins.

        The signal's exception may be raised at any line here, also when the task is queued already.
        Then the base class closes the connection, unless the task has begun: see shutdown_request.
        """
        future = self.executor.submit(self.serve, request, client_address)

        def close_if_cancelled(done: Future[None]) -> None:
            if done.cancelled():
                self.shutdown_request(request)

        future.add_done_callback(close_if_cancelled)

    def serve(self, request: socket.socket, client_address: object) -> None:
        """Do so, and close it."""
        if self.owners.setdefault(request, "task") != "task":
            return  # it has been closed
        try:
            self.finish_request(request, client_address)
        finally:
            super().shutdown_request(request)
            del self.owners[request]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Close it, if no task has begun with it: that one answers what it has been asked."""
        if self.owners.setdefault(request, "nobody") == "nobody":
            super().shutdown_request(request)


def parse() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="0: any (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--grace", type=float, default=10, help="seconds (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Serve until a signal comes."""
    arguments = parse()
    interrupt_on_signal(timeout=arguments.grace)
    executor = ThreadPoolExecutor(arguments.workers, thread_name_prefix="web")
    try:
        with Server(("", arguments.port), executor) as server:
            print(f"serving at port {server.server_port}", flush=True)
            server.serve_forever()  # the signal breaks it off
    finally:
        executor.shutdown(cancel_futures=True, timeout=arguments.grace)  # tasks are interrupted


if __name__ == "__main__":
    main()

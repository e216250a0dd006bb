"""An HTTP server that answers as its client's tests need it: not at all, by half, late.

It says what happens, a line an event; "go" on its standard input lets "gated" and "unread" go on.
It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import sys
import threading

writing = threading.Lock()
gate = threading.Semaphore(0)

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n"


def say(event: str) -> None:
    with writing:
        sys.stdout.write(f"{event}\n")
        sys.stdout.flush()


class Handler(socketserver.StreamRequestHandler):
    target = "nothing"

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a reset is an end, too
            while self.one():
                pass
        say(f"closed {self.target}")

    def one(self) -> bool:
        words = self.rfile.readline().split()
        if not words:
            return False
        self.target = words[1].decode()
        while self.rfile.readline().strip():
            pass  # the headers
        say(f"asked {self.target}")
        return self.answer(self.target.partition("?")[0])

    def answer(self, what: str) -> bool:
        if what == "/half":
            self.request.sendall(HALF)
        elif what == "/chunk":
            self.request.sendall(CHUNK)
        elif what == "/unread":
            gate.acquire()
            while self.rfile.read1():
                pass
            return False
        elif what != "/silent":
            if what == "/gated":
                gate.acquire()
            body = f"{self.target} {self.client_address[1]}".encode()
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.request.sendall(body)
        return True


class Mute(socketserver.BaseRequestHandler):
    """Takes what comes, and says nothing: no handshake of TLS goes on."""

    def handle(self) -> None:
        say("asked mute")
        with contextlib.suppress(OSError):
            while self.request.recv(65536):
                pass
        say("closed mute")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 100


class TlsServer(Server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        with contextlib.suppress(OSError):  # who is interrupted does not shake hands to the end
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)  # type: ignore[arg-type]


def main() -> None:
    TlsServer.context.load_cert_chain(sys.argv[1])
    servers = [
        Server(("127.0.0.1", 0), Handler),
        TlsServer(("127.0.0.1", 0), Handler),
        Server(("127.0.0.1", 0), Mute),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    say(" ".join(str(server.server_address[1]) for server in servers))
    for _ in sys.stdin:
        gate.release()


main()

"""Programs on frameworks that handle signals in their own ways; for test_signals.py.

    signal_programs.py ROW [on_signal]

Prints "ready" when it is to be signalled, and a line from each cleanup that runs. None knows of
this library; with `on_signal`, `interrupt_on_signal` is called before all else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

TIMEOUT = 5.0  # for whoever is asked, under `run`, too

ROWS: dict[str, tuple[str, Callable[[], object]]] = {}  # what each needs, and its program


def row(name: str, needs: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def note(program: Callable[[], object]) -> Callable[[], object]:
        ROWS[name] = needs, program
        return program

    return note


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


# Event loops. -------------------------------------------------------------------------------------


async def _child() -> None:
    try:
        await asyncio.sleep(1000)
    finally:
        say("child cleaned up")


async def _main() -> None:
    try:
        await asyncio.to_thread(int)
        task = asyncio.create_task(_child())
        await asyncio.sleep(0)
        say("ready")
        await task
    finally:
        say("main cleaned up")


@row("asyncio", "asyncio")
def _() -> None:
    asyncio.run(_main())


@row("uvloop", "uvloop")
def _() -> None:
    import uvloop

    uvloop.run(_main())


@row("trio", "trio")
def _() -> None:
    import trio

    async def child() -> None:
        try:
            await trio.sleep(1000)
        finally:
            say("child cleaned up")

    async def main() -> None:
        try:
            async with trio.open_nursery() as nursery:
                await trio.to_thread.run_sync(int)
                nursery.start_soon(child)
                await trio.lowlevel.checkpoint()
                say("ready")
        finally:
            say("main cleaned up")

    trio.run(main)


def _anyio(backend: str) -> None:
    import anyio

    async def child() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            say("child cleaned up")

    async def main() -> None:
        try:
            async with anyio.create_task_group() as group:
                await anyio.to_thread.run_sync(int)
                group.start_soon(child)
                await anyio.sleep(0.01)
                say("ready")
        finally:
            say("main cleaned up")

    anyio.run(main, backend=backend)


@row("anyio on asyncio", "anyio")
def _() -> None:
    _anyio("asyncio")


@row("anyio on trio", "anyio trio")
def _() -> None:
    _anyio("trio")


@row("Twisted", "twisted")
def _() -> None:
    from twisted.internet import reactor
    from twisted.internet.threads import deferToThread

    loop: Any = reactor
    loop.addSystemEventTrigger("during", "shutdown", say, "reactor shuts down")
    loop.callWhenRunning(lambda: deferToThread(int).addCallback(lambda _: say("ready")))
    loop.run()
    say("reactor has ended")


@row("Tornado", "tornado")
def _() -> None:
    import tornado.httpserver
    import tornado.netutil
    import tornado.web

    async def main() -> None:
        server = tornado.httpserver.HTTPServer(tornado.web.Application())
        server.add_sockets(tornado.netutil.bind_sockets(0, "127.0.0.1"))
        try:
            say("ready")
            await asyncio.Event().wait()
        finally:
            server.stop()
            say("server stopped")

    asyncio.run(main())


# Servers. -----------------------------------------------------------------------------------------


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            say("lifespan ended")
            return
        say("ready")


def _wsgi(environ: Any, respond: Any) -> list[bytes]:
    raise NotImplementedError(environ, respond)


def _uvicorn(loop: str) -> None:
    import uvicorn

    uvicorn.run(_asgi, port=0, log_level="critical", lifespan="on", loop=loop)
    say("server has ended")


@row("uvicorn on asyncio", "uvicorn")
def _() -> None:
    _uvicorn("asyncio")


@row("uvicorn on uvloop", "uvicorn uvloop")
def _() -> None:
    _uvicorn("uvloop")


@row("Hypercorn", "hypercorn")
def _() -> None:
    import hypercorn.asyncio
    import hypercorn.config

    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    served: Any = hypercorn.asyncio.serve(_asgi, config)  # type: ignore[arg-type]
    asyncio.run(served)
    say("server has ended")


@row("gunicorn (gthread)", "gunicorn")
def _() -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", "127.0.0.1:0")
            self.cfg.set("worker_class", "gthread")
            self.cfg.set("threads", 2)
            self.cfg.set("loglevel", "critical")
            self.cfg.set("post_worker_init", lambda _: say("ready"))
            self.cfg.set("worker_exit", lambda _server, _worker: say("worker has ended"))
            self.cfg.set("on_exit", lambda _: say("server has ended"))

        def load(self) -> Any:
            return _wsgi

    Application().run()


@row("waitress", "waitress")
def _() -> None:
    import waitress

    def say_when_it_serves() -> None:
        ident = threading.main_thread().ident
        while not any(
            frame.f_code.co_name == "loop"
            for frame, _ in traceback.walk_stack(sys._current_frames()[ident])  # noqa: SLF001
        ):
            time.sleep(0.01)
        say("ready")

    server = waitress.create_server(_wsgi, listen="127.0.0.1:0")
    threading.Thread(target=say_when_it_serves, daemon=True).start()
    server.run()
    say("server has ended")


# Others. ------------------------------------------------------------------------------------------


@row("cysignals", "cysignals")
def _() -> None:
    import cysignals.signals  # noqa: F401  (its handler is what it is imported for)

    try:
        say("ready")
        while True:
            time.sleep(0.1)
    finally:
        say("cleaned up")


@row("IPython", "IPython")
def _() -> None:
    import IPython

    code = """
import os, time
try:
    os.write(1, b"ready\\n")
    time.sleep(1000)
finally:
    os.write(1, b"cleaned up\\n")
"""
    IPython.start_ipython(argv=["--no-banner", "--colors=NoColor", "-c", code])


def main() -> None:
    if "on_signal" in sys.argv:
        from interruption import interrupt_on_signal

        interrupt_on_signal(timeout=TIMEOUT)
    signal.alarm(60)
    ROWS[sys.argv[1]][1]()


if __name__ == "__main__":
    main()

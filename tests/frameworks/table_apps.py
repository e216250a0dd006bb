"""What the tasks of table.py do, and the apps of its workers, which are processes and import it.

Each task says in a file what becomes of it: a line an event, after the time.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from urllib.parse import parse_qs

CLEANUP = 0.3  # seconds
ONE, OTHER = socket.socketpair()  # nobody sends
TAKEN = threading.Lock()
TAKEN.acquire()


def say(path, *words):
    with open(path, "a") as file:
        file.write(" ".join(map(str, (time.monotonic(), *words))) + "\n")


def take(seconds):
    TAKEN.acquire(timeout=seconds)


def get(seconds):
    try:
        queue.Queue().get(timeout=seconds)
    except queue.Empty:
        pass


def receive(seconds):
    ONE.settimeout(seconds)
    try:
        ONE.recv(1)
    except TimeoutError:
        pass


def loop(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


# Each would last as long as it is told.
BODIES = {"sleep": time.sleep, "lock": take, "queue": get, "recv": receive, "loop": loop}
KINDS = (*BODIES, "in cleanup")


def body(kind, path, lasts, cleans=0.0):
    """A task; ``cleans``: what it is in the midst of when it is asked is cleanup, for so long."""
    try:
        if kind == "in cleanup":
            try:
                say(path, "runs")
            finally:
                say(path, "begin")
                loop(cleans)
                say(path, "cleaned")
            time.sleep(lasts)
        else:
            say(path, "begin")
            BODIES[kind](lasts)
        say(path, "ended")
    except BaseException as error:
        name = type(error).__name__
        text = str(error) if isinstance(error, Exception) else ""  # else it is a status
        why = getattr(error, "reason", None) or text.removeprefix(f"{name}()")
        say(path, "stopped", f"{name} {why}".strip().replace("\n", " "))
        raise
    finally:
        if kind != "in cleanup":
            time.sleep(CLEANUP)
            say(path, "cleaned")


def asked_for(query):
    """The same by a request of HTTP."""
    kind, path, lasts, cleans = (parse_qs(query)[each][0] for each in ("a", "b", "c", "d"))
    body(kind, path, float(lasts), float(cleans))


def starlette_app(*, ours):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def endpoint(request):
        asked_for(request.url.query)
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/", endpoint)])
    if ours:
        from interruption.asgi import InterruptOnDisconnect

        app.add_middleware(InterruptOnDisconnect)
    return app


def wsgi_app(seconds=None):
    def app(environ, start_response):
        asked_for(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    if seconds is None:
        return app
    from interruption.wsgi import RequestTimeout

    return RequestTimeout(app, seconds)


def celery_app(path, way):
    from celery import Celery

    url = f"redis+socket://{path}"
    app = Celery("table", broker=url, backend=url)
    app.conf.broker_connection_retry_on_startup = False
    if way == "ours":
        app.conf.worker_pool = "interruption.celery:TaskPool"
    app.task(name="body")(body)
    return app


def dramatiq_app(path, way):
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=f"unix://{path}", namespace=os.environ["TABLE_QUEUE"])
    try:
        from dramatiq_abort import Abortable
        from dramatiq_abort.backends.redis import RedisBackend
    except ImportError:
        pass
    else:
        broker.add_middleware(Abortable(backend=RedisBackend.from_url(f"unix://{path}")))
    if way == "ours":
        from interruption.dramatiq import Interruption

        broker.add_middleware(Interruption())
    dramatiq.set_broker(broker)
    dramatiq.actor(body, max_retries=0, notify_shutdown=True)
    return broker


def huey_app(path, way):
    from huey import RedisHuey

    app = RedisHuey(os.environ["TABLE_QUEUE"], url=f"unix://{path}")
    if way == "ours":
        from interruption.huey import interrupt_tasks

        interrupt_tasks(app)
    app.run_body = app.task(name="body")(body)
    return app


APPS = {"celery": celery_app, "dramatiq": dramatiq_app, "huey": huey_app}
if "TABLE_APP" in os.environ:
    app = APPS[os.environ["TABLE_APP"]](os.environ["TABLE_SOCKET"], os.environ["TABLE_WAY"])

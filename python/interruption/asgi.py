"""For servers of ASGI: what a sync endpoint does is stopped when its client has left."""

import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import anyio.to_thread

from .anyio import to_thread

__all__ = ["ClientDisconnected", "InterruptOnDisconnect"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Application = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_log = logging.getLogger(__name__)
_original: Any = None  # what _run_sync has taken the place of
_request: contextvars.ContextVar["_Request | None"]
_request = contextvars.ContextVar("_request", default=None)


class ClientDisconnected(Exception):  # noqa: N818  (as Starlette's ClientDisconnect)
    """Raised in the application where it awaits a sync function, when that has been stopped."""


class _Request:
    """A request that is being served; read and written in the event loop's thread only."""

    def __init__(self, receive: _Receive, send: _Send) -> None:
        self._receive = receive
        self._send = send
        self._wanted = anyio.Event()
        # As many messages are read ahead. The rest of a longer body waits for the application.
        self.put, self.get = anyio.create_memory_object_stream[_Message](4)
        self._calls: set[anyio.CancelScope] = set()
        self._left = False
        self.is_over = False  # all has been sent, or the application has been told

    async def listen(self, at_once: bool) -> None:  # noqa: FBT001
        """Pass the server's messages on, until it says that the client has left."""
        if not at_once:
            await self._wanted.wait()
        with self.put:
            while (message := await self._receive())["type"] != "http.disconnect":
                await self.put.send(message)
        self._left = True
        if not self.is_over:
            for scope in self._calls:
                scope.cancel("the client has left")

    async def receive(self) -> _Message:
        self._wanted.set()
        try:
            with contextlib.suppress(anyio.WouldBlock):
                return self.get.receive_nowait()  # who is cancelled, and only looks, gets it, too
            return await self.get.receive()
        except anyio.EndOfStream:
            return {"type": "http.disconnect"}

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.is_over = True
        await self._send(message)

    async def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with anyio.CancelScope() as scope:
            if self._left:
                scope.cancel("the client has left")
            self._calls.add(scope)
            try:
                return await to_thread.run_sync(function, *args, **options)
            finally:
                self._calls.discard(scope)
        self.is_over = True  # what else it calls is cleanup
        raise ClientDisconnected


async def _run_sync(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    request = _request.get()
    call = _original if request is None or request.is_over else request.call
    return await call(function, *args, **options)


class InterruptOnDisconnect:
    """Middleware: what the application does in threads is stopped when its client has left.

    That is what Starlette and FastAPI run by ``anyio.to_thread.run_sync``: sync endpoints, sync
    dependencies, the steps of sync generators. Making the first one replaces that function by one
    that does as ever but in requests that pass through here.

    The function raises ``ThreadExit`` where it runs or waits, and only that function (S29). When it
    has stopped, the application gets ``ClientDisconnected``, which is dropped here. What it calls
    then is cleanup, and is left alone. So is what it does when all of the response has been sent.
    """

    def __init__(self, app: _Application) -> None:
        """Wrap the application; Starlette's and FastAPI's ``add_middleware`` take the class."""
        global _original
        if not callable(app):
            raise TypeError(f"app must be an ASGI application, not {app!r}")
        self.app = app
        present: Any = anyio.to_thread.run_sync  # perhaps somebody else's, who calls the original,
        if _original in (None, present):  # or ours
            _original, anyio.to_thread.run_sync = present, _run_sync  # type: ignore[assignment]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Serve a request, as the application does."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(receive, send)
        # To read is to say "100 Continue" to a client that asks first.
        at_once = all(name != b"expect" for name, _ in scope["headers"])
        failed: Exception | None = None
        before = _request.set(request)
        try:
            with request.put, request.get:
                async with anyio.create_task_group() as group:
                    group.start_soon(request.listen, at_once)
                    try:
                        await self.app(scope, request.receive, request.send)
                    except Exception as error:  # noqa: BLE001  (raised where there is no group)
                        failed = error
                    group.cancel_scope.cancel()
            if failed is not None:
                raise failed
        except* ClientDisconnected:
            _log.info("%s %s: stopped, for its client has left", scope["method"], scope["path"])
        finally:
            _request.reset(before)
            del failed  # it has this frame

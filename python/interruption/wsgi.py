"""For servers of WSGI: a limit for the time that a request may take."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from . import ThreadExit, move_on_after
from .overdue import Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["RequestTimeout"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class RequestTimeout:
    """Middleware: a request that takes longer than that is stopped, and answered by 503.

    seconds: from the call of the application until the last part of its answer is made. The time in
    which the server sends a part counts, too, but that is not stopped.

    The application raises ``ThreadExit`` where it runs or waits, in whatever thread the server has
    it, and all its ``finally`` blocks run (S29). If it returns all the same, that is the answer. If
    a part of the answer has been sent by then, there can be no 503: ``TimeoutError`` is raised, and
    the server drops the connection. The log has where it was, as a warning; and where it is, if it
    has not stopped ``report_after`` seconds later.

    ValueError: ``seconds`` is not more than 0, ``report_after`` less. TypeError: it is no number.
    """

    def __init__(self, app: "WSGIApplication", seconds: float, report_after: float = 10.0) -> None:
        """Wrap the application."""
        if not callable(app):
            raise TypeError(f"app must be a WSGI application, not {app!r}")
        move_on_after(seconds)  # checks that it is a number
        if seconds is None or not seconds > 0:
            raise ValueError(f"seconds must be more than 0, not {seconds!r}")
        Watch(app, __name__, report_after)  # checks that, too
        self.app = app
        self.seconds = seconds
        self.report_after = report_after

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve a request, as the application does."""
        limit = _Limit(self.seconds, self.report_after, environ, start_response)
        body = limit.keep(lambda: self.app(environ, start_response))
        if body is None:
            return [limit.refuse()]
        # What is made already, and files, which servers have ways of their own to send.
        if isinstance(body, (list, tuple, environ.get("wsgi.file_wrapper", tuple))):
            return body
        return _Body(body, limit)


class _Limit:
    """The limit of one request, for all its steps."""

    def __init__(
        self, seconds: float, report_after: float, environ: Any, start_response: "StartResponse"
    ) -> None:
        self._seconds = seconds
        self._report_after = report_after
        self._until = time.monotonic() + seconds
        self._what = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
        self._start_response = start_response

    def keep(self, step: Callable[[], _Result]) -> _Result | None:
        """Call that; None: it has been stopped."""
        stopped: ThreadExit | None = None
        try:
            with Watch(self._what, __name__, self._report_after) as watch:
                watch.expect_end(f"it has a limit of {self._seconds} seconds", self._until)
                with move_on_after(max(self._until - time.monotonic(), 0)):
                    try:
                        return step()
                    except ThreadExit as request:
                        stopped = request
                        raise
            message = "%s: stopped, for it was not done within %s seconds"
            _log.warning(message, self._what, self._seconds, exc_info=stopped)
            return None
        finally:
            del stopped  # it has this frame

    def refuse(self) -> bytes:
        """Start the answer 503, and return its body; TimeoutError: another has been sent."""
        body = b"503 Service Unavailable: the request has taken too long\n"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        error = TimeoutError(f"{self._what} was not done within {self._seconds} seconds")
        no_traceback: Any = (TimeoutError, error, None)
        self._start_response("503 Service Unavailable", headers, no_traceback)
        return body


class _Body:
    """What the server iterates over, and closes."""

    def __init__(self, body: Iterable[bytes], limit: _Limit) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._limit = limit
        self._refused = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._refused:
            raise StopIteration
        part = self._limit.keep(self._step)
        if part is None:
            self._refused = True
            return self._limit.refuse()
        return part

    def _step(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        return next(self._parts)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

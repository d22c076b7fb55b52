"""The base class of handlers that are neither API nor WebSocket: errors are one line of text."""

from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError, RequestHandler

from tornado_chat.web.api.operations import allow_header


class PlainHandler(RequestHandler):
    """Answers errors as one line of plain text, and logs only errors of the server, not of requests."""

    def write_error(self, status_code: int, **kwargs: object) -> None:
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", allow_header(self))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(f"{HTTPStatus(status_code).phrase}\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        # Tornado logs a warning for each wrong request, but an operator cannot act on these.
        if not isinstance(value, HTTPError):
            super().log_exception(typ, value, tb)

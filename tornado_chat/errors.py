"""The one exception that people get to see.

A ``ChatError`` names its text in ``texts.py`` by ``code``; each edge renders it in its own way:
a frame of the dialect, a close code with a reason, or an RFC 9457 problem.
"""

from typing import Any


class ChatError(Exception):
    """Something that the other side did, or has to know.

    :arg code: the key of the text in ``texts.py``, and the machine-readable ``code`` of a problem.
    :arg detail: values for the text's placeholders.
    """

    http_status = 400
    close_code = 4400

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        detail = ", ".join(f"{k}={v}" for k, v in self.detail.items())
        return f"{self.code} ({detail})" if detail else self.code


class Malformed(ChatError):
    """The request or frame does not have the form that the protocol asks for."""


class Unauthenticated(ChatError):
    """The token is missing, invalid or expired."""

    http_status = 401
    close_code = 4401


class Forbidden(ChatError):
    """A valid token that does not open this door."""

    http_status = 403
    close_code = 4403


class NotFound(ChatError):
    http_status = 404
    close_code = 4404


class Conflict(ChatError):
    """The thing is no longer, or not yet, in a state that allows this: a finished session."""

    http_status = 409
    close_code = 4409


class TooFast(ChatError):
    http_status = 429
    close_code = 4429


class TooBig(ChatError):
    """A frame or body above the limit (RFC 6455 close code 1009)."""

    http_status = 413
    close_code = 1009


class Unavailable(ChatError):
    """The server cannot do it now, and nothing was done: overloaded, or the database is away."""

    http_status = 503
    close_code = 1013

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

    def detail_in(self, language: str) -> dict[str, Any]:
        """The values for the text in ``language`` (``zh_CN`` or ``en``)."""
        return self.detail

    @property
    def code_for_log(self) -> str:
        """``code`` alone: the details may quote what the other side said."""
        return self.code

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


class Refused(ChatError):
    """A filter does not let this pass. The texts are for the sender.

    :arg en: why, and what to do, in English.
    :arg zh_CN: the same in Chinese; the English one if it is missing.
    """

    http_status = 422

    def __init__(self, en: str, zh_CN: str | None = None) -> None:  # noqa: N803 - a locale's name
        super().__init__("refused", reason=en)
        self._reasons = {"en": en, "zh_CN": zh_CN or en}

    def detail_in(self, language: str) -> dict[str, Any]:
        return {"reason": self._reasons[language]}


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


class Restarting(Unavailable):
    """The server is about to stop; the one that follows can do it in a moment."""

    close_code = 1012

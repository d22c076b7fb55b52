"""Errors that the server reports to clients: ``ChatError`` and its subclasses.

``code`` names the text of a ``ChatError`` in ``core/texts.py``. Each interface renders the error in its own
form: an error frame of the dialect, a close code with a reason, or an RFC 9457 problem.
"""

from collections.abc import Iterable
from typing import Any, ClassVar


class ChatError(Exception):
    """An error that the client caused or has to be informed of.

    :arg code: the key of the text in ``core/texts.py``, and the machine-readable ``code`` of a problem.
    :arg detail: values for the placeholders of the text.
    """

    http_status = 400
    close_code = 4400

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail

    def detail_in(self, language: str) -> dict[str, Any]:
        """Return the values for the placeholders of the text in ``language`` (``zh_CN`` or ``en``)."""
        return self.detail

    @property
    def text_key(self) -> str:
        """The key of the text in ``core/texts.py``, for errors whose code has several texts."""
        return self.code

    @property
    def code_for_log(self) -> str:
        """``code`` without the details, because the details may quote text from the client."""
        return self.code

    def __str__(self) -> str:
        detail = ", ".join(f"{k}={v}" for k, v in self.detail.items())
        return f"{self.code} ({detail})" if detail else self.code


class Malformed(ChatError):
    """The request or frame does not have the form that the protocol requires."""


class UnknownKey(Malformed):
    """A request body has a key that the operation does not have. The code is ``unknown_key``."""

    @classmethod
    def of(cls, key: str, nearest: str | None, known: Iterable[str]) -> "UnknownKey":
        """Return the error for a key.

        :arg key: the path of the key, as in ``items[2].nmae``.
        :arg nearest: the path of the known key that resembles it most; None: no known key resembles it.
        :arg known: the known keys of the object.
        """
        return cls("unknown_key", key=key, nearest=nearest, known=", ".join(known))

    @property
    def text_key(self) -> str:
        return "misspelt_key" if self.detail.get("nearest") else self.code


class MethodNotAllowed(ChatError):
    """The resource of the HTTP API has no such method (RFC 9110, 15.5.6)."""

    http_status = 405


class Unauthenticated(ChatError):
    """The token is missing, invalid or expired."""

    http_status = 401
    close_code = 4401


class Forbidden(ChatError):
    """The token is valid, but its role or person has no right to this."""

    http_status = 403
    close_code = 4403


class Refused(ChatError):
    """A filter rejected the message or request. The texts are shown to the sender.

    :arg en: the reason and the advice, in English.
    :arg zh_CN: the same in Chinese; the English text is used if it is missing.
    """

    http_status = 422

    def __init__(self, en: str, zh_CN: str | None = None) -> None:  # noqa: N803 - a locale's name
        super().__init__("refused", reason=en)
        self._reasons = {"en": en, "zh_CN": zh_CN or en}

    def detail_in(self, language: str) -> dict[str, Any]:
        return {"reason": self._reasons[language]}


class NotFound(ChatError):
    """The session, conversation, notification or address does not exist."""

    http_status = 404
    close_code = 4404


class Conflict(ChatError):
    """The object is not in a state that allows this, as a session that has ended."""

    http_status = 409
    close_code = 4409


class _RetryLater(ChatError):
    """An error that ends after a while. The detail ``retry_after`` says when, in whole seconds, if known."""

    default_retry_seconds: ClassVar[int]

    @property
    def retry_after(self) -> int:
        """The seconds after which the client may try again: at HTTP the header ``Retry-After``."""
        return int(self.detail.get("retry_after", self.default_retry_seconds))


class TooFast(_RetryLater):
    """The client exceeds a rate limit."""

    http_status = 429
    close_code = 4429
    default_retry_seconds = 1


class TooBig(ChatError):
    """A frame or request body is larger than the limit (RFC 6455, close code 1009)."""

    http_status = 413
    close_code = 1009


class Unavailable(_RetryLater):
    """The server cannot handle this now, and nothing was done: it is overloaded or has no database."""

    http_status = 503
    close_code = 1013
    default_retry_seconds = 5


class InternalError(ChatError):
    """The server has a fault, and nothing was done: the same request would fail again."""

    http_status = 500
    close_code = 1011


class Restarting(Unavailable):
    """The server is about to stop; the process that replaces it can handle this in a moment."""

    close_code = 1012

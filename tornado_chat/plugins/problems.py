"""Answers of a plugin's request handlers for errors: ``application/problem+json`` (RFC 9457)."""

from http import HTTPStatus

import msgspec
from tornado.web import RequestHandler

from tornado_chat.core.errors import ChatError, TooFast, Unavailable
from tornado_chat.core.texts import Language, error_text
from tornado_chat.plugins.answers import HTTP_ERRORS, is_presentable


class ProblemDocument(msgspec.Struct, omit_defaults=True):
    """The body of the answer, with the keys of the server's API."""

    type: str
    title: str
    status: int
    code: str = ""
    detail: str = ""


def answer_problem(handler: RequestHandler, status: int, code: str = "", detail: str = "") -> None:
    """Finish the request with a problem. :arg code: the stable name of the error, for programs."""
    handler.set_status(status)
    if status == HTTPStatus.UNAUTHORIZED:
        handler.set_header("WWW-Authenticate", "Bearer")
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(
        msgspec.json.encode(ProblemDocument("about:blank", phrase_of(status), status, code, detail))
    )


def answer_error(handler: RequestHandler, error: ChatError, language: Language) -> None:
    """Finish the request with the problem that ``error`` describes."""
    if isinstance(error, TooFast | Unavailable):
        handler.set_header("Retry-After", str(error.retry_after))
    answer_problem(handler, error.http_status, error.code, _text(language, error))


def is_answer(error: ChatError) -> bool:
    """Return True if an error of a ``PluginHandler`` can be answered: it may have a code of its own."""
    try:
        int(getattr(error, "retry_after", 0))
        return error.http_status in HTTP_ERRORS
    except Exception:  # the plugin's class may do anything
        return False


def _text(language: Language, error: ChatError) -> str:
    """Return the text of the error's code; for a code of the plugin's own the detail ``reason``."""
    if is_presentable(error):
        return error_text(language, error)
    return str(error.detail.get("reason", ""))


def phrase_of(status: int) -> str:
    """Return the reason phrase of an HTTP status, or an empty text for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

"""The language of an answer: the one that the client prefers (RFC 9110, section 12.5.4)."""

from tornado.httputil import HTTPServerRequest

from tornado_chat.core.texts import Language, preferred_language


def choose_language(accepted: str) -> str:
    """Return ``zh-CN`` or ``en``: the preferred of these in an ``Accept-Language`` header, else ``en``."""
    return "zh-CN" if preferred_language(accepted) == "zh_CN" else "en"


def error_language(request: HTTPServerRequest) -> Language:
    """Return the language of the errors of an answer: English, or Chinese if the client prefers it."""
    return preferred_language(request.headers.get("Accept-Language", ""))

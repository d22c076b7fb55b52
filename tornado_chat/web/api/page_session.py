"""The session cookie of the server's pages, and the checks of the requests that carry it.

Strategy: the cookie must be useless to other sites. Browsers do not send it with requests that another site
causes (``SameSite=Strict``). The server also refuses requests that declare another origin, and POST requests
that an HTML form could send.
"""

import logging

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from tornado_chat.core.errors import Forbidden
from tornado_chat.observability.logs import fields
from tornado_chat.web.http.client_request import NOT_JSON, is_json
from tornado_chat.web.http.origins import is_from_own_page, refusal_fields

log = logging.getLogger(__name__)

SESSION_COOKIE = "tornado-chat-staff"
SECURE_COOKIE_PREFIX = "__Host-"
"""Browsers accept cookies with this prefix only from a secure origin, and only for exactly this host."""


def require_own_page(request: HTTPServerRequest, endpoint: str) -> None:
    """Check that a page of this server sends the request.

    :arg endpoint: for the log.
    :raises Forbidden: a page of another origin does.
    :raises Malformed: an HTML form could have sent it.
    """
    if not is_from_own_page(request):
        compared = refusal_fields(request.headers)
        log.info("refused", extra=fields(endpoint=endpoint, reason="origin", **compared))
        raise Forbidden("other_origin")
    if request.method == "POST" and not is_json(request.headers):
        raise NOT_JSON


def page_cookie(handler: RequestHandler, name: str) -> str | None:
    """Return a cookie that this server has set."""
    # A GET request has no Origin header. A browser has the prefixed cookie only from HTTPS.
    secure_cookie = handler.get_cookie(SECURE_COOKIE_PREFIX + name)
    return secure_cookie if secure_cookie or is_secure(handler.request) else handler.get_cookie(name)


def is_secure(request: HTTPServerRequest) -> bool:
    """Return True if the browser uses HTTPS, to this server or to a proxy.

    A proxy need not send ``X-Forwarded-Proto``: the Origin header states the scheme, and
    ``require_own_page`` has checked that the origin is this server's. A client that forges the header only
    gets a cookie that its own browser rejects.
    """
    return request.protocol == "https" or request.headers.get("Origin", "").startswith("https:")

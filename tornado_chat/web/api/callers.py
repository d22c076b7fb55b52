"""The identity of the caller of an HTTP request: by its token, or by a cookie that a plugin knows.

Strategy: a token proves that the caller's own program has sent the request. A cookie does not, because a
browser adds it to requests that other sites cause. So without a token there are the checks that the server's
own cookie has: the page's origin (``client_request``), and for POST a body that no form can send.
"""

from tornado.httputil import HTTPServerRequest

from tornado_chat.core.errors import Forbidden, Unauthenticated
from tornado_chat.core.types import Identity
from tornado_chat.services.container import Services
from tornado_chat.web.http.client_request import NOT_JSON, client_request, is_json
from tornado_chat.web.http.origins import AllowedOrigins


def bearer_token(request: HTTPServerRequest) -> str | None:
    """Return the token of the header ``Authorization`` (RFC 6750); None if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def identify_caller(
    request: HTTPServerRequest, services: Services, origins: AllowedOrigins
) -> Identity:
    """Return the identity of the caller.

    :raises Unauthenticated: there is no valid token, and no plugin knows the request.
    :raises Forbidden: the request has cookies and no token, and its page is of an origin that is not listed.
    :raises Malformed: a POST request without a token whose body is not JSON.
    :raises TooFast: too many requests of the network were refused.
    """
    access_control, token = services.access_control, bearer_token(request)
    if not access_control.asks_for_requests:
        return await access_control.verify(token)
    of_page = client_request(request, origins)
    if token:
        return await access_control.verify(token, of_page)
    if of_page is None and "Cookie" in request.headers:
        raise Forbidden("origin_not_listed")
    limits, address = services.client_limits, request.remote_ip or ""
    limits.require_attempt(address)
    try:
        identity = await access_control.verify(None, of_page)
    except Unauthenticated:
        limits.count_refused_attempt(address)
        raise
    if request.method == "POST" and not is_json(request.headers):
        raise NOT_JSON
    return identity

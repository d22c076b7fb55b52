"""The request of a client for the hook ``authenticate``: only of pages that may use the cookies of the host.

Strategy: a browser sends the cookies of a host with requests that any page has caused. So a plugin gets the
request only if its page may act for the person: a page of this server, or of an origin that ``[web] origins``
names; the entry ``*`` is not enough. The rule does not depend on a token: otherwise a foreign page would send
any token beside the cookies of its victim.
"""

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from tornado_chat.core.errors import Malformed
from tornado_chat.core.requests import Headers, Request
from tornado_chat.web.http.origins import AllowedOrigins, is_from_own_page

NOT_JSON = Malformed("bad_shape", reason="the Content-Type must be application/json")
"""The refusal of a POST request that an HTML form of another site could send."""


def client_request(request: HTTPServerRequest, origins: AllowedOrigins) -> Request | None:
    """Return the request for plugins; None if it comes from a page of another origin that is not listed."""
    if not is_from_own_page(request) and not origins.is_listed(request.headers.get("Origin", "")):
        return None
    return Request(
        request.path,
        method=request.method or "GET",
        query={
            name: values[-1].decode(errors="replace")
            for name, values in request.query_arguments.items()
            if values
        },
        headers=Headers(request.headers.get_all()),
        # Quoted values may hold control characters, which a plugin must not pass on in a header of its own.
        cookies={
            name: morsel.value for name, morsel in request.cookies.items() if morsel.value.isprintable()
        },
        address=request.remote_ip or "",
    )


def is_json(headers: HTTPHeaders) -> bool:
    """Return True if the body is declared as JSON, which a form of another site cannot do."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"

"""The origins (RFC 6454) whose pages may call the server."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest

MAX_LOGGED_CHARS = 200  # of a header in a log line

PORT_HINT = "the proxy must pass on the port: proxy_set_header Host $http_host"


class AllowedOrigins:
    """The origins of ``[web] origins``.

    The server's own origin need not be listed: Tornado calls ``check_origin`` only for other origins.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.reconfigure(allowed)

    def reconfigure(self, allowed: tuple[str, ...]) -> None:
        """Apply another list to new requests; open sockets are not changed."""
        self._any = "*" in allowed
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    def is_allowed(self, origin: str) -> bool:
        return self._any or origin.lower() in self._allowed

    def is_listed(self, origin: str) -> bool:
        """Return True if the origin itself is in the list; the entry ``*`` is not enough."""
        return origin.lower() in self._allowed

    def cors_headers(
        self, origin: str | None, methods: str, takes_cookies: bool
    ) -> Iterator[tuple[str, str]]:
        """Iterate over the headers that let the page of a request read the answer (Fetch standard).

        :arg origin: the request's header ``Origin``.
        :arg methods: those of the resource, with commas.
        :arg takes_cookies: a cookie of the host may sign in.
        """
        if origin is None or not self.is_allowed(origin):
            return
        yield "Access-Control-Allow-Origin", origin
        yield "Vary", "Origin"
        yield "Access-Control-Allow-Headers", "Authorization, Content-Type"
        yield "Access-Control-Allow-Methods", methods
        yield "Access-Control-Expose-Headers", "Retry-After"
        yield "Access-Control-Max-Age", "86400"
        if takes_cookies and self.is_listed(origin):
            yield "Access-Control-Allow-Credentials", "true"

    @property
    def allows_any(self) -> bool:
        return self._any

    @property
    def listed(self) -> tuple[str, ...]:
        """The origins that may embed the server's pages and pass tokens to them; empty if all are allowed."""
        return () if self._any else tuple(sorted(self._allowed))


def is_from_own_page(request: HTTPServerRequest) -> bool:
    """Return True if a request comes from a page of this server, or from no page."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site:
        return site in ("same-origin", "none")
    # Browsers omit Sec-Fetch-Site over plain HTTP; a request without both headers is not from a page.
    try:
        return not origin or urlsplit(origin).netloc == request.host.lower()
    except ValueError:  # not an origin
        return False


def refusal_fields(headers: HTTPHeaders) -> dict[str, str]:
    """Return the log fields of a request whose origin was refused: the values that were compared.

    ``origin`` is the page's. It was compared with ``host``, the header ``Host`` as the proxy has passed it
    on; ``hint`` is added if only the port differs. A browser may send its own comparison of the page with the
    address that it requested, which decides then: ``fetch_site``. (Chromium does not for a WebSocket.)
    """
    origin, host = headers.get("Origin", ""), headers.get("Host", "")
    fetch_site = headers.get("Sec-Fetch-Site")
    compared = {"host": host} if fetch_site is None else {"fetch_site": fetch_site}
    compared = {"origin": origin, **compared}
    compared = {name: value[:MAX_LOGGED_CHARS] for name, value in compared.items()}
    if fetch_site is None and _differ_only_in_port(origin, host):
        compared["hint"] = PORT_HINT
    return compared


def _differ_only_in_port(origin: str, host: str) -> bool:
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        return bool(page.hostname) and page.hostname == server.hostname and page.port != server.port
    except ValueError:  # not a host, or not a port
        return False

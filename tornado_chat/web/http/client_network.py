"""Checks whether a request comes from the operator's networks, and not through a proxy."""

import ipaddress
import re
from collections.abc import Iterator

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from tornado_chat.web.http.proxy_headers import Networks, parse_address

PROXY_HEADERS = (
    *("Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-By", "Forwarded-For"),
    *("X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"),
    *("Fastly-Client-Ip", "X-Envoy-External-Address", "Via"),
)
"""Headers that proxies add. A request with one of them has not come from its peer."""

ADDRESS_HEADERS = ("X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip")
"""Headers whose whole value is the address of the client, as the last proxy saw it."""

FORWARDED_FOR = re.compile(r'for="?\[?([^\]";, ]+)', re.IGNORECASE)
"""The client's address in the header ``Forwarded`` (RFC 7239)."""


def is_from_networks(request: HTTPServerRequest, networks: Networks) -> bool:
    """Return True if the client's address is in one of ``networks``; a Unix socket counts as 127.0.0.1.

    The address of a proxy is no client's: if a proxy has forwarded the request, but the client's address is
    unknown, or the proxy's headers contradict each other, the request is from no network. A proxy that does
    not set ``X-Forwarded-For`` passes on the client's own.
    """
    if any(name in request.headers for name in PROXY_HEADERS):
        context = getattr(request.connection, "context", None)
        if getattr(context, "is_forwarded", False) is not True:
            return False
        stated = (str(parse_address(text)) for text in _stated_addresses(request.headers))
        if any(address != request.remote_ip for address in stated):
            return False
    return ipaddress.ip_address(request.remote_ip or "") in networks


def is_direct(request: HTTPServerRequest) -> bool:
    """Return True if the peer is the client itself, and not a proxy or a page in a browser.

    Behind a proxy on this machine every client seems to be local. The browser of an operator is local, too,
    and a foreign page can use it if its host name resolves to this machine (DNS rebinding). Such requests are
    detected by the headers of proxies and pages, and by a host name in ``Host`` other than ``localhost``.
    """
    if any(name in request.headers for name in (*PROXY_HEADERS, "Origin")):
        return False
    host = request.host.rsplit(":", 1)[0].strip("[]")
    if host in ("localhost", ""):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _stated_addresses(headers: HTTPHeaders) -> Iterator[str]:
    """Yield the client addresses that headers other than ``X-Forwarded-For`` state."""
    for name in ADDRESS_HEADERS:
        yield from (text.strip() for text in headers.get_list(name))
    for text in headers.get_list("Forwarded"):
        yield from FORWARDED_FOR.findall(text.rpartition(",")[2]) or ("unknown",)

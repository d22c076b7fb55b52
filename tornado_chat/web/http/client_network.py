"""Checks whether a request comes from the operator's networks, and not through a proxy."""

import ipaddress

from tornado.httputil import HTTPServerRequest

from tornado_chat.web.http.proxy_headers import Networks

PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


def is_from_networks(request: HTTPServerRequest, networks: Networks) -> bool:
    """Return True if the client's address is in one of ``networks``; a Unix socket counts as 127.0.0.1."""
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

"""Whether a request comes from the operator's own networks."""

import ipaddress

from tornado.httputil import HTTPServerRequest

from tornado_chat.web.http.proxy_headers import Networks

PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


def is_from_networks(request: HTTPServerRequest, networks: Networks) -> bool:
    """Whether the client is in one of ``networks``; a unix socket counts as 127.0.0.1."""
    return ipaddress.ip_address(request.remote_ip or "") in networks


def is_direct(request: HTTPServerRequest) -> bool:
    """Whether nobody stands between the peer and whoever asks.

    Behind a proxy on this machine everybody seems to be local. So does, to a page whose name somebody lets point
    here (DNS rebinding), the browser of an operator; but that gives itself away by the name it asks for.
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

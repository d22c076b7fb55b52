"""The client's address and protocol behind a proxy: ``X-Forwarded-For`` and ``X-Forwarded-Proto``.

Only the headers of trusted proxies are used, since every client can send them. A trusted proxy appends the
address of its peer to the list that it received, so the list is read from its end: the last address that is
not a trusted proxy's is the client's. The addresses before it were sent by the client and may be forged.

Tornado's own ``xheaders`` trusts every peer, and ``X-Real-IP``, too.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from tornado_chat.web.http.accept_balancing import AcceptBalancer

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX_SOCKET_ADDRESS = ipaddress.ip_address("127.0.0.1")
"""The address of the peer of a Unix socket. Processes that may open the socket's file are trusted."""

UNKNOWN_ADDRESS = ipaddress.ip_address("0.0.0.0")  # noqa: S104 - in no network that a configuration lists
"""The address of a client whose address cannot be parsed."""


class Networks:
    """A list of networks, such as ``[web] ops_networks``; ``address in networks`` tests an address."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.reconfigure(networks)

    def reconfigure(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class ProxyAwareServer(HTTPServer):
    """Tornado's HTTP server with the client's ``remote_ip`` and ``protocol`` behind trusted proxies.

    :arg trusted: the networks of the proxies, ``[server] trusted_proxies``.
    """

    def initialize(self, *arguments: Any, trusted: Networks, **options: Any) -> None:  # type: ignore[override]
        super().initialize(*arguments, **options)
        self._trusted = trusted
        self._accept_balancer: AcceptBalancer | None = None
        self._open: set[object] = set()
        self._awaiting_request: set[object] = set()

    def balance_accepts(self, balancer: AcceptBalancer) -> None:
        """Use ``balancer`` for sockets that are added later and that other processes share."""
        self._accept_balancer = balancer

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        if self._accept_balancer is None:
            super().add_sockets(sockets)
            return
        for each in sockets:
            self._sockets[each.fileno()] = each
            self._handlers[each.fileno()] = self._accept_balancer.accept(each, self._handle_connection)

    @property
    def http_connection_count(self) -> int:
        """The number of open connections, without those that have become WebSockets."""
        return len(self._connections)

    async def wait_for_requests(self, timeout_seconds: float) -> None:
        """Wait until every accepted connection has sent a request, at most ``timeout_seconds``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while self._awaiting_request and loop.time() < deadline:  # noqa: ASYNC110 - a set, not an event
            await asyncio.sleep(0.01)

    def reconfigure(self, trusted: Sequence[str], max_body_size: int) -> None:
        """Apply another list of trusted proxies and another limit of bodies, in bytes."""
        self._trusted.reconfigure(trusted)
        self.conn_params.max_body_size = max_body_size

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        # Tornado calls this before reading, for the first request and for each possible later request.
        if server_conn not in self._open:
            self._open.add(server_conn)
            self._awaiting_request.add(server_conn)
        delegate = super().start_request(server_conn, request_conn)
        return _ForwardedRequest(
            delegate, request_conn, self._trusted, partial(self._awaiting_request.discard, server_conn)
        )

    def on_close(self, server_conn: object) -> None:
        self._open.discard(server_conn)
        self._awaiting_request.discard(server_conn)
        super().on_close(server_conn)


class _ForwardedRequest(HTTPMessageDelegate):
    """Passes one request on, after setting the client's address and protocol in its context.

    :arg on_request: called when the headers of the request have arrived.
    """

    def __init__(
        self,
        delegate: HTTPMessageDelegate,
        connection: HTTPConnection,
        trusted: Networks,
        on_request: Callable[[], object],
    ) -> None:
        self._delegate = delegate
        self._context: Any = getattr(connection, "context")  # noqa: B009 - HTTP1Connection's, untyped
        self._trusted = trusted
        self._on_request = on_request

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._on_request()
        context = self._context
        # Set for each request: one connection of a proxy carries the requests of many clients.
        peer = _peer(context.address)
        context.remote_ip, context.protocol = str(peer), context._orig_protocol
        if peer in self._trusted or not isinstance(context.address, tuple):
            context.remote_ip = str(client_address(peer, headers.get_list("X-Forwarded-For"), self._trusted))
            protocol = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip()
            if protocol in ("http", "https"):
                context.protocol = protocol
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


def client_address(peer: Address, forwarded: Sequence[str], trusted: Networks) -> Address:
    """Return the address of the client whose request the trusted ``peer`` forwards.

    :arg forwarded: the values of ``X-Forwarded-For``, in order.
    """
    address = peer
    for text in reversed(",".join(forwarded).split(",") if forwarded else []):
        address = _parse(text.strip())
        if address not in trusted:
            break
    return address


def _peer(address: object) -> Address:
    return _parse(address[0]) if isinstance(address, tuple) else UNIX_SOCKET_ADDRESS


@lru_cache(1024)  # behind a proxy the same few addresses repeat
def _parse(text: str) -> Address:
    """Parse an address, with or without a port, as proxies write it; else return ``UNKNOWN_ADDRESS``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN_ADDRESS
    return getattr(address, "ipv4_mapped", None) or address

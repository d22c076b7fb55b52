"""The client's address and protocol behind a proxy: ``X-Forwarded-For`` and ``X-Forwarded-Proto``.

Only the headers of trusted proxies are used, since every client can send them. A trusted proxy appends the
address of its peer to the list that it received, so the list is read from its end: the last address that is
not a trusted proxy's is the client's. The addresses before it were sent by the client and may be forged.

Tornado's own ``xheaders`` trusts every peer, and ``X-Real-IP``, too.
"""

import asyncio
import ipaddress
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

import msgspec
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from tornado_chat import config
from tornado_chat.core.errors import ChatError, TooBig, Unavailable
from tornado_chat.core.texts import Language, error_text, preferred_language
from tornado_chat.services.auth.connection_limits import RETRY_AFTER_SECONDS, AnonymousConnections
from tornado_chat.web.http.accepting import Acceptor
from tornado_chat.web.http.connection_clock import Phase
from tornado_chat.web.http.open_connections import OpenConnection, OpenConnections

log = logging.getLogger(__name__)

LOG_INTERVAL_SECONDS = 60.0  # between two lines about refused connections

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX_SOCKET_ADDRESS = ipaddress.ip_address("127.0.0.1")
"""The address of the peer of a Unix socket. Processes that may open the socket's file are trusted."""

UNKNOWN_ADDRESS = ipaddress.ip_address("0.0.0.0")  # noqa: S104 - in no network that a configuration lists
"""The address of a client whose address cannot be parsed."""

MAX_DISCARDED_BYTES = 16 * 1024 * 1024
"""Of a refused body, at most so much is read: a client that is still sending takes no answer."""


def _answer_without_handler(error: ChatError, language: Language, *headers: str) -> bytes:
    """Return an HTTP answer with ``error`` as an RFC 9457 problem, after which the connection is closed."""
    status = HTTPStatus(error.http_status)
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": error.code,
        "detail": error_text(language, error),
    }
    body = msgspec.json.encode(problem)
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *headers,
        "Content-Type: application/problem+json",
        "Cache-Control: no-store",
        "Connection: close",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


TOO_MANY_ANONYMOUS = _answer_without_handler(
    Unavailable("too_many_anonymous"), "en", f"Retry-After: {RETRY_AFTER_SECONDS}"
)
"""The answer to a client without an identity, if too many are connected; no handler is asked for it."""


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

    :ivar trusted: the networks of the proxies, ``[server] trusted_proxies``.
    :ivar max_body_bytes: requests with a larger body are refused.
    :arg own: the networks of the operator, ``[web] ops_networks``, whose connections are not limited.
    :arg anonymous: counts the connections of clients without an identity.
    :arg limits: the time limits of connections.
    :arg acceptor: accepts the connections.
    :arg on_aborted: called with the phase in which a connection has exceeded its time limit.
    :arg on_refused: called for each connection or request that was refused because of ``anonymous``.
    """

    def initialize(  # type: ignore[override]
        self,
        request_callback: HTTPServerConnectionDelegate,
        *,
        trusted: Networks,
        own: Networks,
        anonymous: AnonymousConnections,
        limits: config.Limits,
        acceptor: Acceptor,
        on_aborted: Callable[[Phase], object],
        on_refused: Callable[[], object],
    ) -> None:
        # The size of bodies is limited by ``_ForwardedRequest``: Tornado would answer 400 without a reason.
        super().initialize(request_callback, max_body_size=sys.maxsize)
        self.max_body_bytes = limits.frame_bytes
        self.trusted = trusted
        self._own = own
        self._acceptor = acceptor
        self._on_refused = on_refused
        self.open_connections = OpenConnections(anonymous, limits, on_aborted)
        self._awaiting_request: set[object] = set()
        self._refusal_logged_at: float | None = None

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for each in sockets:
            self._sockets[each.fileno()] = each
            self._handlers[each.fileno()] = self._acceptor.accept(each, self._handle_connection)
        self.open_connections.start_checking()

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

    @property
    def unsent_bytes(self) -> int:
        """The bytes of HTTP answers in this process that clients have not taken yet."""
        return sum(each.state.unsent for each in self.open_connections)

    @property
    def is_full(self) -> bool:
        """Whether new connections wait because there are no file descriptors for them."""
        return self._acceptor.is_full

    async def close_all_connections(self) -> None:
        await super().close_all_connections()
        self.open_connections.stop_checking()

    def reconfigure(self, trusted: Sequence[str], own: Sequence[str], limits: config.Limits) -> None:
        """Apply other networks and limits."""
        self.trusted.reconfigure(trusted)
        self._own.reconfigure(own)
        self.max_body_bytes = limits.frame_bytes
        self.open_connections.reconfigure(limits)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        # Tornado calls this before reading, for the first request and for each possible later request.
        connection = self.open_connections.get(server_conn)
        if connection is None:
            connection = self._begin(server_conn, request_conn)
        else:
            self._await_next_request(connection)
        delegate = super().start_request(server_conn, request_conn)
        on_request = partial(self._awaiting_request.discard, server_conn)
        return _ForwardedRequest(delegate, request_conn, connection, self, on_request)

    def on_close(self, server_conn: object) -> None:
        self.open_connections.remove(server_conn)
        self._awaiting_request.discard(server_conn)
        super().on_close(server_conn)

    def client_address(self, connection: HTTPConnection, headers: HTTPHeaders) -> Address:
        """Return the address of the client of a request."""
        peer = _peer(_context_of(connection).address)
        if not self.is_trusted(connection):
            return peer
        return client_address(peer, headers.get_list("X-Forwarded-For"), self.trusted)

    def is_trusted(self, connection: HTTPConnection) -> bool:
        """Return True if the peer is a trusted proxy, or uses the Unix socket."""
        address = _context_of(connection).address
        return not isinstance(address, tuple) or _peer(address) in self.trusted

    # --- connections without an identity ---

    def admit(self, connection: OpenConnection, address: Address, headers: HTTPHeaders) -> bool:
        """Return True if a request may be served: there is room, or it may prove an identity.

        The requests that a proxy forwards are counted one by one, since its connections are no client's. If
        the proxy does not state the client, nothing is counted: the limit would hold for the proxy.
        """
        is_stated = str(address) != connection.address
        is_counted = connection.is_own and is_stated and not self._is_own(address)
        if is_counted and not self.open_connections.count_anonymous(connection, str(address)):
            return self._refuse(connection)
        anonymous = connection.anonymous
        if anonymous is None or not anonymous.is_excess or _may_prove_identity(headers):
            return True
        return self._refuse(connection)

    def _begin(self, server_conn: object, request_conn: HTTPConnection) -> OpenConnection:
        context = _context_of(request_conn)
        peer = _peer(context.address)
        is_own = self.is_trusted(request_conn) or peer in self._own
        connection = OpenConnection(
            getattr(request_conn, "stream"),  # noqa: B009 - HTTP1Connection's, untyped
            str(peer),
            is_own,
            asyncio.get_running_loop().time(),
        )
        context.open_connection = connection
        self.open_connections.add(server_conn, connection)
        self._awaiting_request.add(server_conn)
        if not is_own and not self.open_connections.count_anonymous(connection, str(peer)):
            self._refuse(connection)
        return connection

    def _await_next_request(self, connection: OpenConnection) -> None:
        """Count the connection as anonymous again: the identity was that of the last request.

        Idle connections are closed first when there is no room, so this costs a person who is signed in
        nothing, but a single token does not suffice to hold any number of connections.
        """
        if connection.is_own:
            connection.release()
        elif connection.anonymous is None and not self.open_connections.count_anonymous(
            connection, connection.address
        ):
            connection.stream.close()
        if connection.anonymous is not None and connection.anonymous.is_excess:
            connection.stream.close()
        self.open_connections.enter(connection, Phase.IDLE)

    def _is_own(self, address: Address) -> bool:
        return address in self.trusted or address in self._own

    def _refuse(self, connection: OpenConnection) -> bool:
        self._on_refused()
        now = asyncio.get_running_loop().time()
        if self._refusal_logged_at is None or now - self._refusal_logged_at >= LOG_INTERVAL_SECONDS:
            self._refusal_logged_at = now
            log.warning(
                "connections are refused, as too many have not signed in: an attack, a proxy that does not "
                "send X-Forwarded-For, or [limits] anonymous_connections_per_address is too low"
            )
        connection.refuse(TOO_MANY_ANONYMOUS)
        return False


class _ForwardedRequest(HTTPMessageDelegate):
    """Passes one request on, after setting the client's address and protocol in its context.

    A request with a body that is too big is answered here. The rest of the body is read, as the client may
    take the answer only after it has sent all.

    :arg on_request: called when the headers of the request have arrived.
    """

    def __init__(
        self,
        delegate: HTTPMessageDelegate,
        request_conn: HTTPConnection,
        connection: OpenConnection,
        server: ProxyAwareServer,
        on_request: Callable[[], object],
    ) -> None:
        self._delegate = delegate
        self._request_conn = request_conn
        self._connection = connection
        self._server = server
        self._on_request = on_request
        self._is_refused = False
        self._language: Language = "en"
        self._received_bytes = 0

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._on_request()
        server, context = self._server, _context_of(self._request_conn)
        # Set for each request: one connection of a proxy carries the requests of many clients.
        address = server.client_address(self._request_conn, headers)
        context.remote_ip, context.protocol = str(address), context._orig_protocol
        # A client of a proxy is never this machine: a client that says so has forged the header.
        context.is_forwarded = address != _peer(context.address) and not address.is_loopback
        if server.is_trusted(self._request_conn):
            protocol = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip()
            if protocol in ("http", "https"):
                context.protocol = protocol
        if not server.admit(self._connection, address, headers):
            self._is_refused = True
            return None
        server.open_connections.enter(self._connection, Phase.BODY)
        self._language = preferred_language(headers.get("Accept-Language", ""))
        if _stated_body_bytes(headers) > server.max_body_bytes:
            headers.pop("Expect", None)  # or Tornado would send "100 (Continue)" after the answer
            self._refuse_body()
            return None
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._received_bytes += len(chunk)
        if self._is_refused:
            if self._received_bytes > MAX_DISCARDED_BYTES:
                self._connection.stream.close()
            return None
        if self._received_bytes > self._server.max_body_bytes:
            self._refuse_body()
            self._delegate.on_connection_close()
            return None
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        if self._is_refused:
            self._connection.stream.close()
        else:
            self._server.open_connections.enter(self._connection, Phase.ANSWER)
            self._delegate.finish()

    def _refuse_body(self) -> None:
        self._is_refused = True
        error = TooBig("too_big", limit=self._server.max_body_bytes)
        stream = self._connection.stream
        if not stream.closed():
            stream.write(_answer_without_handler(error, self._language))

    def on_connection_close(self) -> None:
        if not self._is_refused:
            self._delegate.on_connection_close()


def _context_of(connection: HTTPConnection) -> Any:
    return getattr(connection, "context")  # noqa: B009 - HTTP1Connection's, untyped


def _stated_body_bytes(headers: HTTPHeaders) -> int:
    """Return the number of ``Content-Length``; 0 if there is none, or no valid one, which Tornado refuses."""
    stated = headers.get("Content-Length", "").partition(",")[0].strip()
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else 0


def _may_prove_identity(headers: HTTPHeaders) -> bool:
    """Return True if a request has a token, or opens a WebSocket, which may send a token."""
    return "Authorization" in headers or headers.get("Upgrade", "").lower() == "websocket"


def client_address(peer: Address, forwarded: Sequence[str], trusted: Networks) -> Address:
    """Return the address of the client whose request the trusted ``peer`` forwards.

    :arg forwarded: the values of ``X-Forwarded-For``, in order.
    """
    address = peer
    for text in reversed(",".join(forwarded).split(",") if forwarded else []):
        address = parse_address(text.strip())
        if address not in trusted:
            break
    return address


def _peer(address: object) -> Address:
    return parse_address(address[0]) if isinstance(address, tuple) else UNIX_SOCKET_ADDRESS


@lru_cache(1024)  # behind a proxy the same few addresses repeat
def parse_address(text: str) -> Address:
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

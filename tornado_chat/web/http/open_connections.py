"""The open HTTP connections of this process: their time limits, and who may still be anonymous.

Strategy: one timer checks all connections, about once a second. An answer that the client does not take is
found by the position of the stream, whichever handler has made the answer: the API, a static page, a plugin.

Private members of Tornado in use: ``_read_buffer_size``, ``_write_buffer`` and ``_total_write_done_index`` of
``IOStream``, to see the progress of a connection.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator

from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream

from tornado_chat.observability.logs import fields
from tornado_chat.services.auth.connection_limits import AnonymousConnection, AnonymousConnections
from tornado_chat.web.http.connection_clock import (
    ConnectionClock,
    Phase,
    StreamState,
    TimeLimits,
    check_interval_seconds,
)

log = logging.getLogger(__name__)

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``struct linger`` (socket(7)): close at once, and drop what the kernel has not sent yet."""

MAX_DRAINED_BYTES = 65536


class OpenConnection:
    """One HTTP connection.

    :ivar address: of the peer.
    :ivar anonymous: counts the connection, or the present request of a proxy's connection, until the request
        has proved an identity; None: it is not counted.
    :ivar is_own: the peer is a proxy or in a network of the operator: only requests are counted.
    """

    __slots__ = ("address", "anonymous", "clock", "is_own", "stream")

    def __init__(self, stream: IOStream, address: str, is_own: bool, now: float) -> None:
        self.stream = stream
        self.address = address
        self.is_own = is_own
        self.clock = ConnectionClock(now)
        self.anonymous: AnonymousConnection | None = None

    @property
    def state(self) -> StreamState:
        stream = self.stream
        if stream.closed():
            return StreamState(0, 0, 0)
        return StreamState(
            stream._read_buffer_size, len(stream._write_buffer), stream._total_write_done_index
        )

    def release(self) -> None:
        if self.anonymous is not None:
            self.anonymous.release()
            self.anonymous = None

    def hand_over(self) -> AnonymousConnection | None:
        """Return ``anonymous`` to the WebSocket that the connection becomes, which releases it."""
        anonymous, self.anonymous = self.anonymous, None
        return anonymous

    def refuse(self, answer: bytes) -> None:
        """Send ``answer`` without a handler, and close the connection."""
        stream = self.stream
        if stream.closed():
            return
        with contextlib.suppress(OSError):
            # The kernel would reset a socket that is closed with unread bytes, and drop the answer.
            stream.socket.recv(MAX_DRAINED_BYTES)
        stream.write(answer)
        stream.close()


def abort(stream: IOStream) -> None:
    """Close ``stream`` with a reset, so that the peer does not take what it got for the whole answer."""
    if not stream.closed():
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        stream.close()


def connection_of(request: HTTPServerRequest) -> OpenConnection | None:
    """Return the connection of ``request``, None if the request did not come through ``ProxyAwareServer``."""
    found: OpenConnection | None = getattr(
        getattr(request.connection, "context", None), "open_connection", None
    )
    return found


class OpenConnections:
    """All HTTP connections of this process, without those that have become WebSockets.

    :arg on_aborted: called with the phase of each connection that has exceeded a time limit.
    """

    def __init__(
        self,
        anonymous: AnonymousConnections,
        limits: TimeLimits,
        on_aborted: Callable[[Phase], object],
    ) -> None:
        self._anonymous = anonymous
        self._limits = limits
        self._on_aborted = on_aborted
        self._connections: dict[object, OpenConnection] = {}
        self._idle: OrderedDict[OpenConnection, None] = OrderedDict()  # the longest idle first
        self._idle_by_network: dict[str, OrderedDict[OpenConnection, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[OpenConnection]:
        return iter(self._connections.values())

    def reconfigure(self, limits: TimeLimits) -> None:
        self._limits = limits

    def get(self, key: object) -> OpenConnection | None:
        return self._connections.get(key)

    def add(self, key: object, connection: OpenConnection) -> None:
        self._connections[key] = connection

    def remove(self, key: object) -> None:
        connection = self._connections.pop(key, None)
        if connection is not None:
            self._leave_idle(connection)
            connection.release()

    # --- anonymous connections ---

    def count_anonymous(self, connection: OpenConnection, address: str) -> bool:
        """Count ``connection`` as anonymous. Return False if it has to be refused unread.

        If there is no room, the connection of the same network that has been idle for longest is closed: to
        close an idle connection costs a client nothing, as HTTP clients connect again.
        """
        network = self._anonymous.network_of(address)
        if self._anonymous.is_full(network):
            self._close_longest_idle(network)
        connection.anonymous = self._anonymous.open(address)
        return connection.anonymous is not None

    def enter(self, connection: OpenConnection, phase: Phase) -> None:
        """Note that ``connection`` is in another phase."""
        connection.clock.enter(phase, asyncio.get_running_loop().time())
        self._leave_idle(connection)
        if phase is Phase.IDLE and connection.anonymous is not None:
            self._idle[connection] = None
            self._idle_by_network.setdefault(connection.anonymous.network, OrderedDict())[connection] = None

    def _close_longest_idle(self, network: str) -> None:
        of_network = self._idle_by_network.get(network)
        candidates = of_network if self._anonymous.is_network_full(network) else self._idle
        while candidates:
            connection = next(iter(candidates))
            self._leave_idle(connection)
            if not connection.state.unread:
                connection.release()
                connection.stream.close()
                return

    def _leave_idle(self, connection: OpenConnection) -> None:
        if connection not in self._idle:
            return
        del self._idle[connection]
        assert connection.anonymous is not None, "a connection is released after it has left the idle ones"
        of_network = self._idle_by_network[connection.anonymous.network]
        del of_network[connection]
        if not of_network:
            del self._idle_by_network[connection.anonymous.network]

    # --- time limits ---

    def start_checking(self) -> None:
        self.stop_checking()
        self._timer = asyncio.get_running_loop().call_later(
            check_interval_seconds(self._limits), self._check_and_go_on
        )

    def stop_checking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self, now: float) -> None:
        """Abort the connections that exceed a time limit."""
        for connection in list(self._connections.values()):
            phase = connection.clock.exceeded(connection.state, now, self._limits)
            if phase is not None and not connection.stream.closed():
                log.debug(
                    "an HTTP connection has exceeded a time limit", extra=fields(waited_for=phase.value)
                )
                self._on_aborted(phase)
                if phase is Phase.ANSWER:
                    abort(connection.stream)
                else:
                    connection.stream.close()

    def _check_and_go_on(self) -> None:
        try:
            self.check(asyncio.get_running_loop().time())
        finally:
            self.start_checking()

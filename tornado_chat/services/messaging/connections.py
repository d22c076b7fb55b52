"""The open sockets of this process: limits per person, the tokens behind them, and closing all at the end."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Protocol

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.chunks import chunks
from tornado_chat.aio.clock import now_seconds
from tornado_chat.cluster.bus import Bus
from tornado_chat.core.close_codes import RESTARTING, SIGNED_OUT, CloseReason
from tornado_chat.core.errors import Forbidden, Restarting, TooFast
from tornado_chat.core.requests import Request
from tornado_chat.core.types import Grant, Person
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import Encoder, SocketStream, Transport
from tornado_chat.domain.throttle import TokenBucket
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.plugins.manager import PluginManager

__all__ = ["Connections", "Encoder", "SocketStream", "TokenBucket"]
# The web layer imports the last three from here: it may import neither delivery nor domain.

ACCOUNT_SESSION_CLAIM = "tornado_chat_session"
"""The claim of a token for one of the server's own accounts that names its session."""

DRAIN_INTERVAL_SECONDS = 0.01  # seconds between two groups of sockets that are closed


class ClientSocket(Transport, Protocol):
    """The socket of one client."""

    @property
    def is_engaged(self) -> bool:
        """True if the client takes part in an unfinished conversation, or waits in the queue."""
        ...


class SocketGrant:
    """What the token of an open socket has granted, without the identity.

    :ivar client: the socket.
    :ivar expires: as in ``Grant``, like ``issued`` and ``key``.
    :ivar opened: the time at which the socket was opened, in seconds since 1970.
    :ivar engaged: the last time after ``expires`` at which the client was found engaged; 0 before that.
    :ivar session: the account session of the token, if the server has issued it.
    :ivar request: the handshake by which a plugin knows the client; None: the client has a token.
    :ivar ask_again: the earliest time at which plugins are asked about ``request`` again.
    """

    __slots__ = (
        *("client", "ask_again", "engaged", "expires", "issued", "key", "opened", "request"),
        "session",
    )

    def __init__(
        self, client: ClientSocket, grant: Grant, opened: float, request: Request | None = None
    ) -> None:
        self.client = client
        self.opened = opened
        self.engaged = 0.0
        self.replace(grant, request)

    def replace(self, grant: Grant, request: Request | None) -> None:
        """Take over the grant of a newer token, or a newer grant of the request."""
        self.expires, self.issued, self.key = grant.expires, grant.issued, grant.key
        self.request, self.ask_again = request, grant.expires
        session = grant.identity.claims.get(ACCOUNT_SESSION_CLAIM)
        self.session = None if session is None else str(session)

    @property
    def is_engaged(self) -> bool:
        """As ``ClientSocket.is_engaged``."""
        return self.client.is_engaged


class Connections:
    """Opens and closes the outgoing sides of sockets.

    :arg bus: given if there are other processes; this process subscribes to each person with a socket here.
    :arg clock: seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        hub: Hub,
        per_identity: int,
        plugins: PluginManager,
        loop: asyncio.AbstractEventLoop,
        bus: Bus | None = None,
        clock: Callable[[], float] = now_seconds,
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._tasks = BackgroundTasks(loop)
        self._plugins = plugins
        self._per_identity = per_identity
        self._draining = False
        self._clock = clock
        self._grants: dict[SocketStream, SocketGrant] = {}

    def reconfigure(self, per_identity: int) -> None:
        """Use another limit for sockets that open from now on."""
        self._per_identity = per_identity

    def __len__(self) -> int:
        return len(self._hub)

    @property
    def draining(self) -> bool:
        return self._draining

    def open(
        self,
        grant: Grant,
        client: ClientSocket,
        encoder: Encoder,
        meter: EndpointMeter,
        conn: str,
        request: Request | None = None,
    ) -> SocketStream:
        """Open the outgoing side of a new socket.

        :arg grant: of the token of the socket.
        :arg meter: counts the items that are delivered to the socket.
        :arg conn: the name of the socket in the log.
        :arg request: as in ``SocketGrant``.
        :raises TooFast: the person has too many open sockets.
        :raises Restarting: the server is about to stop.
        """
        if self._draining:
            raise Restarting("restarting")
        person = grant.identity.person
        others = len(self._hub.of_person(person))
        if others >= self._per_identity:
            raise TooFast("too_many_connections", limit=self._per_identity)
        if not others:
            self._emit_presence(person, online=True)
        socket_stream = self._hub.open(person, client, encoder, meter, conn)
        self._grants[socket_stream] = SocketGrant(client, grant, self._clock(), request)
        return socket_stream

    def renew(self, socket_stream: SocketStream, grant: Grant, request: Request | None = None) -> None:
        """Replace the grant of an open socket by that of a newer token, or by a newer one of its request.

        :arg request: as in ``SocketGrant``.
        :raises Forbidden: the token is of another person or role.
        """
        if grant.identity.person != socket_stream.person:
            raise Forbidden("other_person")
        open_grant = self._grants.get(socket_stream)
        if open_grant is not None:  # else it has closed while the token was checked
            open_grant.replace(grant, request)

    def close(self, socket_stream: SocketStream) -> None:
        """Forget a socket that has closed."""
        self._hub.discard(socket_stream)
        self._grants.pop(socket_stream, None)
        if not self._hub.of_person(socket_stream.person):
            self._emit_presence(socket_stream.person, online=False)

    def forget(self, socket_stream: SocketStream) -> None:
        """Forget a socket that another process has taken over; its person stays online."""
        self._hub.discard(socket_stream)
        self._grants.pop(socket_stream, None)

    def _emit_presence(self, person: Person, *, online: bool) -> None:
        if self._bus is None:
            self._plugins.emit("presence_changed", person=person, online=online)
            return
        if not online:
            self._bus.unsubscribe(person)
        self._tasks.spawn(self._emit_if_changed(self._bus, person, online))

    async def _emit_if_changed(self, bus: Bus, person: Person, online: bool) -> None:
        if online:
            if not self._hub.of_person(person):  # closed already: there would be no unsubscribe any more
                return
            await bus.subscribe(person)
        if not await bus.has_remote_subscriber(person):
            self._plugins.emit("presence_changed", person=person, online=online)

    def sessions(self) -> set[str]:
        """Return the sessions of the server's own accounts that have open sockets."""
        return {grant.session for grant in self._grants.values() if grant.session is not None}

    def close_session(self, session: str) -> None:
        """Close the sockets of an account session that has ended."""
        self.close_where(SIGNED_OUT, lambda grant: grant.session == session)

    @property
    def grants(self) -> Mapping[SocketStream, SocketGrant]:
        """The grants of all open sockets."""
        return self._grants

    def close_where(
        self, reason: CloseReason, condition: Callable[[SocketGrant], bool], person: Person | None = None
    ) -> None:
        """Close the sockets whose grant fulfils ``condition``.

        :arg person: only sockets of this person; None: of all persons.
        """
        streams = list(self._grants) if person is None else self._hub.of_person(person)
        for socket_stream in streams:
            grant = self._grants.get(socket_stream)
            if grant is not None and not socket_stream.closed and condition(grant):
                socket_stream.close(*reason)

    def stop_opening(self) -> None:
        self._draining = True

    async def drain(self, seconds: float, reason: CloseReason = RESTARTING) -> None:
        """Close all sockets for ``reason``, spread over ``seconds``, as all clients will reconnect."""
        streams = list(self._hub)
        size = math.ceil(len(streams) / max(1, int(seconds / DRAIN_INTERVAL_SECONDS))) or 1
        for chunk in chunks(streams, size):
            for socket_stream in chunk:
                socket_stream.close(*reason)
            await asyncio.sleep(DRAIN_INTERVAL_SECONDS)

"""The open sockets of this process: limits per person, account sessions, and closing all at the end."""

import asyncio
import math

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.chunks import chunks
from tornado_chat.cluster.bus import Bus
from tornado_chat.core.close_codes import RESTARTING, SIGNED_OUT, CloseReason
from tornado_chat.core.errors import Restarting, TooFast
from tornado_chat.core.types import Identity, Person
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


class Connections:
    """Opens and closes the outgoing sides of sockets.

    :arg bus: given if there are other processes; this process subscribes to each person with a socket here.
    """

    def __init__(
        self,
        hub: Hub,
        per_identity: int,
        plugins: PluginManager,
        loop: asyncio.AbstractEventLoop,
        bus: Bus | None = None,
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._tasks = BackgroundTasks(loop)
        self._plugins = plugins
        self._per_identity = per_identity
        self._draining = False
        self._sessions: dict[SocketStream, str] = {}

    def reconfigure(self, per_identity: int) -> None:
        """Use another limit for sockets that open from now on."""
        self._per_identity = per_identity

    def __len__(self) -> int:
        return len(self._hub)

    @property
    def draining(self) -> bool:
        return self._draining

    def open(
        self, identity: Identity, transport: Transport, encoder: Encoder, meter: EndpointMeter, conn: str
    ) -> SocketStream:
        """Open the outgoing side of a new socket.

        :arg meter: counts the items that are delivered to the socket.
        :arg conn: the name of the socket in the log.
        :raises TooFast: the person has too many open sockets.
        :raises Restarting: the server is about to stop.
        """
        if self._draining:
            raise Restarting("restarting")
        others = len(self._hub.of_person(identity.person))
        if others >= self._per_identity:
            raise TooFast("too_many_connections", limit=self._per_identity)
        if not others:
            self._emit_presence(identity.person, online=True)
        socket_stream = self._hub.open(identity.person, transport, encoder, meter, conn)
        session = identity.claims.get(ACCOUNT_SESSION_CLAIM)
        if session is not None:
            self._sessions[socket_stream] = str(session)
        return socket_stream

    def close(self, socket_stream: SocketStream) -> None:
        """Forget a socket that has closed."""
        self._hub.discard(socket_stream)
        self._sessions.pop(socket_stream, None)
        if not self._hub.of_person(socket_stream.person):
            self._emit_presence(socket_stream.person, online=False)

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
        return set(self._sessions.values())

    def close_session(self, session: str) -> None:
        """Close the sockets of an account session that has ended."""
        for socket_stream in [stream for stream, each in self._sessions.items() if each == session]:
            socket_stream.close(*SIGNED_OUT)

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

"""Sockets as such: how many a person may have, and closing them all at the end."""

import asyncio
import math

from tornado_chat.aio.background import Tasks
from tornado_chat.aio.chunks import portions
from tornado_chat.cluster.bus import Bus
from tornado_chat.core.close_codes import RESTARTING, SIGNED_OUT
from tornado_chat.core.errors import Restarting, TooFast
from tornado_chat.core.types import Identity, Person
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import Encoder, Outbox, Transport
from tornado_chat.domain.throttle import TokenBucket
from tornado_chat.observability.metrics import Tally
from tornado_chat.plugins.manager import Plugins

__all__ = ["Connections", "Encoder", "Outbox", "TokenBucket"]
# The web takes the last three from here: it imports neither delivery nor domain.

ACCOUNT_SESSION = "tornado_chat_session"
"""The claim of a token for one of the server's own accounts that names its session."""

TICK = 0.01  # seconds between two groups of sockets that are closed


class Connections:
    """Opens and closes the outgoing sides of sockets.

    :arg bus: if there are other processes: it is tuned in to everybody who has a socket here.
    """

    def __init__(
        self,
        hub: Hub,
        per_identity: int,
        plugins: Plugins,
        loop: asyncio.AbstractEventLoop,
        bus: Bus | None = None,
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._tasks = Tasks(loop)
        self._plugins = plugins
        self._per_identity = per_identity
        self._draining = False
        self._sessions: dict[Outbox, str] = {}

    def reconfigure(self, per_identity: int) -> None:
        """Another limit for sockets that open from now on."""
        self._per_identity = per_identity

    def __len__(self) -> int:
        return len(self._hub)

    @property
    def draining(self) -> bool:
        return self._draining

    def open(
        self, identity: Identity, transport: Transport, encoder: Encoder, tally: Tally, conn: str
    ) -> Outbox:
        """The outgoing side of a new socket.

        :arg tally: counts what is delivered to it.
        :arg conn: what the socket is called in the log.
        :raises TooFast: the person has too many open.
        :raises Restarting: the server is about to stop.
        """
        if self._draining:
            raise Restarting("restarting")
        others = len(self._hub.of_person(identity.person))
        if others >= self._per_identity:
            raise TooFast("too_many_connections", limit=self._per_identity)
        if not others:
            self._tell_presence(identity.person, online=True)
        outbox = self._hub.open(identity.person, transport, encoder, tally, conn)
        session = identity.claims.get(ACCOUNT_SESSION)
        if session is not None:
            self._sessions[outbox] = str(session)
        return outbox

    def close(self, outbox: Outbox) -> None:
        """The socket is gone."""
        self._hub.discard(outbox)
        self._sessions.pop(outbox, None)
        if not self._hub.of_person(outbox.person):
            self._tell_presence(outbox.person, online=False)

    def _tell_presence(self, person: Person, *, online: bool) -> None:
        if self._bus is None:
            self._plugins.emit("presence_changed", person=person, online=online)
            return
        if not online:
            self._bus.tune_out(person)
        self._tasks.spawn(self._tell_if_news(self._bus, person, online))

    async def _tell_if_news(self, bus: Bus, person: Person, online: bool) -> None:
        if online:
            if not self._hub.of_person(person):  # gone already: nobody would tune out any more
                return
            await bus.tune_in(person)
        if not await bus.elsewhere(person):
            self._plugins.emit("presence_changed", person=person, online=online)

    def sessions(self) -> set[str]:
        """The sessions of our own accounts that have sockets open."""
        return set(self._sessions.values())

    def close_session(self, session: str) -> None:
        """Close the sockets of an account that is not signed in any more."""
        for outbox in [outbox for outbox, its in self._sessions.items() if its == session]:
            outbox.close(*SIGNED_OUT)

    def stop_opening(self) -> None:
        self._draining = True

    async def drain(self, seconds: float) -> None:
        """Close every socket with 1012, spread over ``seconds`` so that they do not all return at once."""
        outboxes = list(self._hub)
        size = math.ceil(len(outboxes) / max(1, int(seconds / TICK))) or 1
        for some in portions(outboxes, size):
            for outbox in some:
                outbox.close(*RESTARTING)
            await asyncio.sleep(TICK)

"""Sockets as such: how many a person may have, and closing them all at the end."""

import asyncio
import math

from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.outbox import Encoder, Outbox, Transport
from tornado_chat.errors import Restarting, TooFast
from tornado_chat.plugins.calling import Plugins
from tornado_chat.types import Identity

__all__ = ["Connections", "Encoder", "Outbox"]  # the web names these two, and knows no delivery

RESTARTING = 1012
TICK = 0.01  # seconds between two groups of sockets that are closed


class Connections:
    """Opens and closes the outgoing sides of sockets."""

    def __init__(self, hub: Hub, per_identity: int, plugins: Plugins) -> None:
        self._hub = hub
        self._plugins = plugins
        self._per_identity = per_identity
        self._draining = False

    def reconfigure(self, per_identity: int) -> None:
        """Another limit for sockets that open from now on."""
        self._per_identity = per_identity

    def __len__(self) -> int:
        return len(self._hub)

    @property
    def draining(self) -> bool:
        return self._draining

    def open(self, identity: Identity, transport: Transport, encoder: Encoder) -> Outbox:
        """The outgoing side of a new socket.

        :raises TooFast: the person has too many open.
        :raises Restarting: the server is about to stop.
        """
        if self._draining:
            raise Restarting("restarting")
        others = len(self._hub.of_person(identity.person))
        if others >= self._per_identity:
            raise TooFast("too_many_connections", limit=self._per_identity)
        if not others:
            self._plugins.emit("presence_changed", person=identity.person, online=True)
        return self._hub.open(identity.person, transport, encoder)

    def close(self, outbox: Outbox) -> None:
        """The socket is gone."""
        self._hub.discard(outbox)
        if not self._hub.of_person(outbox.person):
            self._plugins.emit("presence_changed", person=outbox.person, online=False)

    def stop_opening(self) -> None:
        self._draining = True

    async def drain(self, seconds: float) -> None:
        """Close every socket with 1012, spread over ``seconds`` so that they do not all return at once."""
        outboxes = list(self._hub)
        size = math.ceil(len(outboxes) / max(1, int(seconds / TICK))) or 1
        for start in range(0, len(outboxes), size):
            for outbox in outboxes[start : start + size]:
                outbox.close(RESTARTING, "restarting: reconnect now")
            await asyncio.sleep(TICK)

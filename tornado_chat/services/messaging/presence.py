"""Who is there: of people, not of sockets.

Who has a socket is tuned in to: its process to the person, and to what the socket follows. So the bus knows
whether somebody is in another process, without anybody keeping a list that a killed process would leave wrong.
"""

from tornado_chat.cluster.bus import Bus
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.hub import Hub


class PresenceLookup:
    """Who has a socket open, in any process."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._hub = hub
        self._bus = bus

    async def online(self, person: Person) -> bool:
        """Whether somebody has a socket of any kind open."""
        return bool(self._hub.of_person(person)) or await self._bus.has_remote_subscriber(person)

    async def can_be_notified(self, inbox: Thread) -> bool:
        """Whether the owner of an inbox has a ``/notify`` socket open."""
        return self._hub.is_followed(inbox) or await self._bus.has_remote_subscriber(inbox)

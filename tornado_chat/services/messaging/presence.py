"""Presence of people in all processes.

A process with a socket of a person subscribes to the person, and to the threads that the socket follows. So
the bus knows whether a person is connected to another process. A separate list would be wrong after a process
is killed.
"""

from tornado_chat.cluster.bus import Bus
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.hub import Hub


class PresenceLookup:
    """Looks up people's sockets in all processes."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._hub = hub
        self._bus = bus

    async def online(self, person: Person) -> bool:
        """Return True if the person has an open socket of any kind."""
        return bool(self._hub.of_person(person)) or await self._bus.has_remote_subscriber(person)

    async def can_be_notified(self, inbox: Thread) -> bool:
        """Return True if the owner of an inbox has an open ``/notify`` socket."""
        return self._hub.is_followed(inbox) or await self._bus.has_remote_subscriber(inbox)

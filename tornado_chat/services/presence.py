"""Who is there: of people, not of sockets."""

from tornado_chat.delivery.hub import Hub
from tornado_chat.types import Person, Thread


class Presence:
    """Who has a socket open."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def online(self, person: Person) -> bool:
        """Whether somebody has a socket of any kind open."""
        return bool(self._hub.of_person(person))

    def can_be_notified(self, inbox: Thread) -> bool:
        """Whether the owner of an inbox has a ``/notify`` socket open."""
        return self._hub.is_followed(inbox)

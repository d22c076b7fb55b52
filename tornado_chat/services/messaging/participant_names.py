"""The names of the participants of those conversations whose clients show the senders of messages."""

from collections.abc import Mapping

import peewee as pw

from tornado_chat.core.events import (
    AgentReplaced,
    ConversationAssigned,
    Event,
    ParticipantNamed,
    ParticipationChanged,
)
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import participants


class ParticipantNames:
    """The names by conversation, from the first socket here that needs them until none follows it."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._names: dict[Thread, dict[Person, str | None]] = {}

    def name_of(self, thread: Thread, person: Person) -> str | None:
        """Return the name of a participant; None if it has none, or the names are not loaded."""
        names = self._names.get(thread)
        return None if names is None else names.get(person)

    async def load(self, socket_stream: SocketStream, thread: Thread) -> None:
        """Load the names before a socket follows the thread.

        :raises Unavailable: the database is away.
        """
        names = self._names.setdefault(thread, {})
        before = dict(names)
        stored = await self._store.look_up(stored_names, thread)
        for person, name in stored.items():
            if names.get(person) == before.get(person):  # else an event has named the person meanwhile
                names[person] = name
        if socket_stream.closed and not self._hub.is_followed(thread):
            self.forget(thread)

    def has(self, thread: Thread) -> bool:
        """Return True if names of the thread are loaded."""
        return thread in self._names

    def add(self, thread: Thread, names: Mapping[Person, str | None]) -> None:
        """Set the names of the people of a conversation that has begun just now."""
        self._names.setdefault(thread, {}).update(names)

    def forget(self, thread: Thread) -> None:
        """No socket of this process follows the thread any more."""
        self._names.pop(thread, None)

    # --- events ---

    events = (ParticipantNamed, ParticipationChanged, ConversationAssigned, AgentReplaced)

    def on_event(self, event: Event) -> None:
        """Take over the name of a participant; called for the types in ``events``."""
        if isinstance(event, ParticipantNamed) and event.thread in self._names:
            self._names[event.thread][event.person] = event.name
        elif isinstance(event, ParticipationChanged):
            # Also for clients that show no senders: the name is in the text of a third participant.
            if event.part is not None and self._hub.is_followed(event.thread):
                self.add(event.thread, {event.person: event.name})
        elif isinstance(event, AgentReplaced) and event.thread in self._names:
            self._names[event.thread][event.room.helper] = event.room.helper_name
        elif isinstance(event, ConversationAssigned) and event.conversation.thread in self._names:
            row = event.conversation
            if row.waiter is not None:
                self._names[row.thread][row.waiter] = row.waiter_name


def stored_names(database: pw.Database, thread: Thread) -> dict[Person, str | None]:
    """Return the names of all people that take or took part in a conversation."""
    return participants.names(participants.of_thread(database, thread))

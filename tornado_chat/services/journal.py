"""The life of conversations in the log: one line for each change of state, after its commit.

What sockets do is logged where it happens (``joined``, ``resumed``, ``away``, ``matched``), with the same
``session=``, ``record=`` or ``conversation=``: one grep gives all of it, in order.
"""

import logging

from tornado_chat.events import Departed, Event, Queued, Returned, RoomEnded, RoomStarted
from tornado_chat.logs import fields
from tornado_chat.types import Conversation, Person

log = logging.getLogger(__name__)


class Journal:
    """Writes down what the bus tells."""

    events = (Queued, Returned, Departed, RoomStarted, RoomEnded)

    def on_event(self, event: Event) -> None:
        """Called for ``events``."""
        if isinstance(event, Queued):
            _log("queued", event.conversation, event.conversation.user)
        elif isinstance(event, Returned):
            _log("returned", event.conversation, event.lost)
        elif isinstance(event, Departed):
            _log("ended", event.conversation, event.gone)
        elif isinstance(event, RoomStarted):
            log.info("started", extra=fields(**event.room.thread.named))
        elif isinstance(event, RoomEnded):
            log.info("ended", extra=fields(**event.thread.named, state=event.state.value))


def _log(event: str, conversation: Conversation, person: Person) -> None:
    log.info(event, extra=fields(**conversation.thread.named, role=person.role.value, id=person.id))

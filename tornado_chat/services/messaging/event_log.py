"""The log of conversations: one line for each change of state, after its commit.

The actions of sockets (``joined``, ``resumed``, ``away``, ``matched``) are logged where they happen, with the
same ``session=``, ``record=`` or ``conversation=``, so one grep finds all lines of a conversation in order.
"""

import logging
from typing import Any

from tornado_chat.core.events import (
    AgentReplaced,
    ConversationEnded,
    ConversationQueued,
    ConversationRequeued,
    Event,
    RoomEnded,
    RoomStarted,
)
from tornado_chat.core.types import Person, Thread
from tornado_chat.observability.logs import fields

log = logging.getLogger(__name__)


class EventLog:
    """Logs the events of the bus."""

    events = (
        ConversationQueued,
        ConversationRequeued,
        ConversationEnded,
        RoomStarted,
        AgentReplaced,
        RoomEnded,
    )

    def on_event(self, event: Event) -> None:
        """Log an event of a type in ``events``."""
        if isinstance(event, ConversationQueued):
            user = event.conversation.user
            log.info(
                "queued", extra=fields(conversation=event.conversation.id, role=user.role.value, id=user.id)
            )
        elif isinstance(event, ConversationRequeued):
            log.info("returned", extra=log_fields(event.conversation.thread, event.lost))
        elif isinstance(event, ConversationEnded):
            log.info("ended", extra=log_fields(event.conversation.thread, event.gone))
        elif isinstance(event, RoomStarted):
            log.info("started", extra=fields(**event.room.thread.named))
        elif isinstance(event, AgentReplaced):
            log.info(
                "handed over", extra=log_fields(event.thread, event.room.helper, previous=event.previous.id)
            )
        elif isinstance(event, RoomEnded):
            reason = None if event.room is None else event.room.end_reason
            more = {} if reason is None else {"reason": reason.value}
            log.info("ended", extra=fields(**event.thread.named, state=event.state.value, **more))


def log_fields(thread: Thread, person: Person, **more: Any) -> dict[str, Any]:
    """Return the ``extra`` of a log record about a participant of a conversation."""
    return fields(**thread.named, role=person.role.value, id=person.id, **more)

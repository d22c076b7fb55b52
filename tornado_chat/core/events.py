"""What the bus carries after a commit, besides ``Message`` and ``Notification``.

An event is a hint about something the database already holds, or (``SystemNotice``, ``TypingChanged``) about
something so fleeting that nobody misses it after a reconnect.
"""

from collections.abc import Mapping

import msgspec

from tornado_chat.core.types import (
    Conversation,
    Message,
    Notification,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)


class SystemNotice(msgspec.Struct, frozen=True):
    """A counselling system text for the participants in a room; ``code`` names it in ``texts.py``."""

    thread: Thread
    code: str
    time: int
    name: str = ""


class RoomStarted(msgspec.Struct, frozen=True):
    """Both sides of a session or record are there for the first time."""

    room: Room


class RoomEnded(msgspec.Struct, frozen=True):
    """A session or record was completed or cancelled: tell everybody in it, then close."""

    thread: Thread
    state: SessionState
    time: int
    room: Room | None = None


class ConversationQueued(msgspec.Struct, frozen=True):
    """A user has joined the line."""

    conversation: Conversation


class ConversationAssigned(msgspec.Struct, frozen=True):
    """A waiting user got a waiter, or a transferred one another (``previous``)."""

    conversation: Conversation
    reason: str
    previous: Person | None = None


class ConversationEnded(msgspec.Struct, frozen=True):
    """One side left for good; the conversation is over."""

    conversation: Conversation
    gone: Person


class ConversationRequeued(msgspec.Struct, frozen=True):
    """The waiter was lost; its user waits again, at the head of the line."""

    conversation: Conversation
    lost: Person


class TypingChanged(msgspec.Struct, frozen=True):
    """Somebody in this room or conversation is typing, or stopped."""

    thread: Thread
    sender: Person
    typing: bool


class ReadAdvanced(msgspec.Struct, frozen=True):
    """Somebody has read everything up to ``seq``."""

    thread: Thread
    reader: Person
    seq: int


class DuplicateMessage(msgspec.Struct, frozen=True):
    """A message was said again that is stored as ``seq`` already: whoever stored it may have died before anybody
    was told."""

    thread: Thread
    seq: int


class PresenceChanged(msgspec.Struct, frozen=True):
    """Who of a room's two people is there now."""

    thread: Thread
    present: Mapping[Role, bool]


class QueuePositionChanged(msgspec.Struct, frozen=True):
    """A user's place in the line has changed, or it has just asked (1: next)."""

    conversation: Conversation
    place: int


class WaiterReplaced(msgspec.Struct, frozen=True):
    """A waiter has signed in once more, by the socket ``conn``; the log calls it so."""

    waiter: Person
    conn: str


SequencedItem = Message | Notification
Event = (
    Message
    | Notification
    | SystemNotice
    | RoomStarted
    | RoomEnded
    | ConversationQueued
    | ConversationAssigned
    | ConversationEnded
    | ConversationRequeued
    | TypingChanged
    | ReadAdvanced
    | DuplicateMessage
    | PresenceChanged
    | QueuePositionChanged
    | WaiterReplaced
)


def event_channels(event: Event) -> tuple[Thread | Person, ...]:
    """Who in other processes has to hear of ``event``: followers of a thread, sockets of a person."""
    match event:
        case (
            Message()
            | Notification()
            | SystemNotice()
            | RoomEnded()
            | TypingChanged()
            | ReadAdvanced()
            | DuplicateMessage()
            | PresenceChanged()
        ):
            return (event.thread,)
        case QueuePositionChanged():
            return (event.conversation.user,)
        case WaiterReplaced():
            return (event.waiter,)
        case ConversationAssigned() | ConversationEnded() | ConversationRequeued():
            row = event.conversation
            lost = event.previous if isinstance(event, ConversationAssigned) else getattr(event, "lost", None)
            return tuple(person for person in (row.user, row.waiter, lost) if person is not None)
        case _:
            return ()


COORDINATOR_EVENTS = (ConversationAssigned, ConversationEnded, ConversationRequeued, RoomEnded)
"""Events that the coordinator has to hear too, wherever they come from."""

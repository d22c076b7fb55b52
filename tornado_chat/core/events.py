"""What the bus carries after a commit, besides ``Message`` and ``Notification``.

An event is a hint about something the database already holds, or (``Notice``, ``Typing``) about
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


class Notice(msgspec.Struct, frozen=True):
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


class Queued(msgspec.Struct, frozen=True):
    """A user has joined the line."""

    conversation: Conversation


class Assigned(msgspec.Struct, frozen=True):
    """A waiting user got a waiter, or a transferred one another (``previous``)."""

    conversation: Conversation
    reason: str
    previous: Person | None = None


class Departed(msgspec.Struct, frozen=True):
    """One side left for good; the conversation is over."""

    conversation: Conversation
    gone: Person


class Returned(msgspec.Struct, frozen=True):
    """The waiter was lost; its user waits again, at the head of the line."""

    conversation: Conversation
    lost: Person


class Typing(msgspec.Struct, frozen=True):
    """Somebody in this room or conversation is typing, or stopped."""

    thread: Thread
    sender: Person
    typing: bool


class Read(msgspec.Struct, frozen=True):
    """Somebody has read everything up to ``seq``."""

    thread: Thread
    reader: Person
    seq: int


class Reached(msgspec.Struct, frozen=True):
    """A message was said again that is stored as ``seq`` already: whoever stored it may have died before anybody
    was told."""

    thread: Thread
    seq: int


class Presence(msgspec.Struct, frozen=True):
    """Who of a room's two people is there now."""

    thread: Thread
    present: Mapping[Role, bool]


class Place(msgspec.Struct, frozen=True):
    """A user's place in the line has changed, or it has just asked (1: next)."""

    conversation: Conversation
    place: int


class Replaced(msgspec.Struct, frozen=True):
    """A waiter has signed in once more, by the socket ``conn``; the log calls it so."""

    waiter: Person
    conn: str


Sequenced = Message | Notification
Event = (
    Message
    | Notification
    | Notice
    | RoomStarted
    | RoomEnded
    | Queued
    | Assigned
    | Departed
    | Returned
    | Typing
    | Read
    | Reached
    | Presence
    | Place
    | Replaced
)


def channels(event: Event) -> tuple[Thread | Person, ...]:
    """Who in other processes has to hear of ``event``: followers of a thread, sockets of a person."""
    match event:
        case Message() | Notification() | Notice() | RoomEnded() | Typing() | Read() | Reached() | Presence():
            return (event.thread,)
        case Place():
            return (event.conversation.user,)
        case Replaced():
            return (event.waiter,)
        case Assigned() | Departed() | Returned():
            row = event.conversation
            lost = event.previous if isinstance(event, Assigned) else getattr(event, "lost", None)
            return tuple(person for person in (row.user, row.waiter, lost) if person is not None)
        case _:
            return ()


COORDINATED = (Assigned, Departed, Returned, RoomEnded)
"""Events that the coordinator has to hear too, wherever they come from."""

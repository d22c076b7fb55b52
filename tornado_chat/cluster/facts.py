"""Who is where: what each process tells the one that coordinates.

Of all processes one is the *coordinator*. It owns what must be decided in one place: the waiting line and
its matches, who has been away for too long, when a session starts. The others, and itself, tell it *facts*
about the people whose sockets they hold, and ask it *questions*. A single process is its own coordinator.

Facts are told by person and place, not by socket: a second tab changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from tornado_chat.core.types import Conversation, Person, Room, Thread


class RoomPresence(msgspec.Struct, frozen=True, tag="InRoom"):
    """A participant has a socket in a room. ``name`` is what the others are told.

    :ivar room: as it was when the socket came.
    """

    room: Room
    person: Person
    name: str

    @property
    def key(self) -> str:
        return room_key(self.room.thread, self.person)


class QueuePresence(msgspec.Struct, frozen=True, tag="InLine"):
    """A user has a socket in its support conversation, be it waiting or talking.

    :ivar asked: when its place was last asked for, by the clock of its process: to ask again is to say something
        new, which is not missed where only news is passed on.
    """

    conversation: Conversation
    asked: float = 0.0

    @property
    def key(self) -> str:
        return queue_key(self.conversation.id)


class WaiterPresence(msgspec.Struct, frozen=True, tag="OnDuty"):
    """A waiter has a socket, and has said whether it wants users.

    :ivar address: what its users are to know it by, if it has no address yet.
    :ivar claims: of its last token, for the queue policy.
    """

    person: Person
    ready: bool
    name: str | None
    address: str
    claims: Mapping[str, Any] = {}

    @property
    def key(self) -> str:
        return waiter_key(self.person)


PresenceFact = RoomPresence | QueuePresence | WaiterPresence


def room_key(thread: Thread, person: Person) -> str:
    """The key of an ``RoomPresence``."""
    return f"room {thread.kind:d} {thread.id} {person.key}"


def queue_key(conversation_id: int) -> str:
    """The key of an ``QueuePresence``."""
    return f"conversation {conversation_id}"


def waiter_key(person: Person) -> str:
    """The key of an ``WaiterPresence``."""
    return f"waiter {person.key}"


class TransferRequest(msgspec.Struct, frozen=True, tag="HandOver"):
    """Give ``source``'s user to another waiter, who must be ready and have room. Answered by None.

    Fails with ``NotFound`` (no such waiter now) or ``Conflict`` (not ``source``'s user any more).
    """

    conversation_id: int
    source: Person
    target: Person


class RoomPresenceRequest(msgspec.Struct, frozen=True, tag="WhoIsThere"):
    """Who of a room's participants is there. Answered by their ``Person.key``s, a list."""

    thread: Thread


class SupportStatusRequest(msgspec.Struct, frozen=True, tag="HowIsSupport"):
    """Waiters, line and conversations. Answered by JSON values, as ``GET /api/v1/support/status``."""


class DeskStatusRequest(msgspec.Struct, frozen=True, tag="WhatGoesOn"):
    """Line, waiters, conversations and rooms. Answered by JSON values: ``status.Desk``."""


CoordinatorRequest = TransferRequest | RoomPresenceRequest | SupportStatusRequest | DeskStatusRequest


class Coordinator(Protocol):
    """What is owned in one place. Everything is called on the loop."""

    async def begin(self) -> None:
        """This process coordinates from now on: build everything anew from the database.

        Facts follow, those that are known already as old ones.

        :raises Unavailable: the database is away; to be tried again.
        """
        ...

    def end(self) -> None:
        """Another process coordinates now, or nobody: forget everything, end nothing."""
        ...

    def on_report(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        """A fact that is new, or has changed.

        :arg already_known: it is only new to this coordinator, which has just begun: nobody is to be told of it.
        """
        ...

    def on_withdraw(self, process: str, key: str) -> None:
        """A fact that holds no longer. One that is not known changes nothing."""
        ...

    async def answer(self, question: CoordinatorRequest) -> Any:
        """JSON values. :raises ChatError: as the question says."""
        ...


class CoordinatorClient(Protocol):
    """The way to the coordinator."""

    def report(self, fact: PresenceFact) -> None:
        """Tell it a fact, or the change of one. It arrives, sooner or later, as long as it holds."""
        ...

    def withdraw(self, key: str) -> None:
        """Tell it that a fact holds no longer."""
        ...

    def call(self, question: CoordinatorRequest) -> Awaitable[Any]:
        """Its answer, as JSON values.

        :raises ChatError: what the coordinator raised; ``Unavailable`` if there is none at the moment.
        """
        ...


class LocalCoordinatorClient:
    """The coordinator of a single process, called directly."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.report: Callable[[PresenceFact], None] = partial(coordinator.on_report, "")
        self.withdraw: Callable[[str], None] = partial(coordinator.on_withdraw, "")
        self.call: Callable[[CoordinatorRequest], Awaitable[Any]] = coordinator.answer


async def always_certain() -> bool:
    """Whether it is known of everybody who is there: a process that is alone knows."""
    return True

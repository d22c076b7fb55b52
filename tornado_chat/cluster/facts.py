"""Presence facts: the reports of each process to the coordinator.

One of the processes is the *coordinator*. It makes the decisions that must be made in one place: the order of
the queue and the assignments, the end of grace timers, and the start of sessions. All processes, including
the coordinator itself, report *facts* about the people whose sockets they hold, and send *requests*. A single
process is its own coordinator.

A fact is about a person in a room, a conversation or on duty, not about a socket: a second browser tab of the
same person does not change a fact.

The tags of the structs are their names on the bus since 0.1.0; do not change them
(``tests/cluster/test_codec.py``).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from tornado_chat.core.types import Conversation, Person, Room, Thread


class RoomPresence(msgspec.Struct, frozen=True, tag="InRoom"):
    """A participant has a socket in a room. ``name`` is the name that the other participants see.

    :ivar room: the room as it was when the socket was opened.
    :ivar is_announced: the other participant knows of the arrival: the socket was taken over from a process.
    """

    room: Room
    person: Person
    name: str
    is_announced: bool = False

    @property
    def key(self) -> str:
        return room_key(self.room.thread, self.person)


class QueuePresence(msgspec.Struct, frozen=True, tag="InLine"):
    """A user has a socket in its support conversation, which is waiting or active.

    :ivar asked: time of the last request for the queue position, by the clock of the user's process. A new
        request changes the fact, so it is passed on to the coordinator like every change of a fact.
    """

    conversation: Conversation
    asked: float = 0.0

    @property
    def key(self) -> str:
        return queue_key(self.conversation.id)


class WaiterPresence(msgspec.Struct, frozen=True, tag="OnDuty"):
    """A waiter has a socket and is ready or paused.

    :ivar ready: True if the waiter takes users.
    :ivar address: the address of the waiter for its users, if the waiter has no address yet.
    :ivar claims: the claims of the waiter's last token, for the queue policy.
    :ivar answers: False if no socket of the waiter in this process answers its pings: the waiter gets no more
        users until one does.
    :ivar takes_offers: True if a client of the waiter asks it before another waiter's user is transferred to
        it.
    """

    person: Person
    ready: bool
    name: str | None
    address: str
    claims: Mapping[str, Any] = {}
    answers: bool = True
    takes_offers: bool = False

    @property
    def key(self) -> str:
        return waiter_key(self.person)


PresenceFact = RoomPresence | QueuePresence | WaiterPresence


def room_key(thread: Thread, person: Person) -> str:
    """Return the key of a ``RoomPresence``."""
    return f"room {thread.kind:d} {thread.id} {person.key}"


def queue_key(conversation_id: int) -> str:
    """Return the key of a ``QueuePresence``."""
    return f"conversation {conversation_id}"


def waiter_key(person: Person) -> str:
    """Return the key of a ``WaiterPresence``."""
    return f"waiter {person.key}"


class TransferRequest(msgspec.Struct, frozen=True, tag="HandOver"):
    """Transfer the conversation from the waiter ``source`` to the waiter ``target``. The result is None.

    ``target`` must be ready and have free capacity. Fails with ``NotFound`` if no such waiter is ready, or
    with ``Conflict`` if the user is not served by ``source`` any more.

    :ivar offer: the offer that the target has accepted: then it needs no free capacity.
    :ivar note: of the source, for the target.
    :ivar may_offer: if the target is to be asked first, nothing is done, and the result is a list with its
        name, or null.
    """

    conversation_id: int
    source: Person
    target: Person
    offer: int | None = None
    note: str | None = None
    may_offer: bool = False


class ReturnRequest(msgspec.Struct, frozen=True, tag="HandToGroup"):
    """Return the user of the waiter ``source`` to the head of the line of a group. The result is None.

    Fails with ``Conflict`` if the user is not served by ``source`` any more.

    :ivar returned_by: the person that hands the user over.
    :ivar note: for the next waiter.
    """

    conversation_id: int
    source: Person
    returned_by: Person
    group: str
    note: str | None = None


class RoomPresenceRequest(msgspec.Struct, frozen=True, tag="WhoIsThere"):
    """Request the participants that are present in a room. The result is a list of their ``Person.key``.

    With ``with_graces`` also those of a support conversation.

    :ivar with_graces: request the JSON values of ``events.PresenceChanged`` instead, or None if there is
        nothing to say about the room. A coordinator of version 0.1.0 ignores that, and its result is a list.
    """

    thread: Thread
    with_graces: bool = False


class WaitRequest(msgspec.Struct, frozen=True, tag="WaitLonger"):
    """Request that a room waits longer for its absent participant. The result is None.

    Fails with ``Conflict`` if no absent participant is awaited, or if the wait is as long as it may be.

    :ivar by: the participant who waits.
    :ivar seconds: the time to add.
    """

    thread: Thread
    by: Person
    seconds: float


class SupportStatusRequest(msgspec.Struct, frozen=True, tag="HowIsSupport"):
    """Request the status of waiters, queue and conversations.

    The result is the JSON values of ``GET /api/v1/support/status``.
    """


class DeskStatusRequest(msgspec.Struct, frozen=True, tag="WhatGoesOn"):
    """Request the status of queue, waiters, conversations and rooms.

    The result is the JSON values of ``status.DeskStatus``.
    """


class GroupStatusRequest(msgspec.Struct, frozen=True, tag="HowAreGroups"):
    """Request the status of all groups.

    The result is the JSON values of a list of ``status.GroupStatus``. A coordinator of a version without
    groups does not answer.
    """


CoordinatorRequest = (
    TransferRequest
    | ReturnRequest
    | RoomPresenceRequest
    | SupportStatusRequest
    | DeskStatusRequest
    | GroupStatusRequest
    | WaitRequest
)


class Coordinator(Protocol):
    """The interface of the coordinator. All methods are called on the loop."""

    async def begin(self) -> None:
        """Start coordinating: read the state from the database.

        The facts of all processes are reported afterwards; facts that were reported to the previous
        coordinator have ``already_known=True``.

        :raises Unavailable: the database does not answer; the call is to be repeated later.
        """
        ...

    def end(self) -> None:
        """Stop coordinating: discard the state without ending sessions or conversations.

        Another process coordinates now, or no process.
        """
        ...

    def on_report(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        """Handle a new or changed fact of ``process``.

        :arg already_known: the fact was known to the previous coordinator, so no client is notified of it.
        """
        ...

    def on_withdraw(self, process: str, key: str, *, has_left: bool = False) -> None:
        """Handle the withdrawal of a fact of ``process``; an unknown key has no effect.

        :arg has_left: as in ``CoordinatorClient.withdraw``; False if the process has died.
        """
        ...

    async def answer(self, request: CoordinatorRequest) -> Any:
        """Return the result of a request, as JSON values.

        :raises ChatError: as the docstring of the request says.
        """
        ...


class CoordinatorClient(Protocol):
    """The interface of each process to the coordinator."""

    def report(self, fact: PresenceFact) -> None:
        """Report a new or changed fact; the report is repeated until it arrives or the fact is withdrawn."""
        ...

    def withdraw(self, key: str, *, has_left: bool = False) -> None:
        """Report that a fact does not hold any more.

        :arg has_left: True if the person's client has left, as far as its protocol can say so; False if the
            connection was lost, or closed by the server.
        """
        ...

    def call(self, request: CoordinatorRequest) -> Awaitable[Any]:
        """Send a request to the coordinator and return its result, as JSON values.

        :raises ChatError: the error that the coordinator raised; ``Unavailable`` if there is no coordinator.
        """
        ...


class LocalCoordinatorClient:
    """The client of a single process, which calls its own coordinator directly."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.report: Callable[[PresenceFact], None] = partial(coordinator.on_report, "")
        self._coordinator = coordinator
        self.call: Callable[[CoordinatorRequest], Awaitable[Any]] = coordinator.answer

    def withdraw(self, key: str, *, has_left: bool = False) -> None:
        self._coordinator.on_withdraw("", key, has_left=has_left)


async def always_certain() -> bool:
    """Return True: a single process always knows all participants that are present."""
    return True

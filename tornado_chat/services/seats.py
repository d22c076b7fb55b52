"""Who sits where in support: sockets, conversations, waiters; and what their sockets are told."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from tornado_chat.closing import NOT_READ_BACK
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.outbox import Outbox
from tornado_chat.domain.queue import Ticket
from tornado_chat.errors import ChatError
from tornado_chat.logs import fields
from tornado_chat.services.filtering import Lane
from tornado_chat.services.receipts import ReceiptBook
from tornado_chat.services.store import Store
from tornado_chat.storage import reading
from tornado_chat.types import Conversation, ConversationState, Identity, Person
from tornado_chat.wire.support import SupportFrames

log = logging.getLogger(__name__)


class Seat:
    """One authenticated socket of a user or a waiter."""

    __slots__ = ("frames", "identity", "lane", "outbox", "talk")

    def __init__(self, identity: Identity, outbox: Outbox, frames: SupportFrames) -> None:
        self.identity = identity
        self.outbox = outbox
        self.frames = frames
        self.lane = Lane()
        self.talk: Talk | None = None  # of a user: the conversation it has asked for

    @property
    def person(self) -> Person:
        return self.identity.person


class Talk:
    """An unfinished conversation and the user's sockets in it."""

    __slots__ = ("conversation", "gone", "grace", "lock", "seats", "told_at", "told_place", "waits_since")

    def __init__(self, waits_since: float, conversation: Conversation | None = None) -> None:
        self.conversation = conversation  # None until its row is stored
        self.waits_since = waits_since  # by the loop's clock: since it came, or lost its waiter
        self.seats: dict[Seat, None] = {}
        self.lock = asyncio.Lock()
        self.grace: asyncio.TimerHandle | None = None
        self.gone = False
        self.told_place = 0
        self.told_at = float("-inf")

    @property
    def row(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation

    @property
    def ticket(self) -> Ticket:
        """Its claim to a waiter: a returned one goes first, then the order of arrival counts."""
        row = self.row
        return Ticket(row.id, row.user, row.created, row.returned, row.claims, row.last_waiter)

    @property
    def waiting(self) -> bool:
        return not self.gone and self.row.state is ConversationState.WAITING

    def stop_grace(self) -> None:
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None


class WaiterDesk:
    """A waiter with its sockets and its users. It stays as long as it has either.

    ``claims`` are those of its last token, for the queue policy.
    """

    __slots__ = ("address", "claims", "grace", "name", "person", "ready", "seats", "since", "stance", "talks")

    def __init__(self, person: Person, address: str, name: str | None) -> None:
        self.person = person
        self.stance: tuple[bool, bool] | None = None  # ready, connected
        self.since = 0.0  # it has this stance, by the loop's clock
        self.claims: Mapping[str, Any] = {}
        self.address = address  # what its users know it by, for as long as it is here
        self.name = name
        self.ready = False
        self.seats: dict[Seat, None] = {}
        self.talks: dict[int, Talk] = {}
        self.grace: asyncio.TimerHandle | None = None

    def stop_grace(self) -> None:
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None


class Usher:
    """Shows sockets their conversations, and out of them."""

    def __init__(self, hub: Hub, receipts: ReceiptBook, store: Store) -> None:
        self._hub = hub
        self._store = store
        self._receipts = receipts

    def show_waiter(self, conversation: Conversation, seat: Seat) -> None:
        assert conversation.waiter_uuid is not None
        self._hub.expect(seat.outbox, conversation.thread)
        seat.frames.introduce(conversation.thread, conversation.waiter_uuid)
        seat.outbox.send(seat.frames.connect_success(conversation))

    def show_user(self, conversation: Conversation, seat: Seat) -> None:
        self._hub.expect(seat.outbox, conversation.thread)
        seat.frames.introduce(conversation.thread, conversation.user_uuid)
        seat.outbox.send(seat.frames.new_connection(conversation))

    def show_place(self, talk: Talk, place: int) -> None:
        """Tell all of a waiting user's sockets where it stands, after what its last waiter said."""
        for seat in talk.seats:
            frame = seat.frames.connect_queue(place, conversation=talk.row)
            seat.outbox.in_order(talk.row.thread, partial(seat.outbox.send, frame))

    def part(self, seat: Seat, conversation: Conversation) -> None:
        """Tell a socket that the other side has gone, after everything it said."""
        thread = conversation.thread

        def say_goodbye() -> None:
            seat.outbox.send(seat.frames.disconnected(thread))
            self._hub.unfollow(seat.outbox, thread)

        seat.outbox.in_order(thread, say_goodbye)

    async def follow(self, seat: Seat, conversation: Conversation) -> None:
        """Give a socket what was said and not received yet, then everything new.

        A waiter who takes over has no receipt, and so learns all that the user said before.
        """
        try:
            received = await self._receipts.get(conversation.thread, seat.person)
            resent = await self._hub.follow(seat.outbox, conversation.thread, received or 0)
            log.info(
                "joined" if received is None else "resumed",
                extra=conversation_fields(conversation, seat, resent=resent),
            )
            if "read" in seat.frames.features:
                for mark in await self._store.read(reading.marks, conversation.thread):
                    frame = seat.frames.encode(mark, own=False)
                    if frame is not None:
                        seat.outbox.in_order(conversation.thread, partial(seat.outbox.send, frame))
        except ChatError as error:
            log.warning(
                "a conversation could not be read back: %s",
                error,
                extra=conversation_fields(conversation, seat),
            )
            seat.outbox.close(*NOT_READ_BACK)


def conversation_fields(conversation: Conversation, seat: Seat, **more: Any) -> dict[str, Any]:
    """The facts of a line of the log about one socket in a conversation."""
    person = seat.person
    return fields(
        **conversation.thread.named, conn=seat.outbox.conn, role=person.role.value, id=person.id, **more
    )

"""Who sits where in support, in this process: sockets and their conversations; and what they are told."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tornado_chat.aio.background import Tasks
from tornado_chat.cluster.facts import OnDuty
from tornado_chat.core.close_codes import NOT_READ_BACK
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Conversation, Identity, Person, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import Outbox
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.filtering import Lane
from tornado_chat.services.messaging.receipts import ReceiptBook
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations, read_marks
from tornado_chat.wire.support import SupportFrames

log = logging.getLogger(__name__)


class Seat:
    """One authenticated socket of a user or a waiter.

    :ivar talk: of a user: the conversation it has asked for.
    :ivar shown: the conversations that the socket has been told of and not been parted from.
    :ivar leaving: those whose goodbye waits for what was said before it, the one that waits longest first.
    """

    __slots__ = ("frames", "identity", "lane", "leaving", "outbox", "shown", "talk")

    def __init__(self, identity: Identity, outbox: Outbox, frames: SupportFrames) -> None:
        self.identity = identity
        self.outbox = outbox
        self.frames = frames
        self.lane = Lane()
        self.talk: Talk | None = None
        self.shown: dict[int, str] = {}  # and the address of the other side, which a transfer changes
        self.leaving: list[Thread] = []

    @property
    def person(self) -> Person:
        return self.identity.person

    def after_goodbyes(self, action: Callable[[], None]) -> None:
        """Run ``action`` when the socket has heard all goodbyes that wait now: who serves or asks for one at a
        time hears of the last one's end before anything of the next one.
        """
        for thread in reversed(self.leaving):
            action = partial(self.outbox.in_order, thread, action)
        action()


class Talk:
    """A user's unfinished conversation and the user's sockets in it.

    :ivar place: in the line, as the user was told last; 0 before that.
    :ivar asking: those who have just connected and want to know it, whatever the others were told.
    """

    __slots__ = ("asking", "conversation", "gone", "lock", "place", "seats")

    def __init__(self) -> None:
        self.conversation: Conversation | None = None  # until its row is stored
        self.seats: dict[Seat, None] = {}
        self.lock = asyncio.Lock()
        self.place = 0
        self.asking: set[Seat] = set()
        self.gone = False

    @property
    def row(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation


class Post:
    """A waiter's sockets and its conversations."""

    __slots__ = ("address", "claims", "name", "person", "ready", "rows", "seats")

    def __init__(self, person: Person, address: str) -> None:
        self.person = person
        self.address = address
        self.name: str | None = None
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.seats: dict[Seat, None] = {}
        self.rows: dict[int, Conversation] = {}

    @property
    def fact(self) -> OnDuty:
        return OnDuty(self.person, self.ready, self.name, self.address, self.claims)


class Usher:
    """Shows sockets their conversations, and out of them.

    :arg learn: told the conversation as the database has it, whenever a socket begins to follow it.
    """

    def __init__(
        self,
        hub: Hub,
        receipts: ReceiptBook,
        store: Store,
        learn: Callable[[Conversation], None],
        tasks: Tasks,
    ) -> None:
        self._hub = hub
        self._tasks = tasks
        self._store = store
        self._receipts = receipts
        self._learn = learn

    def show_waiter(self, conversation: Conversation, seat: Seat) -> None:
        """Tell a user's socket who serves it, and all that was said and is being said."""
        assert conversation.waiter_uuid is not None
        self._show(conversation, seat, conversation.waiter_uuid, seat.frames.connect_success(conversation))

    def show_user(self, conversation: Conversation, seat: Seat) -> None:
        """Tell a waiter's socket whom it serves, and all that was said and is being said."""
        self._show(conversation, seat, conversation.user_uuid, seat.frames.new_connection(conversation))

    def _show(self, conversation: Conversation, seat: Seat, other: str, frame: bytes) -> None:
        seat.shown[conversation.id] = other

        def show() -> None:
            # Once more, as the goodbye may have been to this very conversation, which has come back.
            self._hub.expect(seat.outbox, conversation.thread)
            seat.frames.introduce(conversation.thread, other)
            seat.outbox.send(frame)
            self._tasks.spawn(self.follow(seat, conversation))

        self._hub.expect(seat.outbox, conversation.thread)
        seat.after_goodbyes(show)

    def show_place(self, talk: Talk, seat: Seat) -> None:
        """Tell a waiting user's socket where it stands, after what its last waiter said."""
        send = partial(seat.outbox.send, seat.frames.connect_queue(talk.place, conversation=talk.row))
        seat.after_goodbyes(partial(seat.outbox.in_order, talk.row.thread, send))

    def part(self, seat: Seat, conversation: Conversation) -> None:
        """Tell a socket that the other side has gone, after everything it said."""
        thread = conversation.thread
        seat.shown.pop(conversation.id, None)

        def say_goodbye() -> None:
            seat.leaving.remove(thread)
            seat.outbox.send(seat.frames.disconnected(thread))
            self._hub.unfollow(seat.outbox, thread)

        part = partial(self._hub.after, seat.outbox, thread, conversation.last_seq, say_goodbye)
        waits = thread in seat.leaving  # it had come back meanwhile, which is still to be told
        seat.leaving.append(thread)
        if waits:
            seat.outbox.in_order(thread, part)
        else:
            part()

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
                for mark in await self._store.look_up(read_marks.marks, conversation.thread):
                    frame = seat.frames.encode(mark, own=False)
                    if frame is not None:
                        seat.outbox.in_order(conversation.thread, partial(seat.outbox.send, frame))
            # Asked after following: an end that came in between is either seen here or heard live.
            for now in await self._store.look_up(conversations.several, [conversation.id]):
                self._learn(now)
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

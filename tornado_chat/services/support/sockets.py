"""Who sits where in support, in this process: sockets and their conversations; and what they are told."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.cluster.facts import WaiterPresence
from tornado_chat.core.close_codes import NOT_READ_BACK
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Conversation, Identity, Person, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.filtering import FilterQueue
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations, read_marks
from tornado_chat.wire.support import SupportEncoder

log = logging.getLogger(__name__)


class SupportConnection:
    """One authenticated socket of a user or a waiter.

    :ivar talk: of a user: the conversation it has asked for.
    :ivar shown: the conversations that the socket has been told of and not been parted from.
    :ivar leaving: those whose goodbye waits for what was said before it, the one that waits longest first.
    """

    __slots__ = ("filter_queue", "frames", "identity", "leaving", "shown", "socket_stream", "talk")

    def __init__(self, identity: Identity, socket_stream: SocketStream, frames: SupportEncoder) -> None:
        self.identity = identity
        self.socket_stream = socket_stream
        self.frames = frames
        self.filter_queue = FilterQueue()
        self.talk: UserConversation | None = None
        self.shown: dict[int, str] = {}  # and the address of the other side, which a transfer changes
        self.leaving: list[Thread] = []

    @property
    def person(self) -> Person:
        return self.identity.person

    def run_after_departures(self, action: Callable[[], None]) -> None:
        """Run ``action`` when the socket has heard all goodbyes that wait now: who serves or asks for one at a
        time hears of the last one's end before anything of the next one.
        """
        for thread in reversed(self.leaving):
            action = partial(self.socket_stream.run_in_order, thread, action)
        action()


class UserConversation:
    """A user's unfinished conversation and the user's sockets in it.

    :ivar place: in the line, as the user was told last; 0 before that.
    :ivar asking: those who have just connected and want to know it, whatever the others were told.
    """

    __slots__ = ("asking", "connections", "conversation", "gone", "lock", "place")

    def __init__(self) -> None:
        self.conversation: Conversation | None = None  # until its row is stored
        self.connections: dict[SupportConnection, None] = {}
        self.lock = asyncio.Lock()
        self.place = 0
        self.asking: set[SupportConnection] = set()
        self.gone = False

    @property
    def row(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation


class LocalWaiter:
    """A waiter's sockets and its conversations."""

    __slots__ = ("address", "claims", "connections", "name", "person", "ready", "rows")

    def __init__(self, person: Person, address: str) -> None:
        self.person = person
        self.address = address
        self.name: str | None = None
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.connections: dict[SupportConnection, None] = {}
        self.rows: dict[int, Conversation] = {}

    @property
    def fact(self) -> WaiterPresence:
        return WaiterPresence(self.person, self.ready, self.name, self.address, self.claims)


class SocketNotifier:
    """Shows sockets their conversations, and out of them.

    :arg learn: told the conversation as the database has it, whenever a socket begins to follow it.
    """

    def __init__(
        self,
        hub: Hub,
        receipts: ReceiptStore,
        store: Store,
        learn: Callable[[Conversation], None],
        tasks: BackgroundTasks,
    ) -> None:
        self._hub = hub
        self._tasks = tasks
        self._store = store
        self._receipts = receipts
        self._learn = learn

    def show_waiter(self, conversation: Conversation, connection: SupportConnection) -> None:
        """Tell a user's socket who serves it, and all that was said and is being said."""
        assert conversation.waiter_uuid is not None
        self._show(
            conversation,
            connection,
            conversation.waiter_uuid,
            connection.frames.connect_success(conversation),
        )

    def show_user(self, conversation: Conversation, connection: SupportConnection) -> None:
        """Tell a waiter's socket whom it serves, and all that was said and is being said."""
        self._show(
            conversation, connection, conversation.user_uuid, connection.frames.new_connection(conversation)
        )

    def _show(
        self, conversation: Conversation, connection: SupportConnection, other: str, frame: bytes
    ) -> None:
        connection.shown[conversation.id] = other

        def show() -> None:
            # Once more, as the goodbye may have been to this very conversation, which has come back.
            self._hub.prepare_follow(connection.socket_stream, conversation.thread)
            connection.frames.set_peer(conversation.thread, other)
            connection.socket_stream.send(frame)
            self._tasks.spawn(self.follow(connection, conversation))

        self._hub.prepare_follow(connection.socket_stream, conversation.thread)
        connection.run_after_departures(show)

    def show_position(self, talk: UserConversation, connection: SupportConnection) -> None:
        """Tell a waiting user's socket where it stands, after what its last waiter said."""
        send = partial(
            connection.socket_stream.send, connection.frames.connect_queue(talk.place, conversation=talk.row)
        )
        connection.run_after_departures(partial(connection.socket_stream.run_in_order, talk.row.thread, send))

    def part(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Tell a socket that the other side has gone, after everything it said."""
        thread = conversation.thread
        connection.shown.pop(conversation.id, None)

        def say_goodbye() -> None:
            connection.leaving.remove(thread)
            connection.socket_stream.send(connection.frames.disconnected(thread))
            self._hub.unfollow(connection.socket_stream, thread)

        part = partial(
            self._hub.run_after, connection.socket_stream, thread, conversation.last_seq, say_goodbye
        )
        waits = thread in connection.leaving  # it had come back meanwhile, which is still to be told
        connection.leaving.append(thread)
        if waits:
            connection.socket_stream.run_in_order(thread, part)
        else:
            part()

    async def follow(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Give a socket what was said and not received yet, then everything new.

        A waiter who takes over has no receipt, and so learns all that the user said before.
        """
        try:
            received = await self._receipts.get(conversation.thread, connection.person)
            resent = await self._hub.follow(connection.socket_stream, conversation.thread, received or 0)
            log.info(
                "joined" if received is None else "resumed",
                extra=conversation_fields(conversation, connection, resent=resent),
            )
            if "read" in connection.frames.features:
                for mark in await self._store.look_up(read_marks.read_marks, conversation.thread):
                    frame = connection.frames.encode(mark, own=False)
                    if frame is not None:
                        connection.socket_stream.run_in_order(
                            conversation.thread, partial(connection.socket_stream.send, frame)
                        )
            # Asked after following: an end that came in between is either seen here or heard live.
            for now in await self._store.look_up(conversations.find_many, [conversation.id]):
                self._learn(now)
        except ChatError as error:
            log.warning(
                "a conversation could not be read back: %s",
                error,
                extra=conversation_fields(conversation, connection),
            )
            connection.socket_stream.close(*NOT_READ_BACK)


def conversation_fields(
    conversation: Conversation, connection: SupportConnection, **more: Any
) -> dict[str, Any]:
    """The facts of a line of the log about one socket in a conversation."""
    person = connection.person
    return fields(
        **conversation.thread.named,
        conn=connection.socket_stream.conn,
        role=person.role.value,
        id=person.id,
        **more,
    )

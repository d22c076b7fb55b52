"""The support connections of this process: what each is told of its conversations, and in which order."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.close_codes import NOT_READ_BACK
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Conversation, Identity, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.filtering import FilterQueue
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations, read_marks

log = logging.getLogger(__name__)


class SupportView(Protocol):
    """How one client is told of its conversations. ``web.sockets.support`` writes the frames of the dialect.

    No method waits or raises, whatever state the connection is in.
    """

    def show_agent(self, conversation: Conversation) -> None:
        """The user is connected with the waiter of its conversation."""
        ...

    def show_user(self, conversation: Conversation) -> None:
        """The waiter is connected with the user of a conversation."""
        ...

    def show_position(self, conversation: Conversation, position: int) -> None:
        """The user waits at ``position`` (1 is the next one)."""
        ...

    def show_departure(self, thread: Thread) -> None:
        """The other side has left the conversation for good."""
        ...

    def show_replacement(self) -> None:
        """The waiter has signed in on another connection."""
        ...


class SupportConnection:
    """One authenticated connection of a user or a waiter.

    :arg features: the features that the client has asked for.
    :arg address: the address that the connection was given by the server.
    :ivar user_conversation: of a user: the conversation that it has asked for.
    :ivar shown: the conversations that the client was told of and not parted from, with the other side's
        address, which a transfer changes.
    :ivar departures: the threads whose departures wait for earlier messages, in order.
    """

    __slots__ = (
        "address",
        "departures",
        "features",
        "filter_queue",
        "identity",
        "person",
        "shown",
        "socket_stream",
        "user_conversation",
        "view",
    )

    def __init__(
        self,
        identity: Identity,
        socket_stream: SocketStream,
        view: SupportView,
        address: str,
        features: frozenset[str] = frozenset(),
    ) -> None:
        self.identity = identity
        self.person = identity.person
        self.socket_stream = socket_stream
        self.view = view
        self.address = address
        self.features = features
        self.filter_queue = FilterQueue()
        self.user_conversation: UserConversation | None = None
        self.shown: dict[int, str] = {}
        self.departures: list[Thread] = []

    def run_after_departures(self, action: Callable[[], None]) -> None:
        """Run ``action`` after the departures that wait now.

        A client that has one conversation at a time is told of the end of the last one before anything of the
        next.
        """
        for thread in reversed(self.departures):
            action = partial(self.socket_stream.run_in_order, thread, action)
        action()


class UserConversation:
    """A user's unfinished conversation and the user's connections in it.

    :ivar conversation: its newest version; None until it is stored.
    :ivar position: the position in the queue that the user was told last; 0 before that.
    :ivar asking: connections that are new and get the position, even if it has not changed.
    :ivar has_ended: whether the conversation is over.
    """

    __slots__ = ("asking", "connections", "conversation", "has_ended", "lock", "position")

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.connections: dict[SupportConnection, None] = {}
        self.lock = asyncio.Lock()
        self.position = 0
        self.asking: set[SupportConnection] = set()
        self.has_ended = False

    @property
    def row(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation


class SocketNotifier:
    """Tells connections of conversations that begin and end for them, in order with the messages.

    :arg learn: called with the stored version of a conversation after a connection has begun to follow it.
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

    def show_agent(
        self, connection: SupportConnection, conversation: Conversation, *, is_new: bool = False
    ) -> None:
        """Tell a user's connection who serves it, then deliver the messages.

        :arg is_new: the conversation was assigned at this moment, and nothing has been said in it yet.
        """
        assert conversation.waiter_uuid is not None
        self._show(connection, conversation, conversation.waiter_uuid, connection.view.show_agent, is_new)

    def show_user(
        self, connection: SupportConnection, conversation: Conversation, *, is_new: bool = False
    ) -> None:
        """Tell a waiter's connection which user it serves, then deliver the messages. ``is_new`` as above."""
        self._show(connection, conversation, conversation.user_uuid, connection.view.show_user, is_new)

    def _show(
        self,
        connection: SupportConnection,
        conversation: Conversation,
        other_address: str,
        show: Callable[[Conversation], None],
        is_new: bool,
    ) -> None:
        thread = conversation.thread
        connection.shown[conversation.id] = other_address
        if is_new and not connection.departures and self._hub.follow_new(connection.socket_stream, thread):
            show(conversation)
            log.info("joined", extra=_log_fields(conversation, connection, resent=0))
            return

        def show_and_follow() -> None:
            # Prepared again, since a departure before may have been from the same conversation, which has
            # come back.
            self._hub.prepare_follow(connection.socket_stream, thread)
            show(conversation)
            self._tasks.spawn(self.follow(connection, conversation))

        self._hub.prepare_follow(connection.socket_stream, thread)
        connection.run_after_departures(show_and_follow)

    def show_position(self, connection: SupportConnection, conversation: Conversation, position: int) -> None:
        """Tell a waiting user's connection its position, after the messages of its last waiter."""
        show = partial(connection.view.show_position, conversation, position)
        connection.run_after_departures(
            partial(connection.socket_stream.run_in_order, conversation.thread, show)
        )

    def part(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Tell a connection that the other side has left, after all messages of the conversation."""
        thread = conversation.thread
        connection.shown.pop(conversation.id, None)

        def show_departure() -> None:
            connection.departures.remove(thread)
            connection.view.show_departure(thread)
            self._hub.unfollow(connection.socket_stream, thread)

        part = partial(
            self._hub.run_after, connection.socket_stream, thread, conversation.last_seq, show_departure
        )
        is_waiting = thread in connection.departures  # it had come back meanwhile, which is still to be told
        connection.departures.append(thread)
        if is_waiting:
            connection.socket_stream.run_in_order(thread, part)
        else:
            part()

    async def follow(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Deliver the messages that the person has not received yet, then all new ones.

        A waiter that takes over has no receipt, and so gets all messages of the user.
        """
        thread = conversation.thread
        try:
            received = await self._receipts.get(thread, connection.person)
            resent = await self._hub.follow(connection.socket_stream, thread, received or 0)
            log.info(
                "joined" if received is None else "resumed",
                extra=_log_fields(conversation, connection, resent=resent),
            )
            if "read" in connection.features:
                for mark in await self._store.look_up(read_marks.read_marks, thread):
                    connection.socket_stream.send_event(mark, thread, {})
            # Asked after following: an end that came in between is either seen here or delivered live.
            for current in await self._store.look_up(conversations.find_many, [conversation.id]):
                self._learn(current)
        except ChatError as error:
            log.warning(
                "a conversation could not be read back: %s",
                error,
                extra=_log_fields(conversation, connection),
            )
            connection.socket_stream.close(*NOT_READ_BACK)


def _log_fields(conversation: Conversation, connection: SupportConnection, **more: Any) -> dict[str, Any]:
    """The facts of a log line about one connection in a conversation."""
    person = connection.person
    return fields(
        conversation=conversation.id,
        conn=connection.socket_stream.conn,
        role=person.role.value,
        id=person.id,
        **more,
    )

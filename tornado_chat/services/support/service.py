"""Support: what users and waiters can do.

Thin: ``local_conversations.py`` holds the sockets and their conversations; this is the list of what the
frames of the dialect ask of them.
"""

from collections.abc import Callable
from typing import Any

from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import CoordinatorClient, SupportStatusRequest, TransferRequest
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import Event, TypingChanged
from tornado_chat.core.types import AppendResult, Conversation, ConversationState, Message, Person, Role
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.store import Store, retrieve_exception
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.services.support.sockets import SupportConnection
from tornado_chat.storage import conversations, messages, read_marks
from tornado_chat.storage.messages import AppendRequest


class Support:
    """The use cases of the support dialect.

    :arg publish: the bus, for what is told without being stored.
    """

    def __init__(
        self,
        local_conversations: LocalConversations,
        coordinator_client: CoordinatorClient,
        store: Store,
        publish: Callable[[Event], None],
        filtering: MessageFilter,
    ) -> None:
        self._local_conversations = local_conversations
        self._coordinator_client = coordinator_client
        self._store = store
        self._publish = publish
        self._filtering = filtering

    # --- coming and going ---

    def sign_in(self, connection: SupportConnection) -> None:
        """A new socket of a waiter replaces the others, where both know of that (feature ``kickout``)."""
        self._local_conversations.sign_in(connection)

    async def connect(self, connection: SupportConnection, *, resume: bool = False) -> bool:
        """A user joins the line, or comes back to its place or conversation.

        :arg resume: only come back. False is returned if there is nothing to come back to.
        :raises Unavailable: the line could not be joined; nothing was done.
        """
        return await self._local_conversations.attach_user(connection, resume=resume)

    async def ready(self, connection: SupportConnection, *, ready: bool = True) -> None:
        """``ready`` and ``unready``: take new users, or only go on with those one has.

        Either way the waiter's conversations come back to a socket that has not got them yet.
        """
        await self._local_conversations.attach_waiter(connection, ready=ready)

    def leave(self, connection: SupportConnection) -> None:
        """The seat's socket is closed."""
        self._local_conversations.detach(connection)

    async def disconnect(self, connection: SupportConnection, address: str | None) -> None:
        """Leave a conversation, or the line, for good.

        :raises Conflict: there is nothing to leave.
        """
        await connection.filter_queue.wait_empty()  # the last words come before the parting
        await self._local_conversations.end(
            self._local_conversations.conversation_of(connection, address), connection.person
        )

    async def transfer(self, connection: SupportConnection, address: str | None, waiter_id: str) -> None:
        """Hand a user over to another waiter, who must be ready and have room.

        :raises NotFound: there is no such waiter now.
        :raises Conflict: the user is not the waiter's.
        """
        await connection.filter_queue.wait_empty()
        conversation = self._local_conversations.conversation_of(connection, address)
        target = Person(Role.WAITER, waiter_id)
        await self._coordinator_client.call(TransferRequest(conversation.id, connection.person, target))

    # --- talking ---

    def send(
        self, connection: SupportConnection, address: str | None, text: str, media: str, client_id: str | None
    ) -> tuple[Conversation, Deferred[AppendResult]]:
        """Filter and store a message; its commit shows it to the other side.

        :arg address: of a waiter: the user's; of a user: whatever it says is ignored.
        :raises Conflict: there is no conversation (yet) to say it in.
        :raises Unavailable: the server is overloaded; nothing was taken.
        :raises Refused: a filter does not let it pass. Like the one before, this may also come with the
            result.
        """
        conversation = self._local_conversations.conversation_of(connection, address)
        if conversation.state is ConversationState.WAITING and not conversation.returned:
            raise Conflict("still_waiting")
        same_text_only = "ack" not in connection.frames.features
        message = AppendRequest(
            conversation.thread, connection.person, text, client_id, media, same_text_only
        )
        return conversation, self._filtering.submit(
            connection.filter_queue, connection.identity, message, connection.socket_stream.last_received_at
        )

    def typing(self, connection: SupportConnection, address: str | None, typing: bool) -> None:
        """Show the other side that one is typing; never stored."""
        conversation = self._local_conversations.conversation_of(connection, address)
        self._publish(TypingChanged(conversation.thread, connection.person, typing))

    def mark_read(self, connection: SupportConnection, address: str | None, seq: int) -> None:
        """Remember and show how far one has read. Nobody waits for it; a lost one is said again."""
        conversation = self._local_conversations.conversation_of(connection, address)
        done = self._store.write(
            lambda tx: read_marks.set_read_mark(tx, conversation.thread, connection.person, seq)
        )
        done.add_done_callback(retrieve_exception)

    async def history(
        self, connection: SupportConnection, address: str | None, before: int | None, limit: int
    ) -> tuple[Conversation, list[Message], bool]:
        """A page of a conversation, oldest first, and whether there is more before it.

        A user without one gets its last one: what was said at its end may not have been seen.

        :raises Conflict: there never was one, or it is not the waiter's.
        """
        conversation = await self._conversation_of(connection, address)
        found = await self._store.read(messages.before, conversation.thread, before, limit + 1)
        return conversation, found[-limit:], len(found) > limit

    async def rate(self, connection: SupportConnection, stars: int, feedback: str | None) -> None:
        """Rate one's conversation, or the last one when it is over.

        :raises Conflict: there never was one.
        """
        conversation = await self._store.read(conversations.latest_of_user, connection.person)
        if conversation is None:
            raise Conflict("no_conversation")
        conversation_id = conversation.id
        await self._store.write(lambda tx: conversations.rate(tx, conversation_id, stars, feedback))

    # --- looking ---

    async def status(self) -> dict[str, Any]:
        """Waiters, line and conversations, for ``GET /api/v1/support/status``.

        :raises Unavailable: who knows it cannot be asked at the moment.
        """
        status: dict[str, Any] = await self._coordinator_client.call(SupportStatusRequest())
        return status

    async def serves(self, waiter: Person, user: Person) -> bool:
        """Whether the user is with the waiter at this moment."""
        return await self._store.read(conversations.serves, waiter, user)

    # --- inside ---

    async def _conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        if connection.person.role is Role.USER and connection.talk is None:
            last = await self._store.read(conversations.latest_of_user, connection.person)
            if last is not None:
                return last
        return self._local_conversations.conversation_of(connection, address)

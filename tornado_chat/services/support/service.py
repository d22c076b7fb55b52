"""The use cases of the support dialect inside a conversation.

``local_conversations.py`` connects users and waiters with their conversations.
"""

from collections.abc import Callable
from typing import Any

from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import CoordinatorClient, SupportStatusRequest, TransferRequest
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import Event, TypingChanged
from tornado_chat.core.types import (
    Activity,
    AppendResult,
    Conversation,
    ConversationState,
    Message,
    Page,
    Person,
    Role,
)
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.store import Store, retrieve_exception
from tornado_chat.services.support.connections import SupportConnection
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.storage import conversations, messages, read_marks
from tornado_chat.storage.messages import AppendRequest


class Support:
    """The use cases of the support dialect.

    :arg publish: publishes events that are not stored.
    :arg report_action: reports an action to the plugins.
    """

    def __init__(
        self,
        local_conversations: LocalConversations,
        coordinator_client: CoordinatorClient,
        store: Store,
        publish: Callable[[Event], None],
        filtering: MessageFilter,
        report_action: Callable[[Activity], None],
    ) -> None:
        self._local_conversations = local_conversations
        self._coordinator_client = coordinator_client
        self._store = store
        self._publish = publish
        self._filtering = filtering
        self._report_action = report_action

    # --- leaving ---

    async def disconnect(self, connection: SupportConnection, address: str | None) -> None:
        """Leave a conversation, or the queue, for good.

        :raises Conflict: the person is in no conversation and not in the queue.
        """
        await connection.filter_queue.wait_empty()  # earlier messages are delivered before the end
        await self._local_conversations.end(
            self._local_conversations.conversation_of(connection, address), connection.person
        )

    async def transfer(self, connection: SupportConnection, address: str | None, waiter_id: str) -> None:
        """Transfer a user to another waiter.

        :raises NotFound: the other waiter is unknown, is not ready or has no free place.
        :raises Conflict: the calling waiter does not serve the user.
        """
        await connection.filter_queue.wait_empty()
        conversation = self._local_conversations.conversation_of(connection, address)
        target = Person(Role.WAITER, waiter_id)
        await self._coordinator_client.call(TransferRequest(conversation.id, connection.person, target))

    # --- messages ---

    def send(
        self, connection: SupportConnection, address: str | None, text: str, media: str, client_id: str | None
    ) -> tuple[Conversation, Deferred[AppendResult]]:
        """Filter and store a message; its commit delivers it to the other side.

        Returns the conversation and the result, whose error may also be ``Unavailable`` or ``Refused``.

        :arg address: the address of the user, if the sender is a waiter; ignored if the sender is a user.
        :raises Conflict: the sender has no conversation, or is waiting for the first waiter.
        :raises Unavailable: the server is overloaded; nothing was stored.
        :raises Refused: a filter refuses the message.
        """
        conversation = self._local_conversations.conversation_of(connection, address)
        if conversation.state is ConversationState.WAITING and not conversation.returned:
            raise Conflict("still_waiting")
        same_text_only = "ack" not in connection.features
        message = AppendRequest(
            conversation.thread, connection.person, text, client_id, media, same_text_only
        )
        return conversation, self._filtering.submit(
            connection.filter_queue, connection.identity, message, connection.socket_stream.last_received_at
        )

    def typing(self, connection: SupportConnection, address: str | None, typing: bool) -> None:
        """Publish that a person is typing, or has stopped; this is not stored."""
        conversation = self._local_conversations.conversation_of(connection, address)
        self._publish(TypingChanged(conversation.thread, connection.person, typing))

    def mark_read(self, connection: SupportConnection, address: str | None, seq: int) -> None:
        """Store and publish how far a person has read.

        The caller does not wait for the commit: clients repeat a mark that is lost.
        """
        conversation = self._local_conversations.conversation_of(connection, address)
        done = self._store.write(
            lambda tx: read_marks.set_read_mark(tx, conversation.thread, connection.person, seq)
        )
        done.add_done_callback(retrieve_exception)

    async def history(
        self,
        connection: SupportConnection,
        address: str | None,
        before: int | None,
        limit: int,
        max_bytes: int,
    ) -> tuple[Conversation, Page[Message]]:
        """Return a conversation and a page of its messages, as ``messages.page_before``.

        A user without an unfinished conversation gets the last one, whose end the user may not have seen.

        :raises Conflict: the user never had a conversation, or the calling waiter does not serve the user.
        """
        conversation = await self._conversation_of(connection, address)
        return conversation, await self._store.read(
            messages.page_before, conversation.thread, before, limit, max_bytes
        )

    async def rate(self, connection: SupportConnection, stars: int, feedback: str | None) -> None:
        """Rate the user's latest conversation, which may have ended.

        :raises Conflict: the user never had a conversation.
        """
        conversation = await self._store.read(conversations.latest_of_user, connection.person)
        if conversation is None:
            raise Conflict("no_conversation")
        conversation_id = conversation.id
        await self._store.write(
            lambda tx: conversations.rate(tx, conversation_id, stars, feedback), conversation.thread
        )
        self._report_action(Activity(connection.person.key, "rated", conversation.thread, f"{stars} of 5"))

    # --- status ---

    async def status(self) -> dict[str, Any]:
        """Return the status of waiters, queue and conversations for ``GET /api/v1/support/status``.

        :raises Unavailable: the coordinator cannot be reached.
        """
        status: dict[str, Any] = await self._coordinator_client.call(SupportStatusRequest())
        return status

    async def serves(self, waiter: Person, user: Person) -> bool:
        """Return True if the waiter serves the user now."""
        return await self._store.read(conversations.serves, waiter, user)

    # --- inside ---

    async def _conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        if connection.person.role is Role.USER and connection.user_conversation is None:
            last = await self._store.read(conversations.latest_of_user, connection.person)
            if last is not None:
                return last
        return self._local_conversations.conversation_of(connection, address)

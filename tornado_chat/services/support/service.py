"""The use cases of the support dialect inside a conversation.

``local_conversations.py`` connects users and waiters with their conversations.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import (
    CoordinatorClient,
    GroupStatusRequest,
    SupportStatusRequest,
    TransferRequest,
)
from tornado_chat.core.errors import Conflict, Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.status import GroupStatus
from tornado_chat.core.types import (
    AGENT_ROLES,
    Activity,
    AppendResult,
    Candidate,
    Conversation,
    ConversationState,
    Handover,
    Message,
    Page,
    Participant,
    Person,
    Role,
    Thread,
)
from tornado_chat.domain.approval import needs_approval
from tornado_chat.domain.participants import handovers
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.signals import ReadMarks, TypingSignals
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.services.support.connections import SupportConnection
from tornado_chat.services.support.first_words import FirstWords
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.storage import agents, conversations, participants
from tornado_chat.storage.messages import AppendRequest

GROUP_STATES_TIMEOUT_SECONDS = 5.0
"""The time for the status of the groups: during an upgrade, a coordinator of before does not answer it."""


class ConversationHistory(NamedTuple):
    """A page of a conversation's messages.

    :ivar names: the names of the people that take or took part; empty without the feature ``sender``.
    :ivar handovers: all changes of the waiter; empty without the feature ``sender``.
    """

    conversation: Conversation
    page: Page[Message]
    names: Mapping[Person, str | None]
    handovers: Sequence[Handover]


class Support:
    """The use cases of the support dialect.

    :arg publish: publishes events that are not stored.
    :arg report_action: reports an action to the plugins.
    :arg emit: queues an event for the plugins, as ``PluginManager.emit``.
    """

    def __init__(
        self,
        local_conversations: LocalConversations,
        coordinator_client: CoordinatorClient,
        store: Store,
        publish: Callable[[Event], None],
        filtering: MessageFilter,
        report_action: Callable[[Activity], None],
        emit: Callable[..., None],
        approvals: Approvals,
        first_words: FirstWords,
    ) -> None:
        self._emit = emit
        self._approvals = approvals
        self._local_conversations = local_conversations
        self._coordinator_client = coordinator_client
        self._store = store
        self._typing = TypingSignals(publish)
        self._read_marks = ReadMarks(store)
        self._filtering = filtering
        self._report_action = report_action
        self._first_words = first_words

    # --- leaving ---

    async def disconnect(
        self, connection: SupportConnection, address: str | None, *, withdraws: bool = False
    ) -> None:
        """Leave a conversation, or the queue, for good.

        :arg withdraws: the user takes its first words back, if no waiter has come.
        :raises Conflict: the person is in no conversation and not in the queue.
        """
        await connection.filter_queue.wait_empty()  # earlier messages are delivered before the end
        conversation = self._local_conversations.conversation_of(connection, address)
        ended = await self._local_conversations.end(conversation, connection.person, withdraws=withdraws)
        if withdraws and ended.last_seq and not ended.has_had_waiter:
            self._report_action(Activity(connection.person.key, "took first words back", ended.thread))

    async def prepare_handover(self, connection: SupportConnection, address: str | None) -> Thread:
        """Return the conversation that a waiter hands over, after all messages that the waiter has sent.

        :raises Conflict: the calling waiter does not serve the user.
        """
        await connection.filter_queue.wait_empty()
        return self._local_conversations.conversation_of(connection, address).thread

    async def transfer(
        self, connection: SupportConnection, thread: Thread, target: Person, note: str | None = None
    ) -> Candidate | None:
        """Transfer a user to another waiter, or to a consultant who serves a group.

        If a client of the other waiter wants to be asked first, the waiter is returned, and nothing changed.

        :arg note: for the other waiter.
        :raises NotFound: the other waiter is unknown, is not ready or has no free place.
        :raises Conflict: the calling waiter does not serve the user any more.
        """
        request = TransferRequest(thread.id, connection.person, target, note=note, may_offer=True)
        asked = await self._coordinator_client.call(request)
        return Candidate(target, asked[0]) if asked else None

    async def accept(self, connection: SupportConnection, address: str | None) -> None:
        """Confirm a user that was assigned to the calling waiter. A second confirmation has no effect.

        :raises Conflict: the calling waiter does not serve the user.
        :raises Unavailable: the confirmation could not be stored.
        """
        conversation = self._local_conversations.conversation_of(connection, address)
        await self._local_conversations.accept(connection, conversation)

    # --- messages ---

    def send(
        self, connection: SupportConnection, address: str | None, text: str, media: str, client_id: str | None
    ) -> tuple[Conversation, Deferred[AppendResult]]:
        """Filter and store a message; its commit delivers it to the other side.

        A message that needs an approval is held instead; the result has its number then.

        Returns the conversation and the result, whose error may also be ``Unavailable`` or ``Refused``, or
        ``Conflict`` if the user has written as much as is allowed before its first waiter.

        :arg address: the address of the user, if the sender is a waiter; ignored if the sender is a user.
        :raises Conflict: the sender has no conversation, is waiting for the first waiter without the feature
            ``early``, or has to accept a text first.
        :raises Unavailable: the server is overloaded; nothing was stored.
        :raises Refused: a filter refuses the message.
        """
        if connection.consent_form is not None:
            raise Conflict("consent_first")
        conversation = self._local_conversations.conversation_of(connection, address)
        early_limit = None
        if conversation.state is ConversationState.WAITING and not conversation.returned:
            early_limit = self._first_words.require_limit(connection)
        self._confirm(connection, conversation)
        same_text_only = "ack" not in connection.features
        message = AppendRequest(
            *(conversation.thread, connection.person, text, client_id, media, same_text_only, early_limit),
            as_agent=connection.is_agent,
        )
        identity, append = connection.identity, None
        if connection.person.role in AGENT_ROLES and needs_approval(
            conversation.group, self._approvals.groups_on, identity.claims
        ):
            append = partial(self._approvals.hold, conversation.group)
        received = connection.socket_stream.last_received_at
        return conversation, self._filtering.submit(
            connection.filter_queue, identity, message, received, append
        )

    def typing(self, connection: SupportConnection, address: str | None, typing: bool) -> None:
        """Publish that a person is typing, or has stopped; this is not stored.

        :raises Conflict: the person has no conversation, or has to accept a text first.
        """
        if connection.consent_form is not None:
            raise Conflict("consent_first")
        conversation = self._local_conversations.conversation_of(connection, address)
        self._confirm(connection, conversation)
        self._typing.set(conversation.thread, connection.person, typing)

    def mark_read(self, connection: SupportConnection, address: str | None, seq: int) -> None:
        """Store and publish how far a person has read.

        The caller does not wait for the commit: clients repeat a mark that is lost.
        """
        conversation = self._local_conversations.conversation_of(connection, address)
        self._read_marks.set(conversation.thread, connection.person, seq)

    async def history(
        self,
        connection: SupportConnection,
        address: str | None,
        before: int | None,
        limit: int,
        max_bytes: int,
    ) -> ConversationHistory:
        """Return a conversation and a page of its messages, as ``messages.page_before``.

        A user without an unfinished conversation gets the last one, whose end the user may not have seen.

        :raises Conflict: the user never had a conversation, or the calling waiter does not serve the user.
        """
        conversation = await self._conversation_of(connection, address)
        thread = conversation.thread
        page = await self._store.read(agents.page_before, thread, connection.person, before, limit, max_bytes)
        people: Sequence[Participant] = ()
        if "sender" in connection.features:
            people = await self._store.look_up(participants.of_thread, thread)
        return ConversationHistory(conversation, page, participants.names(people), handovers(people))

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
        person, thread = connection.person, conversation.thread
        self._report_action(Activity(person.key, "rated", thread, f"{stars} of 5"))
        self._emit("conversation_rated", thread=thread, person=person, stars=stars, feedback=feedback)

    # --- status ---

    async def status(self) -> dict[str, Any]:
        """Return the status of waiters, queue and conversations for ``GET /api/v1/support/status``.

        :raises Unavailable: the coordinator cannot be reached.
        """
        status: dict[str, Any] = await self._coordinator_client.call(SupportStatusRequest())
        return status

    async def group_states(self) -> Sequence[GroupStatus]:
        """Return the status of each group, as ``CoordinatorSnapshot.recent_group_states``.

        :raises Unavailable: the coordinator cannot be reached, or is of a version without groups.
        """
        try:
            async with asyncio.timeout(GROUP_STATES_TIMEOUT_SECONDS):
                found = await self._coordinator_client.call(GroupStatusRequest())
        except TimeoutError:
            raise Unavailable("no_coordinator") from None
        return msgspec.convert(found, list[GroupStatus])

    async def serves(self, waiter: Person, user: Person) -> bool:
        """Return True if the waiter serves the user now."""
        return await self._store.read(conversations.serves, waiter, user)

    # --- inside ---

    def _confirm(self, connection: SupportConnection, conversation: Conversation) -> None:
        """A waiter that writes or types has confirmed the user."""
        if connection.person == conversation.waiter:
            self._local_conversations.accept_later(connection, conversation)

    async def _conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        if connection.person.role is Role.USER and connection.user_conversation is None:
            last = await self._store.read(conversations.latest_of_user, connection.person)
            if last is not None:
                return last
        return self._local_conversations.conversation_of(connection, address)

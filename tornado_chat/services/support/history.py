"""The support conversations of users, with the rights to list and read them."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from tornado_chat.core.errors import Forbidden, NotFound
from tornado_chat.core.lists import MAX_PAGE_BYTES, ConversationFilter, ListPage
from tornado_chat.core.types import (
    AGENT_ROLES,
    Action,
    Activity,
    Conversation,
    Handover,
    Identity,
    Kind,
    Message,
    Page,
    Participant,
    Person,
    Role,
    Thread,
)
from tornado_chat.domain.participants import handovers
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import HOST_ROLES, AccessControl
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.messaging.transcripts import chunks_of
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.services.support.first_words import FirstWords
from tornado_chat.services.support.service import Support
from tornado_chat.storage import conversation_lists, conversations, messages, participants


class SupportHistory:
    """The earlier conversations of a user.

    The host, admins, and the waiter that serves the user now may read them. A waiter may also read each
    conversation whose last waiter it was, a user the messages of its own conversations, and a supervisor
    those conversations that it supervises. A left message may be read as ``FirstWords`` says.
    """

    def __init__(
        self,
        store: Store,
        support: Support,
        access_control: AccessControl,
        plugins: PluginManager,
        first_words: FirstWords,
        rights: SupervisionRights,
    ) -> None:
        self._rights = rights
        self._store = store
        self._support = support
        self._access_control = access_control
        self._plugins = plugins
        self._first_words = first_words

    async def of_user(
        self, identity: Identity, user_id: str, before: int | None, limit: int
    ) -> tuple[list[Conversation], bool]:
        """Return a page of the user's ended conversations, newest first, and whether older ones exist.

        :raises Forbidden: the calling waiter does not serve the user.
        """
        user = Person(Role.USER, user_id)
        if not await self._access_control.is_allowed_by_plugin(
            identity, Action.READ
        ) and not await self._serves(identity, user):
            activity = Activity(identity.person.key, "refused to read", detail=f"conversations of {user.key}")
            self._plugins.report_action(activity)
            raise Forbidden("not_your_user", to=user_id)
        found = await self._store.read(conversations.ended_of, user, before, limit + 1)
        return found[:limit], len(found) > limit

    async def list_page(
        self, identity: Identity, wanted: ConversationFilter, before: int | None, limit: int
    ) -> ListPage[Conversation, int]:
        """Return the newest conversations that ``wanted`` describes, with ids below ``before`` (None: all).

        For hosts these are all, for a supervisor those that it may follow, for an agent those that it has or
        had last, for a user its own.

        :raises Forbidden: the caller takes no part in support, or asks for those of another person.
        """
        if not await self._access_control.is_allowed_by_plugin(identity, Action.READ):
            if identity.person.role is Role.SUPERVISOR:
                visible = self._rights.visible(identity)
                return await self._store.read(
                    conversation_lists.page_of_conversations, wanted, before, limit, visible
                )
            wanted = _restrict_to_own(identity.person, wanted)
        return await self._store.read(conversation_lists.page_of_conversations, wanted, before, limit)

    async def read(self, identity: Identity, conversation_id: int) -> Conversation:
        """Return a conversation that the caller may read.

        :raises NotFound: there is no such conversation.
        :raises Forbidden: the caller may not read it.
        """
        thread = Thread(Kind.SUPPORT, conversation_id)
        conversation = await self._store.read(conversations.get, conversation_id)
        if conversation is None:
            raise NotFound("no_such_conversation", id=conversation_id)
        own = identity.person in (conversation.user, conversation.waiter)
        if (
            not await self._access_control.is_allowed_by_plugin(identity, Action.READ, thread)
            and not own
            and not await self._serves(identity, conversation.user)
            and not await self._first_words.may_read_left(identity, conversation)
            and not await self._rights.supervises(identity, conversation.view)
        ):
            self._plugins.report_action(Activity(identity.person.key, "refused to read", thread))
            raise Forbidden("not_your_user", to=conversation.user.id)
        return conversation

    async def transcript(
        self, identity: Identity, conversation_id: int
    ) -> tuple[Conversation, AsyncIterator[Sequence[Message]]]:
        """Return a conversation and its messages in chunks, as ``Sessions.transcript``."""
        conversation = await self.read(identity, conversation_id)
        thread = conversation.thread
        await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="export")
        self._plugins.emit("transcript_read", thread=thread, identity=identity, how="export")
        return conversation, chunks_of(self._store, thread, conversation.last_seq)

    async def page(self, identity: Identity, conversation_id: int, after: int, limit: int) -> Page[Message]:
        """Return the messages after the ``seq`` ``after``, oldest first, and whether more exist.

        If the database has gone back to a copy without the message ``after``: from the first message on.
        There may be fewer than ``limit`` if they are large (``MAX_PAGE_BYTES``).

        :raises NotFound: there is no such conversation.
        :raises Forbidden: the caller may not read it.
        """
        thread = Thread(Kind.SUPPORT, conversation_id)
        found = await self._store.read(messages.page_for_client, thread, after, limit, MAX_PAGE_BYTES)
        await self.read(identity, conversation_id)  # after the page: see ``storage/agents.py``
        await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="messages")
        self._plugins.emit("transcript_read", thread=thread, identity=identity, how="messages")
        return found

    async def people(self, conversation_id: int) -> tuple[dict[Person, str | None], list[Handover]]:
        """Return the names of all participants and the changes of the waiter.

        The caller may read the conversation, as ``page`` has checked.
        """
        people = await self.participants(conversation_id)
        return participants.names(people), handovers(people)

    async def participants(self, conversation_id: int) -> list[Participant]:
        """Return the participants in the order of their joining; the caller may read the conversation."""
        return await self._store.look_up(participants.of_thread, Thread(Kind.SUPPORT, conversation_id))

    async def _serves(self, identity: Identity, user: Person) -> bool:
        return identity.person.role in HOST_ROLES or await self._support.serves(identity.person, user)


def _restrict_to_own(caller: Person, wanted: ConversationFilter) -> ConversationFilter:
    """Return the filter for the conversations of ``wanted`` that the caller may list.

    :raises Forbidden: see ``SupportHistory.list_page``.
    """
    if caller.role in HOST_ROLES:
        return wanted
    if caller.role is not Role.USER and caller.role not in AGENT_ROLES:
        raise Forbidden("role_not_allowed", role=caller.role.value)
    own = wanted.user if caller.role is Role.USER else wanted.waiter
    if own is not None and own != caller:
        raise Forbidden("only_your_conversations")
    if caller.role is Role.USER:
        return msgspec.structs.replace(wanted, user=caller)
    return msgspec.structs.replace(wanted, waiter=caller)

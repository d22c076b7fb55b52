"""The earlier support conversations of a user, with the rights to read them."""

from tornado_chat.core.errors import Forbidden, NotFound
from tornado_chat.core.types import (
    Action,
    Activity,
    Conversation,
    Identity,
    Kind,
    Message,
    Page,
    Person,
    Role,
    Thread,
)
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import HOST_ROLES, AccessControl
from tornado_chat.services.messaging.store import MAX_PAGE_BYTES, Store
from tornado_chat.services.support.service import Support
from tornado_chat.storage import conversations, messages


class SupportHistory:
    """The earlier conversations of a user.

    The host, admins, and the waiter that serves the user now may read them. A waiter may also read each
    conversation whose last waiter it was.
    """

    def __init__(
        self, store: Store, support: Support, access_control: AccessControl, plugins: PluginManager
    ) -> None:
        self._store = store
        self._support = support
        self._access_control = access_control
        self._plugins = plugins

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

    async def page(self, identity: Identity, conversation_id: int, after: int, limit: int) -> Page[Message]:
        """Return the messages after the ``seq`` ``after``, oldest first, and whether more exist.

        There may be fewer than ``limit`` if they are large (``MAX_PAGE_BYTES``).

        :raises NotFound: there is no such conversation.
        :raises Forbidden: the caller may not read it.
        """
        thread = Thread(Kind.SUPPORT, conversation_id)
        conversation = await self._store.read(conversations.get, conversation_id)
        if conversation is None:
            raise NotFound("no_such_conversation", id=conversation_id)
        own = identity.person == conversation.waiter
        if (
            not await self._access_control.is_allowed_by_plugin(identity, Action.READ, thread)
            and not own
            and not await self._serves(identity, conversation.user)
        ):
            self._plugins.report_action(Activity(identity.person.key, "refused to read", thread))
            raise Forbidden("not_your_user", to=conversation.user.id)
        await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="messages")
        found = await self._store.read(messages.page_after, thread, after, limit, MAX_PAGE_BYTES)
        self._plugins.emit("transcript_read", thread=thread, identity=identity, how="messages")
        return found

    async def _serves(self, identity: Identity, user: Person) -> bool:
        return identity.person.role in HOST_ROLES or await self._support.serves(identity.person, user)

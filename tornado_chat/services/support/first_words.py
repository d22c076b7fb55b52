"""First words: what users write while waiting for their first agent, and the messages that they leave."""

from collections.abc import Collection, Mapping, Sequence

from tornado_chat import config
from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.types import Activity, Conversation, EarlyWords, Identity, LeftMessage, Role
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.services.support.connections import SupportConnection
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.storage import first_words, left_messages
from tornado_chat.storage.messages import EarlyLimit

FEATURE = "early"
"""The feature of clients that may write while waiting for the first agent."""


class FirstWords:
    """The rules of first words, and the use cases of agents that read them.

    Agents that serve the group of a conversation read its first words, and so do the supervisors of the group
    (all of them with ``[counselling] observe = any``) and admins.
    """

    def __init__(
        self,
        settings: config.Support,
        groups: GroupRegistry,
        store: Store,
        plugins: PluginManager,
        rights: SupervisionRights,
    ) -> None:
        self._rights = rights
        self._settings = settings
        self._groups = groups
        self._store = store
        self._plugins = plugins

    def reconfigure(self, settings: config.Support) -> None:
        """Use other settings from now on."""
        self._settings = settings

    # --- users ---

    def require_limit(self, connection: SupportConnection) -> EarlyLimit:
        """Return the limit of the messages that a user may send before its first agent.

        :raises Conflict: the user has to wait until it has an agent.
        """
        if FEATURE not in connection.features or not self._settings.early_messages:
            raise Conflict("still_waiting")
        return EarlyLimit(self._settings.early_messages, self._settings.early_bytes)

    def offer(self, conversation: Conversation) -> EarlyWords | None:
        """Return what becomes of first words if their user gives up; None: the user may not write now.

        None also for a conversation that has had an agent: its user may write, and leaves nothing behind.
        """
        if conversation.has_had_waiter or not self._settings.early_messages:
            return None
        return self._groups.early_words(conversation.group)

    # --- agents ---

    def may_read(self, identity: Identity, group: str) -> bool:
        """Return True if the person may read the first words of users of a group."""
        person = identity.person
        if person.role is Role.SUPERVISOR:
            visible = self._rights.visible(identity)
            return visible is None or self._groups.rules[group].name in visible.groups
        return person.role is Role.ADMIN or self._groups.serves(identity, group)

    async def beginnings(self, identity: Identity, waiting: Mapping[int, str]) -> dict[int, str]:
        """Return the beginnings of first words that the person may read, by conversation.

        :arg waiting: the groups of waiting conversations, by number.
        """
        ids = [id for id, group in waiting.items() if self.may_read(identity, group)]
        return await self._store.read(first_words.waiting_beginnings, ids) if ids else {}

    async def left_messages(
        self, identity: Identity, group: str, is_handled: bool | None, after: int, limit: int
    ) -> tuple[Sequence[LeftMessage], bool]:
        """Return left messages that the person may read, oldest first, and whether there are more.

        :arg group: only those of this group; empty: all that the person may read.
        :arg is_handled: only those that are handled, or are not; None: both.
        :arg after: the conversation of the last left message of the page before; 0: the first page.
        :raises NotFound: there is no such group.
        :raises Forbidden: the person may not read the first words of this group, or is neither an agent nor a
            supervisor.
        """
        groups: Collection[str] | None = None
        if group:
            if group not in self._groups.rules:
                raise NotFound("no_such_group", group=group[:64])
            self._require_reader(identity, group)
            groups = {group}
        elif identity.person.role not in HOST_ROLES:
            role = identity.person.role
            if role is not Role.SUPERVISOR and not self._groups.has_agent(identity):
                raise Forbidden("role_not_allowed", role=role.value)
            groups = {name for name in self._groups.rules.names if self.may_read(identity, name)}
        others = set(self._groups.rules.names).difference(groups or ())
        found = await self._store.read(left_messages.page, groups, others, is_handled, after, limit + 1)
        return found[:limit], len(found) > limit

    async def may_read_left(self, identity: Identity, conversation: Conversation) -> bool:
        """Return True if a conversation is a left message, and the person may read it."""
        if conversation.open or not self._is_reader(identity, conversation.group):
            return False
        return await self._store.read(left_messages.find, conversation.id) is not None

    async def mark_handled(self, identity: Identity, conversation_id: int) -> LeftMessage:
        """Mark a left message as handled, and return it. The mark of the first person stays.

        :raises NotFound: there is no such left message.
        :raises Forbidden: the person may not read it.
        """
        found = await self._find(conversation_id)
        self._require_reader(identity, found.conversation.group)
        if await self._store.write(
            lambda tx: left_messages.mark_handled(tx, conversation_id, identity.person)
        ):
            thread = found.conversation.thread
            self._plugins.report_action(Activity(identity.person.key, "handled left message", thread))
        return await self._find(conversation_id)

    # --- inside ---

    async def _find(self, conversation_id: int) -> LeftMessage:
        found = await self._store.read(left_messages.find, conversation_id)
        if found is None:
            raise NotFound("no_such_left_message", id=conversation_id)
        return found

    def _is_reader(self, identity: Identity, group: str) -> bool:
        return identity.person.role is Role.SERVICE or self.may_read(identity, group)

    def _require_reader(self, identity: Identity, group: str) -> None:
        if not self._is_reader(identity, group):
            raise Forbidden("not_your_group", group=group)

"""Who may follow, read, join and take over a conversation as its supervisor."""

from collections.abc import Callable
from typing import NoReturn

from tornado_chat import config
from tornado_chat.core.errors import Forbidden
from tornado_chat.core.types import Action, Activity, ConversationView, Identity, Kind, Part, Role
from tornado_chat.domain.groups import Groups
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import participants, rooms
from tornado_chat.storage.conversation_lists import Visible

NOT_YOURS = {Kind.SESSION: "not_your_session", Kind.SUPPORT: "not_your_conversation"}


class SupervisionRights:
    """The rights of supervisors and admins on sessions and support conversations.

    Admins may supervise all conversations; supervisors those of their groups, and those about which they have
    a record.

    :arg rules: returns the groups of the configuration.
    """

    def __init__(
        self,
        store: Store,
        access_control: AccessControl,
        plugins: PluginManager,
        settings: config.Counselling,
        rules: Callable[[], Groups],
    ) -> None:
        self._store = store
        self._access_control = access_control
        self._plugins = plugins
        self._settings = settings
        self._rules = rules

    def reconfigure(self, settings: config.Counselling) -> None:
        """Use other settings from now on."""
        self._settings = settings

    async def supervises(self, identity: Identity, view: ConversationView) -> bool:
        """Return True if the person may supervise a conversation, by the server's own rules.

        Every way to the content of a conversation, other than taking part in it, asks this function.
        """
        person = identity.person
        if person.role is Role.ADMIN:
            return True
        if person.role is not Role.SUPERVISOR:
            return False
        if view.group in self._rules().supervised(person, identity.claims):
            return True
        return await self._store.look_up(rooms.is_supervisor_of, view.thread, person)

    async def require_observer(self, identity: Identity, view: ConversationView) -> None:
        """Check that the person may follow a conversation from now on; a plugin may allow or refuse it.

        A former agent that stays as an observer may, too. With ``[counselling] observe = any`` every
        supervisor may, without the right to read what was before.

        :raises Forbidden: the person may not.
        """
        if await self._access_control.is_allowed_by_plugin(identity, Action.OBSERVE, view.thread):
            return
        if await self._store.look_up(participants.takes_part_as, view.thread, identity.person, Part.OBSERVER):
            return  # a former agent that has stayed
        is_supervisor = identity.person.role is Role.SUPERVISOR
        if is_supervisor and self._settings.observe == "any":
            return
        if not await self.supervises(identity, view):
            self.refuse(identity, view, "observe")

    async def require(self, identity: Identity, view: ConversationView, what: str) -> None:
        """Check that the person may take part as a supervisor; a plugin may allow or refuse it.

        :arg what: the action for the audit, as in ``refused to join``.
        :raises Forbidden: the person may not.
        """
        if await self._access_control.is_allowed_by_plugin(identity, Action.SUPERVISE, view.thread):
            return
        if not await self.supervises(identity, view):
            self.refuse(identity, view, what)

    def refuse(self, identity: Identity, view: ConversationView, what: str) -> NoReturn:
        """Report a refused action. :raises Forbidden: always."""
        self._plugins.report_action(Activity(identity.person.key, f"refused to {what}", view.thread))
        raise Forbidden(NOT_YOURS[view.thread.kind])

    def visible(self, identity: Identity) -> Visible | None:
        """Return which support conversations a supervisor may list; None: all.

        The caller is a supervisor, or has the role ``admin`` or ``service``.
        """
        person = identity.person
        if person.role is not Role.SUPERVISOR or self._settings.observe == "any":
            return None
        return Visible(person, tuple(self._rules().supervised(person, identity.claims)))

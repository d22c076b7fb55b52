"""Who may follow, read, join and take over a conversation as its supervisor."""

from collections.abc import Callable

from tornado_chat import config
from tornado_chat.core.errors import Forbidden
from tornado_chat.core.types import Action, Activity, ConversationView, Identity, Kind, Role
from tornado_chat.domain.groups import Groups
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import rooms

NOT_YOURS = {Kind.SESSION: "not_your_session", Kind.SUPPORT: "not_your_conversation"}


class SupervisionRights:
    """The rights of supervisors and admins on sessions and support conversations.

    Admins may supervise all conversations; supervisors those of their groups, those about which they have a
    record, and with ``[counselling] observe = any`` all.

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
        """Return True if the person may supervise a conversation, by the server's own rules."""
        person = identity.person
        if person.role is Role.ADMIN:
            return True
        if person.role is not Role.SUPERVISOR:
            return False
        if self._settings.observe == "any":
            return True
        if view.group in self._rules().supervised(person, identity.claims):
            return True
        return view.thread.kind is Kind.SESSION and await self._store.look_up(
            rooms.is_supervisor_of, view.thread.id, person
        )

    async def require(self, identity: Identity, action: Action, view: ConversationView, what: str) -> None:
        """Check that the person may supervise a conversation; a plugin may allow or refuse it.

        :arg what: the refused action for the audit, as in ``refused to observe``.
        :raises Forbidden: the person may not.
        """
        if await self._access_control.is_allowed_by_plugin(identity, action, view.thread):
            return
        if not await self.supervises(identity, view):
            self._plugins.report_action(Activity(identity.person.key, f"refused to {what}", view.thread))
            raise Forbidden(NOT_YOURS[view.thread.kind])

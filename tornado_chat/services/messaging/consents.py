"""Consent: the text of a group that a client of a conversation accepts before its first message.

Strategy: a client with the feature ``consent`` is asked when it connects, and its socket keeps the form until
the client has accepted it. The acceptance belongs to the conversation and is stored with it, so another
process, and a later connection, find it there. A refusal is not stored.
"""

from collections.abc import Mapping

from tornado_chat import config
from tornado_chat.core.errors import Conflict, Forbidden
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Activity,
    Consent,
    ConsentForm,
    Person,
    Room,
    Thread,
)
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import consents

CONSENT_FEATURE = "consent"
LANGUAGES = ("zh_CN", "en")


def group_of_room(room: Room) -> str:
    """Return the group of a session."""
    return DEFAULT_GROUP


class Consents:
    """The consents of clients in sessions and support conversations."""

    def __init__(self, groups: Mapping[str, config.Group], store: Store, plugins: PluginManager) -> None:
        self._store = store
        self._plugins = plugins
        self.reconfigure(groups)

    def reconfigure(self, groups: Mapping[str, config.Group]) -> None:
        """Use the texts of other groups from now on; clients that were asked answer the text before."""
        self._required = {name for name, section in groups.items() if section.consent_required}
        self._forms = {
            (name, language): ConsentForm(
                name, section.consent_version, language, section.consent_in(language)
            )
            for name, section in groups.items()
            for language in LANGUAGES
            if section.consent_in(language)
        }

    def form(self, group: str, language: str) -> ConsentForm | None:
        """Return what clients of a group have to accept, in ``zh_CN`` or ``en``; None: nothing."""
        return self._forms.get((group, language))

    async def missing(
        self, person: Person, thread: Thread, group: str, language: str, *, can_ask: bool
    ) -> ConsentForm | None:
        """Return the form that the client of a conversation has to accept first, if there is one.

        :arg can_ask: whether the client shows the form; other clients get None.
        :raises Forbidden: the client cannot show the form, and the group requires the consent.
        """
        form = self.form(group, language)
        if form is None or not (can_ask or group in self._required):
            return None
        if await self.is_accepted(person, thread, form):
            return None
        return self.of_new(group, language, can_ask=can_ask)

    def of_new(self, group: str, language: str, *, can_ask: bool) -> ConsentForm | None:
        """Return the form that the client of a new conversation has to accept first, as ``missing``."""
        form = self.form(group, language)
        if form is None or can_ask:
            return form
        if group in self._required:
            raise Forbidden("consent_required")
        return None

    async def is_accepted(self, person: Person, thread: Thread, form: ConsentForm) -> bool:
        """Return True if the person has accepted the version of a form in a conversation."""
        given = await self._store.look_up(consents.of_thread, thread)
        return any(consents.is_about(each, person, form) for each in given)

    async def accept(self, person: Person, thread: Thread, form: ConsentForm) -> None:
        """Store that a person has accepted a form. Accepting it twice has no effect.

        :raises Unavailable: it could not be stored.
        """
        await self._store.write(lambda tx: consents.accept(tx, thread, person, form), thread)
        self.report(person, thread, form)

    def report(self, person: Person, thread: Thread, form: ConsentForm) -> None:
        """Report a stored acceptance to the plugins."""
        detail = f"group {form.group}, version {form.version}"
        self._plugins.report_action(Activity(person.key, "accepted consent", thread, detail))

    async def of_thread(self, thread: Thread) -> list[Consent]:
        """Return the consents that were given in a conversation, oldest first."""
        return list(await self._store.look_up(consents.of_thread, thread))


def require_form(form: ConsentForm | None, version: str) -> ConsentForm:
    """Return the form that a client answers.

    :raises Conflict: the client was not asked, or for another version.
    """
    if form is None:
        raise Conflict("no_consent_asked")
    if form.version != version:
        raise Conflict("other_consent_version", version=form.version)
    return form

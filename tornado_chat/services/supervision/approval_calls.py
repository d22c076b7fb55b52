"""Calls of supervisors for held messages: notifications, once for each conversation while unread."""

import logging
from collections.abc import Callable, Sequence

from tornado_chat.core.errors import ChatError
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import HeldMessage, Kind, Person, Role, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.groups import Groups
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import notifications, rooms

log = logging.getLogger(__name__)

PLAIN = 0  # the type of the notification of a held message
SUPERVISING_ROLES = (Role.SUPERVISOR, Role.ADMIN)

MAX_REMEMBERED = 1000
"""The number of the last notifications that are remembered: another one is sent for what is forgotten."""


class ApprovalCalls:
    """Notifies the supervisors of a conversation that a message waits for them.

    :arg groups: returns the groups of the configuration.
    :arg language: the language of the notifications.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        notifications: Notifications,
        presence: PresenceLookup,
        groups: Callable[[], Groups],
        language: Language,
    ) -> None:
        self._store = store
        self._hub = hub
        self._notifications = notifications
        self._presence = presence
        self._groups = groups
        self._language = language
        self._notified: dict[tuple[Thread, Person], int] = {}  # the number of the last notification

    async def call(self, held: HeldMessage) -> Sequence[tuple[Person, str | None]] | None:
        """Notify the supervisors, unless one observes the conversation on this process.

        Returns the supervisors with their names, if none of them has a socket; else None.
        """
        if any(person.role in SUPERVISING_ROLES for person in self._hub.followers(held.thread)):
            return None
        try:
            people = await self._supervisors(held)
            is_online = [await self._presence.online(person) for person in people]
            for person in people:
                await self._notify(held, person)
        except ChatError as error:
            log.warning("no supervisor was notified: %s", error, extra=fields(**held.thread.named))
            return None
        return None if any(is_online) or not people else [*people.items()]

    async def _supervisors(self, held: HeldMessage) -> dict[Person, str | None]:
        """Return the supervisors that are named for a conversation, with their names if they are known."""
        people: dict[Person, str | None] = dict.fromkeys(self._groups()[held.group].supervisors)
        for record in await self._store.look_up(rooms.supervision_records, held.thread):
            people[record.helper] = record.helper_name
        people.pop(held.sender, None)
        return people

    async def _notify(self, held: HeldMessage, person: Person) -> None:
        key = (held.thread, person)
        number = self._notified.get(key)
        if number is not None and not await self._store.look_up(notifications.read_times, [number]):
            return
        if held.thread.kind is Kind.SESSION:
            msg = system_text(self._language, "held_in_session", id=held.thread.id)
        else:
            msg = system_text(self._language, "held_in_conversation", id=held.thread.id)
        self._notified[key] = (await self._notifications.notify(person, PLAIN, msg, None)).id
        if len(self._notified) > MAX_REMEMBERED:
            del self._notified[next(iter(self._notified))]

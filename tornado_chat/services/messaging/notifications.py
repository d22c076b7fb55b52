"""Notifications: stored first, then delivered to every socket of the recipient, now or when one connects."""

from collections.abc import Mapping
from typing import Any

from tornado_chat.core.errors import Refused
from tornado_chat.core.events import Event
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import Notification, NotificationDraft, Page, Person, Room, Thread
from tornado_chat.delivery.hub import PAGE_BYTES, PAGE_ITEMS, Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import MAX_PAGE_BYTES, Store
from tornado_chat.storage import join_queries, notifications
from tornado_chat.storage.writer import Transaction

CONVERSATION = 2
"""The type of a notification of a new conversation; 0 is a plain notification, 1 an appointment."""


class Notifications:
    """Sends notifications, and reads inboxes."""

    def __init__(
        self, store: Store, hub: Hub, receipts: ReceiptStore, plugins: PluginManager, language: Language
    ) -> None:
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._plugins = plugins
        self._language = language
        self._notified_count = 0  # notifications to all recipients

    async def notify(
        self, recipient: Person, type: int, msg: str, data: Mapping[str, Any] | None
    ) -> Notification:
        """Send a notification. Returns after the commit: from then on, delivery is certain.

        :raises Refused: a filter refuses it.
        """
        draft = await self._filter(NotificationDraft(recipient, type, msg, data))
        return await self._store.write(
            lambda tx: notifications.create(tx, draft.recipient, draft.type, draft.msg, draft.data)
        )

    async def announcement(self, recipient: Person) -> str:
        """Return the filtered text that informs ``recipient`` of a new session or record."""
        draft = NotificationDraft(recipient, CONVERSATION, system_text(self._language, "new_conversation"))
        try:
            return (await self._filter(draft)).msg
        except Refused:  # the session exists, so its participants have to be informed
            return draft.msg

    def announce(
        self, tx: Transaction, recipient: Person, msg: str, room: Room, *, observe: bool = False
    ) -> None:
        """Notify ``recipient`` of a new session or record, in the transaction that creates it.

        :arg observe: let the notification name the session that a supervisor may observe.
        """
        data: dict[str, Any] = {"sessionId": room.thread.id}
        if observe:
            data["observeSessionId"] = room.session_id
        notifications.create(tx, recipient, CONVERSATION, msg, data)

    async def attach(self, socket_stream: SocketStream) -> Thread:
        """Deliver the notifications that the person has not received to a socket, then all new ones."""
        owner = socket_stream.person
        notified_count = self._notified_count
        found = await self._store.look_up(join_queries.load_inbox, owner, PAGE_ITEMS, PAGE_BYTES)
        if found is None:
            inbox = await self._store.write(lambda tx: notifications.open_inbox(tx, owner))
            await self._hub.follow(socket_stream, inbox, 0)
            return inbox
        inbox, missed = found
        received = self._receipts.latest(inbox, owner, missed.receipt)
        # Until here the socket did not follow the inbox: a notification during the query may be missing in
        # ``missed``. Then the hub reads the items again.
        first = missed.page if notified_count == self._notified_count and not self._hub.is_clustered else None
        await self._hub.follow(socket_stream, inbox, received or 0, first)
        return inbox

    events = (Notification,)

    def on_event(self, event: Event) -> None:
        """Count a committed notification."""
        self._notified_count += 1

    async def _filter(self, draft: NotificationDraft) -> NotificationDraft:
        filtered = self._plugins.filter("filter_notification", draft)
        return filtered if isinstance(filtered, NotificationDraft) else await filtered

    async def page(self, owner: Person, after: int, limit: int) -> Page[Notification]:
        """Return the owner's notifications after the ``seq`` ``after``, and whether more follow.

        There may be fewer than ``limit`` if they are large (``MAX_PAGE_BYTES``).
        """
        inbox = await self._store.read(notifications.find_inbox, owner)
        if inbox is None:
            return Page([], False)
        return await self._store.read(notifications.page_after, inbox, after, limit, MAX_PAGE_BYTES)

    async def mark_read(self, owner: Person, notification_id: int) -> Notification:
        """Mark a notification as read.

        :raises NotFound: the owner has no such notification.
        """
        return await self._store.write(lambda tx: notifications.mark_read(tx, owner, notification_id))

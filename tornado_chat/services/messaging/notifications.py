"""Pop-up notifications: stored first, shown to every socket of the recipient, kept for the absent."""

from collections.abc import Mapping
from typing import Any

from tornado_chat.core.errors import Refused
from tornado_chat.core.events import Event
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import Notification, NotificationDraft, Person, Room, Thread
from tornado_chat.delivery.hub import PAGE_ITEMS, Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import join_queries, notifications
from tornado_chat.storage.writer import Transaction

PLAIN = 0
APPOINTMENT = 1
CONVERSATION = 2


class Notifications:
    """Notifying people, and their inboxes."""

    def __init__(
        self, store: Store, hub: Hub, receipts: ReceiptStore, plugins: PluginManager, language: Language
    ) -> None:
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._plugins = plugins
        self._language = language
        self._notified_count = 0  # notifications, of anybody

    async def notify(
        self, recipient: Person, type: int, msg: str, data: Mapping[str, Any] | None
    ) -> Notification:
        """Notify somebody. Returns after the commit: from then on it will arrive.

        :raises Refused: a filter does not let it pass.
        """
        draft = await self._filter(NotificationDraft(recipient, type, msg, data))
        return await self._store.write(
            lambda tx: notifications.create(tx, draft.recipient, draft.type, draft.msg, draft.data)
        )

    async def announcement(self, recipient: Person) -> str:
        """The text that tells ``recipient`` of a new session or record."""
        draft = NotificationDraft(recipient, CONVERSATION, system_text(self._language, "new_conversation"))
        try:
            return (await self._filter(draft)).msg
        except Refused:  # the session is there, so its people have to know
            return draft.msg

    def announce(
        self, tx: Transaction, recipient: Person, msg: str, room: Room, *, observe: bool = False
    ) -> None:
        """Tell ``recipient`` of a new session or record, in the transaction that makes it.

        With ``observe`` the notification names the session to listen to, for a supervisor.
        """
        data: dict[str, Any] = {"sessionId": room.thread.id}
        if observe:
            data["observeSessionId"] = room.session_id
        notifications.create(tx, recipient, CONVERSATION, msg, data)

    async def attach(self, socket_stream: SocketStream) -> Thread:
        """Give a socket what its person has not received yet, then everything new."""
        owner = socket_stream.person
        notified_count = self._notified_count
        found = await self._store.look_up(join_queries.load_inbox, owner, PAGE_ITEMS)
        if found is None:
            inbox = await self._store.write(lambda tx: notifications.open_inbox(tx, owner))
            await self._hub.follow(socket_stream, inbox, 0)
            return inbox
        inbox, missed = found
        received = self._receipts.latest(inbox, owner, missed.receipt)
        # Nobody followed the inbox while it was read: what was told meanwhile may be missing.
        first = (
            missed.items if notified_count == self._notified_count and not self._hub.is_clustered else None
        )
        await self._hub.follow(socket_stream, inbox, received or 0, first)
        return inbox

    events = (Notification,)

    def on_event(self, event: Event) -> None:
        """Note that somebody was notified; called for ``events``, after their commit."""
        self._notified_count += 1

    async def _filter(self, draft: NotificationDraft) -> NotificationDraft:
        filtered = self._plugins.filter("filter_notification", draft)
        return filtered if isinstance(filtered, NotificationDraft) else await filtered

    async def page(self, owner: Person, after: int, limit: int) -> list[Notification]:
        """The owner's notifications that follow ``after`` (a ``seq``), oldest first."""
        inbox = await self._store.read(notifications.find_inbox, owner)
        if inbox is None:
            return []
        return await self._store.read(notifications.after, inbox, after, limit)

    async def mark_read(self, owner: Person, notification_id: int) -> Notification:
        """:raises NotFound: the owner has no such notification."""
        return await self._store.write(lambda tx: notifications.mark_read(tx, owner, notification_id))

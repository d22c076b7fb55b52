"""Notifications: stored first, then delivered to every socket of the recipient, now or when one connects.

Strategy: the receipt of a notification is a pong, which proves that the browser has it, not the page: a page
that a dialog of ``alert()`` blocks gets the frame after the dialog, or never if it is closed before. Clients
with features show by ``read`` what the page has got. Plain clients cannot, so they get an unread notification
again on later connects, a few times (``[notifications] repeat``). A repetition counts when it has arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tornado_chat import config
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event
from tornado_chat.core.lists import MAX_PAGE_BYTES
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import Kind, Notification, NotificationDraft, Page, Person, Room, Thread
from tornado_chat.delivery.hub import PAGE_BYTES, PAGE_ITEMS, Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, retrieve_exception
from tornado_chat.storage import join_queries, notifications
from tornado_chat.storage.notifications import CONVERSATION
from tornado_chat.storage.writer import Transaction


class _ArrivalWatch:
    """The ``PingWatch`` of a socket that was sent frames: the answer to the next ping proves their arrival.

    :arg on_arrived: called once.
    """

    __slots__ = ("_is_pinged", "_on_arrived")

    def __init__(self, on_arrived: Callable[[], None]) -> None:
        self._on_arrived = on_arrived
        self._is_pinged = False

    def on_ping(self) -> None:
        self._is_pinged = True

    def on_answer(self) -> None:
        if self._is_pinged:  # else it answers an earlier ping
            self._on_arrived()


class Notifications:
    """Sends notifications, and reads inboxes."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        receipts: ReceiptStore,
        plugins: PluginManager,
        language: Language,
        settings: config.Notifications,
    ) -> None:
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._plugins = plugins
        self._language = language
        self._settings = settings
        self._notified_count = 0  # notifications to all recipients

    def reconfigure(self, settings: config.Notifications) -> None:
        """Use other settings for the sockets that connect from now on."""
        self._settings = settings

    async def notify(
        self, recipient: Person, type: int, msg: str, data: Mapping[str, Any] | None
    ) -> Notification:
        """Send a notification. Returns after the commit: from then on, delivery is certain.

        :raises ChatError: a filter refuses it, or fails and has ``on_error = reject``.
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
        except ChatError:  # the session exists, so its participants have to be informed
            return draft.msg

    def announce(
        self, tx: Transaction, recipient: Person, msg: str, room: Room, *, observe: bool = False
    ) -> None:
        """Notify ``recipient`` of a new session or record, in the transaction that creates it.

        :arg observe: let the notification name the conversation that a supervisor may observe.
        """
        data: dict[str, Any] = {"sessionId": room.thread.id}
        if observe:
            key = "observeSessionId" if room.about.kind is Kind.SESSION else "observeConversationId"
            data[key] = room.about.id
        notifications.create(tx, recipient, CONVERSATION, msg, data)

    def announce_offer(self, tx: Transaction, recipient: Person, msg: str, session: Thread) -> None:
        """Notify ``recipient`` of a session that is offered to it, in the transaction that offers it."""
        notifications.create(tx, recipient, CONVERSATION, msg, {"sessionId": session.id})

    async def attach(
        self, socket_stream: SocketStream, *, is_plain: bool = False, position: int | None = None
    ) -> Thread:
        """Deliver the notifications that the person has not received to a socket, then all new ones.

        :arg is_plain: the client asked for no feature, so it gets the last unread ones again first.
        :arg position: of a socket that another process has had: the last ``seq`` that was written to it.
        """
        owner = socket_stream.person
        notified_count = self._notified_count
        max_repeats = self._settings.repeat if is_plain else 0
        found = await self._store.look_up(join_queries.load_inbox, owner, PAGE_ITEMS, PAGE_BYTES, max_repeats)
        if found is None:
            inbox = await self._store.write(lambda tx: notifications.open_inbox(tx, owner))
            await self._hub.follow(socket_stream, inbox, 0)
            return inbox
        inbox, missed, unread = found
        if position is not None:
            await self._hub.follow(socket_stream, inbox, position)
            return inbox
        received = self._receipts.latest(inbox, owner, missed.receipt) or 0
        if max_repeats and received > (missed.receipt or 0):  # receipts are stored with a delay
            unread = await self._store.look_up(
                notifications.unread_up_to, inbox, received, max_repeats, PAGE_BYTES
            )
        self._repeat(socket_stream, unread)
        # Until here the socket did not follow the inbox: a notification during the query may be missing in
        # ``missed``. Then the hub reads the items again.
        first = missed.page if notified_count == self._notified_count and not self._hub.is_clustered else None
        await self._hub.follow(socket_stream, inbox, received, first)
        return inbox

    def _repeat(self, socket_stream: SocketStream, unread: Sequence[Notification]) -> None:
        """Deliver notifications again, and count that when the socket has them."""
        if not unread or socket_stream.closed:
            return

        def count() -> None:
            socket_stream.ping_watch = None
            done = self._store.write(lambda tx: notifications.count_repeats(tx, unread))
            done.add_done_callback(retrieve_exception)

        socket_stream.ping_watch = _ArrivalWatch(count)
        for notification in unread:
            socket_stream.repeat(notification)

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
        return await self._store.read(notifications.page_for_client, inbox, after, limit, MAX_PAGE_BYTES)

    async def newest_page(self, owner: Person, before: int, limit: int) -> Page[Notification]:
        """Return the owner's notifications before the ``seq`` ``before``, newest first, as ``page``."""
        inbox = await self._store.read(notifications.find_inbox, owner)
        if inbox is None:
            return Page([], False)
        return await self._store.read(notifications.page_before, inbox, before, limit, MAX_PAGE_BYTES)

    async def mark_read(self, owner: Person, notification_id: int) -> Notification:
        """Mark a notification as read.

        :raises NotFound: the owner has no such notification.
        """
        return await self._store.write(lambda tx: notifications.mark_read(tx, owner, notification_id))

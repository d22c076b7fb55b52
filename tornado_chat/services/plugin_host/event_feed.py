"""The event feed: it delivers events to plugins.

Strategy: events that the database does not store go into each plugin's queue as they happen. Messages and
notifications are read back from the database: a plugin has a cursor in each stream, and an event only wakes
the reader of the stream. So no stored item is skipped, whether the plugin was slow or suspended or the server
crashed; at worst an item is delivered twice. A ``deliver_notification`` that fails is repeated
(``notification_delivery``).

Of several processes, one at a time delivers a stream to a plugin (``DatabaseLease``). A process that has
stored an item makes sure of its delivery: it acquires the lease, or checks again until the holder of the
lease has delivered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from tornado_chat.aio.periodic import run_forever
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import (
    ConversationAssigned,
    ConversationEnded,
    ConversationQueued,
    ConversationRequeued,
    Event,
    ReadAdvanced,
    RoomEnded,
    RoomStarted,
)
from tornado_chat.core.types import Message, Notification
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host import notification_delivery
from tornado_chat.services.plugin_host.delivery_housekeeping import DeliveryHousekeeping
from tornado_chat.services.plugin_host.notification_delivery import NotificationDelivery
from tornado_chat.storage import streams
from tornado_chat.storage.streams import Stream

log = logging.getLogger(__name__)

PAGE_ROWS = 200
ITEMS_PER_TURN = 10  # items that are delivered in one turn of the event loop
SAVE_INTERVAL_SECONDS = 0.5  # seconds between two saves of a plugin's cursor
RETRY_SECONDS = 5.0  # seconds until the next query after the database did not answer
LEASE_RETRY_SECONDS = 0.25  # seconds until the next try for a lease that another process holds
LEASE_HOLD_SECONDS = 0.1  # seconds that a process keeps its lease when there is nothing to deliver
POLL_INTERVAL_SECONDS = 10.0  # seconds between two checks for items that a dead process did not deliver
STOP_TIMEOUT_SECONDS = 5.0  # seconds that plugins get for stored items when the server stops

HOOKS_BY_STREAM = {
    streams.MESSAGES: ("message_posted",),
    streams.NOTIFICATIONS: ("notification_created", "deliver_notification"),
}

HOOKS_BY_EVENT: Mapping[type[Event], tuple[str, ...]] = {
    Message: HOOKS_BY_STREAM[streams.MESSAGES],
    Notification: HOOKS_BY_STREAM[streams.NOTIFICATIONS],
    RoomStarted: ("session_started",),
    RoomEnded: ("session_ended",),
    ConversationQueued: ("conversation_queued",),
    ConversationRequeued: ("conversation_queued",),
    ConversationAssigned: ("conversation_assigned",),
    ConversationEnded: ("conversation_ended",),
    ReadAdvanced: ("messages_read",),
}


class PluginEventFeed:
    """Delivers events to plugins.

    :arg shared: whether other processes have the same plugins and the same database.
    """

    def __init__(
        self,
        plugins: PluginManager,
        store: Store,
        presence: PresenceLookup,
        loop: asyncio.AbstractEventLoop,
        *,
        shared: bool,
    ) -> None:
        self._plugins = plugins

        def make_lease(name: str) -> DatabaseLease:
            return DatabaseLease(name, store, loop, shared=shared)

        def make_reader(name: str, stream: Stream) -> _StreamReader:
            lease = make_lease(f"plugin {name} {stream.name}")
            return _StreamReader(name, stream, plugins, store, self._deliveries.get(name), loop, lease)

        self._deliveries = {
            name: NotificationDelivery(name, plugins, store, presence, make_lease, loop)
            for name in plugins.plugins_with_hooks(notification_delivery.HOOK)
        }
        self._housekeeping = DeliveryHousekeeping(store, loop)
        self._readers = {
            stream: [make_reader(name, stream) for name in plugins.plugins_with_hooks(*hooks)]
            for stream, hooks in HOOKS_BY_STREAM.items()
        }

    async def open(self) -> None:
        """Read each plugin's cursor; a new plugin's begins here, so call this before ``startup``.

        :raises ChatError: the database is away.
        """
        for readers in self._readers.values():
            for reader in readers:
                await reader.open()

    def start(self) -> None:
        """Start the delivery, from each plugin's cursor."""
        for readers in self._readers.values():
            for reader in readers:
                reader.start()
        for delivery in self._deliveries.values():
            delivery.start()
        self._housekeeping.start()

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for readers in self._readers.values() for each in readers))
        await asyncio.gather(*(each.stop() for each in self._deliveries.values()))
        await self._housekeeping.stop()

    async def wait_until_idle(self) -> None:
        """Wait until each plugin that is not suspended has got all stored events."""
        await asyncio.gather(
            *(each.wait_until_idle() for readers in self._readers.values() for each in readers)
        )

    events = tuple(HOOKS_BY_EVENT)

    @property
    def needed_events(self) -> tuple[type[Event], ...]:
        """Those of ``events`` that at least one plugin is told of."""
        hooks = self._plugins.implemented_hooks
        return tuple(event for event, told in HOOKS_BY_EVENT.items() if not hooks.isdisjoint(told))

    def on_event(self, event: Event) -> None:
        """Deliver an event of a type in ``events`` that this process has committed."""
        if isinstance(event, Message):
            self._wake(streams.MESSAGES)
        elif isinstance(event, Notification):
            self._wake(streams.NOTIFICATIONS)
        elif isinstance(event, RoomStarted):
            self._plugins.emit("session_started", room=event.room)
        elif isinstance(event, RoomEnded):
            self._plugins.emit("session_ended", room=event.room)
        elif isinstance(event, ConversationQueued | ConversationRequeued):
            self._plugins.emit("conversation_queued", conversation=event.conversation)
        elif isinstance(event, ConversationAssigned):
            self._plugins.emit("conversation_assigned", conversation=event.conversation, reason=event.reason)
        elif isinstance(event, ReadAdvanced):
            self._plugins.emit("messages_read", thread=event.thread, person=event.reader, seq=event.seq)
        elif isinstance(event, ConversationEnded):
            self._plugins.emit("conversation_ended", conversation=event.conversation, gone=event.gone)

    def _wake(self, stream: Stream) -> None:
        for reader in self._readers[stream]:
            reader.wake()


class _StreamReader:
    """Delivers one stream to one plugin."""

    def __init__(
        self,
        name: str,
        stream: Stream,
        plugins: PluginManager,
        store: Store,
        delivery: NotificationDelivery | None,
        loop: asyncio.AbstractEventLoop,
        lease: DatabaseLease,
    ) -> None:
        self._lease = lease
        self._name = name
        self._stream = stream
        self._plugins = plugins
        self._store = store
        self._delivery = delivery
        self._loop = loop
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._position = self._saved_position = 0
        self._saved_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._position = self._saved_position = await self._store.write(
            lambda tx: streams.open_cursor(tx, self._name, self._stream)
        )

    def start(self) -> None:
        self.wake()
        self._task = self._loop.create_task(
            run_forever(self._run_once, f"the delivery of {self._stream.name} to {self._name}", RETRY_SECONDS)
        )

    def wake(self) -> None:
        self._wakeup.set()
        self._idle.clear()

    async def stop(self) -> None:
        """Wait until all items are delivered, at most ``STOP_TIMEOUT_SECONDS``.

        The remaining items are delivered after the next start.
        """
        if self._task is None:
            return
        if not self._plugins.suspended_for(self._name):
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait(
                {idle, self._task}, timeout=STOP_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            idle.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})
        try:
            await self._save()
            await self._lease.release()
        except ChatError as error:
            log.warning("the cursor of plugin %s could not be stored: %s", self._name, error)

    async def wait_until_idle(self) -> None:
        """Wait until all items are delivered, or the plugin is suspended."""
        if self._task is not None and not self._plugins.suspended_for(self._name):
            await self._idle.wait()

    async def _run_once(self) -> None:
        """Wait for items, and deliver them."""
        try:
            await self._wait_for_more()
            self._wakeup.clear()
            position_is_stale = not self._lease.is_held
            if not await self._lease.acquire():
                self._idle.set()
                self._loop.call_later(LEASE_RETRY_SECONDS, self.wake)
                return
            if position_is_stale:
                self._position = self._saved_position = await self._store.read(
                    streams.cursor_position, self._name, self._stream
                )
            await self._deliver_all()
            if not self._wakeup.is_set():
                self._idle.set()
                await self._save_when_quiet()
                if not self._wakeup.is_set():
                    await self._lease.release()
        except ChatError as error:
            log.warning("items for plugin %s could not be read, trying again: %s", self._name, error)
            await asyncio.sleep(RETRY_SECONDS)
            self._wakeup.set()
        except Exception:  # logged by the caller, which pauses
            self._wakeup.set()
            raise

    async def _wait_for_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL_SECONDS if self._lease.shared else None):
                await self._wakeup.wait()

    async def _deliver_all(self) -> None:
        while items := await self._store.read(self._stream.since, self._position, PAGE_ROWS):
            for number, (position, item) in enumerate(items, 1):
                if not number % ITEMS_PER_TURN:
                    await asyncio.sleep(0)  # a hook that awaits nothing gives the loop no turn
                while pause := self._plugins.suspended_for(self._name):
                    self._idle.set()
                    await self._save()
                    await self._lease.release()  # in another process the plugin may not be suspended
                    await asyncio.sleep(pause)
                    self._idle.clear()
                if not self._lease.is_held:
                    self.wake()
                    return
                await self._deliver(item, position)
                self._position = position
            await self._save_lazily()

    async def _deliver(self, item: Message | Notification, position: int) -> None:
        if isinstance(item, Message):
            await self._plugins.deliver(self._name, "message_posted", message=item)
            return
        await self._plugins.deliver(self._name, "notification_created", notification=item)
        if self._delivery is not None:
            await self._delivery.deliver(item, position)

    async def _save_when_quiet(self) -> None:
        """Save the cursor if no item follows soon, so that several items share one commit."""
        if self._position == self._saved_position:
            return
        try:
            async with asyncio.timeout(LEASE_HOLD_SECONDS if self._lease.shared else SAVE_INTERVAL_SECONDS):
                await self._wakeup.wait()
        except TimeoutError:
            await self._save()

    async def _save_lazily(self) -> None:
        if self._loop.time() - self._saved_at >= SAVE_INTERVAL_SECONDS:
            await self._save()

    async def _save(self) -> None:
        self._saved_at = self._loop.time()
        position = self._position
        if position != self._saved_position:
            # Not after the database has gone back: the position may be ahead of it, and would skip items.
            # In the background, so that it follows what the plugin has written behind (``WriteBehind``).
            await self._store.write(
                lambda tx: None if tx.went_back else streams.advance(tx, self._name, self._stream, position),
                background=True,
            )
            self._saved_position = position

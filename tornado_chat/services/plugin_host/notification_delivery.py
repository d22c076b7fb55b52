"""Calls of the hook ``deliver_notification``: a call that fails is repeated by an outbox.

Strategy: the first call comes from the stream of notifications, in their order. If it fails, the delivery
is put into the plugin's outbox in the same transaction that moves the plugin's cursor past the
notification: so the notification is in the stream or in the outbox, never in both, and never in none.
"""

import asyncio
from collections.abc import Callable

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.deliveries import Delivery, DeliveryError, GiveUp, NewDelivery, OutboxTimes
from tornado_chat.core.types import Notification
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host.outbox import OutboxWorker, Places
from tornado_chat.storage import deliveries, notifications, streams
from tornado_chat.storage.deliveries import Box
from tornado_chat.storage.writer import Transaction

HOOK = "deliver_notification"

TIMES = OutboxTimes(retry_after=5.0, give_up_after=86400.0, timeout=None)
"""The plugin's own ``timeout`` limits each call."""

ONE_AT_A_TIME = Places(targets=1, per_target=1, extra=0)


class NotificationDelivery:
    """Delivers notifications by one plugin.

    :arg make_lease: returns the lease of the work with a name.
    """

    def __init__(
        self,
        plugin: str,
        plugins: PluginManager,
        store: Store,
        presence: PresenceLookup,
        make_lease: Callable[[str], DatabaseLease],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._plugin = plugin
        self._plugins = plugins
        self._store = store
        self._presence = presence
        self._loop = loop
        self._box = Box(plugin, HOOK)
        self._worker = OutboxWorker(
            self._box,
            self._repeat,
            TIMES,
            store,
            make_lease(f"plugin {plugin} outbox {HOOK}"),
            places=ONE_AT_A_TIME,
            paused_for=lambda: plugins.suspended_for(plugin),
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Repeat failed calls from now on."""
        self._task = self._loop.create_task(self._worker.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def deliver(self, notification: Notification, position: int) -> None:
        """Call the plugin for the first time, and store a failure.

        :arg position: of the notification in its stream.
        :raises ChatError: the failure cannot be stored; then call this again.
        """
        try:
            await self._call(notification)
        except DeliveryError as error:
            await self._store_failure(notification, position, error)

    async def _store_failure(self, notification: Notification, position: int, error: DeliveryError) -> None:
        new = NewDelivery(HOOK, str(notification.id), recipient=notification.recipient)
        outcome = self._worker.outcome(error, 1, now_microseconds())

        def work(tx: Transaction) -> None:
            deliveries.insert_attempted(tx.database, self._box, new, tx.now, outcome)
            if not tx.went_back:  # else the position may be ahead of the database
                streams.advance(tx, self._plugin, streams.NOTIFICATIONS, position)

        await self._store.write(work, background=True)
        self._worker.log_outcome(new.item, notification.recipient.key, "", outcome, error)
        self._worker.wake()

    async def _repeat(self, delivery: Delivery) -> None:
        notification = await self._store.read(notifications.find, int(delivery.item))
        if notification is None:
            raise GiveUp("the notification was removed")
        await self._call(notification)

    async def _call(self, notification: Notification) -> None:
        online = await self._presence.can_be_notified(notification.thread)
        await self._plugins.attempt(self._plugin, HOOK, notification=notification, online=online)

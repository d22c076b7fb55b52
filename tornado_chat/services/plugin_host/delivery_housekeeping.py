"""Removal of old deliveries of all plugins, also of those that are not in use any more."""

import asyncio
import logging

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.periodic import run_forever
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import deliveries

log = logging.getLogger(__name__)

DAY_MICROSECONDS = 86400 * 1_000_000
KEPT_DELIVERED_DAYS = 7
KEPT_UNDELIVERED_DAYS = 30
INTERVAL_SECONDS = 3600.0
RETRY_SECONDS = 600.0
CHUNK_ROWS = 500  # rows in one transaction, for which all other writes wait


class DeliveryHousekeeping:
    """Removes old deliveries, at the start and every hour."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(
            run_forever(self._run_once, "the removal of old deliveries", RETRY_SECONDS)
        )

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run_once(self) -> None:
        try:
            await self._remove_expired()
        except ChatError as error:
            log.warning("old deliveries are removed later: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _remove_expired(self) -> None:
        now = now_microseconds()
        delivered_before = now - KEPT_DELIVERED_DAYS * DAY_MICROSECONDS
        before = now - KEPT_UNDELIVERED_DAYS * DAY_MICROSECONDS

        def remove(ids: list[int]) -> asyncio.Future[None]:
            return self._store.write(lambda tx: deliveries.remove(tx.database, ids), background=True)

        while ids := await self._store.read(deliveries.expired, delivered_before, before, CHUNK_ROWS):
            await remove(ids)

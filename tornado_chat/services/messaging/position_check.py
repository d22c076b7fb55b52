"""A check of the stored receipts and read marks against the ends of their threads, once after each start.

A position beyond the last message exists only if tables of different copies of the database were mixed, for
example by a restore of single tables. Lookups ignore such a position meanwhile (``storage/receipts.py``).
"""

import asyncio
import logging
from functools import partial

from tornado_chat.aio.chunks import chunks
from tornado_chat.aio.periodic import run_until_done
from tornado_chat.core.errors import Unavailable
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import read_marks, receipts

log = logging.getLogger(__name__)

CHUNK_POSITIONS = 200  # positions that are removed in one transaction
RETRY_SECONDS = 60.0  # seconds until the next try if the database is away, or the check fails


class PositionCheck:
    """Removes the positions that are ahead of their threads, in a background task."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(
            run_until_done(self._try, "the check of the receipts", RETRY_SECONDS)
        )

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _try(self) -> bool:
        """Check all positions. Return False if the database is away."""
        try:
            await self.run()
        except Unavailable as error:
            log.info("receipts could not be checked, trying again: %s", error)
            return False
        return True

    async def run(self) -> None:
        """Check all positions once. :raises Unavailable: the database is away."""
        for name, table in (("receipts", receipts), ("read_marks", read_marks)):
            removed = 0
            for chunk in chunks(await self._store.read(table.find_ahead), CHUNK_POSITIONS):
                removed += await self._store.write(partial(table.remove_ahead, found=chunk))
            if removed:
                log.warning(
                    "positions of readers were ahead of their conversations, and are removed: these readers "
                    "get the conversations from the start. Were tables of different backups mixed?",
                    extra=fields(table=name, rows=removed),
                )

"""The receipts of all readers, stored with a delay.

A receipt that is lost in a crash only causes a second delivery. So receipts are collected and stored
together, and no caller waits for that.
"""

import asyncio
import logging
from collections.abc import Sequence

from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Person, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import receipts
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

FLUSH_INTERVAL_SECONDS = 0.5  # seconds that receipts are collected before they are stored


class ReceiptStore:
    """The last ``seq`` that each reader has received of each thread."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._unsaved: dict[tuple[Thread, Person], int] = {}
        self._saving: dict[tuple[Thread, Person], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def record(self, thread: Thread, reader: Person, seq: int) -> None:
        """Record that ``reader`` has received everything up to ``seq``."""
        key = (thread, reader)
        if seq > self._unsaved.get(key, -1):
            self._unsaved[key] = seq
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL_SECONDS, self._start_flush)

    async def begin(self, thread: Thread, reader: Person, seq: int) -> None:
        """Store at once that ``reader`` starts to receive after ``seq``, so that other processes see it.

        :raises Unavailable: the receipt could not be stored.
        """
        await self._store.write(lambda tx: _store_receipts(tx, [(thread, reader, seq)]))

    async def get(self, thread: Thread, reader: Person) -> int | None:
        """Return the reader's receipt, or None before the first one."""
        return self.latest(thread, reader, await self._store.look_up(receipts.get, thread, reader))

    def latest(self, thread: Thread, reader: Person, stored: int | None) -> int | None:
        """Return the reader's newest receipt: ``stored``, or a later one that is not stored yet."""
        key = (thread, reader)
        known = [seq for seq in (stored, self._saving.get(key), self._unsaved.get(key)) if seq is not None]
        return max(known, default=None)

    async def flush(self) -> None:
        """Store the collected receipts. If that fails, they are kept for the next flush."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._saving, self._unsaved = self._unsaved, {}
        batch = [(thread, reader, seq) for (thread, reader), seq in self._saving.items()]
        if not batch:
            return
        try:
            await self._store.write(lambda tx: _store_receipts(tx, batch))
        except Exception as error:
            if isinstance(error, ChatError):
                log.warning("receipts could not be stored yet: %s", error)
            else:
                log.exception("receipts could not be stored yet")
            for thread, reader, seq in batch:
                self.record(thread, reader, seq)
        self._saving = {}

    def _start_flush(self) -> None:
        self._timer = None
        if self._task is not None and not self._task.done():  # the disk is slow: wait for the running flush
            self._timer = self._loop.call_later(FLUSH_INTERVAL_SECONDS, self._start_flush)
            return
        self._task = self._loop.create_task(self.flush())


def _store_receipts(tx: Transaction, batch: Sequence[tuple[Thread, Person, int]]) -> None:
    if not tx.went_back:  # else the messages with these numbers are lost, and others may have the numbers now
        receipts.advance_receipts(tx.database, batch)

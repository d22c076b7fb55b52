"""A check of delivered numbers: two different items with the same number mean that one of them is not stored.

Events of other processes are delivered without a query, by their number. A broken process, or another program
that writes to Redis, may publish an item with the next number of a thread; the true item with this number
would be dropped as a repetition. So when a second item has the number of the last one and another time, the
database decides, and the sockets that have got the wrong item get the stored one as well.
"""

import asyncio
import logging

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import SequencedItem
from tornado_chat.core.types import Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import threads

log = logging.getLogger(__name__)

MAX_THREADS = 10_000
"""The number of threads whose last item is remembered; the thread that was delivered first is forgotten."""


class DeliveryCheck:
    """Delivers items to the hub, and reads back a number that was delivered with two different items."""

    def __init__(self, hub: Hub, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._store = store
        self._tasks = BackgroundTasks(loop)
        self._last: dict[Thread, tuple[int, int]] = {}  # number and time of the last item

    def deliver(self, item: SequencedItem) -> None:
        """Deliver an item, as ``Hub.deliver``."""
        thread, seq = item.thread, item.seq
        last_seq, last_time = self._last.get(thread, (0, 0))
        if seq > last_seq:
            self._last[thread] = seq, item.time
            if len(self._last) > MAX_THREADS:
                del self._last[next(iter(self._last))]
        elif seq == last_seq and item.time != last_time:
            self._tasks.spawn(self._read_back(thread, seq, last_time))
            return
        self._hub.deliver(item)

    async def _read_back(self, thread: Thread, seq: int, delivered_time: int) -> None:
        try:
            stored_time = await self._store.read(threads.time_of_item, thread, seq)
        except ChatError as error:
            log.warning("two items with one number could not be compared: %s", error)
            return
        if stored_time is not None and stored_time != delivered_time:
            log.warning(
                "an item was delivered that is not stored, and is followed by the stored one: does another "
                "program write to Redis?",
                extra=fields(**thread.named, seq=seq),
            )
            self._last[thread] = seq, stored_time
            self._hub.rewind(thread, seq - 1)

"""The partition flag: a process without Redis reports in the database that it still serves participants.

The other processes treat a process without Redis as dead after some seconds, and its participants as absent.
If the others still reach each other, they would not notice that these participants are connected. So the
process sets a flag in the database, and the coordinator checks the flags before a grace timer ends.
"""

import uuid

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases

FLAG_PREFIX = "cut off "
FLAG_SECONDS = 15.0
"""The lifetime of a flag: longer than clocks differ, but short, as a dead process's flag delays timers."""


class PartitionFlag:
    """Sets the flag of this process, and reads the flags of all processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = uuid.uuid4().hex

    async def set(self) -> None:
        """Set the flag of this process for ``FLAG_SECONDS``; the caller has to repeat this in time.

        :raises Unavailable: the database is away.
        """
        await self._store.write(
            lambda tx: leases.acquire(tx, f"{FLAG_PREFIX}{self._process}", self._process, FLAG_SECONDS)
        )

    async def is_set_by_any_process(self) -> bool:
        """Return True if any process has set its flag, or if the flags cannot be read."""
        try:
            return await self._store.read(leases.is_any_held, FLAG_PREFIX, now_microseconds())
        except ChatError:
            return True

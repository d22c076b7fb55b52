"""Whether some process cannot be heard although people talk there.

A process that loses Redis counts as dead with the others after some seconds, and its people as gone. If the others still hear
each other, nobody would notice that these people talk on; so the process leaves a sign in the database, and the coordinator
looks for signs before it ends anybody's grace.
"""

import uuid

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases

FLAG_PREFIX = "cut off "
FLAG_SECONDS = (
    15.0  # seconds; clocks may differ by a few, and who has died since ends nobody's wait for longer
)


class PartitionFlag:
    """The sign of this process, and a look at everybody's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = uuid.uuid4().hex

    async def set(self) -> None:
        """We are. To be said again before ``FLAG_SECONDS`` is over. :raises Unavailable: the database is away."""
        await self._store.write(
            lambda tx: leases.acquire(tx, f"{FLAG_PREFIX}{self._process}", self._process, FLAG_SECONDS)
        )

    async def is_set_by_any_process(self) -> bool:
        """Whether somebody is, or cannot even say so."""
        try:
            return await self._store.read(leases.is_any_held, FLAG_PREFIX, now_microseconds())
        except ChatError:
            return True

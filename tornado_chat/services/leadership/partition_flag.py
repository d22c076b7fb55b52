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

SIGN = "cut off "
LASTS = 15.0  # seconds; clocks may differ by a few, and who has died since ends nobody's wait for longer


class CutOff:
    """The sign of this process, and a look at everybody's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = uuid.uuid4().hex

    async def say(self) -> None:
        """We are. To be said again before ``LASTS`` is over. :raises Unavailable: the database is away."""
        await self._store.write(lambda tx: leases.take(tx, f"{SIGN}{self._process}", self._process, LASTS))

    async def anybody(self) -> bool:
        """Whether somebody is, or cannot even say so."""
        try:
            return await self._store.read(leases.any_held, SIGN, now_microseconds())
        except ChatError:
            return True

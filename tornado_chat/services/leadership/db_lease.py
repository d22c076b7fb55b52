"""Work of which only one of several processes does any at a time: whose turn it is."""

import asyncio
import contextlib
import uuid

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases
from tornado_chat.storage.writer import Transaction

LEASE_SECONDS = 15.0  # seconds that nobody else gets the turn of a process that has died


class DatabaseLease:
    """The turn at one thing.

    Strategy: a lease in the database, which is extended while the work goes on. If that fails for too long the turn is
    over by the clock of this process before another one can have it by its own, ``CLOCK_SKEW_SECONDS`` seconds earlier.

    :arg name: of the thing, the same in all processes.
    :arg shared: whether there are other processes; if not, it is always our turn.
    """

    CLOCK_SKEW_SECONDS = 3.0  # seconds by which clocks may differ

    def __init__(self, name: str, store: Store, loop: asyncio.AbstractEventLoop, *, shared: bool) -> None:
        self._name = name
        self._store = store
        self._loop = loop
        self.shared = shared
        self._holder = uuid.uuid4().hex
        self._held_until = 0.0
        self._renew_task: asyncio.Task[None] | None = None

    @property
    def is_held(self) -> bool:
        return not self.shared or self._loop.time() < self._held_until

    async def acquire(self) -> bool:
        """Whether it is our turn now; then ``end`` has to be called. :raises ChatError: the database is away."""
        if self.is_held:
            return True
        now = now_microseconds()
        if not await self._store.read(leases.is_available, self._name, self._holder, now):
            return False
        if not await self._renew():
            return False
        if self._renew_task is None:
            self._renew_task = self._loop.create_task(self._renew_forever())
        return True

    async def release(self) -> None:
        """Let others have it. A database that is away lets it run out."""
        if self._renew_task is None:
            return
        self._renew_task.cancel()
        await asyncio.wait({self._renew_task})
        self._renew_task = None
        if self.is_held:
            self._held_until = 0.0
            with contextlib.suppress(ChatError):
                await self._store.write(lambda tx: leases.release(tx, self._name, self._holder))

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 5)
            with contextlib.suppress(ChatError):
                await self._renew()

    async def _renew(self) -> bool:
        asked = self._loop.time()

        def take(tx: Transaction) -> bool:
            return leases.acquire(tx, self._name, self._holder, LEASE_SECONDS)

        taken = await self._store.write(take)
        self._held_until = asked + LEASE_SECONDS - self.CLOCK_SKEW_SECONDS if taken else 0.0
        return taken

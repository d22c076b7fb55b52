"""Work of which only one of several processes does any at a time: whose turn it is."""

import asyncio
import contextlib
import uuid

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases
from tornado_chat.storage.writer import Transaction

LASTS = 15.0  # seconds that nobody else gets the turn of a process that has died


class Turn:
    """The turn at one thing.

    Strategy: a lease in the database, which is extended while the work goes on. If that fails for too long the turn is
    over by the clock of this process before another one can have it by its own, ``SPARE`` seconds earlier.

    :arg name: of the thing, the same in all processes.
    :arg shared: whether there are other processes; if not, it is always our turn.
    """

    SPARE = 3.0  # seconds by which clocks may differ

    def __init__(self, name: str, store: Store, loop: asyncio.AbstractEventLoop, *, shared: bool) -> None:
        self._name = name
        self._store = store
        self._loop = loop
        self.shared = shared
        self._holder = uuid.uuid4().hex
        self._until = 0.0
        self._extending: asyncio.Task[None] | None = None

    @property
    def ours(self) -> bool:
        return not self.shared or self._loop.time() < self._until

    async def begin(self) -> bool:
        """Whether it is our turn now; then ``end`` has to be called. :raises ChatError: the database is away."""
        if self.ours:
            return True
        now = now_microseconds()
        if not await self._store.read(leases.is_free, self._name, self._holder, now):
            return False
        if not await self._extend():
            return False
        if self._extending is None:
            self._extending = self._loop.create_task(self._go_on())
        return True

    async def end(self) -> None:
        """Let others have it. A database that is away lets it run out."""
        if self._extending is None:
            return
        self._extending.cancel()
        await asyncio.wait({self._extending})
        self._extending = None
        if self.ours:
            self._until = 0.0
            with contextlib.suppress(ChatError):
                await self._store.write(lambda tx: leases.let_go(tx, self._name, self._holder))

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(LASTS / 5)
            with contextlib.suppress(ChatError):
                await self._extend()

    async def _extend(self) -> bool:
        asked = self._loop.time()

        def take(tx: Transaction) -> bool:
            return leases.take(tx, self._name, self._holder, LASTS)

        taken = await self._store.write(take)
        self._until = asked + LASTS - self.SPARE if taken else 0.0
        return taken

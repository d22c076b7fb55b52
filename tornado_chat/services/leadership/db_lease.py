"""A lease in the database, for work that only one process at a time may do."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable

from tornado_chat.aio.clock import boot_seconds, now_microseconds
from tornado_chat.aio.periodic import run_forever
from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases
from tornado_chat.storage.writer import Transaction

LEASE_SECONDS = 15.0  # seconds until the lease of a process that has died expires


class DatabaseLease:
    """The exclusive right to do some work.

    Strategy: the lease is a row of the database, which is renewed while the work goes on. If the renewal
    fails for too long, the lease ends by the clock of this process ``CLOCK_SKEW_SECONDS`` before another
    process can acquire it by its own clock.

    :arg name: the name of the work, the same in all processes.
    :arg clock: a clock in seconds that goes on while this process or machine is suspended.
    :arg shared: whether there are other processes; if not, this process always holds the lease.
    """

    CLOCK_SKEW_SECONDS = 3.0  # seconds by which clocks may differ

    def __init__(
        self,
        name: str,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        *,
        shared: bool,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._name = name
        self._store = store
        self._loop = loop
        self._clock = clock
        self.shared = shared
        self._holder = uuid.uuid4().hex
        self._held_until = 0.0
        self._renew_task: asyncio.Task[None] | None = None

    @property
    def is_held(self) -> bool:
        return not self.shared or self._clock() < self._held_until

    async def acquire(self) -> bool:
        """Return True if this process holds the lease now; then ``release`` has to be called later.

        :raises ChatError: the database is away.
        """
        if self.is_held:
            return True
        now = now_microseconds()
        if not await self._store.read(leases.is_available, self._name, self._holder, now):
            return False
        if not await self._renew():
            return False
        if self._renew_task is None:
            self._renew_task = self._loop.create_task(
                run_forever(self._renew_later, f"the renewal of the lease of {self._name}", LEASE_SECONDS / 5)
            )
        return True

    async def release(self) -> None:
        """Give the lease back. If the database is away, the lease expires."""
        if await self._stop_renewing() and self.is_held:
            self._held_until = 0.0
            with contextlib.suppress(ChatError):
                await self._store.write(lambda tx: leases.release(tx, self._name, self._holder))

    async def release_until(self, until: int) -> None:
        """Give the lease back, so that no process acquires it before ``until``, in microseconds since 1970.

        This is stored for a single process, too. A lease that has been lost stays as it is.

        :raises ChatError: the database is away; the lease is still held then, and renewed.
        """
        holder = self._holder if self.shared else None
        await self._store.write(lambda tx: leases.reserve(tx, self._name, holder, until))
        await self._stop_renewing()
        self._held_until = 0.0

    async def _stop_renewing(self) -> bool:
        """Return False if the lease was not renewed."""
        if self._renew_task is None:
            return False
        self._renew_task.cancel()
        await asyncio.wait({self._renew_task})
        self._renew_task = None
        return True

    async def _renew_later(self) -> None:
        await asyncio.sleep(LEASE_SECONDS / 5)
        with contextlib.suppress(ChatError):
            await self._renew()

    async def _renew(self) -> bool:
        started = self._clock()

        def acquire(tx: Transaction) -> bool:
            return leases.acquire(tx, self._name, self._holder, LEASE_SECONDS)

        acquired = await self._store.write(acquire)
        self._held_until = started + LEASE_SECONDS - self.CLOCK_SKEW_SECONDS if acquired else 0.0
        # The commit may have taken longer than the lease lasts, as the database or this process stood still.
        return self.is_held

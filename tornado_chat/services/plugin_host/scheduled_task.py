"""The scheduled tasks of plugins: each runs on one process of a cluster at a time.

Strategy: the row of the task's lease is its schedule. While the task runs, the process holds the lease; then
the name is *reserved* until the next run is due, so that neither another process nor the next start can begin
it before. A process that dies leaves a lease that expires, and the task is begun again elsewhere.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tornado_chat.core.errors import ChatError
from tornado_chat.plugins.containment import UncaughtExit
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases

MICROSECONDS = 1_000_000
FOREVER = 2**62  # microseconds since 1970, of a task that has returned and is not to run again
MAX_SLEEP_SECONDS = 60.0  # until the schedule is read again, as another process may have changed it
LEASE_RETRY_SECONDS = 2.0  # until the next try for the lease that another process holds
ERROR_RETRY_SECONDS = 5.0  # until the next try after an error of the database
WATCH_SECONDS = 0.5  # between two looks whether the lease of the running task is still held
RETRY_SECONDS = 60.0  # until the next run of a task that has to return once, and has failed
MIN_PAUSE_SECONDS = 1.0  # between two runs, also if a run takes longer than the interval


class ScheduledTask:
    """Runs the work of one task when it is due, while ``run`` runs.

    :arg name: the name of the lease.
    :arg interval: the seconds from the begin of a run to that of the next; None: until it has returned once.
    :arg on_failure: called with the exception that a run has raised.
    :arg clock: returns microseconds since 1970.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        interval: float | None,
        store: Store,
        lease: DatabaseLease,
        *,
        on_failure: Callable[[BaseException], object],
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._store = store
        self._lease = lease
        self._on_failure = on_failure
        self._clock = clock

    async def run(self) -> None:
        """Run the work whenever it is due, until cancelled; return if it never will be again."""
        try:
            while (pause := await self._run_if_due()) is not None:  # noqa: ASYNC110 - by the database's time
                await asyncio.sleep(min(pause, MAX_SLEEP_SECONDS))
        finally:
            await self._lease.release()

    async def _run_if_due(self) -> float | None:
        """Return the seconds until the next look at the schedule; None: there is nothing more to run."""
        try:
            due = await self._store.read(leases.reserved_until, self._name)
            if due == FOREVER and self._interval is None:
                return None
            now = self._clock()
            if self._interval is not None and due > (latest := now + round(self._interval * MICROSECONDS)):
                due = latest  # the interval was longer before
                await self._store.write(lambda tx: leases.bring_forward(tx, self._name, latest))
            if due > now:
                return (due - now) / MICROSECONDS
            if not await self._lease.acquire():
                return LEASE_RETRY_SECONDS
        except ChatError:
            return ERROR_RETRY_SECONDS
        begun = self._clock()
        error = await self._run_watched()
        if error is not None:
            self._on_failure(error)
        await self._reserve(self._next_due(begun, has_failed=error is not None))
        return 0.0

    async def _run_watched(self) -> BaseException | None:
        """Run the work while this process holds the lease. Return the exception that it has raised."""
        task = asyncio.ensure_future(_contained(self._work))
        try:
            while not task.done() and self._lease.is_held:
                await asyncio.wait({task}, timeout=WATCH_SECONDS)
            is_lost = not task.done()
        finally:  # the lease is lost, or this is cancelled
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            return None if is_lost else asyncio.CancelledError()
        return task.exception()

    def _next_due(self, begun: int, *, has_failed: bool) -> int:
        earliest = self._clock() + round(MIN_PAUSE_SECONDS * MICROSECONDS)
        if self._interval is not None:
            return max(begun + round(self._interval * MICROSECONDS), earliest)
        return self._clock() + round(RETRY_SECONDS * MICROSECONDS) if has_failed else FOREVER

    async def _reserve(self, due: int) -> None:
        """Store the time of the next run; without the lease, another process does."""
        while self._lease.is_held:
            with contextlib.suppress(ChatError):
                await self._lease.release_until(due)
                return
            await asyncio.sleep(ERROR_RETRY_SECONDS)
        await self._lease.release()


async def _contained(work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()``. :raises UncaughtExit: it raised an error that would end the server."""
    try:
        await work()
    except (SystemExit, KeyboardInterrupt) as error:
        raise UncaughtExit from error

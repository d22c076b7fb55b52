"""Removal of old data: retention, and the databases that ``restore`` has replaced.

Retention removes data older than ``[storage] retention_days``, slowly enough to disturb no client.
Replaced databases are removed after ``[storage] keep_replaced`` days.

Strategy: the generator ``steps`` yields small queries and transactions, and receives their results; its
caller runs them. The server uses its readers and its writer with pauses in between, once at the start and
then every day; the command ``db prune`` runs them without pauses (``data_management.pruning``).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Thread
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import database_copies, retention
from tornado_chat.storage.retention import RowCounts
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

DAY_MICROSECONDS = 86_400_000_000
RUN_INTERVAL_SECONDS = 86400.0  # seconds between two runs
RETRY_SECONDS = 600.0  # seconds until the next try if a run fails, or if another process holds the lease
PAUSE_SECONDS = 0.05  # seconds after each transaction, in which other transactions may run
PAGE_THREADS = 100  # conversations that are looked up at once
MAX_ROWS_PER_TRANSACTION = 200  # messages or notifications in one transaction


class Read(NamedTuple):
    """A query."""

    query: Callable[[pw.Database], Any]


class Write(NamedTuple):
    """A transaction that removes something."""

    work: Callable[[Transaction], Any]


Steps = Generator[Read | Write, Any, RowCounts]


def steps(keepers: DataKeepers, before: int) -> Steps:
    """Remove all data from before a time. The generator returns the counts of removed rows.

    :arg before: in microseconds since 1970.
    """
    counts: RowCounts = Counter()
    for kind in retention.CONVERSATION_TABLES:
        finished = partial(retention.expired_conversations, kind=kind, before=before, limit=PAGE_THREADS)
        last = 0
        while ids := (yield Read(partial(finished, after_id=last))):
            threads, last = [Thread(kind, id) for id in ids], ids[-1]
            while threads:
                removed, threads = yield Write(partial(_remove, keepers=keepers, threads=threads))
                counts += removed
    old = partial(retention.expired_notifications, before=before, limit=MAX_ROWS_PER_TRANSACTION)
    last = 0
    while ids := (yield Read(partial(old, after_id=last))):
        last = ids[-1]
        counts += yield Write(partial(retention.remove_notifications, ids=ids))
    while plugin_counts := (
        yield Write(partial(keepers.remove_old, before=before, limit=MAX_ROWS_PER_TRANSACTION))
    ):
        counts += plugin_counts
    yield Write(retention.delete_emptied_rows)
    return counts


def _remove(tx: Transaction, keepers: DataKeepers, threads: list[Thread]) -> tuple[RowCounts, list[Thread]]:
    counts, gone = retention.remove_conversations(tx, threads, MAX_ROWS_PER_TRANSACTION)
    if gone:
        counts += keepers.conversations_removed(tx, gone)
    return counts, threads[len(gone) :]


class Retention:
    """Runs the retention once a day.

    :arg days: the age in days at which data is removed; 0 keeps all data.
    :arg lease: lets only one of several processes with the same database remove data at a time.
    :arg empty_log: empties the database's write-ahead log, which still has the removed rows; waits for the
        disk. Returns False if the log is in use.
    """

    def __init__(
        self,
        store: Store,
        keepers: DataKeepers,
        days: int,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
        lease: DatabaseLease,
        empty_log: Callable[[], bool] = lambda: True,
    ) -> None:
        self._lease = lease
        self._empty_log = empty_log
        self._has_removed_rows_in_log = False
        self._store = store
        self._keepers = keepers
        self._days = days
        self._loop = loop
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._days:
            self._task = self._loop.create_task(self._run_periodically())

    async def stop(self) -> None:
        """Stop a run. The remaining data is removed after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self._lease.release()

    async def run(self) -> RowCounts:
        """Remove all data that is too old now. Returns the counts of removed rows.

        :raises Unavailable: the database does not answer; the rows removed so far stay removed.
        """
        self._keepers.failed.clear()
        work = steps(self._keepers, self._clock() - self._days * DAY_MICROSECONDS)
        answer: Any = None
        while True:
            try:
                step = work.send(answer)
            except StopIteration as end:
                return Counter(end.value)
            if isinstance(step, Read):
                answer = await self._store.read(step.query)
            else:
                answer = await self._store.write(step.work)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _run_periodically(self) -> None:
        while True:
            pause = RUN_INTERVAL_SECONDS
            began = time.monotonic()
            try:
                if not await self._lease.acquire():
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                counts = await self.run()
                await self._lease.release()
                self._has_removed_rows_in_log |= bool(counts)
                if self._has_removed_rows_in_log:
                    self._has_removed_rows_in_log = not await asyncio.to_thread(self._empty_log)
                    pause = RETRY_SECONDS if self._has_removed_rows_in_log else pause
            except ChatError as error:
                log.warning("data older than %d days is removed later: %s", self._days, error)
                pause = RETRY_SECONDS
            except Exception:  # a bug or a plugin's error: the removal is promised, so it is tried every day
                log.exception("data older than %d days could not be removed", self._days)
            else:
                took = round(time.monotonic() - began, 1)
                log.info("retention", extra=fields(days=self._days, seconds=took, **counts))
            await asyncio.sleep(pause)


class ReplacedDatabases:
    """Removes the databases that ``restore`` has replaced, and unfinished copies, when they are old.

    :arg database: the SQLite file; None if the database is another one.
    :arg days: the age in days at which a copy is removed; 0 keeps all copies.
    """

    def __init__(
        self,
        database: Path | None,
        days: int,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._days = days
        self._loop = loop
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Remove what is old now, and then every day."""
        if self._days and self._database is not None:
            self._task = self._loop.create_task(self._run_periodically(self._database))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run_periodically(self, database: Path) -> None:
        while True:
            await asyncio.to_thread(self.remove_old, database)
            await asyncio.sleep(RUN_INTERVAL_SECONDS)

    def remove_old(self, database: Path) -> None:
        """Remove the copies beside ``database`` that are too old now; a failure is logged."""
        before = (self._clock() - self._days * DAY_MICROSECONDS) / 1_000_000
        try:
            for copy in database_copies.find_copies(database):
                if copy.made < before:
                    database_copies.remove(copy)
                    log.info("a replaced database is removed", extra=fields(path=copy.path, days=self._days))
        except OSError as error:
            log.warning(
                "replaced databases cannot be removed, run `tornado-chat restore --discard`: %s", error
            )

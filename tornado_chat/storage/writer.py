"""The one writer: everything that changes the database goes through its thread.

Strategy: while one batch is on its way to the disk, the next one fills. The thread takes what is
waiting, up to a bound, runs it in one transaction in the order of arrival, commits once, and
hands the whole batch back to the loop in one call. So a commit's price is shared by everybody
who waited for it, and nobody waits for more than the batch before and their own.

What is to be told to others (events) is collected inside the transaction and published on the
loop after the commit, in commit order, even when the one who asked for it has gone away
meanwhile. That is why publishing happens here and not behind somebody's ``await``.

A piece of work that fails, fails alone: one that runs Python code has a savepoint of its own,
and when a batch breaks for another reason, its pieces are tried one by one.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import peewee as pw

from tornado_chat.errors import ChatError, Unavailable
from tornado_chat.events import Event
from tornado_chat.logs import words
from tornado_chat.metrics import StorageMeter
from tornado_chat.storage.messages import Append, MessageLog
from tornado_chat.types import Stored

T = TypeVar("T")

log = logging.getLogger(__name__)


class Transaction:
    """What a piece of work gets: the database, the time of the batch, and a place for its events."""

    def __init__(self, database: pw.Database, now: int) -> None:
        self.database = database
        self.now = now
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Publish ``event`` if, and only after, this transaction commits."""
        self.events.append(event)


class _Job(Generic[T]):
    """One waiting piece of work: an append, or Python code to run in the transaction."""

    __slots__ = ("error", "events", "future", "received", "result", "work")

    def __init__(
        self, work: Append | Callable[[Transaction], T], future: asyncio.Future[T], received: float
    ) -> None:
        self.work = work
        self.future = future
        self.received = received  # 0: nobody measures
        self.reset()

    def reset(self) -> None:
        self.result: T | None = None
        self.error: Exception | None = None
        self.events: Sequence[Event] = ()

    def fail(self, error: Exception) -> None:
        self.reset()
        self.error = error


Jobs = Sequence[_Job[Any]]


class Writer:
    """Runs work in group commits. Made and used on the loop; ``start`` and ``close`` frame its life."""

    def __init__(
        self,
        database: pw.Database,
        publish: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        meter: StorageMeter | None = None,
        largest_batch: int = 2000,
        largest_backlog: int = 20000,
    ) -> None:
        self._database = database
        self._publish = publish
        self._loop = loop
        self._clock = clock
        self._meter = meter or StorageMeter()
        self._largest_batch = largest_batch
        self._largest_backlog = largest_backlog
        self._log = MessageLog(database)
        self._waiting: deque[_Job[Any]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How many pieces of work wait for the batch that is under way."""
        return len(self._waiting)

    def append(self, append: Append, received: float = 0.0) -> asyncio.Future[Stored]:
        """Store a message. The future resolves after the commit, when others may see it.

        :arg received: when its frame came, by the loop's clock.
        :raises Unavailable: the backlog is full; nothing was taken.

        The future fails with ``Conflict`` when the thread has ended meanwhile and with
        ``Unavailable`` when the database did not take it.
        """
        return self._submit(append, received)

    def run(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run ``work`` in the next transaction. What it raises undoes its own changes only."""
        return self._submit(work)

    def close(self) -> None:
        """Commit what is waiting, then end the thread. Blocks for that long."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _submit(
        self, work: Append | Callable[[Transaction], Any], received: float = 0.0
    ) -> asyncio.Future[Any]:
        if self._closing or len(self._waiting) >= self._largest_backlog:
            raise Unavailable("overloaded")
        job: _Job[Any] = _Job(work, self._loop.create_future(), received)
        self._waiting.append(job)
        if not self._wake.is_set():
            self._wake.set()
        return job.future

    # --- on the writer thread ---

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest_batch))]
                self._commit(batch)
                self._loop.call_soon_threadsafe(self._settle, batch)
            if self._closing and not self._waiting:
                self._database.close()
                return

    def _commit(self, batch: Jobs) -> None:
        """One transaction for all; if a piece breaks it, one for each."""
        try:
            self._transaction(batch)
            return
        except _Broken as broken:
            if len(batch) == 1 or not broken.by_work:
                self._refuse(batch, broken.cause)
                return
        for job in batch:
            job.reset()
            self._meter.retries += 1
            try:
                self._transaction([job])
            except _Broken as broken:
                self._refuse([job], broken.cause)

    def _transaction(self, batch: Jobs) -> None:
        begun = False
        executed = False
        started = time.perf_counter()
        try:
            # IMMEDIATE takes SQLite's write lock at the start: waiting for it later could fail.
            with self._database.atomic(*self._begin):
                begun = True
                self._execute(batch)
                executed = True
        except Exception as error:
            # Whatever state the connection is in now, the next batch starts with a fresh one.
            with contextlib.suppress(pw.PeeweeException):
                self._database.close()
            raise _Broken(_origin(error), by_work=begun and not executed) from error
        self._meter.committed(len(batch), time.perf_counter() - started, time.time())

    @property
    def _begin(self) -> tuple[str, ...]:
        return ("IMMEDIATE",) if isinstance(self._database, pw.SqliteDatabase) else ()

    def _execute(self, batch: Jobs) -> None:
        """Run the pieces in order; neighbouring appends go to the database together."""
        now = self._clock()
        appends: list[tuple[_Job[Any], Append]] = []
        for job in batch:
            if isinstance(job.work, Append):
                appends.append((job, job.work))
                continue
            self._append(appends, now)
            appends = []
            transaction = Transaction(self._database, now)
            try:
                with self._database.savepoint():
                    job.result = job.work(transaction)
                    job.events = transaction.events
            except ChatError as error:
                job.fail(error)
        self._append(appends, now)

    def _append(self, jobs: Sequence[tuple[_Job[Any], Append]], now: int) -> None:
        if not jobs:
            return
        outcomes = self._log.append([append for _, append in jobs], now)
        for (job, _), outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, ChatError):
                job.fail(outcome)
            else:
                job.result, message = outcome
                if message is not None:
                    job.events = (message,)

    def _refuse(self, batch: Jobs, cause: Exception) -> None:
        self._meter.refused += 1
        why = words(cause) or type(cause).__name__
        log.error("the database refused a batch of %d: %s", len(batch), why, exc_info=cause)
        for job in batch:
            error = Unavailable("not_stored")
            error.__cause__ = cause
            job.fail(error)

    # --- back on the loop ---

    def _settle(self, batch: Jobs) -> None:
        for job in batch:
            for event in job.events:
                self._publish(event)
            if job.future.done():  # whoever waited has been cancelled; the work is done all the same
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        received = [job.received for job in batch if job.received and job.error is None]
        if received:
            # Behind the writes that the events have asked for: it is the time until the last of them.
            self._loop.call_soon(self._measure, received)

    def _measure(self, received: list[float]) -> None:
        self._meter.delivery.observe_since(received, self._loop.time())


def _origin(error: Exception) -> Exception:
    """What went wrong first. After a full disk there is nothing to roll back, and only that would be told."""
    origin, before = error, error.__context__
    while before is not None:
        if isinstance(before, pw.PeeweeException):
            origin = before
        before = before.__context__
    return origin


class _Broken(Exception):
    """A transaction that did not commit, and whether a piece of its work was the reason."""

    def __init__(self, cause: Exception, by_work: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.by_work = by_work

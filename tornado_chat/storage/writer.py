"""The one writer: everything that changes the database goes through its thread.

Strategy: while one batch is on its way to the disk, the next one fills. The thread takes what is
waiting, up to a bound, runs it in one transaction in the order of arrival, commits once, and
hands the whole batch back to the loop in one call. So a commit's price is shared by everybody
who waited for it, and nobody waits for more than the batch before and their own. A disk so fast that
each message would be a batch is given a rest: batches begin a millisecond apart, and only what comes
right behind another waits for that.

What is to be told to others (events) is collected inside the transaction and published on the
loop after the commit, in commit order, even when the one who asked for it has gone away
meanwhile. That is why publishing happens here and not behind somebody's ``await``.

A piece of work that fails, fails alone: one that runs Python code has a savepoint of its own,
and when a batch breaks for another reason, its pieces are tried one by one. So work may run more
than once, and must not change anything but the database.

A database that is away is waited for (``commits``). When that has lasted too long, everybody who
waits is told that nothing was stored, and who comes later is told at once.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, cast

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import AppendResult, Thread
from tornado_chat.observability.logs import words
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage.messages import AppendRequest, MessageAppender
from tornado_chat.storage.transactions import CommitFailed, transaction_runner_for

T = TypeVar("T")

MAX_LOCK_WAITS = 5
"""Locks that the pieces of a batch wait for, one after the other; then it is more than a row that is locked."""

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
    """One waiting piece of work, and what became of it: an append, or Python code to run in the transaction.

    Somebody waits by a ``Deferred`` or a future; ``received`` is 0 if nobody measures how long.
    """

    __slots__ = ("error", "events", "received", "result", "waiting", "work")

    def __init__(
        self,
        work: AppendRequest | Callable[[Transaction], T],
        waiting: Deferred[T] | asyncio.Future[T],
        received: float,
    ) -> None:
        self.work = work
        self.waiting = waiting
        self.received = received
        self.result: T | None = None
        self.error: Exception | None = None
        self.events: Sequence[Event] = ()

    def fail(self, error: Exception) -> None:
        self.result = None
        self.events = ()
        self.error = error

    def settle(self) -> None:
        """Tell whoever waits."""
        waiting = self.waiting
        if isinstance(waiting, Deferred):
            waiting.settle(self.result, self.error)
        elif waiting.done():  # whoever waited has been cancelled; the work is done all the same
            return
        elif self.error is not None:
            waiting.set_exception(self.error)
        else:
            waiting.set_result(cast(T, self.result))


Batch = Sequence[_Job[Any]]


class Writer:
    """Runs work in group commits. Made and used on the loop; ``start`` and ``close`` frame its life."""

    def __init__(
        self,
        database: pw.Database,
        publish: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], int] = now_microseconds,
        meter: StorageMeter | None = None,
        timeout_seconds: float = 20.0,
        max_batch_jobs: int = 2000,
        max_backlog_jobs: int = 20000,
        min_batch_interval_seconds: float = 0.001,
    ) -> None:
        """:arg min_batch_interval_seconds: seconds from the beginning of a batch to that of the next."""
        self._database = database
        self._publish = publish
        self._loop = loop
        self._clock = clock
        self._meter = meter or StorageMeter()
        self._max_batch_jobs = max_batch_jobs
        self._max_backlog_jobs = max_backlog_jobs
        self._min_batch_interval_seconds = min_batch_interval_seconds
        self._appender = MessageAppender(database)
        self._transaction_runner = transaction_runner_for(database, timeout_seconds, self._meter)
        self._queue: deque[_Job[Any]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How many pieces of work wait for the batch that is under way."""
        return len(self._queue)

    def append(self, append: AppendRequest, received: float = 0.0) -> Deferred[AppendResult]:
        """Store a message. It is settled after the commit, when others have been told.

        :arg received: when its frame came, by the loop's clock.
        :raises Unavailable: the backlog is full; nothing was taken.

        The error is ``Conflict`` when the thread has ended meanwhile and ``Unavailable`` when the
        database did not take it.
        """
        waiting: Deferred[AppendResult] = Deferred()
        self._submit(_Job(append, waiting, received))
        return waiting

    def run(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run ``work`` in the next transaction. What it raises undoes its own changes only."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(_Job(work, future, 0.0))
        return future

    def close(self) -> None:
        """Commit what is waiting, then end the thread. Blocks for that long."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _submit(self, job: _Job[Any]) -> None:
        if self._closing or len(self._queue) >= self._max_backlog_jobs:
            raise Unavailable("overloaded")
        self._queue.append(job)
        if not self._wake.is_set():
            self._wake.set()

    # --- on the writer thread ---

    def _run(self) -> None:
        next_batch = 0.0
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                pause = next_batch - time.monotonic()
                if pause > 0:
                    time.sleep(pause)  # nothing that may come meanwhile would make it go on earlier
                next_batch = time.monotonic() + self._min_batch_interval_seconds
                batch = self._take_jobs(self._max_batch_jobs)
                away = self._commit(batch)
                if away is not None:
                    others = self._take_jobs(len(self._queue))
                    self._refuse(others, away)
                    batch += others
                self._loop.call_soon_threadsafe(self._settle, batch)
            if self._closing and not self._queue:
                self._transaction_runner.close()
                return

    def _take_jobs(self, most: int) -> list[_Job[Any]]:
        queue = self._queue
        count = min(len(queue), most)  # the loop may append more meanwhile
        jobs: list[_Job[Any]] = []
        while len(jobs) < count:
            jobs.append(queue.popleft())
        return jobs

    def _commit(self, batch: Batch) -> Exception | None:
        """One transaction for all; if a piece breaks it, one for each. What is returned: the database is away."""
        failed = self._try_commit(batch)
        if failed is None:
            return None
        if failed.is_database_away:
            self._meter.refused += 1
            return failed.cause
        if len(batch) == 1 or not failed.is_work_error:
            self._log_refusal(batch, failed)
            return None
        with self._transaction_runner.short_lock_waits():
            return self._commit_one_by_one(batch)

    def _commit_one_by_one(self, batch: Batch) -> Exception | None:
        """What needs a lock that somebody keeps is refused, without waiting for the same one again."""
        locked: list[Thread | None] = []
        for number, job in enumerate(batch):
            thread = job.work.thread if isinstance(job.work, AppendRequest) else None
            if (thread is not None and thread in locked) or len(locked) >= MAX_LOCK_WAITS:
                continue  # refused with the whole batch
            self._meter.retries += 1
            failed = self._try_commit([job])
            if failed is None:
                continue
            if failed.is_database_away:
                self._refuse(batch[number + 1 :], failed.cause)
                return failed.cause
            if failed.is_locked:
                locked.append(thread)
            self._log_refusal([job], failed)
        return None

    def _try_commit(self, batch: Batch) -> CommitFailed | None:
        started = time.perf_counter()
        try:
            self._transaction_runner.commit(partial(self._execute, batch))
        except CommitFailed as failed:
            if failed.is_in_doubt:
                # If it turns out to be there, the others are to hear of it.
                events = [event for job in batch for event in job.events]
                self._transaction_runner.on_resolved(lambda: self._publish_events(events))
            self._refuse(batch, failed.cause)
            return failed
        self._meter.committed(len(batch), time.perf_counter() - started, time.time())
        return None

    def _execute(self, batch: Batch) -> None:
        """Run the pieces in order; neighbouring appends go to the database together."""
        now = self._clock()
        appends: list[tuple[_Job[Any], AppendRequest]] = []
        for job in batch:
            job.result = job.error = None  # of an earlier try
            job.events = ()
            if isinstance(job.work, AppendRequest):
                appends.append((job, job.work))
                continue
            if appends:
                self._append(appends, now)
                appends = []
            transaction = Transaction(self._database, now)
            try:
                with self._database.savepoint():
                    job.result = job.work(transaction)
                    job.events = transaction.events
            except ChatError as error:
                job.fail(error)
        if appends:
            self._append(appends, now)

    def _append(self, jobs: Sequence[tuple[_Job[Any], AppendRequest]], now: int) -> None:
        outcomes = self._appender.append([append for _, append in jobs], now)
        for (job, _), outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, ChatError):
                job.fail(outcome)
            else:
                job.result, event = outcome
                job.events = (event,)

    def _log_refusal(self, batch: Batch, failed: CommitFailed) -> None:
        cause = failed.cause
        why = words(cause) or type(cause).__name__
        self._meter.refused += 1
        log.error("the database refused a batch of %d: %s", len(batch), why, exc_info=cause)

    def _refuse(self, batch: Batch, cause: Exception) -> None:
        for job in batch:
            error = Unavailable("not_stored")
            error.__cause__ = cause
            job.fail(error)

    def _publish_events(self, events: Sequence[Event]) -> None:
        self._loop.call_soon_threadsafe(lambda: [self._publish(event) for event in events])

    # --- back on the loop ---

    def _settle(self, batch: Batch) -> None:
        received = []
        for job in batch:
            for event in job.events:
                self._publish(event)
            if job.received and job.error is None:
                received.append(job.received)
            try:
                job.settle()
            except Exception as error:  # of whoever was told; the others must still hear of theirs
                self._loop.call_exception_handler(
                    {"message": "telling of a commit failed", "exception": error}
                )
        if received:
            # Behind the writes that the events have asked for: it is the time until the last of them.
            self._loop.call_soon(self._measure, received)

    def _measure(self, received: list[float]) -> None:
        self._meter.delivery.observe_since(received, self._loop.time())

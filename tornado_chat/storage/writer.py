"""The group-commit writer: a thread that executes all changes of the database.

Strategy: while one batch is being committed, the next one fills. The thread takes the waiting jobs, up to
a limit, runs them in one transaction in the order of arrival, commits once, and hands the whole batch
back to the loop in one call. So the jobs of a batch share the cost of its commit, and each job waits for
at most the batch before and its own. On a disk so fast that each message would be a batch of its own,
batches begin at least a millisecond apart; only a job that follows another one directly waits for that.

Events to be published are collected inside the transaction and published on the loop after the commit,
in commit order, even if the caller was cancelled meanwhile. That is why they are published here and not
after the caller's ``await``.

A job that fails does not affect the others: a job that runs Python code has a savepoint of its own, and
if a batch fails for another reason, its jobs are tried one by one. So a job may run more than once, and
must change only the database.

Jobs whose callers do not wait for them, such as the records of an audit, run in the background: in order
among themselves, after the other jobs of a batch, and few in each batch (``storage/background_jobs.py``).

A job that needs the row of a thread which another session of the database keeps locked is set aside with all
jobs for that thread (``storage/locked_threads.py``).

A transaction on a database that is unavailable is retried (``storage/transactions.py``). When the timeout is
over, all waiting jobs fail with ``Unavailable``, and later jobs fail without a wait. A job that can never
succeed, because the program or the statement is wrong, fails with ``InternalError``: its caller must not be
told to try again.
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
from tornado_chat.core.errors import ChatError, InternalError, Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import AppendResult, Thread
from tornado_chat.observability.logs import safe_error_text
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage.background_jobs import BackgroundJobs
from tornado_chat.storage.locked_threads import LockedThreads
from tornado_chat.storage.messages import AppendRequest, MessageAppender
from tornado_chat.storage.mysql import MysqlDatabase
from tornado_chat.storage.mysql_transactions import MysqlTransactionRunner
from tornado_chat.storage.sqlite_transactions import SqliteTransactionRunner
from tornado_chat.storage.transactions import CommitFailed, TransactionRunner, is_permanent

T = TypeVar("T")

MAX_BATCH_LOCK_WAITS = 2
"""Lock timeouts after which the jobs of a batch are tried one by one, if no thread is found to be locked."""
MAX_LOCK_WAITS = 5
"""Lock timeouts after which the rest of a batch is refused: then more is locked than rows of threads."""

SETTLE_SECONDS = 0.01
"""The time for which the results of commits are published in one turn of the loop.

A batch may have thousands of messages, and each of them may go to many sockets.
"""

log = logging.getLogger(__name__)


class Transaction:
    """The argument of a job: the database, the batch's time (microseconds since 1970), its events.

    :ivar went_back: True if the database has gone back since this process has opened it. A position that the
        process remembers (a receipt, a cursor) must not be stored then: it may be ahead of the database.
    """

    def __init__(self, database: pw.Database, now: int, *, went_back: bool = False) -> None:
        self.database = database
        self.now = now
        self.went_back = went_back
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Publish ``event`` after this transaction has committed, and only then."""
        self.events.append(event)


class _Job(Generic[T]):
    """A unit of work and its result: an append, or Python code to run in the transaction.

    :ivar thread: the thread whose row the work needs; None if it needs none, or that is unknown.
    :ivar waiting: the ``Deferred`` or future by which the caller gets the result.
    :ivar received: loop time at which the message's frame arrived; 0 if its delivery time is not measured.
    """

    __slots__ = (
        "error",
        "events",
        "is_apart",
        "is_background",
        "received",
        "result",
        "thread",
        "waiting",
        "work",
    )

    def __init__(
        self,
        work: AppendRequest | Callable[[Transaction], T],
        waiting: Deferred[T] | asyncio.Future[T],
        received: float,
        thread: Thread | None,
        *,
        is_background: bool = False,
        is_apart: bool = False,
    ) -> None:
        self.work = work
        self.thread = thread
        self.is_background = is_background
        self.is_apart = is_apart or is_background
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
        """Give the result or error to the caller."""
        waiting = self.waiting
        if isinstance(waiting, Deferred):
            waiting.settle(self.result, self.error)
        elif waiting.done():  # the caller was cancelled; the work is committed nevertheless
            return
        elif self.error is not None:
            waiting.set_exception(self.error)
        else:
            waiting.set_result(cast(T, self.result))


Batch = Sequence[_Job[Any]]


class Writer:
    """Runs jobs in group commits.

    Created and used on the loop; its thread runs from ``start`` to ``close``.
    """

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
        on_went_back: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :arg min_batch_interval_seconds: least time from the beginning of a batch to that of the next.
        :arg on_went_back: called on the loop, once, when the database turns out to have gone back to an older
            copy.
        """
        self._database = database
        self._publish = publish
        self._loop = loop
        self._clock = clock
        self._meter = meter or StorageMeter()
        self._max_batch_jobs = max_batch_jobs
        self._max_backlog_jobs = max_backlog_jobs
        self._min_batch_interval_seconds = min_batch_interval_seconds
        self._appender = MessageAppender(database)
        self._transaction_runner = transaction_runner_for(
            database, timeout_seconds, self._meter, lambda: self._call_on_loop(on_went_back)
        )
        self._queue: deque[_Job[Any]] = deque()
        self._background: BackgroundJobs[_Job[Any]] = BackgroundJobs()
        self._background_seconds = 0.0  # of the background jobs of the current batch
        self._locked: LockedThreads[_Job[Any]] = LockedThreads(timeout_seconds)
        self._unsettled: deque[_Job[Any]] = deque()  # as the next, used on the loop only
        self._is_settling = False  # a call of _settle_some is scheduled
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Number of jobs that wait for the end of the current batch."""
        return len(self._queue) + len(self._background) + self._locked.count

    def append(self, append: AppendRequest, received: float = 0.0) -> Deferred[AppendResult]:
        """Store a message. The result is settled after the commit, when the message's event is published.

        The result's error is ``Conflict`` if the thread has ended meanwhile, ``Unavailable`` if the database
        did not store the message, and ``InternalError`` if it never will.

        :arg received: when the message's frame arrived, by the loop's clock.
        :raises Unavailable: the backlog is full; the message was not accepted.
        """
        waiting: Deferred[AppendResult] = Deferred()
        self._submit(_Job(append, waiting, received, append.thread))
        return waiting

    def run(
        self,
        work: Callable[[Transaction], T],
        thread: Thread | None = None,
        *,
        background: bool = False,
        apart: bool = False,
    ) -> asyncio.Future[T]:
        """Run ``work`` in the next transaction. An exception of ``work`` rolls back its own changes only.

        The result's error is the ``ChatError`` that ``work`` raised, ``InternalError`` for another exception,
        or ``Unavailable`` if the database did not store the changes.

        :arg thread: the thread whose row ``work`` changes: while another session keeps the row locked,
            ``work`` waits, in order with the messages of the thread.
        :arg background: run after other jobs, also those that are submitted later; in order with other
            background work.
        :arg apart: run after the messages of the batch, and in another transaction than they if the
            transactions of several processes may wait for each other; background work always does.
        :raises Unavailable: the backlog is full; the work was not accepted.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(_Job(work, future, 0.0, thread, is_background=background, is_apart=apart))
        return future

    def forget_positions(self) -> None:
        """Let jobs find ``Transaction.went_back`` set, as another process has noticed it."""
        self._transaction_runner.went_back = True

    def close(self) -> None:
        """Commit the waiting jobs, then end the thread. Blocks until the thread has ended."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _submit(self, job: _Job[Any]) -> None:
        waiting = len(self._background) if job.is_background else len(self._queue) + self._locked.count
        if self._closing or waiting >= self._max_backlog_jobs:
            raise Unavailable("overloaded")
        if job.is_background:
            self._background.add(job)
        else:
            self._queue.append(job)
        if not self._wake.is_set():
            self._wake.set()

    # --- on the writer thread ---

    def _run(self) -> None:
        next_batch = 0.0
        while True:
            self._wake.wait(self._locked.seconds_to_next_try)
            self._wake.clear()
            self._retry_locked()
            while self._queue or self._background:
                pause = next_batch - time.monotonic()
                if pause > 0:
                    time.sleep(pause)  # new jobs do not shorten the pause, so there is nothing to wait on
                next_batch = time.monotonic() + self._min_batch_interval_seconds
                batch = self._locked.take_out(self._take_jobs(self._max_batch_jobs) + self._background.take())
                parts = deque(self._parts(batch))
                while parts:
                    settled, outage = self._commit(parts.popleft())
                    if outage is not None:
                        others = [job for part in parts for job in part]
                        others += self._take_jobs(len(self._queue)) + self._background.take_all()
                        parts.clear()
                        self._refuse(others, outage)
                        settled += others
                    self._loop.call_soon_threadsafe(self._settle, settled)
                self._retry_locked()
            if self._closing and not (self._queue or self._background):
                self._refuse_expired(at_once=True)
                self._transaction_runner.close()
                return

    def _retry_locked(self) -> None:
        """Store the jobs of threads that are free again, and refuse jobs that have waited too long."""
        due = self._locked.take_due()
        if not due:
            return
        still_locked = self._transaction_runner.find_locked(due)
        for thread in due:
            if thread not in still_locked:
                jobs = self._locked.jobs_of(thread)
                failed = self._try_commit(jobs)
                self._locked.release(thread)
                if failed is not None and failed.is_work_error:
                    self._commit_one_by_one(jobs)
                self._loop.call_soon_threadsafe(self._settle, jobs)
        self._refuse_expired()

    def _refuse_expired(self, *, at_once: bool = False) -> None:
        expired = self._locked.take_expired(at_once=at_once)
        if expired:
            self._meter.refused += 1
            for job in expired:
                job.fail(Unavailable("not_stored"))
            self._loop.call_soon_threadsafe(self._settle, expired)

    def _take_jobs(self, max_jobs: int) -> list[_Job[Any]]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), max_jobs))]  # the loop may append meanwhile

    def _parts(self, batch: list[_Job[Any]]) -> Sequence[list[_Job[Any]]]:
        """Return the batches to commit in turn.

        Jobs apart may need a row that all processes change, such as the head of a chain of records. In one
        transaction with them, messages would wait for that row, and keep it locked for the other processes.
        """
        if not self._transaction_runner.locks_rows:
            return [batch] if batch else []
        first = [job for job in batch if not job.is_apart]
        apart = [job for job in batch if job.is_apart]
        return [part for part in (first, apart) if part]

    def _commit(self, batch: list[_Job[Any]]) -> tuple[list[_Job[Any]], Exception | None]:
        """Commit the batch in one transaction, without the jobs of threads that turn out to be locked.

        If another job makes it fail, commit each job in its own transaction. Returns the jobs that are done,
        and the database's error if the database is unavailable.
        """
        lock_waits = 0
        while True:
            failed = self._try_commit(batch)
            if failed is None:
                return batch, None
            if failed.is_database_away:
                self._meter.refused += 1
                return batch, failed.cause
            threads = {job.thread for job in batch if job.thread is not None} if failed.is_locked else ()
            locked = self._transaction_runner.find_locked(threads)
            lock_waits += failed.is_locked and not locked  # released in the meantime, or not a thread's row
            if not locked and lock_waits in (0, MAX_BATCH_LOCK_WAITS):
                break
            for thread in locked:
                self._locked.set_aside(thread, ())
            batch = self._locked.take_out(batch)
            if not batch:
                return batch, None
        if len(batch) == 1 or not failed.is_work_error:
            self._log_refusal(batch, failed)
            return batch, None
        return batch, self._commit_one_by_one(batch)

    def _commit_one_by_one(self, batch: Batch) -> Exception | None:
        """Commit each job in its own transaction. Returns the error if the database is unavailable.

        A job that needs a lock which another transaction keeps is refused.
        """
        lock_waits = 0
        for number, job in enumerate(batch):
            if lock_waits >= MAX_LOCK_WAITS:
                break  # refused with the whole batch
            self._meter.retries += 1
            failed = self._try_commit([job])
            if failed is None:
                continue
            if failed.is_database_away:
                self._refuse(batch[number + 1 :], failed.cause)
                return failed.cause
            lock_waits += failed.is_locked
            self._log_refusal([job], failed)
        return None

    def _try_commit(self, batch: Batch) -> CommitFailed | None:
        started = time.perf_counter()
        try:
            self._transaction_runner.commit(partial(self._execute, batch))
        except CommitFailed as failed:
            if failed.is_in_doubt:
                # If the transaction turns out to have committed, its events still have to be published.
                events = [event for job in batch for event in job.events]
                self._transaction_runner.on_resolved(lambda: self._publish_events(events))
            # A job that is the reason itself is refused for good, the others of its batch are tried again.
            is_reason = failed.is_work_error and len(batch) == 1
            self._refuse(batch, failed.cause, for_good=is_reason and is_permanent(failed.cause))
            return failed
        seconds = time.perf_counter() - started
        count = sum(job.is_background for job in batch) if self._background_seconds else 0
        self._background.record_batch(count, self._background_seconds, seconds - self._background_seconds)
        self._meter.committed(len(batch), seconds, time.time())
        return None

    def _execute(self, batch: Batch) -> None:
        """Run the jobs in order; consecutive appends are stored together."""
        now = self._clock()
        appends: list[tuple[_Job[Any], AppendRequest]] = []
        began_background: float | None = None
        for job in batch:
            job.result = job.error = None  # of an earlier try
            job.events = ()
            if isinstance(job.work, AppendRequest):
                appends.append((job, job.work))
                continue
            if appends:
                self._append(appends, now)
                appends = []
            transaction = Transaction(self._database, now, went_back=self._transaction_runner.went_back)
            if job.is_background and began_background is None:
                began_background = time.perf_counter()
            try:
                with self._database.savepoint():
                    job.result = job.work(transaction)
                    job.events = transaction.events
            except ChatError as error:
                job.fail(error)
        if appends:
            self._append(appends, now)
        self._background_seconds = time.perf_counter() - began_background if began_background else 0.0

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
        why = safe_error_text(cause) or type(cause).__name__
        self._meter.refused += 1
        if failed.is_locked:
            log.warning("another session of the database keeps rows locked, %d refused: %s", len(batch), why)
        else:
            log.error("the database refused a batch of %d: %s", len(batch), why, exc_info=cause)

    def _refuse(self, batch: Batch, cause: Exception, *, for_good: bool = False) -> None:
        for job in batch:
            error: ChatError = Unavailable("not_stored")
            if for_good:
                error = InternalError("internal_error")
            error.__cause__ = cause
            job.fail(error)

    def _call_on_loop(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def _publish_events(self, events: Sequence[Event]) -> None:
        self._loop.call_soon_threadsafe(lambda: [self._publish(event) for event in events])

    # --- back on the loop ---

    def _settle(self, batch: Batch) -> None:
        self._unsettled.extend(batch)
        if not self._is_settling:
            self._settle_some()

    def _settle_some(self) -> None:
        """Publish and give results for ``SETTLE_SECONDS``, in the order of the commits, then go on later."""
        self._is_settling = False
        received = []
        until = self._loop.time() + SETTLE_SECONDS
        while self._unsettled:
            job = self._unsettled.popleft()
            for event in job.events:
                self._publish(event)
            if job.received and job.error is None:
                received.append(job.received)
            try:
                job.settle()
            except Exception as error:  # raised by a caller's callback; the other jobs must still be settled
                self._loop.call_exception_handler(
                    {"message": "a callback after a commit failed", "exception": error}
                )
            if self._unsettled and self._loop.time() >= until:
                self._is_settling = True
                self._loop.call_soon(self._settle_some)
                break
        if received:
            # Runs after the socket writes that the events have scheduled: the time until the last of them
            # counts.
            self._loop.call_soon(self._measure, received)

    def _measure(self, received: list[float]) -> None:
        self._meter.delivery.observe_since(received, self._loop.time())


def transaction_runner_for(
    database: pw.Database, timeout_seconds: float, meter: StorageMeter, on_went_back: Callable[[], None]
) -> TransactionRunner:
    """Return the runner for this kind of database.

    :arg timeout_seconds: how long a MySQL server that is unavailable is tried again.
    :arg on_went_back: called once, on the writer thread, when the database turns out to have gone back.
    """
    if isinstance(database, MysqlDatabase):
        return MysqlTransactionRunner(database, timeout_seconds, meter, on_went_back)
    return SqliteTransactionRunner(database, on_went_back)

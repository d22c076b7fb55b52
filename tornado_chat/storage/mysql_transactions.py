"""The transaction runner of MySQL and MariaDB; see ``storage/transactions.py``."""

import contextlib
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.types import Thread
from tornado_chat.observability.logs import safe_error_text
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage import models
from tornado_chat.storage.messages import thread_table
from tornado_chat.storage.mysql import (
    LOCK_TIMEOUT_ERROR,
    ErrorKind,
    MysqlDatabase,
    classify_error,
    error_code,
)
from tornado_chat.storage.transactions import (
    FIRST_PAUSE_SECONDS,
    STALE_WRITER_MICROSECONDS,
    CommitFailed,
    Work,
    log_older_copy,
    retry_pauses,
    root_cause,
)

log = logging.getLogger(__name__)

MAX_TRIES = {
    ErrorKind.COLLISION: 6,
    # The second try sees the row that the other transaction made.
    ErrorKind.RACE: 2,
    # After three tries the work itself may be the reason why the server closes the connection.
    ErrorKind.LOST: 3,
}
"""How often the same work is tried, by kind of error."""

LOCK_WAIT_SECONDS = 1
"""The time that the writer waits for a lock: all jobs of the batch wait with it."""
INCREMENT_COMMIT_NUMBER = "UPDATE writer SET number = %s, time = %s WHERE name = %s AND number = %s"


class MysqlTransactionRunner:
    locks_rows = True

    def __init__(
        self,
        database: MysqlDatabase,
        timeout_seconds: float,
        meter: StorageMeter,
        on_went_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._timeout_seconds = timeout_seconds
        self._meter = meter
        self._on_went_back = on_went_back
        self.went_back = False
        self._name = uuid.uuid4().hex
        self._number: int | None = None  # of the last transaction that is known to have committed
        self._in_doubt = False  # True if the transaction after that may have committed too
        self._on_resolved: Callable[[], None] | None = None
        self._sessions: set[int] = set()  # server's ids of the sessions that may hold the lock of our row
        self._failing_since: float | None = None
        self._has_warned = self._has_given_up = False

    def commit(self, work: Work) -> None:
        own_commit_in_doubt = False
        tries = dict.fromkeys(MAX_TRIES, 0)
        for pause in retry_pauses():
            begun = executed = False
            try:
                self._database.drop_if_stale()
                if self._in_doubt and self._resolve_doubt() and own_commit_in_doubt:
                    return
                if self._number is None:
                    self._register_writer()
                with self._database.atomic():
                    self._increment_number()
                    begun = True
                    work()
                    executed = True
                self._on_committed()
                return
            except Exception as error:
                self._database.drop_connection()
                cause = root_cause(error)
            self._meter.retries += 1
            if isinstance(cause, _WriterRowChanged):
                time.sleep(pause)
                continue
            if executed:  # COMMIT was under way
                self._in_doubt = own_commit_in_doubt = True
            kind = classify_error(cause) if begun and not executed else ErrorKind.AWAY
            if kind in tries:
                tries[kind] += 1
                if tries[kind] == MAX_TRIES[kind]:
                    kind = ErrorKind.WORK
            if kind in (ErrorKind.WORK, ErrorKind.LOCKED):
                self._on_recovered()
                raise CommitFailed(cause, is_work_error=True, is_locked=kind is ErrorKind.LOCKED) from cause
            if kind in (ErrorKind.COLLISION, ErrorKind.RACE):
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS))  # noqa: S311
                continue
            if error_code(cause) == LOCK_TIMEOUT_ERROR:
                self._kill_old_sessions()
            if self._should_give_up(cause, pause):
                raise CommitFailed(
                    cause, is_database_away=True, is_in_doubt=own_commit_in_doubt and self._in_doubt
                ) from cause
            time.sleep(pause)

    def on_resolved(self, callback: Callable[[], None]) -> None:
        self._on_resolved = callback

    def find_locked(self, threads: Iterable[Thread]) -> set[Thread]:
        locked = set()
        for thread in threads:
            try:
                # Outside of a transaction, so the statement does not keep the lock.
                self._database.execute_sql(
                    f"SELECT id FROM {thread_table(thread.kind)} WHERE id = %s FOR UPDATE NOWAIT",  # noqa: S608
                    (thread.id,),
                ).fetchall()
            except pw.PeeweeException as error:
                if classify_error(error) is not ErrorKind.LOCKED:  # the next commit finds out what it is
                    self._database.drop_connection()
                    break
                locked.add(thread)
        return locked

    def close(self) -> None:
        with contextlib.suppress(pw.PeeweeException):
            if self._number is not None and not self._in_doubt and self._failing_since is None:
                self._writer_table.delete().where(self._writer_table.name == self._name).execute(
                    self._database
                )
        self._database.drop_connection()

    # --- this process's row in the table ``writer`` ---

    _writer_table = models.WriterProcess

    def _increment_number(self) -> None:
        """Execute the first statement of a transaction, which takes the row's lock."""
        database = self._database
        connection: Any = database.connection()  # type: ignore[no-untyped-call]
        if connection.thread_id() not in self._sessions:
            wait = LOCK_WAIT_SECONDS
            database.execute_sql(f"SET SESSION innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}")
            self._sessions.add(connection.thread_id())
        expected, now = self._number or 0, now_microseconds()
        cursor = database.execute_sql(INCREMENT_COMMIT_NUMBER, (expected + 1, now, self._name, expected))
        if cursor.rowcount == 0:
            self._explain_mismatch(expected)
        self._sessions = {connection.thread_id()}

    def _register_writer(self) -> None:
        """Insert the row, in a commit of its own: other processes must find it before it is locked."""
        now = now_microseconds()
        # Stale rows are selected without a lock: a search with a lock would wait for every writer.
        stale = (
            self._writer_table.select(self._writer_table.name)
            .where(self._writer_table.time < now - STALE_WRITER_MICROSECONDS)
            .tuples()
        )
        for (name,) in stale.execute(self._database):
            self._writer_table.delete().where(self._writer_table.name == name).execute(self._database)
        self._writer_table.insert(name=self._name, number=0, time=now).on_conflict_ignore().execute(
            self._database
        )
        self._number = 0

    def _explain_mismatch(self, expected: int) -> None:
        """Find out why the row is not as this process left it. :raises _WriterRowChanged: always."""
        found = (
            self._writer_table.select(self._writer_table.number)
            .where(self._writer_table.name == self._name)
            .scalar(self._database)
        )
        if found == expected + 1:
            # Another server of a database cluster answered before it had received our last commit.
            self._in_doubt = True
            raise _WriterRowChanged("the last transaction has committed after all")
        self._number = found
        if not expected:  # the row was inserted and lost before a first transaction
            raise _WriterRowChanged("the database has no row of this process any more")
        if not self.went_back:
            self.went_back = True
            log_older_copy(expected - (found or 0))
            self._on_went_back()
        raise _WriterRowChanged("the database has gone back")

    def _resolve_doubt(self) -> bool:
        """Return True if the transaction in doubt has committed. Waits until the server has finished it."""
        own_row = self._writer_table.select(self._writer_table.number).where(
            self._writer_table.name == self._name
        )
        found: int | None = own_row.for_update().scalar(self._database)
        has_committed = found == (self._number or 0) + 1
        self._in_doubt = False
        if has_committed:
            callback = self._on_resolved
            self._on_committed()
            if callback is not None:
                callback()
        return has_committed

    def _on_committed(self) -> None:
        self._number = (self._number or 0) + 1
        self._on_resolved = None
        self._on_recovered()

    def _on_recovered(self) -> None:
        if self._has_warned and self._failing_since is not None:
            log.info("the database is back after %.1f s", time.monotonic() - self._failing_since)
        self._failing_since = None
        self._has_warned = self._has_given_up = False

    def _kill_old_sessions(self) -> None:
        """End this process's earlier sessions on the server.

        Only this process's sessions lock its row for long. A session whose connection was lost may still hold
        the lock, because the server has not noticed the loss.
        """
        for session in self._sessions:
            with contextlib.suppress(pw.PeeweeException):
                self._database.execute_sql(f"KILL {session}")
        self._sessions.clear()

    # --- a server that is unavailable ---

    def _should_give_up(self, cause: Exception, pause: float) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if (
            pause and not self._has_warned
        ):  # the first retry has no pause: a new connection may be all it needs
            log.warning(
                "the database accepts no writes, retrying for %g s: %s",
                self._timeout_seconds,
                safe_error_text(cause),
            )
            self._has_warned = True
        if now + pause - self._failing_since <= self._timeout_seconds:
            return False
        if not self._has_given_up:
            log.error(
                "the database is unavailable; nothing can be stored until it is back: %s",
                safe_error_text(cause),
            )
            self._has_given_up = self._has_warned = True
        return True


class _WriterRowChanged(pw.OperationalError):
    """This process's row in the table ``writer`` is not as this process left it."""

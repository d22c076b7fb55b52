"""Transactions that are known to have committed, or known not to have.

SQLite is in this process: what a commit says is what happened. A MySQL server may be away, come back as
another one, or take a commit and lose the connection before it can say so. So that nothing is done
twice or not at all, each process that writes has a row of its own in the table ``writer``, with the
number of its last transaction, and each transaction begins by counting that up:

- If the connection dies during COMMIT, the row says whether the transaction is there. It is read
  with a lock: while the server still works on the old transaction, that has the row, and the
  answer waits for its end.
- A number that went back means that the server has lost what it had acknowledged.
- Whoever reads rows by their ids waits for the rows' locks, one after the other, and then knows that
  nothing with a lower id is still on its way (``wait_for_writers``).
"""

import contextlib
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.observability.logs import safe_error_text
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage import models
from tornado_chat.storage.mysql import (
    LOCK_TIMEOUT_ERROR,
    ErrorKind,
    MysqlDatabase,
    classify_error,
    error_code,
)

log = logging.getLogger(__name__)

Work = Callable[[], None]

MAX_TRIES = {
    ErrorKind.COLLISION: 6,
    # A second one sees what the first did.
    ErrorKind.RACE: 2,
    # After that it may be the work that makes the server hang up.
    ErrorKind.LOST: 3,
}
"""How often the same work is tried."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 1.0  # seconds between tries
SHORT_LOCK_WAIT_SECONDS = 1  # seconds
STALE_WRITER_MICROSECONDS = (
    7 * 86400 * 1_000_000
)  # microseconds until the row of a process that was killed is removed


class CommitFailed(Exception):
    """A transaction that did not commit.

    :arg is_work_error: a piece of the work is the reason, and without it the others may do.
    :arg is_locked: what that piece needs is locked by somebody else.
    :arg is_database_away: nobody can write now, whatever it is.
    :arg is_in_doubt: the server may have committed it, but cannot be asked; ``on_resolved`` tells later.
    """

    def __init__(
        self,
        cause: Exception,
        *,
        is_work_error: bool = False,
        is_locked: bool = False,
        is_database_away: bool = False,
        is_in_doubt: bool = False,
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.is_work_error = is_work_error
        self.is_locked = is_locked
        self.is_database_away = is_database_away
        self.is_in_doubt = is_in_doubt


class TransactionRunner(Protocol):
    """Used on the writer thread only."""

    def commit(self, work: Work) -> None:
        """Run ``work`` in a transaction, again if need be. Returns when it has committed.

        :raises CommitFailed: it has not.
        """

    def on_resolved(self, callback: Callable[[], None]) -> None:
        """After a doubtful failure: call ``callback`` if it turns out that the transaction is there."""

    def short_lock_waits(self) -> contextlib.AbstractContextManager[None]:
        """Do not wait long for locks: pieces are tried one by one, and most of them are not locked."""

    def close(self) -> None: ...


def transaction_runner_for(
    database: pw.Database, timeout_seconds: float, meter: StorageMeter
) -> TransactionRunner:
    """:arg timeout_seconds: seconds to wait for a server that is away."""
    if isinstance(database, MysqlDatabase):
        return MysqlTransactionRunner(database, timeout_seconds, meter)
    return SqliteTransactionRunner(database)


class SqliteTransactionRunner:
    def __init__(self, database: pw.Database) -> None:
        self._database = database

    def commit(self, work: Work) -> None:
        begun = executed = False
        try:
            # IMMEDIATE takes SQLite's write lock at the start: waiting for it later could fail.
            with self._database.atomic("IMMEDIATE"):
                begun = True
                work()
                executed = True
        except Exception as error:
            # Whatever state the connection is in now, the next batch starts with a fresh one.
            with contextlib.suppress(pw.PeeweeException):
                self._database.close()
            raise CommitFailed(_root_cause(error), is_work_error=begun and not executed) from error

    def on_resolved(self, callback: Callable[[], None]) -> None:
        raise AssertionError("SQLite leaves no doubt")

    def short_lock_waits(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        self._database.close()


class MysqlTransactionRunner:
    def __init__(self, database: MysqlDatabase, timeout_seconds: float, meter: StorageMeter) -> None:
        self._database = database
        self._timeout_seconds = timeout_seconds
        self._meter = meter
        self._name = uuid.uuid4().hex
        self._number: int | None = None  # of the last transaction that is known to be there
        self._in_doubt = False  # whether the one after that may be there too
        self._on_resolved: Callable[[], None] | None = None
        self._sessions: set[int] = set()  # the server's numbers of those that may have our row's lock
        self._failing_since: float | None = None
        self._has_warned = self._has_given_up = False
        self._uses_short_lock_waits = False

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
                cause = _root_cause(error)
            self._meter.retries += 1
            if isinstance(cause, _WriterRowChanged):
                time.sleep(pause)
                continue
            if executed:  # COMMIT was under way
                self._in_doubt = own_commit_in_doubt = True
            trouble = classify_error(cause) if begun and not executed else ErrorKind.AWAY
            if trouble in tries:
                tries[trouble] += 1
                if tries[trouble] == MAX_TRIES[trouble]:
                    trouble = ErrorKind.WORK
            if trouble in (ErrorKind.WORK, ErrorKind.LOCKED):
                self._on_recovered()
                raise CommitFailed(
                    cause, is_work_error=True, is_locked=trouble is ErrorKind.LOCKED
                ) from cause
            if trouble in (ErrorKind.COLLISION, ErrorKind.RACE):
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS))  # noqa: S311 - so that two do not meet again
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

    @contextlib.contextmanager
    def short_lock_waits(self) -> Iterator[None]:
        self._uses_short_lock_waits = True
        try:
            yield
        finally:
            self._uses_short_lock_waits = False
            self._database.drop_connection()

    def close(self) -> None:
        with contextlib.suppress(pw.PeeweeException):
            if self._number is not None and not self._in_doubt and self._failing_since is None:
                self._row.delete().where(self._row.name == self._name).execute(self._database)
        self._database.drop_connection()

    # --- the row ---

    _row = models.Writer

    def _increment_number(self) -> None:
        """The first statement of a transaction: it takes the row's lock."""
        database = self._database
        if self._uses_short_lock_waits:
            wait = SHORT_LOCK_WAIT_SECONDS
            database.execute_sql(f"SET SESSION innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}")
        connection: Any = database.connection()  # type: ignore[no-untyped-call]
        self._sessions.add(connection.thread_id())
        expected, now = self._number or 0, now_microseconds()
        cursor = database.execute_sql(INCREMENT_COMMIT_NUMBER, (expected + 1, now, self._name, expected))
        if cursor.rowcount == 0:
            self._explain_mismatch(expected)
        self._sessions = {connection.thread_id()}

    def _register_writer(self) -> None:
        """Make the row, in a commit of its own: others must be able to find it before it is locked."""
        now = now_microseconds()
        # Looked up without a lock: to search for them with one would wait for every writer.
        left = (
            self._row.select(self._row.name).where(self._row.time < now - STALE_WRITER_MICROSECONDS).tuples()
        )
        for (name,) in left.execute(self._database):
            self._row.delete().where(self._row.name == name).execute(self._database)
        self._row.insert(name=self._name, number=0, time=now).on_conflict_ignore().execute(self._database)
        self._number = 0

    def _explain_mismatch(self, expected: int) -> None:
        """The row is not as this process left it."""
        found = self._row.select(self._row.number).where(self._row.name == self._name).scalar(self._database)
        if found == expected + 1:
            # Another server of a cluster has answered before it had heard of our last commit.
            self._in_doubt = True
            raise _WriterRowChanged("the last commit is there after all")
        self._number = found
        if found is None:
            raise _WriterRowChanged("the database does not know this process any more")
        log.error(
            "the database has gone back by %d commits: it lacks messages that were acknowledged. Did a replica take "
            "over that had not got them yet, or was a backup restored under a running server?",
            expected - found,
        )
        raise _WriterRowChanged("the database has gone back")

    def _resolve_doubt(self) -> bool:
        """Whether the transaction in doubt is there after all. It waits until the server is done with it."""
        of_mine = self._row.select(self._row.number).where(self._row.name == self._name)
        found: int | None = of_mine.for_update().scalar(self._database)
        there = found == (self._number or 0) + 1
        self._in_doubt = False
        if there:
            callback = self._on_resolved
            self._on_committed()
            if callback is not None:
                callback()
        return there

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
        """Only sessions of ours lock our row for long; one of them may not know that we are gone."""
        for session in self._sessions:
            with contextlib.suppress(pw.PeeweeException):
                self._database.execute_sql(f"KILL {session}")
        self._sessions.clear()

    # --- a server that is away ---

    def _should_give_up(self, cause: Exception, pause: float) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if pause and not self._has_warned:  # not if the next connection is all that it takes
            log.warning(
                "the database takes nothing, and is asked again for %g s: %s",
                self._timeout_seconds,
                safe_error_text(cause),
            )
            self._has_warned = True
        if now + pause - self._failing_since <= self._timeout_seconds:
            return False
        if not self._has_given_up:
            log.error(
                "the database is away; until it is back, nothing can be stored: %s", safe_error_text(cause)
            )
            self._has_given_up = self._has_warned = True
        return True


INCREMENT_COMMIT_NUMBER = "UPDATE writer SET number = %s, time = %s WHERE name = %s AND number = %s"


def wait_for_writers(database: pw.Database) -> None:
    """Returns when every transaction is over that was under way when this was called.

    One lock after the other: whoever waits for a writer that hangs must not hold up the others.
    """
    if not isinstance(database, MysqlDatabase):
        return  # SQLite has one writer at a time
    names = database.execute_sql("SELECT name FROM writer").fetchall()
    for (name,) in names:
        database.execute_sql(
            "SELECT number FROM writer WHERE name = %s LOCK IN SHARE MODE", (name,)
        ).fetchall()


class _WriterRowChanged(pw.OperationalError):
    """This process's row is not as it was."""


def retry_pauses() -> Iterator[float]:
    """Seconds to wait after each try, without end: the second one is at once, later ones further and further apart."""
    yield 0.0
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all processes come at once
        pause = min(2 * pause, MAX_PAUSE_SECONDS)


def _root_cause(error: Exception) -> Exception:
    """What went wrong first. After a full disk there is nothing to roll back, and only that would be told."""
    origin, before = error, error.__context__
    while before is not None:
        if isinstance(before, Exception) and (
            isinstance(before, pw.PeeweeException) or error_code(before) is not None
        ):
            origin = before
        before = before.__context__
    return origin

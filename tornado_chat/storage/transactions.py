"""Transaction runners: they report whether a transaction has committed or not.

SQLite runs in this process, so the result of its COMMIT is certain. A MySQL server may be unavailable, may be
replaced by a replica, or may commit and lose the connection before it answers. So that no work is done
twice or lost, each process that writes has its own row in the table ``writer``, with the number of its last
transaction, and each transaction begins by incrementing that number:

- If the connection dies during COMMIT, the row says whether the transaction has committed. The row is read
  with a lock: while the server still executes the old transaction, that transaction holds the row's lock, so
  the query waits for its end.
- A number that differs means that the database *has gone back*: it is an older copy now, and acknowledged
  commits are lost. Everything that this process remembers may be ahead of the database then, so the process
  is informed (``on_went_back``), and drops all of it.
- A reader of rows by their ids waits for the locks of all rows, one after the other. After that no
  transaction that started earlier can still add a row with a lower id (``wait_for_writers``).
"""

import contextlib
import logging
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

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

log = logging.getLogger(__name__)

Work = Callable[[], None]

MAX_TRIES = {
    ErrorKind.COLLISION: 6,
    # The second try sees the row that the other transaction made.
    ErrorKind.RACE: 2,
    # After three tries the work itself may be the reason why the server closes the connection.
    ErrorKind.LOST: 3,
}
"""How often the same work is tried, by kind of error."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 1.0  # pauses between tries
LOCK_WAIT_SECONDS = 1
"""The time that the writer waits for a lock: all jobs of the batch wait with it."""
STALE_WRITER_MICROSECONDS = 7 * 86400 * 1_000_000  # age at which the row of a killed process is removed


class CommitFailed(Exception):
    """A transaction did not commit.

    :arg is_work_error: one job of the batch is the reason; the others may succeed without it.
    :arg is_locked: another transaction holds a lock that the job needs.
    :arg is_database_away: the database accepts no writes at the moment, from any job.
    :arg is_in_doubt: the server may have committed the transaction, but cannot be asked now; the callback of
        ``on_resolved`` is called later if it has.
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
    """Runs transactions on one database; used on the writer thread only.

    :ivar went_back: True after the database has gone back: what the process remembers may be ahead of it.
    """

    went_back: bool

    def commit(self, work: Work) -> None:
        """Run ``work`` in a transaction, several times if necessary. Returns after the commit.

        :raises CommitFailed: the transaction did not commit, or is in doubt.
        """

    def on_resolved(self, callback: Callable[[], None]) -> None:
        """After a failure in doubt: call ``callback`` if the transaction turns out to have committed."""

    def find_locked(self, threads: Iterable[Thread]) -> set[Thread]:
        """Return those of ``threads`` whose rows another transaction has locked. Does not wait for locks."""

    def close(self) -> None: ...


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


class SqliteTransactionRunner:
    """Runs transactions on a SQLite file.

    The file can be exchanged under the running process. A file that another program has written an older
    copy into is recognised by the row of this process. A file that has another file in its place is
    recognised by its inode: nothing is stored in a file that has no name any more.
    """

    def __init__(self, database: pw.Database, on_went_back: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._on_went_back = on_went_back
        self.went_back = False
        self._name = uuid.uuid4().hex
        self._number: int | None = None  # of the last transaction that has committed; None: no row yet
        self._path = str(database.database)
        self._file: tuple[int, int] | None = None  # None: not opened yet, or a database in memory
        self._is_file_missing = False

    def commit(self, work: Work) -> None:
        begun = executed = False
        try:
            self._check_file()
            # IMMEDIATE takes SQLite's write lock at the start: waiting for it later in the transaction could
            # fail.
            with self._database.atomic("IMMEDIATE"):
                self._increment_number()
                begun = True
                work()
                executed = True
        except _FileReplaced as error:
            raise CommitFailed(error, is_database_away=True) from error
        except Exception as error:
            # The state of the connection is unknown now, so the next batch starts with a new one.
            with contextlib.suppress(pw.PeeweeException):
                self._database.close()
            raise CommitFailed(_root_cause(error), is_work_error=begun and not executed) from error
        self._number = (self._number or 0) + 1

    def on_resolved(self, callback: Callable[[], None]) -> None:
        raise AssertionError("SQLite leaves no doubt")

    def find_locked(self, threads: Iterable[Thread]) -> set[Thread]:
        return set()

    def close(self) -> None:
        # The row must not be deleted from a file that has been put in the place of the process's own.
        if self._number is not None and _file_identity(self._path) == self._file:
            with contextlib.suppress(pw.PeeweeException):
                self._writer_table.delete().where(self._writer_table.name == self._name).execute(
                    self._database
                )
        self._database.close()

    _writer_table = models.WriterProcess

    def _increment_number(self) -> None:
        """Execute the first statement of a transaction: count it in the row of this process."""
        execute: Any = self._database.execute_sql
        now = now_microseconds()
        if self._number is not None:
            expected = self._number
            if execute(_INCREMENT_SQLITE, (expected + 1, now, self._name, expected)).rowcount:
                return
            found = execute("SELECT number FROM writer WHERE name = ?", (self._name,)).fetchone()
            self._number = found[0] if found else None
            self._report_older_copy(expected - (self._number or 0))
        if self._number is None:
            execute("DELETE FROM writer WHERE time < ?", (now - STALE_WRITER_MICROSECONDS,))
            execute("INSERT INTO writer (name, number, time) VALUES (?, 1, ?)", (self._name, now))
        else:
            execute(_INCREMENT_SQLITE, (self._number + 1, now, self._name, self._number))

    def _check_file(self) -> None:
        """:raises _FileReplaced: the file of the open connections is not the one at its path any more."""
        if self._file is None:
            self._database.connect(reuse_if_open=True)
            self._file = _file_identity(self._path)
            return
        found = _file_identity(self._path)
        if found == self._file:
            self._is_file_missing = False
            return
        if found is not None:
            self._report_older_copy(0)
        elif not self._is_file_missing:
            self._is_file_missing = True
            log.error(
                "the database file %s has been removed; nothing can be stored until it is back", self._path
            )
        raise _FileReplaced("the database file has been removed or replaced")

    def _report_older_copy(self, lost_commits: int) -> None:
        if not self.went_back:
            self.went_back = True
            log_older_copy(lost_commits)
            self._on_went_back()


_INCREMENT_SQLITE = "UPDATE writer SET number = ?, time = ? WHERE name = ? AND number = ?"


class _FileReplaced(pw.OperationalError):
    """The file of the database has been removed, or another file is in its place."""


def _file_identity(path: str) -> tuple[int, int] | None:
    """Return what distinguishes the file at ``path`` from any other; None if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def log_older_copy(lost_commits: int) -> None:
    """Log that the database has gone back.

    :arg lost_commits: the number of lost commits of this process; not positive: unknown.
    """
    log.error(
        "the database has gone back by %s commits: acknowledged messages are lost, and all clients have to "
        "connect again. Check whether a replica took over before it had received them, or a backup was "
        "restored under a running server",
        lost_commits if lost_commits > 0 else "an unknown number of",
    )


class MysqlTransactionRunner:
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
                cause = _root_cause(error)
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
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS))  # noqa: S311 - so that two do not collide again
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


INCREMENT_COMMIT_NUMBER = "UPDATE writer SET number = %s, time = %s WHERE name = %s AND number = %s"


def wait_for_writers(database: pw.Database) -> None:
    """Return after the end of every transaction that was running when this was called.

    The locks are taken and released one after the other: a wait for a writer that hangs must not block the
    other writers.
    """
    if not isinstance(database, MysqlDatabase):
        return  # SQLite has one writer at a time
    names = database.execute_sql("SELECT name FROM writer").fetchall()
    for (name,) in names:
        database.execute_sql(
            "SELECT number FROM writer WHERE name = %s LOCK IN SHARE MODE", (name,)
        ).fetchall()


class _WriterRowChanged(pw.OperationalError):
    """This process's row in the table ``writer`` is not as this process left it."""


def retry_pauses() -> Iterator[float]:
    """Yield the seconds to wait after each try, without end: first 0, then exponentially longer pauses."""
    yield 0.0
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all processes retry at once
        pause = min(2 * pause, MAX_PAUSE_SECONDS)


_DRIVERS = ("peewee", "pymysql", "sqlite3")
_PERMANENT_ERRORS = frozenset({"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"})


def is_permanent(error: Exception) -> bool:
    """Return True if the work that raised ``error`` would fail again.

    This is an error that does not come from the database, or one that blames the statement or its values
    (PEP 249, by the names of the classes). ``OperationalError`` is about the state of the database.
    """
    classes = type(error).__mro__
    if not any(each.__module__.partition(".")[0] in _DRIVERS for each in classes):
        return not isinstance(error, OSError | MemoryError)
    is_permanent_kind = any(each.__name__ in _PERMANENT_ERRORS for each in classes)
    return (
        is_permanent_kind and classify_error(error) is ErrorKind.WORK
    )  # else another transaction interfered


def _root_cause(error: Exception) -> Exception:
    """Return the first database error of the chain.

    For example, after "disk full" the ROLLBACK fails too, and the last error would only tell about that.
    """
    origin, before = error, error.__context__
    while before is not None:
        if isinstance(before, Exception) and (
            isinstance(before, pw.PeeweeException) or error_code(before) is not None
        ):
            origin = before
        before = before.__context__
    return origin

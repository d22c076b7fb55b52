"""Transaction runners: they report whether a transaction has committed or not.

The runners are in ``sqlite_transactions.py`` and ``mysql_transactions.py``; this module has what they share.

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

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import peewee as pw

from tornado_chat.core.types import Thread
from tornado_chat.storage.mysql import ErrorKind, MysqlDatabase, classify_error, error_code

log = logging.getLogger(__name__)

Work = Callable[[], None]

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 1.0  # pauses between tries
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
    :ivar locks_rows: True if a transaction locks rows, for which transactions of other processes wait; False
        if it locks the whole database.
    """

    went_back: bool
    locks_rows: bool

    def commit(self, work: Work) -> None:
        """Run ``work`` in a transaction, several times if necessary. Returns after the commit.

        :raises CommitFailed: the transaction did not commit, or is in doubt.
        """

    def on_resolved(self, callback: Callable[[], None]) -> None:
        """After a failure in doubt: call ``callback`` if the transaction turns out to have committed."""

    def find_locked(self, threads: Iterable[Thread]) -> set[Thread]:
        """Return those of ``threads`` whose rows another transaction has locked. Does not wait for locks."""

    def close(self) -> None: ...


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


def root_cause(error: Exception) -> Exception:
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

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
from tornado_chat.observability.logs import words
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage import models
from tornado_chat.storage.mysql import LOCK_TIMEOUT, MysqlDatabase, Trouble, code_of, trouble_of

log = logging.getLogger(__name__)

Work = Callable[[], None]

TRIES = {
    Trouble.COLLISION: 6,
    # A second one sees what the first did.
    Trouble.RACE: 2,
    # After that it may be the work that makes the server hang up.
    Trouble.LOST: 3,
}
"""How often the same work is tried."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between tries
IMPATIENT_LOCK_WAIT = 1  # seconds
KEPT = 7 * 86400 * 1_000_000  # microseconds until the row of a process that was killed is removed


class Failed(Exception):
    """A transaction that did not commit.

    :arg by_work: a piece of the work is the reason, and without it the others may do.
    :arg locked: what that piece needs is locked by somebody else.
    :arg away: nobody can write now, whatever it is.
    :arg doubtful: the server may have committed it, but cannot be asked; ``when_known`` tells later.
    """

    def __init__(
        self,
        cause: Exception,
        *,
        by_work: bool = False,
        locked: bool = False,
        away: bool = False,
        doubtful: bool = False,
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.by_work = by_work
        self.locked = locked
        self.away = away
        self.doubtful = doubtful


class Commits(Protocol):
    """Used on the writer thread only."""

    def commit(self, work: Work) -> None:
        """Run ``work`` in a transaction, again if need be. Returns when it has committed.

        :raises Failed: it has not.
        """

    def when_known(self, tell: Callable[[], None]) -> None:
        """After a doubtful failure: call ``tell`` if it turns out that the transaction is there."""

    def hurry(self) -> contextlib.AbstractContextManager[None]:
        """Do not wait long for locks: pieces are tried one by one, and most of them are not locked."""

    def close(self) -> None: ...


def commits_for(database: pw.Database, patience: float, meter: StorageMeter) -> Commits:
    """:arg patience: seconds to wait for a server that is away."""
    if isinstance(database, MysqlDatabase):
        return MysqlCommits(database, patience, meter)
    return SqliteCommits(database)


class SqliteCommits:
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
            raise Failed(_origin(error), by_work=begun and not executed) from error

    def when_known(self, tell: Callable[[], None]) -> None:
        raise AssertionError("SQLite leaves no doubt")

    def hurry(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        self._database.close()


class MysqlCommits:
    def __init__(self, database: MysqlDatabase, patience: float, meter: StorageMeter) -> None:
        self._database = database
        self._patience = patience
        self._meter = meter
        self._name = uuid.uuid4().hex
        self._number: int | None = None  # of the last transaction that is known to be there
        self._in_doubt = False  # whether the one after that may be there too
        self._tell: Callable[[], None] | None = None
        self._sessions: set[int] = set()  # the server's numbers of those that may have our row's lock
        self._failing_since: float | None = None
        self._complained = self._gave_up = False
        self._hurried = False

    def commit(self, work: Work) -> None:
        doubt_is_mine = False
        tries = dict.fromkeys(TRIES, 0)
        for pause in pauses():
            begun = executed = False
            try:
                self._database.refresh()
                if self._in_doubt and self._clear_up() and doubt_is_mine:
                    return
                if self._number is None:
                    self._sign_on()
                with self._database.atomic():
                    self._count_up()
                    begun = True
                    work()
                    executed = True
                self._committed()
                return
            except Exception as error:
                self._database.drop()
                cause = _origin(error)
            self._meter.retries += 1
            if isinstance(cause, _Differs):
                time.sleep(pause)
                continue
            if executed:  # COMMIT was under way
                self._in_doubt = doubt_is_mine = True
            trouble = trouble_of(cause) if begun and not executed else Trouble.AWAY
            if trouble in tries:
                tries[trouble] += 1
                if tries[trouble] == TRIES[trouble]:
                    trouble = Trouble.WORK
            if trouble in (Trouble.WORK, Trouble.LOCKED):
                self._recovered()
                raise Failed(cause, by_work=True, locked=trouble is Trouble.LOCKED) from cause
            if trouble in (Trouble.COLLISION, Trouble.RACE):
                time.sleep(random.uniform(0, FIRST_PAUSE))  # noqa: S311 - so that two do not meet again
                continue
            if code_of(cause) == LOCK_TIMEOUT:
                self._end_old_sessions()
            if self._gives_up(cause, pause):
                raise Failed(cause, away=True, doubtful=doubt_is_mine and self._in_doubt) from cause
            time.sleep(pause)

    def when_known(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    @contextlib.contextmanager
    def hurry(self) -> Iterator[None]:
        self._hurried = True
        try:
            yield
        finally:
            self._hurried = False
            self._database.drop()

    def close(self) -> None:
        with contextlib.suppress(pw.PeeweeException):
            if self._number is not None and not self._in_doubt and self._failing_since is None:
                self._row.delete().where(self._row.name == self._name).execute(self._database)
        self._database.drop()

    # --- the row ---

    _row = models.Writer

    def _count_up(self) -> None:
        """The first statement of a transaction: it takes the row's lock."""
        database = self._database
        if self._hurried:
            wait = IMPATIENT_LOCK_WAIT
            database.execute_sql(f"SET SESSION innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}")
        connection: Any = database.connection()  # type: ignore[no-untyped-call]
        self._sessions.add(connection.thread_id())
        expected, now = self._number or 0, now_microseconds()
        cursor = database.execute_sql(COUNT_UP, (expected + 1, now, self._name, expected))
        if cursor.rowcount == 0:
            self._compare(expected)
        self._sessions = {connection.thread_id()}

    def _sign_on(self) -> None:
        """Make the row, in a commit of its own: others must be able to find it before it is locked."""
        now = now_microseconds()
        # Looked up without a lock: to search for them with one would wait for every writer.
        left = self._row.select(self._row.name).where(self._row.time < now - KEPT).tuples()
        for (name,) in left.execute(self._database):
            self._row.delete().where(self._row.name == name).execute(self._database)
        self._row.insert(name=self._name, number=0, time=now).on_conflict_ignore().execute(self._database)
        self._number = 0

    def _compare(self, expected: int) -> None:
        """The row is not as this process left it."""
        found = self._row.select(self._row.number).where(self._row.name == self._name).scalar(self._database)
        if found == expected + 1:
            # Another server of a cluster has answered before it had heard of our last commit.
            self._in_doubt = True
            raise _Differs("the last commit is there after all")
        self._number = found
        if found is None:
            raise _Differs("the database does not know this process any more")
        log.error(
            "the database has gone back by %d commits: it lacks messages that were acknowledged. Did a replica take "
            "over that had not got them yet, or was a backup restored under a running server?",
            expected - found,
        )
        raise _Differs("the database has gone back")

    def _clear_up(self) -> bool:
        """Whether the transaction in doubt is there after all. It waits until the server is done with it."""
        of_mine = self._row.select(self._row.number).where(self._row.name == self._name)
        found: int | None = of_mine.for_update().scalar(self._database)
        there = found == (self._number or 0) + 1
        self._in_doubt = False
        if there:
            tell = self._tell
            self._committed()
            if tell is not None:
                tell()
        return there

    def _committed(self) -> None:
        self._number = (self._number or 0) + 1
        self._tell = None
        self._recovered()

    def _recovered(self) -> None:
        if self._complained and self._failing_since is not None:
            log.info("the database is back after %.1f s", time.monotonic() - self._failing_since)
        self._failing_since = None
        self._complained = self._gave_up = False

    def _end_old_sessions(self) -> None:
        """Only sessions of ours lock our row for long; one of them may not know that we are gone."""
        for session in self._sessions:
            with contextlib.suppress(pw.PeeweeException):
                self._database.execute_sql(f"KILL {session}")
        self._sessions.clear()

    # --- a server that is away ---

    def _gives_up(self, cause: Exception, pause: float) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if pause and not self._complained:  # not if the next connection is all that it takes
            log.warning(
                "the database takes nothing, and is asked again for %g s: %s", self._patience, words(cause)
            )
            self._complained = True
        if now + pause - self._failing_since <= self._patience:
            return False
        if not self._gave_up:
            log.error("the database is away; until it is back, nothing can be stored: %s", words(cause))
            self._gave_up = self._complained = True
        return True


COUNT_UP = "UPDATE writer SET number = %s, time = %s WHERE name = %s AND number = %s"


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


class _Differs(pw.OperationalError):
    """This process's row is not as it was."""


def pauses() -> Iterator[float]:
    """Seconds to wait after each try, without end: the second one is at once, later ones further and further apart."""
    yield 0.0
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all processes come at once
        pause = min(2 * pause, LONGEST_PAUSE)


def _origin(error: Exception) -> Exception:
    """What went wrong first. After a full disk there is nothing to roll back, and only that would be told."""
    origin, before = error, error.__context__
    while before is not None:
        if isinstance(before, Exception) and (
            isinstance(before, pw.PeeweeException) or code_of(before) is not None
        ):
            origin = before
        before = before.__context__
    return origin

"""Resumable migrations on a MySQL server, which commits every CREATE and ALTER by itself.

If the process or the server dies, a migration stops half-way. Therefore each statement of a migration is a
step that is recorded before and after its execution. The next run skips the steps that are done. Only the
step that was running when the process died may find that its change exists already. A step that the server
refused was not running: a table that exists under the same name stays an error.

So a migration has to execute the same statements in the same order on each run; the rows that it reads must
not decide which statements it executes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import peewee as pw

from tornado_chat.storage.mysql import ErrorKind, MysqlDatabase, classify_error, error_code

MIGRATION_LOCK_TIMEOUT_SECONDS = 600  # how long to wait for another process's migration

STEP_TABLE = "schema_step"
"""The table that records the steps; it has a row for each migration that is running or was interrupted."""

ALREADY_DONE_ERRORS = (1050, 1051, 1054, 1060, 1061, 1068, 1091, 1826)
"""MySQL error numbers: the table, column, index or key exists already, or is dropped already."""


@contextmanager
def migration_lock(database: MysqlDatabase) -> Iterator[None]:
    """Hold the server's lock for migrations of this database; only one process on all machines has it.

    The lock is re-entrant, and is released when the connection ends.

    :raises OperationalError: another process holds the lock for longer than the timeout.
    """
    # The name of a lock is unique for the whole server, and has at most 64 characters.
    name = "tornado_chat " + sha256(database.url.name.encode()).hexdigest()[:32]
    taken = database.execute_sql(
        "SELECT GET_LOCK(%s, %s)", (name, MIGRATION_LOCK_TIMEOUT_SECONDS)
    ).fetchone()[0]
    if taken != 1:
        raise pw.OperationalError(
            f"another process has been migrating the database {database.url.name} "
            f"for {MIGRATION_LOCK_TIMEOUT_SECONDS} s: wait for its end, then try again"
        )
    try:
        yield
    finally:
        if not database.is_closed():
            database.execute_sql("SELECT RELEASE_LOCK(%s)", (name,))


class MigrationSteps:
    """The record of one migration's steps; while it is entered, the database executes statements through it.

    :ivar resumed: True if an earlier run of the migration was interrupted.
    """

    def __init__(self, database: MysqlDatabase, migration: str) -> None:
        self._database = database
        self._migration = migration
        self._position = 0
        database.run_sql(
            f"CREATE TABLE IF NOT EXISTS {STEP_TABLE} "
            "(migration VARCHAR(191) PRIMARY KEY, begun INT NOT NULL, done INT NOT NULL)"
        )
        query = f"SELECT begun, done FROM {STEP_TABLE} WHERE migration = %s"  # noqa: S608 - a constant
        row = database.run_sql(query, (migration,)).fetchone()
        self.resumed = row is not None
        self._begun: int
        self._done: int
        self._begun, self._done = row or (0, 0)

    def __enter__(self) -> "MigrationSteps":
        self._database.recorder = self
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._database.recorder = None
        if error is None:
            self._database.run_sql(f"DELETE FROM {STEP_TABLE} WHERE migration = %s", (self._migration,))  # noqa: S608

    def execute(self, sql: str, params: Any) -> Any:
        """Execute a statement that changes the database, if it is not done yet. Returns a cursor."""
        self._position += 1
        if self._position <= self._done:
            return self._database.cursor()  # type: ignore[no-untyped-call]
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")):
            with self._database.atomic():
                cursor = self._database.run_sql(sql, params)
                self._record_progress(self._position, self._position)
            return cursor
        was_interrupted = self._position == self._begun
        self._record_progress(self._position, self._done)
        try:
            cursor = self._database.run_sql(sql, params)
        except Exception as error:
            code = error_code(error)
            if not (was_interrupted and code in ALREADY_DONE_ERRORS):
                if code is not None and classify_error(error) is not ErrorKind.LOST:  # the server refused it
                    self._record_progress(self._done, self._done)
                raise
            cursor = self._database.cursor()  # type: ignore[no-untyped-call]
        self._record_progress(self._position, self._position)
        return cursor

    def _record_progress(self, begun: int, done: int) -> None:
        self._done = done
        values = (self._migration, begun, done)
        self._database.run_sql(f"REPLACE INTO {STEP_TABLE} VALUES (%s, %s, %s)", values)  # noqa: S608

"""Migrations on a MySQL server, which commits every CREATE and ALTER by itself.

What changes a database stops half-way there if the process or the server dies, so each statement of a
migration is a step that is noted before and after. The next try passes over what is done, and only the
one step that was under way when everything ended is allowed to find its own work. A step that the
server refused is not under way: a table that is in the way stays an error.

So a migration has to execute the same statements in the same order each time. What it reads must not decide
what it does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import peewee as pw

from tornado_chat.storage.mysql import ErrorKind, MysqlDatabase, classify_error, error_code

MIGRATION_LOCK_TIMEOUT_SECONDS = 600  # seconds that another process's migration may take

STEP_TABLE = "schema_step"
"""The table of the notes; a row for each migration that is under way, or was when it was given up."""

ALREADY_DONE_ERRORS = (1050, 1051, 1054, 1060, 1061, 1068, 1091, 1826)
"""A table, column, index or key that is there already, or gone already."""


@contextmanager
def migration_lock(database: MysqlDatabase) -> Iterator[None]:
    """Nobody else is within this at the same time, on whatever machine. It may be entered again.

    The lock goes with the connection.

    :raises OperationalError: somebody else is, for too long.
    """
    # The name counts for the whole server, and may have 64 characters.
    name = "tornado_chat " + sha256(database.url.name.encode()).hexdigest()[:32]
    taken = database.execute_sql(
        "SELECT GET_LOCK(%s, %s)", (name, MIGRATION_LOCK_TIMEOUT_SECONDS)
    ).fetchone()[0]
    if taken != 1:
        raise pw.OperationalError(
            f"another process has been migrating the database {database.url.name} for {MIGRATION_LOCK_TIMEOUT_SECONDS} s"
        )
    try:
        yield
    finally:
        if not database.is_closed():
            database.execute_sql("SELECT RELEASE_LOCK(%s)", (name,))


class MigrationSteps:
    """The journal of one migration, while it runs."""

    def __init__(self, database: MysqlDatabase, migration: str) -> None:
        self._database = database
        self._migration = migration
        self._position = 0
        database.run_sql(
            f"CREATE TABLE IF NOT EXISTS {STEP_TABLE} "
            "(migration VARCHAR(191) PRIMARY KEY, begun INT NOT NULL, done INT NOT NULL)"
        )
        query = f"SELECT begun, done FROM {STEP_TABLE} WHERE migration = %s"  # noqa: S608 - a name of ours
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
        """Execute one statement that changes something, if it is not done yet. Returns a cursor."""
        self._position += 1
        if self._position <= self._done:
            return self._database.cursor()  # type: ignore[no-untyped-call]
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")):
            with self._database.atomic():
                cursor = self._database.run_sql(sql, params)
                self._record_progress(self._position, self._position)
            return cursor
        under_way_before = self._position == self._begun
        self._record_progress(self._position, self._done)
        try:
            cursor = self._database.run_sql(sql, params)
        except Exception as error:
            code = error_code(error)
            if not (under_way_before and code in ALREADY_DONE_ERRORS):
                if code is not None and classify_error(error) is not ErrorKind.LOST:  # the server says no
                    self._record_progress(self._done, self._done)
                raise
            cursor = self._database.cursor()  # type: ignore[no-untyped-call]
        self._record_progress(self._position, self._position)
        return cursor

    def _record_progress(self, begun: int, done: int) -> None:
        self._done = done
        values = (self._migration, begun, done)
        self._database.run_sql(f"REPLACE INTO {STEP_TABLE} VALUES (%s, %s, %s)", values)  # noqa: S608

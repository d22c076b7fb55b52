"""The transaction runner of SQLite files; see ``storage/transactions.py``."""

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.types import Thread
from tornado_chat.storage import models
from tornado_chat.storage.transactions import (
    STALE_WRITER_MICROSECONDS,
    CommitFailed,
    Work,
    log_older_copy,
    root_cause,
)

log = logging.getLogger(__name__)


class SqliteTransactionRunner:
    """Runs transactions on a SQLite file.

    The file can be exchanged under the running process. A file that another program has written an older
    copy into is recognised by the row of this process. A file that has another file in its place is
    recognised by its inode: nothing is stored in a file that has no name any more.
    """

    locks_rows = False

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
            raise CommitFailed(root_cause(error), is_work_error=begun and not executed) from error
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

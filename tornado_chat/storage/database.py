"""Opening the database, and reading from it outside the event loop.

The writer thread and each reader thread have a connection of their own (Peewee keeps connections
thread-local).
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import peewee as pw

from tornado_chat import config
from tornado_chat.config import mysql_url
from tornado_chat.config.validation import missing_folder_text
from tornado_chat.core.errors import Unavailable
from tornado_chat.storage.mysql import ErrorKind, MysqlDatabase, classify_error, open_mysql
from tornado_chat.storage.transactions import retry_pauses

P = ParamSpec("P")
T = TypeVar("T")

SQLITE_SCHEME = "sqlite:///"
MAX_WAL_BYTES = 64 * 1024 * 1024  # size to which the write-ahead log is truncated after a checkpoint
CACHE_KIB = 16 * 1024  # size of a connection's page cache
CHECKPOINT_PAGES = 4000  # pages of the write-ahead log after which it is written into the database


class SqliteFile(pw.SqliteDatabase):
    """A SQLite file.

    :ivar may_create: True if a connection may create the file. A running server sets it to False: a thread
        that opens its first connection after the file was removed would make an empty database in its place.
    """

    may_create = True

    def _connect(self) -> Any:
        if not self.may_create and not os.path.exists(self.database):
            raise pw.OperationalError("the database file has been removed")
        return super()._connect()  # type: ignore[misc]  # absent from the stubs


def open_database(
    storage: config.Storage, *, state_dir: Path | None = None, without_timeout: bool = False
) -> pw.Database:
    """Return the database of ``[storage] url``.

    On SQLite, ``durability = full`` syncs the log at each commit, so that a commit survives a power cut.
    ``normal`` leaves that to the next checkpoint: a crash of the server loses nothing, a power
    cut may lose the last commits. A MySQL server has settings of its own (``mysql_checks``).

    :arg state_dir: the only folder of a SQLite file that is created if it does not exist.
    :arg without_timeout: statements have no time limit, for example those of a migration.
    :raises OSError: the folder does not exist or cannot be created, or the password file cannot be read.
    :raises ImproperlyConfigured: the driver is missing.
    """
    if mysql_url.is_mysql(storage.url):
        return open_mysql(storage, without_timeout=without_timeout)
    path = Path(storage.url.removeprefix(SQLITE_SCHEME))
    if path.parent == state_dir:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif missing := missing_folder_text(path):
        raise OSError(missing)
    return SqliteFile(
        str(path),
        pragmas={
            "journal_mode": "wal",
            "synchronous": storage.durability,
            "busy_timeout": 5000,
            "foreign_keys": 1,
            # The pages that a commit changes (the ends of conversations) are in the cache already, and are
            # written into the database once for many commits.
            "cache_size": -CACHE_KIB,
            "wal_autocheckpoint": CHECKPOINT_PAGES,
            # The content of deleted rows is overwritten.
            "secure_delete": 1,
            # A log that grew while a long backup read the database is truncated again.
            "journal_size_limit": MAX_WAL_BYTES,
        },
    )


_Lookup = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_LookupBatch = tuple[Sequence[_Lookup], asyncio.AbstractEventLoop]


class ReaderPool:
    """A pool of threads with a connection each, for queries that must not block the loop.

    Strategy: to hand a query to a thread and its result back costs more than to find a row by its key. So
    such lookups are collected while others run, and one thread answers them in one batch.
    """

    def __init__(
        self,
        database: pw.Database,
        threads: int = 4,
        *,
        timeout_seconds: float = 0.0,
        on_failed_lookup: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :arg timeout_seconds: how long a query is retried on a MySQL server that does not answer.
        :arg on_failed_lookup: called when the database does not answer a lookup.
        """
        self._database = database
        self._on_failed_lookup = on_failed_lookup
        self._timeout_seconds = timeout_seconds
        self._closing = threading.Event()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._pending_lookups: list[_Lookup] = []
        self._is_looking_up = False
        self._lookup_batches: SimpleQueue[_LookupBatch | None] = SimpleQueue()
        self._lookup_thread: threading.Thread | None = None

    async def read(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``query(database, *args)`` on a reader thread.

        :raises Unavailable: the database does not answer; nothing was changed.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._pool,
                self._query_with_retries,
                lambda: query(self._database, *args, **kwargs),
                time.monotonic() + self._timeout_seconds,
            )
        except pw.PeeweeException as error:
            raise Unavailable("database_away") from error

    def look_up(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run a query that finds a few rows by their keys; otherwise as ``read``.

        Lookups are executed in the order of the calls.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending_lookups.append((partial(query, self._database, *args, **kwargs), future))
        if len(self._pending_lookups) == 1 and not self._is_looking_up:
            self._is_looking_up = True
            loop.call_soon(self._submit_lookups, loop)  # with all lookups of this iteration of the loop
        return future

    def _submit_lookups(self, loop: asyncio.AbstractEventLoop) -> None:
        lookups, self._pending_lookups = self._pending_lookups, []
        if self._lookup_thread is None:
            self._lookup_thread = threading.Thread(target=self._run_lookups, name="lookups", daemon=True)
            self._lookup_thread.start()
        self._lookup_batches.put((lookups, loop))

    def _run_lookups(self) -> None:
        """Answer batches of lookups until None arrives, then close the thread's connection."""
        for lookups, loop in iter(self._lookup_batches.get, None):
            self._answer_lookups(lookups, loop)
        self._database.close()

    def _answer_lookups(self, lookups: Sequence[_Lookup], loop: asyncio.AbstractEventLoop) -> None:
        until = time.monotonic() + self._timeout_seconds
        answers: list[tuple[Any, Exception | None]] = []
        for query, _ in lookups:
            try:
                answers.append((self._query_with_retries(query, until), None))
            except Exception as error:  # it is raised in the caller
                answers.append((None, error))
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits any more
            loop.call_soon_threadsafe(self._deliver_answers, lookups, answers, loop)

    def _deliver_answers(
        self,
        lookups: Sequence[_Lookup],
        answers: Sequence[tuple[Any, Exception | None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._is_looking_up = bool(self._pending_lookups)
        if self._is_looking_up:
            self._submit_lookups(loop)
        for (_, future), (answer, error) in zip(lookups, answers, strict=True):
            if future.done():  # the caller was cancelled
                continue
            if isinstance(error, pw.PeeweeException):
                unavailable = Unavailable("database_away")
                unavailable.__cause__ = error
                self._on_failed_lookup()
                future.set_exception(unavailable)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(answer)

    def _query_with_retries(self, query: Callable[[], T], until: float) -> T:
        """Run a query, again on a new connection if the connection is lost: a query changes no data."""
        database = self._database
        if not isinstance(database, MysqlDatabase):
            return query()
        for pause in retry_pauses():
            try:
                database.drop_if_stale()
                return query()
            except pw.PeeweeException as error:
                database.drop_connection()
                is_outage = classify_error(error) in (ErrorKind.LOST, ErrorKind.AWAY)
                if not is_outage or time.monotonic() + pause > until or self._closing.wait(pause):
                    raise
        raise AssertionError("retry_pauses() has no end")

    def close(self) -> None:
        """Close every thread's connection, then the threads."""
        self._closing.set()
        self._lookup_batches.put(None)
        if self._lookup_thread is not None:
            self._lookup_thread.join()
        # The barrier keeps each thread busy until all threads have reached it, so each closes its own
        # connection.
        barrier = threading.Barrier(self._threads)

        def close_connection() -> None:
            barrier.wait()
            self._database.close()

        for _ in range(self._threads):
            self._pool.submit(close_connection)
        self._pool.shutdown(wait=True)

"""Opening the database, and reading it off the loop.

Each thread has a connection of its own (Peewee keeps them thread-local): the writer thread one,
each reader thread one.
"""

import asyncio
import contextlib
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
from tornado_chat.core.errors import Unavailable
from tornado_chat.storage.mysql import MysqlDatabase, Trouble, open_mysql, trouble_of
from tornado_chat.storage.transactions import pauses

P = ParamSpec("P")
T = TypeVar("T")

SQLITE_SCHEME = "sqlite:///"
LARGEST_LOG = 64 * 1024 * 1024  # bytes of the write-ahead log that stay on the disk
CACHE = 16 * 1024  # KiB of pages that a connection may keep
CHECKPOINT = 4000  # pages of the log after which they are written to their places


def open_database(storage: config.Storage, *, waits_long: bool = False) -> pw.Database:
    """The database that ``[storage] url`` names. The folder is made if it is missing.

    On SQLite, ``durability = full`` syncs the log at each commit, so that a commit survives a power cut.
    ``normal`` leaves that to the next checkpoint: a crash of the server loses nothing, a power
    cut may lose the last commits. A MySQL server has settings of its own (``mysql_checks``).

    :arg waits_long: a statement may take what it takes, as of a migration.
    :raises OSError: the folder cannot be made, or the password not be read.
    :raises ImproperlyConfigured: the driver is missing.
    """
    if mysql_url.is_mysql(storage.url):
        return open_mysql(storage, waits_long=waits_long)
    path = Path(storage.url.removeprefix(SQLITE_SCHEME))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return pw.SqliteDatabase(
        str(path),
        pragmas={
            "journal_mode": "wal",
            "synchronous": storage.durability,
            "busy_timeout": 5000,
            "foreign_keys": 1,
            # The pages that a commit changes, the ends of conversations, are there already, and are written to their
            # places once for many commits.
            "cache_size": -CACHE,
            "wal_autocheckpoint": CHECKPOINT,
            # What is deleted is overwritten, not only forgotten.
            "secure_delete": 1,
            # A log that grew while a long backup read the database is cut again.
            "journal_size_limit": LARGEST_LOG,
        },
    )


_Lookup = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_Batch = tuple[Sequence[_Lookup], asyncio.AbstractEventLoop]


class Readers:
    """A few threads with a connection each, for queries that the loop must not wait for.

    To give a thread work and to be told of the end costs more than to find a row by its key. So such
    lookups are collected while others are under way, and one thread answers them in one go.
    """

    def __init__(self, database: pw.Database, threads: int = 4, *, patience: float = 0.0) -> None:
        """:arg patience: seconds to wait for a MySQL server that does not answer."""
        self._database = database
        self._patience = patience
        self._closing = threading.Event()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._wanted: list[_Lookup] = []
        self._looking_up = False
        self._lookups: SimpleQueue[_Batch | None] = SimpleQueue()
        self._looker: threading.Thread | None = None

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
                self._ask,
                lambda: query(self._database, *args, **kwargs),
                time.monotonic() + self._patience,
            )
        except pw.PeeweeException as error:
            raise Unavailable("database_away") from error

    def look_up(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """As ``read``, for a query that finds a few rows by their keys, in the order in which it was asked."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._wanted.append((partial(query, self._database, *args, **kwargs), future))
        if len(self._wanted) == 1 and not self._looking_up:
            self._looking_up = True
            loop.call_soon(self._start_looking_up, loop)  # with all that are asked in this turn of the loop
        return future

    def _start_looking_up(self, loop: asyncio.AbstractEventLoop) -> None:
        lookups, self._wanted = self._wanted, []
        if self._looker is None:
            self._looker = threading.Thread(target=self._run_lookups, name="lookups", daemon=True)
            self._looker.start()
        self._lookups.put((lookups, loop))

    def _run_lookups(self) -> None:
        """What the thread does until it is told to end."""
        for lookups, loop in iter(self._lookups.get, None):
            self._look_up_all(lookups, loop)
        self._database.close()

    def _look_up_all(self, lookups: Sequence[_Lookup], loop: asyncio.AbstractEventLoop) -> None:
        until = time.monotonic() + self._patience
        answers: list[tuple[Any, Exception | None]] = []
        for query, _ in lookups:
            try:
                answers.append((self._ask(query, until), None))
            except Exception as error:  # it is raised where it was asked
                answers.append((None, error))
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(self._hand_out, lookups, answers, loop)

    def _hand_out(
        self,
        lookups: Sequence[_Lookup],
        answers: Sequence[tuple[Any, Exception | None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._looking_up = bool(self._wanted)
        if self._looking_up:
            self._start_looking_up(loop)
        for (_, future), (answer, error) in zip(lookups, answers, strict=True):
            if future.done():  # who asked is gone
                continue
            if isinstance(error, pw.PeeweeException):
                unavailable = Unavailable("database_away")
                unavailable.__cause__ = error
                future.set_exception(unavailable)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(answer)

    def _ask(self, query: Callable[[], T], until: float) -> T:
        """A connection that is gone is replaced, and the question asked again: it changes nothing."""
        database = self._database
        if not isinstance(database, MysqlDatabase):
            return query()
        for pause in pauses():
            try:
                database.refresh()
                return query()
            except pw.PeeweeException as error:
                database.drop()
                gone = trouble_of(error) in (Trouble.LOST, Trouble.AWAY)
                if not gone or time.monotonic() + pause > until or self._closing.wait(pause):
                    raise
        raise AssertionError("pauses do not end")

    def close(self) -> None:
        """Close every thread's connection, then the threads."""
        self._closing.set()
        self._lookups.put(None)
        if self._looker is not None:
            self._looker.join()
        # The barrier keeps each thread busy until all have come, so each closes its own.
        barrier = threading.Barrier(self._threads)

        def close_mine() -> None:
            barrier.wait()
            self._database.close()

        for _ in range(self._threads):
            self._pool.submit(close_mine)
        self._pool.shutdown(wait=True)

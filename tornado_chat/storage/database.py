"""Opening the database, and reading it off the loop.

Each thread has a connection of its own (Peewee keeps them thread-local): the writer thread one,
each reader thread one.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import peewee as pw

from tornado_chat import config
from tornado_chat.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

SQLITE_SCHEME = "sqlite:///"
LARGEST_LOG = 64 * 1024 * 1024  # bytes of the write-ahead log that stay on the disk


def open_database(storage: config.Storage) -> pw.Database:
    """The database that ``[storage] url`` names. The folder is made if it is missing.

    ``durability = full`` syncs the log at each commit, so that a commit survives a power cut.
    ``normal`` leaves that to the next checkpoint: a crash of the server loses nothing, a power
    cut may lose the last commits.
    """
    path = Path(storage.url.removeprefix(SQLITE_SCHEME))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return pw.SqliteDatabase(
        str(path),
        pragmas={
            "journal_mode": "wal",
            "synchronous": storage.durability,
            "busy_timeout": 5000,
            "foreign_keys": 1,
            # What is deleted is overwritten, not only forgotten.
            "secure_delete": 1,
            # A log that grew while a long backup read the database is cut again.
            "journal_size_limit": LARGEST_LOG,
        },
    )


class Readers:
    """A few threads with a connection each, for queries that the loop must not wait for."""

    def __init__(self, database: pw.Database, threads: int = 4) -> None:
        self._database = database
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")

    async def read(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``query(database, *args)`` on a reader thread.

        :raises Unavailable: the database does not answer; nothing was changed.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: query(self._database, *args, **kwargs))
        except pw.PeeweeException as error:
            raise Unavailable("database_away") from error

    def close(self) -> None:
        """Close every thread's connection, then the threads."""
        # The barrier keeps each thread busy until all have come, so each closes its own.
        barrier = threading.Barrier(self._threads)

        def close_mine() -> None:
            barrier.wait()
            self._database.close()

        for _ in range(self._threads):
            self._pool.submit(close_mine)
        self._pool.shutdown(wait=True)

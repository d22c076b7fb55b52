"""The services' access to the database: reading, writing and appending messages."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import peewee as pw

from tornado_chat.aio.chunks import chunks
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import AppendResult, Kind, Message, Notification, Page, Person, Thread
from tornado_chat.observability.metrics import Metrics
from tornado_chat.storage import agents, health, messages, notifications
from tornado_chat.storage.database import ReaderPool
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction, Writer

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")

CHUNK_KEYS = 500  # keys in one query


class Store:
    """A database with its writer thread and its reader threads.

    :arg publish: called on the loop with each event after its commit.
    :arg timeout_seconds: how long to wait for a database that is away.
    :arg on_went_back: called on the loop, once, when the database turns out to have gone back to an older
        copy.
    """

    def __init__(
        self,
        database: pw.Database,
        publish: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics,
        timeout_seconds: float,
        on_went_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._readers = ReaderPool(
            database, timeout_seconds=timeout_seconds, on_failed_lookup=self._count_read_error
        )
        self._metrics = metrics
        self._writer = Writer(
            database,
            publish,
            loop,
            meter=metrics.storage,
            timeout_seconds=timeout_seconds,
            on_went_back=on_went_back,
        )
        self._writer.start()

    @property
    def backlog(self) -> int:
        """The number of tasks that wait for the writer."""
        return self._writer.backlog

    def size(self) -> int | None:
        """Return the size of the database in bytes, None if unknown."""
        return health.database_bytes(self._database)

    def append(self, append: AppendRequest, received: float) -> Deferred[AppendResult]:
        """Store a message; see ``Writer.append``."""
        return self._writer.append(append, received)

    def write(
        self,
        work: Callable[[Transaction], T],
        thread: Thread | None = None,
        *,
        background: bool = False,
        apart: bool = False,
    ) -> asyncio.Future[T]:
        """Run a transaction; see ``Writer.run``."""
        return self._writer.run(work, thread, background=background, apart=apart)

    async def read(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a query; see ``ReaderPool.read``."""
        try:
            return await self._readers.read(query, *args, **kwargs)
        except Unavailable:
            self._count_read_error()
            raise

    def look_up(
        self, query: Callable[Concatenate[pw.Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Run a query for a few rows by their keys; see ``ReaderPool.look_up``."""
        return self._readers.look_up(query, *args, **kwargs)

    def _count_read_error(self) -> None:
        self._metrics.read_errors += 1

    async def items_after(
        self, thread: Thread, seq: int, limit: int, max_bytes: int
    ) -> Page[Message] | Page[Notification]:
        """Return the items after ``seq`` of a thread of any kind, for redelivery by the hub."""
        if thread.kind is Kind.INBOX:
            return await self.read(notifications.page_to_deliver, thread, seq, limit, max_bytes)
        return await self.read(messages.page_after, thread, seq, limit, max_bytes)

    async def items_for_agent(
        self, thread: Thread, reader: Person, seq: int, limit: int, max_bytes: int
    ) -> Page[Message]:
        """Return the messages after ``seq`` that an agent may read; see ``storage/agents.py``."""
        return await self.read(agents.page_after, thread, reader, seq, limit, max_bytes)

    def forget_positions(self) -> None:
        """See ``Writer.forget_positions``."""
        self._writer.forget_positions()

    def close(self) -> None:
        """Commit the waiting work and close the database. Blocks until that is done."""
        self._writer.close()
        self._readers.close()


async def read_in_chunks(
    store: Store, query: Callable[[pw.Database, Sequence[K]], Iterable[T]], keys: Sequence[K]
) -> AsyncIterator[T]:
    """Yield the results of ``query`` for ``keys``, in several queries.

    So no statement becomes too long, and the loop runs in between.

    :raises Unavailable: the database is away.
    """
    for chunk in chunks(keys, CHUNK_KEYS):
        for row in await store.read(query, chunk):
            yield row


def retrieve_exception(done: asyncio.Future[Any]) -> None:
    """Done callback for a write that no caller awaits. The writer has logged the error, if there was one."""
    if not done.cancelled():
        done.exception()

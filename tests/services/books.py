"""A store for tests of the coordinator's parts, in which the test chooses the order of events."""

import asyncio
from collections.abc import Callable
from typing import Any

import peewee as pw

from tornado_chat.core.errors import Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import Thread
from tornado_chat.storage.writer import Transaction


class Books:
    """A store without threads: each call reads or commits at once.

    :ivar doubtful: let the next write commit, but fail for its caller, and collect its events in ``untold``.
    :ivar untold: the events that were not published.
    :ivar meanwhile: called after the next read, before its result is returned.
    """

    def __init__(self, database: pw.Database) -> None:
        self.database = database
        self.publish: Callable[[Event], None] = lambda event: None
        self.untold: list[Event] = []
        self.doubtful = False
        self.meanwhile: Callable[[], object] = lambda: None

    async def read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        found = query(self.database, *arguments)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return found

    def write(self, work: Callable[[Transaction], Any], thread: Thread | None = None) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._write(work))

    async def _write(self, work: Callable[[Transaction], Any]) -> Any:
        if self.doubtful:
            self.doubtful = False
            self.untold += self.change(work)[1]
            raise Unavailable("not_stored")
        return self.commit(work)

    def commit(self, work: Callable[[Transaction], Any]) -> Any:
        """Store a change and publish its events, as another participant of the test does."""
        result, events = self.change(work)
        for event in events:
            self.publish(event)
        return result

    def change(self, work: Callable[[Transaction], Any]) -> tuple[Any, list[Event]]:
        """Store a change. Return its result and its events, which are not published."""
        tx = Transaction(self.database, 1_700_000_000_000_000)
        with self.database.atomic():
            return work(tx), tx.events

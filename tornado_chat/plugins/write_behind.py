"""Writing to the database behind the events, without losing what it does not take."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tornado_chat.plugins.context import Context

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction

MAX_UNCOMMITTED_WRITES = 500
"""Writes that wait for their commit before the next event waits too."""

RETRY_SECONDS = 5.0  # seconds until what the database did not take is offered again


class _Write(NamedTuple):
    run: "Callable[[Transaction], Any]"
    done: Callable[[], object]
    failed: Callable[[Exception], object]


class WriteBehind:
    """Hands work to the writer without waiting for its commit, as many share one.

    For hooks of stored events: the server's note of how far the plugin has got goes the same way,
    behind the work, so nothing is passed over in a crash. Work that comes twice must do no harm.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uncommitted: set[asyncio.Future[None]] = set()

    async def add(
        self,
        work: "Callable[[Transaction], Any]",
        *,
        done: Callable[[], object] = lambda: None,
        failed: Callable[[Exception], object] = lambda error: None,
    ) -> None:
        """Do ``work`` in the next group commit, and again every 5 seconds until the database takes it.

        Waits only while too much is under way.

        :arg done: called after the commit.
        :arg failed: told why a commit failed; the server has logged it already.
        """
        self._write(_Write(work, done, failed))
        if len(self._uncommitted) >= MAX_UNCOMMITTED_WRITES:
            await asyncio.wait(self._uncommitted, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for all commits under way, for ``shutdown``."""
        while self._uncommitted:
            await asyncio.wait(self._uncommitted)

    def _write(self, work: _Write) -> None:
        try:
            written = self._context.write(work.run)
        except Exception:  # overloaded
            self._context.spawn(self._retry_later(work))
            return
        future = asyncio.ensure_future(self._await_commit(written, work))
        self._uncommitted.add(future)
        future.add_done_callback(self._uncommitted.discard)

    async def _await_commit(self, written: Awaitable[Any], work: _Write) -> None:
        try:
            await written
        except Exception as error:  # whatever the database has: nothing must be lost for it
            work.failed(error)
            self._context.spawn(self._retry_later(work))
        else:
            work.done()

    async def _retry_later(self, work: _Write) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self._write(work)

"""Asynchronous writes of event hooks, repeated until the database has stored them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tornado_chat.plugins.context import Context

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction

MAX_UNCOMMITTED_WRITES = 500
"""Number of writes without a commit at which the next event has to wait."""

RETRY_SECONDS = 5.0  # pause before a write that failed is tried again


class _Write(NamedTuple):
    run: "Callable[[Transaction], Any]"
    done: Callable[[], object]
    failed: Callable[[Exception], object]


class WriteBehind:
    """Passes work to the writer without waiting for the commit, so that many writes share one commit.

    The work is background work, see ``Context.write``: messages go first.

    For hooks of stored events: the server stores the plugin's position in the stream as background work,
    after this work, so no event is skipped after a crash. Work that runs twice must do no harm.
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
        """Run ``work`` in the next group commit, and again every 5 seconds until it is committed.

        Waits only while there are too many writes without a commit.

        :arg done: called after the commit.
        :arg failed: called with the error of each failed commit; the server has logged it already.
        """
        self.add_nowait(work, done=done, failed=failed)
        if len(self._uncommitted) >= MAX_UNCOMMITTED_WRITES:
            await asyncio.wait(self._uncommitted, return_when=asyncio.FIRST_COMPLETED)

    def add_nowait(
        self,
        work: "Callable[[Transaction], Any]",
        *,
        done: Callable[[], object] = lambda: None,
        failed: Callable[[Exception], object] = lambda error: None,
    ) -> None:
        """As ``add``, without waiting: for a ``def`` hook on the loop, whose calls are limited otherwise."""
        self._write(_Write(work, done, failed))

    async def finish(self) -> None:
        """Wait for the running commits, for ``shutdown``."""
        while self._uncommitted:
            await asyncio.wait(self._uncommitted)

    def _write(self, work: _Write) -> None:
        try:
            written = self._context.write(work.run, background=True)
        except Exception:  # overloaded
            self._context.spawn(self._retry_later(work))
            return
        future = asyncio.ensure_future(self._await_commit(written, work))
        self._uncommitted.add(future)
        future.add_done_callback(self._uncommitted.discard)

    async def _await_commit(self, written: Awaitable[Any], work: _Write) -> None:
        try:
            await written
        except Exception as error:  # any error of the database: the work must not be lost
            work.failed(error)
            self._context.spawn(self._retry_later(work))
        else:
            work.done()

    async def _retry_later(self, work: _Write) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self._write(work)

"""Writing to the database behind the events, without losing what it does not take."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tornado_chat.plugins.context import Context

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction

UNDER_WAY = 500
"""Writes that wait for their commit before the next event waits too."""

RETRY = 5.0  # seconds until what the database did not take is offered again


class _Work(NamedTuple):
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
        self._under_way: set[asyncio.Future[None]] = set()

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
        self._write(_Work(work, done, failed))
        if len(self._under_way) >= UNDER_WAY:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for all commits under way, for ``shutdown``."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _write(self, work: _Work) -> None:
        try:
            written = self._context.write(work.run)
        except Exception:  # overloaded
            self._context.spawn(self._write_later(work))
            return
        future = asyncio.ensure_future(self._settle(written, work))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    async def _settle(self, written: Awaitable[Any], work: _Work) -> None:
        try:
            await written
        except Exception as error:  # whatever the database has: nothing must be lost for it
            work.failed(error)
            self._context.spawn(self._write_later(work))
        else:
            work.done()

    async def _write_later(self, work: _Work) -> None:
        await asyncio.sleep(RETRY)
        self._write(work)

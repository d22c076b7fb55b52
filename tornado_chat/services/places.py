"""Telling waiting users their place in the line: when it changes, not too often."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

SLICE = 500  # users told before the loop gets a turn


class Waiting(Protocol):
    """Somebody in the line: when and what it was told last."""

    told_place: int
    told_at: float


W = TypeVar("W", bound=Waiting)


class PlaceTeller(Generic[W]):
    """Goes through the line after changes, at most once per ``interval`` seconds.

    :arg line: everybody who waits, in order.
    :arg tell: tells one of them its place (1 = next in line).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float,
        line: Callable[[], Iterator[W]],
        tell: Callable[[W, int], None],
    ) -> None:
        self._loop = loop
        self.interval = interval
        self._line = line
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._stopped = False

    def changed(self) -> None:
        """Somebody joined, left or was matched: the others may have moved up."""
        if self._stopped:
            return
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())
        else:
            self._again = True

    def tell(self, waiting: W, place: int) -> None:
        """Tell one of them now, as it has just asked."""
        waiting.told_place = place
        waiting.told_at = self._loop.time()
        self._tell(waiting, place)

    def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            # First the pause: the matches of one moment then make one new place for everybody.
            await asyncio.sleep(self.interval)
            await self._go_through()

    async def _go_through(self) -> None:
        now = self._loop.time()
        for place, waiting in enumerate(tuple(self._line()), 1):
            if waiting.told_place != place:
                if now - waiting.told_at < self.interval:
                    self._again = True  # told just now, because it asked
                else:
                    self.tell(waiting, place)
            if place % SLICE == 0:
                await asyncio.sleep(0)
                now = self._loop.time()

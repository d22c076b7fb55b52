"""Telling waiting users their place in the line: when it changes, not too often.

Strategy: when the first one leaves, everybody's place is a new one. To tell all of them, each second, would
cost more than all their conversations; and whoever is far behind does not mind hearing a little later. So the
line is divided into bands, each twice as long as all before it, and told a piece at a time: the first
``NEAR`` in every round, the next ``NEAR`` in two rounds, the next ``2 * NEAR`` in four. A round costs O(log
n) and not O(n).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

NEAR = 100  # those who hear of every change
PIECE = NEAR // 2  # of each band behind them, in a round


class Waiting(Protocol):
    """Somebody in the line: when and what it was told last."""

    told_position: int
    told_at: float


W = TypeVar("W", bound=Waiting)


class QueuePositions(Generic[W]):
    """Goes through the line after changes, in rounds that are ``interval`` seconds apart.

    :arg line: those who wait between two indices (0 is the first one), in order.
    :arg length: how many wait.
    :arg tell: tells one of them its place (1 = next in line).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float,
        line: Callable[[int, int], Iterator[W]],
        length: Callable[[], int],
        tell: Callable[[W, int], None],
    ) -> None:
        self._loop = loop
        self.interval = interval
        self._line = line
        self._length = length
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._stopped = False
        self._round = 0

    def changed(self) -> None:
        """Somebody joined, left or was matched: the others may have moved up."""
        self._again = True
        if not self._stopped and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._run())

    def tell(self, waiting: W, place: int) -> None:
        """Tell one of them now, as it has just asked."""
        waiting.told_position = place
        waiting.told_at = self._loop.time()
        self._tell(waiting, place)

    def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        quiet = 0  # rounds since the last change
        while self._again or quiet < 2 ** len(self._bands()):
            quiet = 0 if self._again else quiet
            self._again = False
            # First the pause: the matches of one moment then make one new place for everybody.
            await asyncio.sleep(self.interval)
            self._round += 1
            quiet += 1
            self._go_through(0, NEAR)
            for start, pieces in self._bands():
                at = start + self._round % pieces * PIECE
                self._go_through(at, at + PIECE)

    def _bands(self) -> list[tuple[int, int]]:
        """Where the bands behind the first begin, and how many pieces they have."""
        bands, start, pieces = [], NEAR, 2
        while start < self._length():
            bands.append((start, pieces))
            start, pieces = start * 2, pieces * 2
        return bands

    def _go_through(self, start: int, stop: int) -> None:
        now = self._loop.time()
        for place, waiting in enumerate(tuple(self._line(start, stop)), start + 1):
            if waiting.told_position != place:
                if now - waiting.told_at < self.interval:
                    self._again = True  # told just now, because it asked
                else:
                    self.tell(waiting, place)

"""Each of the processes that there should be, whichever child it is just now."""

import asyncio
from collections.abc import Iterator

from tornado_chat.server.workers.worker import Child, State

STEADY = 10.0  # seconds that a child has to have served, to be started again at once
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds until a child is started again that has not


class Place:
    """One of the processes, whichever child it is just now.

    :ivar next: its child's successor, until that serves.
    :ivar again: the start that is waited for, after one that failed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: Child | None = None
        self.next: Child | None = None
        self.again: asyncio.TimerHandle | None = None
        self._pause = 0.0

    @property
    def serves(self) -> bool:
        return self.child is not None and self.child.state is State.SERVING

    @property
    def children(self) -> Iterator[Child]:
        """Those of this place that have not ended."""
        yield from (each for each in (self.child, self.next) if each and each.state is not State.ENDED)

    def give_up_waiting(self) -> None:
        if self.again is not None:
            self.again.cancel()
            self.again = None

    def next_pause(self) -> float:
        """Seconds until its child is started again: none the first time, then ever more until one has served for a while."""
        if self.child is not None and self.child.served >= STEADY:
            self._pause = 0.0
        pause, self._pause = self._pause, min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        return pause

"""Each of the processes that there should be, whichever child it is just now."""

import asyncio
from collections.abc import Iterator

from tornado_chat.server.workers.worker import WorkerProcess, WorkerState

STEADY_SECONDS = 10.0  # seconds that a child has to have served, to be started again at once
FIRST_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = (
    1.0,
    30.0,
)  # seconds until a child is started again that has not


class WorkerSlot:
    """One of the processes, whichever child it is just now.

    :ivar successor: its child's successor, until that serves.
    :ivar restart_timer: the start that is waited for, after one that failed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: WorkerProcess | None = None
        self.successor: WorkerProcess | None = None
        self.restart_timer: asyncio.TimerHandle | None = None
        self._restart_delay = 0.0

    @property
    def is_serving(self) -> bool:
        return self.child is not None and self.child.state is WorkerState.SERVING

    @property
    def children(self) -> Iterator[WorkerProcess]:
        """Those of this place that have not ended."""
        yield from (
            each for each in (self.child, self.successor) if each and each.state is not WorkerState.ENDED
        )

    def cancel_restart(self) -> None:
        if self.restart_timer is not None:
            self.restart_timer.cancel()
            self.restart_timer = None

    def next_restart_delay(self) -> float:
        """Seconds until its child is started again: none the first time, then ever more until one has served for a while."""
        if self.child is not None and self.child.served_seconds >= STEADY_SECONDS:
            self._restart_delay = 0.0
        pause, self._restart_delay = (
            self._restart_delay,
            min(max(FIRST_RESTART_DELAY_SECONDS, 2 * self._restart_delay), MAX_RESTART_DELAY_SECONDS),
        )
        return pause

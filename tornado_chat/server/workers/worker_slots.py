"""The slots for workers: one for each process of ``[server] processes``."""

import asyncio
from collections.abc import Iterator

from tornado_chat.server.workers.worker import WorkerProcess, WorkerState

STEADY_SECONDS = 10.0  # seconds that a worker has to have served, to be started again at once
FIRST_RESTART_DELAY_SECONDS = 1.0  # seconds until a worker that served for less is started again
MAX_RESTART_DELAY_SECONDS = 30.0  # the delay doubles up to this many seconds


class WorkerSlot:
    """One of the processes that should run, whichever worker runs in it at the moment.

    :ivar worker: the present worker; None if none could be started.
    :ivar successor: the worker that is to replace ``worker``, until it serves.
    :ivar restart_timer: the timer of the next start, after a worker has failed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.successor: WorkerProcess | None = None
        self.restart_timer: asyncio.TimerHandle | None = None
        self._restart_delay = 0.0

    @property
    def is_serving(self) -> bool:
        return self.worker is not None and self.worker.state is WorkerState.SERVING

    @property
    def workers(self) -> Iterator[WorkerProcess]:
        """Yield the workers of this slot that have not ended."""
        yield from (
            each for each in (self.worker, self.successor) if each and each.state is not WorkerState.ENDED
        )

    def cancel_restart(self) -> None:
        if self.restart_timer is not None:
            self.restart_timer.cancel()
            self.restart_timer = None

    def next_restart_delay(self) -> float:
        """Return the seconds until the worker is started again.

        The first delay is 0, and the following ones grow, until a worker has served for ``STEADY_SECONDS``.
        """
        if self.worker is not None and self.worker.served_seconds >= STEADY_SECONDS:
            self._restart_delay = 0.0
        delay, self._restart_delay = (
            self._restart_delay,
            min(max(FIRST_RESTART_DELAY_SECONDS, 2 * self._restart_delay), MAX_RESTART_DELAY_SECONDS),
        )
        return delay

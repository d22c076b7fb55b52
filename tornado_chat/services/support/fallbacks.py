"""The times at which waiting users are shared with fallback groups.

Strategy: one heap with a time for each waiting user of a group with a fallback group, and one timer for the
earliest. An entry is not removed when its user leaves the queue: the owner checks whether the user still
waits.
"""

import asyncio
import heapq
from collections.abc import Callable


class FallbackTimes:
    """The times of waiting users, by the loop's clock.

    :arg on_due: called with the number of a conversation whose time has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[int], None]) -> None:
        self._loop = loop
        self._on_due = on_due
        self._times: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int, time: float) -> None:
        """Call ``on_due`` for a conversation at ``time``."""
        heapq.heappush(self._times, (time, number))
        if self._times[0] == (time, number):
            self._start_timer()

    def clear(self) -> None:
        """Forget all times."""
        self._times.clear()
        self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._times[0][0], self._run) if self._times else None

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = []
        while self._times and self._times[0][0] <= now:
            due.append(heapq.heappop(self._times)[1])
        self._start_timer()
        for number in due:
            self._on_due(number)

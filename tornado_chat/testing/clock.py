"""The clock of the servers of a test, which only the test moves on faster than the time."""

import asyncio
import heapq
import time
from collections.abc import Callable
from contextvars import Context as ContextVariables
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")

NANOSECONDS = 1_000_000_000


class MovableLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can skip time: timers whose time was skipped run in the next turn."""

    def __init__(self) -> None:
        self._skipped_seconds = 0.0
        self._timers: list[asyncio.TimerHandle] = []  # a heap by time, with those that were cancelled
        super().__init__()

    def time(self) -> float:
        return super().time() + self._skipped_seconds

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: ContextVariables | None = None,
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        heapq.heappush(self._timers, timer)
        return timer

    def skip(self, seconds: float) -> None:
        """Move the clock on; the timers that are due run when the caller lets the loop run."""
        self._skipped_seconds += seconds

    def seconds_to_next_timer(self) -> float:
        """Return the seconds until the next timer is due; infinity if there is none."""
        now = self.time()
        while self._timers and (self._timers[0].cancelled() or self._timers[0].when() <= now):
            heapq.heappop(self._timers)
        return self._timers[0].when() - now if self._timers else float("inf")


class WallClock:
    """Moves ``time.time`` and ``time.time_ns`` of the process on, until ``restore``.

    Other clocks (``datetime.now``, ``time.monotonic``) do not move. The functions of the module are replaced
    at the first ``skip``, so a test that moves no clock finds them unchanged.
    """

    def __init__(self) -> None:
        self._skipped_nanoseconds = 0
        self._originals: tuple[Callable[[], float], Callable[[], int]] | None = None

    def skip(self, seconds: float) -> None:
        self._skipped_nanoseconds += round(seconds * NANOSECONDS)
        if self._originals is None:
            self._originals = seconds_since_1970, nanoseconds_since_1970 = time.time, time.time_ns
            time.time = lambda: seconds_since_1970() + self._skipped_nanoseconds / NANOSECONDS
            time.time_ns = lambda: nanoseconds_since_1970() + self._skipped_nanoseconds

    def restore(self) -> None:
        if self._originals is not None:
            time.time, time.time_ns = self._originals
            self._originals = None

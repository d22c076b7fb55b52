"""The last quarter of an hour in steps, for small charts, and the pulse that makes them.

Strategy: counters only grow, so a step is the difference between two looks at them. The same timer that
takes the looks is late when the loop is, and so measures its lag.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tornado_chat.observability.metrics import Gauges, Metrics
from tornado_chat.observability.metrics.instruments import quantile

STEP = 10.0  # seconds
LENGTH = 90  # steps
MINUTE = 6  # steps
BEAT = 0.25  # seconds


class Point(msgspec.Struct, frozen=True):
    """What happened in one step, and how things stood at its end.

    :arg time: its end, in seconds since 1970.
    :arg received: messages per second from clients.
    :arg delivered: messages per second to sockets.
    :arg p50: seconds within which half of the messages were delivered; None without messages.
    :arg p99: the same of 99 %.
    :arg lag: the longest that the loop was late, in seconds.
    """

    time: float
    sockets: int
    line: int
    longest_wait: float
    received: float
    delivered: float
    p50: float | None
    p99: float | None
    lag: float


class _Look(msgspec.Struct, frozen=True):
    """The counters at one moment."""

    at: float
    received: int
    delivered: int
    delivery: Sequence[int]


class History:
    """What ``metrics`` said in the last ``LENGTH`` steps.

    :arg loop: its clock gives the steps, whatever the wall clock does.
    :arg wall: seconds since 1970, for the points' times.
    """

    def __init__(self, metrics: Metrics, loop: asyncio.AbstractEventLoop, wall: Callable[[], float]) -> None:
        self._metrics = metrics
        self._loop = loop
        self._wall = wall
        self._points: deque[Point] = deque(maxlen=LENGTH)
        self._looks: deque[_Look] = deque([self._look()], maxlen=MINUTE + 1)
        self._lag = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- the pulse ---

    def start(self) -> None:
        self._due = self._loop.time() + BEAT
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        late = max(0.0, now - self._due)
        self._metrics.loop_lag.observe(late)
        self._lag = max(self._lag, late)
        if now - self._looks[-1].at >= STEP:
            self._points.append(self._step())
        self._due = now + BEAT
        self._timer = self._loop.call_at(self._due, self._beat)

    # --- looking ---

    @property
    def points(self) -> Sequence[Point]:
        """Oldest first; the step that is under way is not among them."""
        return tuple(self._points)

    @property
    def lag(self) -> float:
        """The longest that the loop was late in this step and the one before, in seconds."""
        return max(self._lag, self._points[-1].lag if self._points else 0.0)

    def last_minute(self) -> tuple[float, float, float | None, float | None]:
        """Messages per second received and delivered, and the delivery's p50 and p99 in seconds."""
        now, then = self._look(), self._looks[0]
        return self._between(then, now)

    def _step(self) -> Point:
        gauges: Gauges = self._metrics.gauges()
        look = self._look()
        received, delivered, p50, p99 = self._between(self._looks[-1], look)
        self._looks.append(look)
        lag, self._lag = self._lag, 0.0
        sockets = sum(each.open for each in self._metrics.tallies.values())
        return Point(
            self._wall(), sockets, gauges.line, gauges.longest_wait, received, delivered, p50, p99, lag
        )

    def _look(self) -> _Look:
        tallies: Any = self._metrics.tallies.values()
        return _Look(
            self._loop.time(),
            sum(each.messages for each in tallies),
            sum(each.delivered for each in tallies),
            tuple(self._metrics.storage.delivery.counts),
        )

    def _between(self, before: _Look, after: _Look) -> tuple[float, float, float | None, float | None]:
        seconds = max(after.at - before.at, 0.001)
        counts = [new - old for new, old in zip(after.delivery, before.delivery, strict=True)]
        bounds = self._metrics.storage.delivery.bounds
        return (
            (after.received - before.received) / seconds,
            (after.delivered - before.delivered) / seconds,
            quantile(bounds, counts, 0.5),
            quantile(bounds, counts, 0.99),
        )

"""History of the metrics: the last quarter of an hour in steps, for small charts.

Strategy: counters only grow, so the numbers of a step are the difference between two samples of the counters.
The timer that takes the samples also measures the lag of the event loop: it is late when the loop is late.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tornado_chat.aio.periodic import PeriodicTimer
from tornado_chat.observability.metrics import Gauges, Metrics
from tornado_chat.observability.metrics.instruments import quantile

STEP_SECONDS = 10.0
MAX_STEPS = 90
STEPS_PER_MINUTE = 6
LAG_PROBE_INTERVAL_SECONDS = 0.25


class HistoryPoint(msgspec.Struct, frozen=True):
    """The rates and times of one step, and the state at its end.

    :arg time: the end of the step, in seconds since 1970.
    :arg sockets: open sockets.
    :arg line: users in the queue.
    :arg longest_wait: of the users in the queue, in seconds.
    :arg received: messages per second from clients.
    :arg delivered: messages per second to sockets.
    :arg p50: seconds within which half of the messages were delivered; None without messages.
    :arg p99: seconds within which 99 % of the messages were delivered; None without messages.
    :arg lag: the longest delay of the event loop, in seconds.
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


class _CounterSample(msgspec.Struct, frozen=True):
    """The counters at one moment; ``at`` is a time of the loop's clock in seconds."""

    at: float
    received: int
    delivered: int
    delivery: Sequence[int]


class MetricsHistory:
    """The history of ``metrics`` over the last ``MAX_STEPS`` steps.

    :arg loop: the clock of the loop measures the steps, so changes of the wall clock do not matter.
    :arg wall_clock: returns seconds since 1970, for the times of the points.
    """

    def __init__(
        self, metrics: Metrics, loop: asyncio.AbstractEventLoop, wall_clock: Callable[[], float]
    ) -> None:
        self._metrics = metrics
        self._loop = loop
        self._wall_clock = wall_clock
        self._points: deque[HistoryPoint] = deque(maxlen=MAX_STEPS)
        self._samples: deque[_CounterSample] = deque([self._take_sample()], maxlen=STEPS_PER_MINUTE + 1)
        self._lag = 0.0
        self._timer = PeriodicTimer(
            loop, lambda: LAG_PROBE_INTERVAL_SECONDS, self._on_timer, "the sampling of the metrics"
        )

    # --- the timer ---

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _on_timer(self, late: float) -> None:
        self._metrics.loop_lag.observe(late)
        self._lag = max(self._lag, late)
        if self._loop.time() - self._samples[-1].at >= STEP_SECONDS:
            self._points.append(self._finish_step())

    # --- reading ---

    @property
    def points(self) -> Sequence[HistoryPoint]:
        """The complete steps, oldest first."""
        return tuple(self._points)

    @property
    def lag(self) -> float:
        """The longest delay of the event loop in the current and the previous step, in seconds."""
        return max(self._lag, self._points[-1].lag if self._points else 0.0)

    def last_minute(self) -> tuple[float, float, float | None, float | None]:
        """Return messages received and delivered per second, and p50 and p99 of the delivery in seconds."""
        now, then = self._take_sample(), self._samples[0]
        return self._rates_between(then, now)

    def _finish_step(self) -> HistoryPoint:
        gauges: Gauges = self._metrics.gauges()
        sample = self._take_sample()
        received, delivered, p50, p99 = self._rates_between(self._samples[-1], sample)
        self._samples.append(sample)
        lag, self._lag = self._lag, 0.0
        sockets = sum(each.open for each in self._metrics.endpoint_meters.values())
        return HistoryPoint(
            time=self._wall_clock(),
            sockets=sockets,
            line=gauges.queue_length,
            longest_wait=gauges.longest_wait,
            received=received,
            delivered=delivered,
            p50=p50,
            p99=p99,
            lag=lag,
        )

    def _take_sample(self) -> _CounterSample:
        endpoint_meters: Any = self._metrics.endpoint_meters.values()
        return _CounterSample(
            self._loop.time(),
            sum(each.messages for each in endpoint_meters),
            sum(each.delivered for each in endpoint_meters),
            tuple(self._metrics.storage.delivery.counts),
        )

    def _rates_between(
        self, before: _CounterSample, after: _CounterSample
    ) -> tuple[float, float, float | None, float | None]:
        seconds = max(after.at - before.at, 0.001)
        counts = [new - old for new, old in zip(after.delivery, before.delivery, strict=True)]
        bounds = self._metrics.storage.delivery.bounds
        return (
            (after.received - before.received) / seconds,
            (after.delivered - before.delivered) / seconds,
            quantile(bounds, counts, 0.5),
            quantile(bounds, counts, 0.99),
        )

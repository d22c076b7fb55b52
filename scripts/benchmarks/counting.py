"""What it costs to count a message: received, on its way, delivered, and how long that took."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram

from tornado_chat.bench.comparison import Candidate, compare_times
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.instruments import DELIVERY_BOUNDS_SECONDS

BATCH = 100  # messages of one commit
BATCHES = 200
TAKEN = 0.003  # seconds, by a message


def by_client() -> None:
    """As the metrics client has it, its children looked up once."""
    for _ in range(BATCHES):
        for _ in range(BATCH):
            _FRAMES.inc()
            _MESSAGES.inc()
            _DELIVERED.inc()
        now = time.monotonic()
        for _ in range(BATCH):
            _SECONDS.observe(now - (now - TAKEN))


def by_ours() -> None:
    for _ in range(BATCHES):
        for _ in range(BATCH):
            _TALLY.frames += 1
            _TALLY.messages += 1
            _TALLY.delivered += 1
        now = time.monotonic()
        _DELIVERY.observe_since([now - TAKEN for _ in range(BATCH)], now)


def one_by_one() -> None:
    """The smallest batches there are."""
    for _ in range(BATCHES * BATCH):
        _TALLY.frames += 1
        _TALLY.messages += 1
        _TALLY.delivered += 1
        now = time.monotonic()
        _DELIVERY.observe_since([now - TAKEN], now)


def lines(rounds: int) -> Iterator[str]:
    times = BATCH * BATCHES
    group = [
        Candidate("three Counter.inc(), one Histogram.observe()", by_client, times),
        Candidate(f"ours, {BATCH} to a commit", by_ours, times),
        Candidate("ours, one to a commit", one_by_one, times),
    ]
    return compare_times("counting: one message", [group], rounds)


_REGISTRY = CollectorRegistry()
_LABELS = ("endpoint",)
_FRAMES = Counter("frames", "-", _LABELS, registry=_REGISTRY).labels("chat")
_MESSAGES = Counter("messages", "-", _LABELS, registry=_REGISTRY).labels("chat")
_DELIVERED = Counter("delivered", "-", _LABELS, registry=_REGISTRY).labels("chat")
_SECONDS = Histogram("seconds", "-", buckets=DELIVERY_BOUNDS_SECONDS, registry=_REGISTRY)
_METRICS = Metrics()
_TALLY = _METRICS.endpoint_meters["chat"]
_DELIVERY = _METRICS.storage.delivery

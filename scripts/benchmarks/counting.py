"""The cost of the metrics of one message: three counters and one histogram of the delivery time."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram

from tornado_chat.bench.comparison import Candidate, compare_times
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.instruments import DELIVERY_BOUNDS_SECONDS

BATCH_MESSAGES = 100  # messages of one commit
BATCHES = 200
DELIVERY_SECONDS = 0.003


def by_client() -> None:
    """Count with prometheus_client, with the labelled children looked up once."""
    for _ in range(BATCHES):
        for _ in range(BATCH_MESSAGES):
            _FRAMES.inc()
            _MESSAGES.inc()
            _DELIVERED.inc()
        now = time.monotonic()
        for _ in range(BATCH_MESSAGES):
            _SECONDS.observe(now - (now - DELIVERY_SECONDS))


def by_server() -> None:
    """Count like the server, in batches."""
    for _ in range(BATCHES):
        for _ in range(BATCH_MESSAGES):
            _METER.frames += 1
            _METER.messages += 1
            _METER.delivered += 1
        now = time.monotonic()
        _DELIVERY.observe_since([now - DELIVERY_SECONDS for _ in range(BATCH_MESSAGES)], now)


def one_by_one() -> None:
    """Count like the server, in batches of one message."""
    for _ in range(BATCHES * BATCH_MESSAGES):
        _METER.frames += 1
        _METER.messages += 1
        _METER.delivered += 1
        now = time.monotonic()
        _DELIVERY.observe_since([now - DELIVERY_SECONDS], now)


def measure(rounds: int) -> Iterator[str]:
    times = BATCH_MESSAGES * BATCHES
    group = [
        Candidate("three Counter.inc(), one Histogram.observe()", by_client, times),
        Candidate(f"tornado_chat, {BATCH_MESSAGES} messages a commit", by_server, times),
        Candidate("tornado_chat, one message a commit", one_by_one, times),
    ]
    return compare_times("counting: one message", [group], rounds)


_REGISTRY = CollectorRegistry()
_LABELS = ("endpoint",)
_FRAMES = Counter("frames", "-", _LABELS, registry=_REGISTRY).labels("chat")
_MESSAGES = Counter("messages", "-", _LABELS, registry=_REGISTRY).labels("chat")
_DELIVERED = Counter("delivered", "-", _LABELS, registry=_REGISTRY).labels("chat")
_SECONDS = Histogram("seconds", "-", buckets=DELIVERY_BOUNDS_SECONDS, registry=_REGISTRY)
_METRICS = Metrics()
_METER = _METRICS.endpoint_meters["chat"]
_DELIVERY = _METRICS.storage.delivery

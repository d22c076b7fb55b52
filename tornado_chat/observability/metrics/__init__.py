"""All metrics of one server: what is counted where, and how it is shown.

Numbers flow one way. ``app`` makes a ``Metrics`` and hands each component its instrument; the component
counts with it and never looks at it. What has a state anyway (how long the line is, who is ready) is not
counted but asked for when somebody wants to know, see ``Gauges``.

Each server has a registry of its own, so that two in one process do not add up. No label has values that
grow with the number of people or conversations.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from tornado_chat.observability.metrics.families import Gauges, families
from tornado_chat.observability.metrics.instruments import (
    LOOP_LAG_BOUNDS_SECONDS,
    QUEUE_WAIT_BOUNDS_SECONDS,
    EndpointMeter,
    Histogram,
    LabelledCounts,
    PluginMeter,
    StorageMeter,
)

__all__ = ["CONTENT_TYPE", "EndpointMeter", "Gauges", "Histogram", "Metrics", "PluginMeter", "StorageMeter"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ENDPOINT_DIALECTS: Mapping[str, str] = {
    "chat": "counselling",
    "notify": "counselling",
    "observe": "counselling",
    "user": "support",
    "waiter": "support",
}
"""The kinds of sockets, with their dialects."""

DROP_REASONS = ("slow", "silent", "too_fast", "too_big", "too_many_errors")
"""Why the server closes a socket that was let in, and whose peer is the reason."""


class Metrics:
    """All instruments of one server, and their registry.

    :ivar endpoint_meters: by endpoint.
    :ivar queue_wait: seconds in the line, of everybody who got a waiter.
    :ivar loop_lag: seconds by which a timer of the loop was late, a few times a second.
    :ivar resent: messages that were read back for somebody who had missed them.
    :ivar read_errors: queries that the database did not answer.
    :ivar plugins: by name.
    :ivar closed: sockets, by endpoint and close code.
    :ivar dropped: sockets that the server closed because of their peer, by endpoint and reason.
    :ivar refused: sockets that were not let in, by endpoint and reason.
    :ivar frames_refused: frames that were answered by an error, by endpoint and reason.
    :ivar plugin_failures: by plugin, hook and kind: error, timeout, slow.
    :ivar plugin_skipped: events that a plugin did not get, by plugin and hook.
    :ivar gauges: asked for when the metrics are.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.endpoint_meters = {
            endpoint: EndpointMeter(endpoint, dialect) for endpoint, dialect in ENDPOINT_DIALECTS.items()
        }
        self.storage = StorageMeter()
        self.queue_wait = Histogram(QUEUE_WAIT_BOUNDS_SECONDS)
        self.loop_lag = Histogram(LOOP_LAG_BOUNDS_SECONDS)
        self.resent = 0
        self.read_errors = 0
        self.plugins: dict[str, PluginMeter] = {}
        self.gauges: Callable[[], Gauges] = Gauges

        self.closed = LabelledCounts()
        self.dropped = LabelledCounts(
            (endpoint, reason) for endpoint in ENDPOINT_DIALECTS for reason in DROP_REASONS
        )
        self.refused = LabelledCounts()
        self.frames_refused = LabelledCounts()
        self.plugin_failures = LabelledCounts()
        self.plugin_skipped = LabelledCounts()
        self.registry.register(_Collector(self))
        ProcessCollector(registry=self.registry)

    def plugin(self, name: str) -> PluginMeter:
        """The instrument of a plugin."""
        return self.plugins.setdefault(name, PluginMeter())

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Collector:
    """Lets the registry ask for ``families``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return families(self._metrics)

    def describe(self) -> Iterator[Metric]:
        """The names, which must not depend on what there is."""
        return self.collect()

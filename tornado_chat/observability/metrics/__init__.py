"""The metrics of one server and their registry.

Numbers flow in one direction: ``server/server.py`` makes a ``Metrics`` and gives each component its
instrument; the component writes to the instrument and never reads it. State that a component holds anyway
(the length of the queue, the waiters that are ready) is not counted but read when the metrics are requested,
see ``Gauges``.

Each server has a registry of its own, so that the numbers of two servers in one process are not added up. No
label has values whose number grows with the number of people or conversations.
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
from tornado_chat.observability.metrics.plugin_metrics import PluginMetric, PluginMetrics

__all__ = ["CONTENT_TYPE", "EndpointMeter", "Gauges", "Histogram", "Metrics", "PluginMeter", "StorageMeter"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ENDPOINT_DIALECTS: Mapping[str, str] = {
    "chat": "counselling",
    "notify": "counselling",
    "observe": "counselling",
    "user": "support",
    "waiter": "support",
}
"""The dialect of each endpoint."""

DROP_REASONS = ("slow", "silent", "too_fast", "too_big", "too_many_errors")
"""The reasons for which the server closes an accepted socket because of its peer."""

CONNECTION_PHASES = ("header", "body", "answer", "idle")
"""What an HTTP connection waits for, see ``web.http.connection_clock``."""


class Metrics:
    """All instruments of one server, and their registry.

    :ivar endpoint_meters: by endpoint.
    :ivar queue_wait: seconds in the queue, of all users that were assigned to a waiter.
    :ivar loop_lag: seconds by which a timer of the event loop was late, measured a few times per second.
    :ivar resent: messages that were read from the database for a client that had missed them.
    :ivar read_errors: queries that failed.
    :ivar plugins: meters by the name of the plugin.
    :ivar closed: sockets, by endpoint and close code.
    :ivar dropped: sockets that the server closed because of their peer, by endpoint and reason.
    :ivar refused: sockets that were not accepted, by endpoint and reason.
    :ivar frames_refused: frames that were answered with an error, by endpoint and reason.
    :ivar frames_ignored: frames without effect and answer, by endpoint.
    :ivar connections_aborted: HTTP connections that exceeded a time limit, by what they waited for.
    :ivar connections_refused: connections and requests of clients without an identity that were refused.
    :ivar plugin_failures: by plugin, hook and kind: error, timeout, slow.
    :ivar plugin_skipped: events that a plugin did not receive, by plugin and hook.
    :ivar plugin_metrics: the metrics that plugins have made themselves.
    :ivar gauges: called when the metrics are requested.
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
        self.frames_ignored = LabelledCounts()
        self.connections_aborted = LabelledCounts((phase,) for phase in CONNECTION_PHASES)
        self.connections_refused = 0
        self.plugin_failures = LabelledCounts()
        self.plugin_skipped = LabelledCounts()
        self.plugin_metrics = PluginMetrics()
        self.registry.register(_Collector(self))
        self.registry.register(self.plugin_metrics)
        ProcessCollector(registry=self.registry)

    def count_refused_connection(self) -> None:
        self.connections_refused += 1

    def plugin(self, name: str) -> PluginMeter:
        """Return the meter of a plugin."""
        return self.plugins.setdefault(name, PluginMeter())

    def add_plugin_metric(self, plugin: str, metric: PluginMetric) -> None:
        """Show a metric of a plugin. :raises ValueError: its name is taken, or there are too many."""
        if any(family.name == metric.name for family in families(self)):
            raise ValueError(f"the server has a metric {metric.name}")
        self.plugin_metrics.add(plugin, metric)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Collector:
    """Collector that returns ``families`` to the registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return families(self._metrics)

    def describe(self) -> Iterator[Metric]:
        """Return the same families: their names do not depend on the state of the server."""
        return self.collect()

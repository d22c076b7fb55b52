"""The names and labels of every metric.

Each server has a registry of its own, so that two in one process do not add up.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.plugin_failures = Counter(
            "tornado_chat_plugin_failures",
            "Calls of a plugin's hook that raised (error) or did not answer in time (timeout).",
            ("plugin", "hook", "kind"),
            registry=self.registry,
        )
        self.plugin_skipped = Counter(
            "tornado_chat_plugin_skipped",
            "Events that a plugin did not get: it was suspended, or its queue was full.",
            ("plugin", "hook"),
            registry=self.registry,
        )
        self.plugin_suspended = Gauge(
            "tornado_chat_plugin_suspended",
            "1 while a plugin is not called because it kept failing.",
            ("plugin",),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

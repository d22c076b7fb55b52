"""The metrics of plugins: counters and gauges that a plugin names itself.

Strategy: a plugin must not be able to fill the memory of the monitoring system, or to break the answer. So
names, labels and numbers are checked, and a metric has a limited number of series: values of labels that come
after ``MAX_SERIES`` are counted together, with the value ``other``.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
RESERVED_LABELS = frozenset({"process", "le", "quantile", "job", "instance"})
MAX_METRICS = 50
"""The number of metrics of one plugin."""
MAX_LABELS = 4
MAX_SERIES = 100
"""The number of different combinations of label values of one metric."""
MAX_VALUE_CHARS = 64
OTHER = "other"
"""The value of each label of the series that counts what exceeds ``MAX_SERIES``."""


class PluginMetric:
    """A metric of a plugin.

    :ivar name: the full name, without ``_total``.
    :raises ValueError: the name or a label cannot be used.
    """

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        if len(labels) > MAX_LABELS:
            raise ValueError(f"the metric {name} has more than {MAX_LABELS} labels")
        for label in labels:
            if not NAME.fullmatch(label) or label in RESERVED_LABELS:
                raise ValueError(f"{label} cannot be the name of a label: small letters, digits and _")
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self._series: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def _change(self, values: Sequence[object], change: Callable[[float], float]) -> None:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels) or '(none)'}")
        key = tuple(_label_value(value) for value in values)
        if key not in self._series and len(self._series) >= MAX_SERIES:
            key = (OTHER,) * len(self.labels)
        self._series[key] = change(self._series.get(key, 0.0))

    def series(self) -> list[tuple[tuple[str, ...], float]]:
        """Return the values of the labels, each with the number."""
        return list(self._series.items())


class Counter(PluginMetric):
    """A number that only grows, such as the number of orders; ``/metrics`` adds ``_total`` to its name."""

    def add(self, *labels: object, amount: float = 1.0) -> None:
        """Add to the series with these values of the labels, in the order of the labels.

        :raises ValueError: the number of values is wrong, or ``amount`` is negative or no finite number.
        """
        if not 0 <= amount < math.inf:
            raise ValueError(f"a counter cannot grow by {amount}")
        self._change(labels, lambda before: before + amount)


class Gauge(PluginMetric):
    """A number that goes up and down, such as the number of open orders."""

    def set(self, value: float, *labels: object) -> None:
        """Set the series with these values of the labels, in the order of the labels.

        :raises ValueError: the number of values is wrong, or ``value`` is no finite number.
        """
        if not math.isfinite(value):
            raise ValueError(f"a gauge cannot be {value}")
        self._change(labels, lambda before: float(value))


class PluginMetrics:
    """The metrics of all plugins of one server; a collector of its registry."""

    def __init__(self) -> None:
        self._by_plugin: dict[str, dict[str, PluginMetric]] = {}

    def add(self, plugin: str, metric: PluginMetric) -> None:
        """:raises ValueError: there is a metric with this name, or the plugin has ``MAX_METRICS``."""
        if any(metric.name in metrics for metrics in self._by_plugin.values()):
            raise ValueError(f"there is a metric {metric.name} already")
        own = self._by_plugin.setdefault(plugin, {})
        if len(own) >= MAX_METRICS:
            raise ValueError(f"a plugin has at most {MAX_METRICS} metrics")
        own[metric.name] = metric

    def remove(self, plugin: str) -> None:
        """Remove the metrics of a plugin."""
        self._by_plugin.pop(plugin, None)

    def collect(self) -> Iterator[Metric]:
        for metrics in list(self._by_plugin.values()):
            for metric in list(metrics.values()):
                yield _family(metric)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the names are known when the plugins have started."""
        return iter(())


def full_name(plugin: str, name: str) -> str:
    """Return the name of a metric in ``/metrics``. :raises ValueError: ``name`` cannot be used."""
    if not NAME.fullmatch(name) or name.endswith("_total"):
        raise ValueError(
            f"{name} cannot be the name of a metric: small letters, digits and _, without _total"
        )
    return f"tornado_chat_plugin_{re.sub('[^a-z0-9_]', '_', plugin.lower())}_{name}"


def _label_value(value: object) -> str:
    """Return a text that can be encoded: half of a character, for example, cannot."""
    return str(value)[:MAX_VALUE_CHARS].encode("utf-8", "replace").decode()


def _family(metric: PluginMetric) -> Metric:
    make = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family: Metric = make(metric.name, metric.help, labels=metric.labels)
    for values, number in metric.series():
        family.add_metric(values, number)  # type: ignore[attr-defined]  # of both classes
    return family

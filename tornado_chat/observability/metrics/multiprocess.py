"""The metrics of several processes in one response: each sample has the label ``process``.

The samples are not added up: the counters of a restarted process begin at 0, so a sum would decrease.
Prometheus detects the restart of each series by itself, and ``sum by`` adds up the series of the processes.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric


class MetricSample(msgspec.Struct, frozen=True, array_like=True):
    name: str
    labels: dict[str, str]
    value: float


class MetricFamilySnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A metric of one process at the moment of the request."""

    name: str
    documentation: str
    type: str
    samples: list[MetricSample]


def take_snapshot(registry: CollectorRegistry) -> list[MetricFamilySnapshot]:
    """Return the present state of all metrics in ``registry``."""
    return [
        MetricFamilySnapshot(
            metric.name,
            metric.documentation,
            metric.type,
            [MetricSample(each.name, dict(each.labels), each.value) for each in metric.samples],
        )
        for metric in registry.collect()
    ]


def render(by_process: Mapping[int, Sequence[MetricFamilySnapshot]]) -> bytes:
    """Return the metrics of all processes, by process number, in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(by_process))
    return generate_latest(registry)


class _SnapshotCollector:
    def __init__(self, by_process: Mapping[int, Sequence[MetricFamilySnapshot]]) -> None:
        self._by_process = by_process

    def collect(self) -> Iterator[Metric]:
        metrics: dict[str, Metric] = {}
        for process, families in sorted(self._by_process.items()):
            for family in families:
                metric = metrics.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "process": str(process)}
                    metric.add_sample(sample.name, labels, sample.value)
        return iter(metrics.values())

"""The metrics of several processes in one answer: each number with the label ``process``.

They are not added up: a counter of a process that starts again begins at 0, and the sum would go down by what it had. Prometheus
sees that of each series by itself, and ``sum by`` puts together what belongs together.
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
    """A metric of one process, as it was when somebody asked."""

    name: str
    documentation: str
    type: str
    samples: list[MetricSample]


def frozen(registry: CollectorRegistry) -> list[MetricFamilySnapshot]:
    """Everything in it, now."""
    return [
        MetricFamilySnapshot(
            metric.name,
            metric.documentation,
            metric.type,
            [MetricSample(each.name, dict(each.labels), each.value) for each in metric.samples],
        )
        for metric in registry.collect()
    ]


def text(by_process: Mapping[int, Sequence[MetricFamilySnapshot]]) -> bytes:
    """All of them in Prometheus' text format."""
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

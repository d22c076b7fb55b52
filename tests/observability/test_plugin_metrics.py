"""The metrics of plugins: their names, their limits, and their removal."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.plugin_metrics import (
    MAX_METRICS,
    MAX_SERIES,
    OTHER,
    Counter,
    Gauge,
    full_name,
)


def shown(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(metrics.text().decode())
        if family.name.startswith("tornado_chat_plugin_shop_")
    }


def test_metrics_are_shown_until_the_plugin_stops() -> None:
    metrics = Metrics()
    orders = Counter(full_name("shop", "orders"), "Orders.", ["kind"])
    still_open = Gauge(full_name("shop", "open"), "Open orders.", [])
    for metric in (orders, still_open):
        metrics.add_plugin_metric("shop", metric)
    orders.add("tea", amount=2)
    orders.add('"\n\ud83d')
    still_open.set(-1.5)
    assert shown(metrics) == {
        "tornado_chat_plugin_shop_orders": {("tea",): 2.0, ('"\n?',): 1.0},
        "tornado_chat_plugin_shop_open": {(): -1.5},
    }
    metrics.plugin_metrics.remove("shop")
    assert shown(metrics) == {}


def test_a_label_with_many_values_makes_few_series() -> None:
    counter = Counter("tornado_chat_plugin_shop_people", "People.", ["person"])
    for number in range(10_000):
        counter.add(f"{number}" * 100)
    series = dict(counter.series())
    assert len(series) == MAX_SERIES + 1
    assert sum(series.values()) == 10_000
    assert series[OTHER,] > 9_000
    assert max(len(value) for (value,) in series) == 64


@pytest.mark.parametrize("name", ["", "Orders", "1st", "orders total", "orders_total", "x" * 49, "näme"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a metric"):
        full_name("shop", name)


@pytest.mark.parametrize("labels", [["process"], ["a", "b", "c", "d", "e"], ["__name__"], ["le"]])
def test_wrong_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="label"):
        Gauge("tornado_chat_plugin_shop_x", "X.", labels)


def test_wrong_numbers_are_refused() -> None:
    counter, gauge = Counter("x", "X.", []), Gauge("y", "Y.", ["kind"])
    for amount in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot grow"):
            counter.add(amount=amount)
    with pytest.raises(ValueError, match="cannot be"):
        gauge.set(math.nan, "a")
    with pytest.raises(ValueError, match="labels kind"):
        gauge.set(1.0)
    assert (counter.series(), gauge.series()) == ([((), 0.0)], [])


def test_names_are_unique_and_few() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="server has a metric"):
        metrics.add_plugin_metric("failures", Gauge("tornado_chat_plugin_failures", "X.", []))
    metrics.add_plugin_metric("a", Gauge(full_name("a", "b_c"), "X.", []))
    with pytest.raises(ValueError, match="already"):
        metrics.add_plugin_metric("a_b", Gauge(full_name("a_b", "c"), "X.", []))
    for number in range(MAX_METRICS):
        metrics.add_plugin_metric("shop", Gauge(full_name("shop", f"x{number}"), "X.", []))
    with pytest.raises(ValueError, match=f"at most {MAX_METRICS}"):
        metrics.add_plugin_metric("shop", Gauge(full_name("shop", "y"), "X.", []))

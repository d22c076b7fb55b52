"""Tests of the instruments, of the metrics made from them, and of their history."""

import asyncio
import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tornado_chat.observability.metrics import Gauges, Histogram, Metrics, multiprocess
from tornado_chat.observability.metrics.history import (
    LAG_PROBE_INTERVAL_SECONDS,
    MAX_STEPS,
    STEP_SECONDS,
    MetricsHistory,
)
from tornado_chat.observability.metrics.instruments import DELIVERY_BOUNDS_SECONDS, quantile

UNITS = ("_seconds", "_bytes", "_timestamp_seconds")
TIMES = st.lists(st.floats(0, 100), max_size=60)


class TestHistogram:
    def test_a_value_that_equals_a_bound_counts_below_it(self) -> None:
        buckets = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 3.0):
            buckets.observe(value)
        assert buckets.counts == [2, 2, 1]
        assert buckets.sum == 8.0

    @given(TIMES, st.floats(0, 200))
    def test_a_batch_counts_as_its_values_one_by_one(self, starts: list[float], later: float) -> None:
        now = max([*starts, later])
        at_once, one_by_one = Histogram(DELIVERY_BOUNDS_SECONDS), Histogram(DELIVERY_BOUNDS_SECONDS)
        at_once.observe_since(list(starts), now)
        for start in starts:
            one_by_one.observe(now - start)
        assert sum(at_once.counts) == len(starts)
        assert at_once.sum == pytest.approx(one_by_one.sum, abs=1e-6)
        # A value on a bound may fall to either side of it by rounding.
        edges = sum(
            any(abs(now - start - bound) < 1e-9 for bound in DELIVERY_BOUNDS_SECONDS) for start in starts
        )
        difference = sum(abs(a - b) for a, b in zip(at_once.counts, one_by_one.counts, strict=True))
        assert difference <= 2 * edges

    @given(st.lists(st.floats(0.0001, 29), min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99)))
    def test_a_quantile_lies_in_the_bucket_of_the_true_one(self, values: list[float], share: float) -> None:
        buckets = Histogram(DELIVERY_BOUNDS_SECONDS)
        for value in values:
            buckets.observe(value)
        found = quantile(buckets.bounds, buckets.counts, share)
        assert found is not None
        rank = next(n for n in range(1, len(values) + 1) if n >= share * len(values))
        true = sorted(values)[rank - 1]
        below = max((bound for bound in (0.0, *DELIVERY_BOUNDS_SECONDS) if bound < true), default=0.0)
        above = next(bound for bound in DELIVERY_BOUNDS_SECONDS if bound >= true)
        assert below <= found <= above

    def test_quantiles_at_the_ends(self) -> None:
        buckets = Histogram((1.0, 2.0))
        assert quantile(buckets.bounds, buckets.counts, 0.99) is None
        buckets.observe(1000.0)
        assert quantile(buckets.bounds, buckets.counts, 0.99) == 2.0


class TestFamilies:
    def test_every_metric_exists_before_the_first_event(self) -> None:
        families = {family.name for family in Metrics().registry.collect()}
        assert len(families) > 30
        assert {
            "tornado_chat_sockets_refused",
            "tornado_chat_plugin_failures",
            "tornado_chat_queue_length",
        } < families

    def test_names_follow_the_conventions_of_prometheus(self) -> None:
        for family in Metrics().registry.collect():
            assert re.fullmatch(r"(tornado_chat|process)_[a-z_]+", family.name)
            assert not family.name.endswith(("_total", "_count", "_sum", "_milliseconds", "_ms", "_kb"))
            if family.type == "histogram":
                assert family.name.endswith((*UNITS, "_size"))

    def test_every_metric_has_a_help_text(self) -> None:
        for family in Metrics().registry.collect():
            if family.name.startswith("tornado_chat_"):
                assert len(family.documentation) > 20
                assert family.documentation.endswith(".")

    def test_the_text_format_can_be_parsed_and_has_no_creation_times(self) -> None:
        metrics = Metrics()
        metrics.refused.add("chat", "token_expired")
        metrics.storage.delivery.observe(0.002)
        metrics.gauges = lambda: Gauges(
            queue_length=3, waiters={"ready": 1}, rooms={("session", "active"): 2}
        )
        text = metrics.text().decode()
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert "_created" not in text
        assert samples["tornado_chat_sockets_refused_total", "chat", "token_expired"] == 1
        assert samples["tornado_chat_queue_length",] == 3
        assert samples["tornado_chat_waiters", "ready"] == 1
        assert samples["tornado_chat_rooms", "active", "session"] == 2
        assert samples["tornado_chat_delivery_seconds_bucket", "0.001"] == 0
        assert samples["tornado_chat_delivery_seconds_bucket", "0.002"] == 1
        assert samples["tornado_chat_delivery_seconds_bucket", "+Inf"] == 1
        assert samples["tornado_chat_sockets_dropped_total", "notify", "slow"] == 0

    def test_two_servers_in_one_process_do_not_add_up(self) -> None:
        one, other = Metrics(), Metrics()
        one.endpoint_meters["chat"].opened += 1
        name, labels = "tornado_chat_sockets_opened_total", {"endpoint": "chat"}
        assert one.registry.get_sample_value(name, labels) == 1
        assert other.registry.get_sample_value(name, labels) == 0


class FakeLoop:
    """A stand-in for the event loop: a clock and one timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: tuple[float, Callable[[], object]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, action: Callable[..., object], *arguments: object) -> "FakeLoop":
        self.due = (when, partial(action, *arguments))
        return self

    def cancel(self) -> None:
        self.due = None

    def run(self, seconds: float, late: float = 0.0) -> None:
        """Let ``seconds`` pass; the timer is called ``late`` seconds after it is due."""
        end = self.now + seconds
        while self.due is not None and self.due[0] + late <= end:
            when, action = self.due
            self.now = when + late
            action()
        self.now = end


class TestHistory:
    @pytest.fixture
    def loop(self) -> FakeLoop:
        return FakeLoop()

    @pytest.fixture
    def metrics(self) -> Metrics:
        return Metrics()

    @pytest.fixture
    def history(self, metrics: Metrics, loop: FakeLoop) -> MetricsHistory:
        as_loop: asyncio.AbstractEventLoop = loop  # type: ignore[assignment]
        history = MetricsHistory(metrics, as_loop, wall_clock=lambda: loop.now + 1e9)
        history.start()
        return history

    def test_a_point_has_the_rates_of_its_step_and_the_state_at_its_end(
        self, history: MetricsHistory, metrics: Metrics, loop: FakeLoop
    ) -> None:
        metrics.gauges = lambda: Gauges(queue_length=4, longest_wait=70.0)
        metrics.endpoint_meters["chat"].open = 7
        metrics.endpoint_meters["chat"].messages = 50
        metrics.endpoint_meters["user"].messages = 50
        metrics.endpoint_meters["chat"].delivered = 200
        for _ in range(100):
            metrics.storage.delivery.observe(0.004)
        loop.run(STEP_SECONDS + LAG_PROBE_INTERVAL_SECONDS)
        (point,) = history.points
        assert (point.sockets, point.line, point.longest_wait) == (7, 4, 70.0)
        assert point.received == pytest.approx(10, rel=0.05)
        assert point.delivered == pytest.approx(20, rel=0.05)
        assert point.p50 is not None
        assert 0.003 <= point.p50 <= 0.005
        loop.run(STEP_SECONDS + LAG_PROBE_INTERVAL_SECONDS)
        assert len(history.points) == 2
        assert (history.points[1].received, history.points[1].p50) == (0.0, None)
        assert history.points[1].time > history.points[0].time

    def test_the_history_goes_on_after_an_error(
        self, history: MetricsHistory, metrics: Metrics, loop: FakeLoop, expected_logs: list[str]
    ) -> None:
        expected_logs.append("the sampling of the metrics failed, it is repeated")
        gauges = metrics.gauges

        def fail() -> Gauges:
            metrics.gauges = gauges
            raise ValueError("an error of the program")

        metrics.gauges = fail
        loop.run(2 * STEP_SECONDS + 2 * LAG_PROBE_INTERVAL_SECONDS)
        assert len(history.points) == 2

    def test_the_last_minute_leaves_out_older_messages(
        self, history: MetricsHistory, metrics: Metrics, loop: FakeLoop
    ) -> None:
        metrics.endpoint_meters["chat"].messages = 600
        loop.run(30)
        assert history.last_minute()[0] == pytest.approx(20, rel=0.1)
        loop.run(90)
        assert history.last_minute() == (0.0, 0.0, None, None)

    def test_the_history_holds_a_quarter_of_an_hour(self, history: MetricsHistory, loop: FakeLoop) -> None:
        loop.run(3600)
        assert len(history.points) == MAX_STEPS

    def test_a_late_timer_is_lag(self, history: MetricsHistory, metrics: Metrics, loop: FakeLoop) -> None:
        loop.run(STEP_SECONDS + 1)
        assert history.lag == 0.0
        loop.run(1, late=0.4)
        assert history.lag == pytest.approx(0.4)
        assert sum(metrics.loop_lag.counts[-5:]) > 0  # above 0.25 s
        loop.run(3 * STEP_SECONDS)
        assert history.lag == 0.0
        assert max(point.lag for point in history.points) == pytest.approx(0.4)

    def test_a_stopped_history_takes_no_more_steps(self, history: MetricsHistory, loop: FakeLoop) -> None:
        history.stop()
        loop.run(100)
        assert history.points == ()


def test_samples_of_several_processes_are_not_added_up() -> None:
    one, two = Metrics(), Metrics()
    one.endpoint_meters["chat"].opened, two.endpoint_meters["chat"].opened = 3, 4
    two.queue_wait.observe(7.0)
    text = multiprocess.render(
        {2: multiprocess.take_snapshot(two.registry), 1: multiprocess.take_snapshot(one.registry)}
    ).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families) == text.count("# TYPE ")
    opened = {
        (sample.labels["process"], sample.value)
        for sample in families["tornado_chat_sockets_opened"].samples
        if sample.labels["endpoint"] == "chat"
    }
    assert opened == {("1", 3.0), ("2", 4.0)}
    waits = families["tornado_chat_queue_wait_seconds"].samples
    counts = {sample.labels["process"]: sample.value for sample in waits if sample.name.endswith("_count")}
    assert counts == {"1": 0.0, "2": 1.0}

    def sample_keys(text: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {
            (sample.name, tuple(sorted((k, v) for k, v in sample.labels.items() if k != "process")))
            for sample in found
            if sample.labels.get("process", "2") == "2"
        }

    assert sample_keys(text) == sample_keys(two.text().decode())  # no sample is left out

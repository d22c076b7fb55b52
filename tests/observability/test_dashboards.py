"""Tests that the dashboard and the alert rules are valid PromQL and use existing metrics and labels."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tornado_chat.observability.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "etc" / "grafana" / "tornado-chat.json"
RULES = ROOT / "etc" / "prometheus" / "tornado-chat.rules.yml"
SCRAPE = ROOT / "etc" / "prometheus" / "scrape.yml"

COMMON_LABELS = {"job", "instance", "le"}
"""Labels that every series may have."""


def labels_by_series() -> dict[str, set[str]]:
    """Return the labels of every series by its name."""
    series = {"up": set(COMMON_LABELS)}
    for family in Metrics().registry.collect():
        labels = COMMON_LABELS | set(getattr(family, "_labelnames", ()))
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}
        for suffix in suffixes.get(family.type, [""]):
            series[family.name + suffix] = labels
    series["tornado_chat_build_info"] = COMMON_LABELS | {"version", "python"}
    return series


SERIES = labels_by_series()


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[Any]:
    for panel in panels():
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"panel {panel['title']} {target['refId']}")
    for rule in rules():
        yield pytest.param(rule["expr"], id=rule["alert"])


def subexpressions(expression: Any) -> Iterator[Any]:
    """Yield the expression and all its parts."""
    yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        part = getattr(expression, name, None)
        if part is not None:
            yield from subexpressions(part)
    for part in getattr(expression, "args", None) or ():
        yield from subexpressions(part)


@pytest.mark.parametrize("text", expressions())
def test_queries_use_existing_metrics_and_labels(text: str) -> None:
    parts = list(subexpressions(promql_parser.parse(text.replace("$__rate_interval", "5m"))))
    selectors = [part for part in parts if isinstance(part, promql_parser.VectorSelector)]
    assert selectors
    labels: set[str] = set()
    for selector in selectors:
        assert selector.name in SERIES, f"there is no metric {selector.name}"
        labels |= SERIES[selector.name]
        for matcher in selector.matchers.matchers:
            assert matcher.name in SERIES[selector.name], f"{selector.name} has no label {matcher.name}"
    for grouping in re.findall(r"\b(?:by|on|without) \(([a-z_, ]+)\)", text):
        assert set(grouping.replace(" ", "").split(",")) <= labels
    # `rate` and `increase` take counters, `deriv` takes gauges.
    for function, name in re.findall(r"\b(rate|increase|deriv)\((\w+)", text):
        is_counter = name.endswith(("_total", "_bucket", "_count", "_sum"))
        assert is_counter is (function != "deriv")


class TestDashboard:
    def test_the_dashboard_has_its_rows_and_each_panel_has_a_description(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
        assert rows == ["Now", "Delivery", "Queue", "Storage", "Plugins", "Process"]
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        assert all(panel["title"] and panel["description"] for panel in panels())

    def test_the_dashboard_can_be_imported_with_any_data_source(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "job", "instance"]
        for panel in panels():
            for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
                assert source == {"type": "prometheus", "uid": "${datasource}"}

    def test_no_panel_overlaps_another(self) -> None:
        positions = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
        for position in positions:
            assert position["x"] + position["w"] <= 24
        for one, other in combinations(positions, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or apart

    def test_every_metric_of_the_server_is_on_the_dashboard(self) -> None:
        shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
        names = [
            family.name for family in Metrics().registry.collect() if family.name.startswith("tornado_chat")
        ]
        assert [name for name in names if name not in shown] == []


class TestAlerts:
    def test_each_alert_has_a_severity_a_summary_and_a_description(self) -> None:
        names = [rule["alert"] for rule in rules()]
        assert len(names) == len(set(names))
        for rule in rules():
            assert re.fullmatch(r"TornadoChat[A-Za-z]+", rule["alert"])
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert "$labels." in rule["annotations"]["summary"]
            assert len(rule["annotations"]["description"].split()) > 15

    def test_the_scrape_sample_names_the_rules_and_the_job(self) -> None:
        sample = yaml.safe_load(SCRAPE.read_text())
        assert sample["rule_files"] == [RULES.name]
        assert [job["job_name"] for job in sample["scrape_configs"]] == ["tornado-chat"]

    def test_promtool_accepts_the_files_where_it_is_installed(self) -> None:
        promtool = shutil.which("promtool")
        commands = [
            ["check", "rules", str(RULES)],
            ["check", "config", str(SCRAPE)],
            ["test", "rules", str(ROOT / "tests" / "alerts.yml")],
        ]
        for command in commands if promtool else ():
            done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

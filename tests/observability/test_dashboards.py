"""The dashboard and the alerts speak of metrics and labels that exist, in PromQL that can be parsed."""

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

OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that every series may have."""


def known() -> dict[str, set[str]]:
    """Every series by name, with the labels it has."""
    series = {"up": set(OF_PROMETHEUS)}
    for family in Metrics().registry.collect():
        labels = OF_PROMETHEUS | set(getattr(family, "_labelnames", ()))
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}
        for suffix in suffixes.get(family.type, [""]):
            series[family.name + suffix] = labels
    series["tornado_chat_build_info"] = OF_PROMETHEUS | {"version", "python"}
    return series


SERIES = known()


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


def below(expression: Any) -> Iterator[Any]:
    """The expression and all its parts."""
    yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        part = getattr(expression, name, None)
        if part is not None:
            yield from below(part)
    for part in getattr(expression, "args", None) or ():
        yield from below(part)


@pytest.mark.parametrize("text", expressions())
def test_it_asks_for_what_there_is(text: str) -> None:
    parts = list(below(promql_parser.parse(text.replace("$__rate_interval", "5m"))))
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
    # Rates are of what only grows, quantiles of buckets.
    for function, name in re.findall(r"\b(rate|increase|deriv)\((\w+)", text):
        grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
        assert grows is (function != "deriv")


class TestDashboard:
    def test_each_row_has_panels_that_say_what_they_show(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
        assert rows == ["Now", "Delivery", "Queue", "Storage", "Plugins", "Process"]
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        assert all(panel["title"] and panel["description"] for panel in panels())

    def test_it_can_be_imported_to_any_data_source(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "job", "instance"]
        for panel in panels():
            for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
                assert source == {"type": "prometheus", "uid": "${datasource}"}

    def test_no_panel_covers_another(self) -> None:
        places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
        for place in places:
            assert place["x"] + place["w"] <= 24
        for one, other in combinations(places, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or apart

    def test_every_metric_of_ours_is_on_it(self) -> None:
        shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
        ours = [
            family.name for family in Metrics().registry.collect() if family.name.startswith("tornado_chat")
        ]
        assert [name for name in ours if name not in shown] == []


class TestAlerts:
    def test_each_says_what_is_wrong_and_what_to_do(self) -> None:
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

    def test_prometheus_itself_agrees_where_it_is_installed(self) -> None:
        promtool = shutil.which("promtool")
        commands = [
            ["check", "rules", str(RULES)],
            ["check", "config", str(SCRAPE)],
            ["test", "rules", str(ROOT / "tests" / "alerts.yml")],
        ]
        for command in commands if promtool else ():
            done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

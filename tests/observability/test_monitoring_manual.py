"""Tests that ``docs/monitoring.md`` agrees with the code and the alert rules."""

import json
import re
from pathlib import Path

import yaml

from tornado_chat.observability.metrics.reference_doc import fill_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "monitoring.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == fill_page(page), (
        "run: python -m tornado_chat.observability.metrics.reference_doc docs/monitoring.md"
    )


def test_the_page_has_all_alerts_with_their_severity() -> None:
    groups = yaml.safe_load((ROOT / "etc" / "prometheus" / "tornado-chat.rules.yml").read_text())["groups"]
    rules = {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
    documented = re.findall(r"^\| (TornadoChat\w+) \| .+ \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(documented) == rules
    assert len(documented) == len(rules)


def test_the_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"`(etc/[\w./-]+)`", PAGE.read_text()):
        assert (ROOT / name).is_file()
    assert json.loads((ROOT / "etc" / "grafana" / "tornado-chat.json").read_text())["title"] == "tornado-chat"

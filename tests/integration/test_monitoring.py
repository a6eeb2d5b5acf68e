"""deploy/monitoring/: Prometheus accepts it, and it uses only metrics that the service has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.gunicorn_server import ROOT
from support.prometheus_server import running_prometheus

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "menagerie.json").read_text())
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
RECORDED = [rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("promtool"):
        pytest.skip("no promtool here: install Debian's package prometheus")
    return subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", ["check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"]
)
def test_promtool_accepts_configuration_and_rules(arguments: str) -> None:
    """And the rules' own tests pass."""
    check = promtool(*arguments.split())
    assert check.returncode == 0, check.stdout + check.stderr


def queries() -> Iterator[str]:
    """Every query of the dashboard, for one job and all models."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
    for expression in expressions:
        yield expression.replace("$job", "menagerie").replace("$model", ".*").replace("$__rate_interval", "1m")


def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """Prometheus evaluates each of them."""
    with running_prometheus(tmp_path) as prometheus:
        for query in queries():
            prometheus.query(query)


def metrics_in(expression: str) -> set[str]:
    """The metrics in an expression, as docs/operations.md lists them."""
    metrics = re.findall(r"\b(?:\w+:)?menagerie_\w+(?::\w+)?", expression)
    return {re.sub(r"_bucket$", "", name) for name in metrics}


def expressions() -> Iterator[str]:
    yield from queries()
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_every_metric_in_use_exists() -> None:
    """Each is a recording rule or documented; another test compares the documentation with the service."""
    documented = set(re.findall(r"`(menagerie_\w+)`", OPERATIONS))
    for expression in expressions():
        assert metrics_in(expression) <= documented | set(RECORDED), expression


def test_queries_about_versions_are_of_the_chosen_models() -> None:
    """And keep models apart, unless they ask for the worst of them; so do the alerts."""
    tables = re.findall(r"^\| `(menagerie_\w+)` \| \w+ \|(.*?)\|", OPERATIONS, re.MULTILINE)
    of_models = {name for name, labels in tables if "`model`" in labels}
    assert len(of_models) > 15
    for query in queries():
        if metrics_in(query) & of_models:
            assert 'model=~".*"' in query
    for expression in expressions():
        names = re.findall(r"by \(([\w, ]+)\)", expression)
        if metrics_in(expression) & of_models and any("version" in labels for labels in names):
            assert all("model" in labels for labels in names), expression


def test_panels_do_not_overlap() -> None:
    """The grid is 24 wide; each cell has one panel at most, each panel an id of its own."""
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid: dict[str, Any] = panel["gridPos"]
        own = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not cells & own, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_has_a_severity_and_a_summary() -> None:
    """The severity says whether to wake somebody."""
    for group in RULES["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in {"page", "ticket"}
                assert rule["annotations"]["summary"]

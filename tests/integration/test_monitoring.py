"""What deploy/monitoring/ holds is right: by Prometheus's own checks, and by what the service really tells."""

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
from support.prometheus_server import scraping

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
def test_prometheus_takes_it(arguments: str) -> None:
    """Promtool finds no fault with the configuration and the rules, and the rules' own tests pass."""
    done = promtool(*arguments.split())
    assert done.returncode == 0, done.stdout + done.stderr


def queries() -> Iterator[str]:
    """Every query of the dashboard, as it is asked for one job."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    found += [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    for query in found:
        yield query.replace("$job", "menagerie").replace("$__rate_interval", "1m")


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    """Each query is one."""
    with scraping(tmp_path) as prometheus:
        for query in queries():
            prometheus.ask(query)


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for, as docs/operations.md lists them."""
    found = set(re.findall(r"\b(?:\w+:)?menagerie_\w+(?::\w+)?", expression))
    return {re.sub(r"_bucket$", "", name) for name in found}


def expressions() -> Iterator[str]:
    yield from queries()
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_what_is_asked_for_is_told() -> None:
    """Every metric is one that is recorded or documented, and so, by another test, one that the service tells."""
    documented = set(re.findall(r"`(menagerie_\w+)`", OPERATIONS))
    for expression in expressions():
        assert names(expression) <= documented | set(RECORDED), expression


def test_no_two_panels_lie_on_each_other() -> None:
    """The grid is 24 wide; each cell has one panel at most, each panel an id of its own."""
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & own, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_whom_to_wake_and_why() -> None:
    """Severity and a summary."""
    for group in RULES["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in {"page", "ticket"}
                assert rule["annotations"]["summary"]

"""Prometheus (Debian's package) in a process of its own, so that tests see what an operator sees."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from support.gunicorn_server import free_port
from support.waiting import await_true


class Prometheus:
    """A running Prometheus; ``targets`` is the file of its targets."""

    def __init__(self, url: str, targets: Path) -> None:
        self.url = url
        self._targets = targets

    def scrape(self, ports: dict[str, list[int]]) -> None:
        """From now on scrape these ports, by job."""
        targets = [
            {"targets": [f"127.0.0.1:{port}" for port in of_job], "labels": {"job": job}}
            for job, of_job in ports.items()
        ]
        draft = self._targets.with_suffix(".new")
        draft.write_text(json.dumps(targets))
        draft.replace(self._targets)

    def query(self, query: str) -> list[dict[str, Any]]:
        """The result of a query: ``metric``, the labels, and ``value``, a timestamp and a number as a string.

        Raises:
            AssertionError: the query is invalid.
        """
        response = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        assert response["status"] == "success", response
        result: list[dict[str, Any]] = response["data"]["result"]
        return result


@contextmanager
def running_prometheus(folder: Path, *, rules: str = "", key: str = "") -> Iterator[Prometheus]:
    """A Prometheus that scrapes every second, with a file of ``rules`` and an API ``key`` if there are any."""
    binary = shutil.which("prometheus")
    if not binary:
        pytest.skip("no Prometheus here: install Debian's package")
    job = {
        "job_name": "menagerie",
        "file_sd_configs": [{"files": [f"{folder}/targets.json"], "refresh_interval": "1s"}],
    }
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules] if rules else [],
        "scrape_configs": [job | ({"authorization": {"credentials": key}} if key else {})],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML
    listen = f"127.0.0.1:{free_port()}"
    command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with subprocess.Popen([*command, f"--web.listen-address={listen}", "--log.level=error"]) as process:
        try:
            await_true(lambda: _is_ready(f"http://{listen}/-/ready"))
            yield Prometheus(f"http://{listen}", folder / "targets.json")
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False

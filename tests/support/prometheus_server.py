"""Debian's Prometheus, a process of its own: what it scrapes is what an operator sees."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from support.gunicorn_server import free_port


class Prometheus:
    """A running one. Its ``targets`` are there to be changed."""

    def __init__(self, url: str, targets: Path) -> None:
        self.url = url
        self._targets = targets

    def watch(self, ports: dict[str, list[int]]) -> None:
        """Scrape what listens on these ports from now on, by job."""
        told = [
            {"targets": [f"127.0.0.1:{port}" for port in there], "labels": {"job": job}} for job, there in ports.items()
        ]
        written = self._targets.with_suffix(".new")
        written.write_text(json.dumps(told))
        written.replace(self._targets)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What a query finds: ``metric``, the labels, and ``value``, a moment and a number as a string.

        Raises:
            AssertionError: it is no query.
        """
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextmanager
def scraping(folder: Path, *, rules: str = "", key: str = "") -> Iterator[Prometheus]:
    """Prometheus, which looks every second; with a file of rules and an API key if there are any."""
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


def await_true(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Return once it holds.

    Raises:
        AssertionError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""Replicas that share a store: the versions that a client sees while the store changes."""

import time
from itertools import cycle
from pathlib import Path

import requests
from support.gunicorn_server import Server, serving
from support.handmade_bundles import Network, publish

from models.bundle import CURRENT

ROW = [0.5, -1, 2]


def versions_until(wanted: str, replicas: list[Server], seconds: float = 60) -> dict[int, list[str]]:
    """The versions in each replica's responses, in turn, until each has named ``wanted`` twenty times."""
    versions_seen: dict[int, list[str]] = {replica.port: [] for replica in replicas}
    deadline = time.monotonic() + seconds
    for replica in cycle(replicas):
        response = requests.post(f"{replica.url}/predict", json={"features": ROW}, timeout=10).json()
        versions_seen[replica.port].append(response["model"]["version"])
        if all(versions.count(wanted) >= 20 for versions in versions_seen.values()):
            return versions_seen
        assert time.monotonic() < deadline, versions_seen
    raise AssertionError


def test_replicas_switch_versions_once(tmp_path: Path) -> None:
    """Forwards and back; a client sees both versions only until the last replica has switched."""
    publish(tmp_path, Network.random((3, 4, 2), seed=1))
    model_dir = tmp_path / "handmade"
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODEL_NAME": "handmade"}
    settings |= {"MENAGERIE_POLL_SECONDS": "0.2", "WEB_CONCURRENCY": "1"}
    with serving(**settings) as one, serving(**settings) as other:
        replicas = [one, other]
        versions_until("1", replicas)
        publish(tmp_path, Network.random((3, 4, 2), seed=2))
        assert all(seen == sorted(seen) for seen in versions_until("2", replicas).values())
        (model_dir / CURRENT).write_text("1")
        assert all(seen == sorted(seen, reverse=True) for seen in versions_until("1", replicas).values())

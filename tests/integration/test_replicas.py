"""Replicas that follow one store: which version a caller is told while they change it."""

import time
from itertools import cycle
from pathlib import Path

import requests
from support.gunicorn_server import Server, serving
from support.handmade_bundles import Network, publish

from models.bundle import CURRENT

ROW = [0.5, -1, 2]


def versions_until(wanted: str, replicas: list[Server], seconds: float = 60) -> dict[int, list[str]]:
    """What each replica told, asked in turn by one caller, until each has told ``wanted`` twenty times."""
    told: dict[int, list[str]] = {replica.port: [] for replica in replicas}
    deadline = time.monotonic() + seconds
    for replica in cycle(replicas):
        answer = requests.post(f"{replica.url}/predict", json={"features": ROW}, timeout=10).json()
        told[replica.port].append(answer["model"]["version"])
        if all(versions.count(wanted) >= 20 for versions in told.values()):
            return told
        assert time.monotonic() < deadline, told
    raise AssertionError


def test_no_replica_goes_back(tmp_path: Path) -> None:
    """Each takes a version over once, forwards and back; a caller sees both only until the last one has done so."""
    publish(tmp_path, Network.random((3, 4, 2), seed=1))
    home = tmp_path / "handmade"
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODEL_NAME": "handmade"}
    settings |= {"MENAGERIE_POLL_SECONDS": "0.2", "WEB_CONCURRENCY": "1"}
    with serving(**settings) as one, serving(**settings) as other:
        replicas = [one, other]
        versions_until("1", replicas)
        publish(tmp_path, Network.random((3, 4, 2), seed=2))
        assert all(told == sorted(told) for told in versions_until("2", replicas).values())
        (home / CURRENT).write_text("1")
        assert all(told == sorted(told, reverse=True) for told in versions_until("1", replicas).values())

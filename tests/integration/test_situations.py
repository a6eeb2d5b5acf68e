"""Every fault in the table of docs/operations.md, brought about for real: its alert fires, and no other."""

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from support import sampled_animals
from support.gunicorn_server import ROOT, Server, kill, serving, workers
from support.handmade_bundles import Network, publish
from support.known_animals import KNOWN
from support.prometheus_server import Prometheus, running_prometheus
from support.waiting import await_true

from models import bundle
from service.settings import SHIPPED_STORE

RULES = ROOT / "deploy" / "monitoring" / "rules.yml"
KEY = "of the scrape"
ROW = {"features": KNOWN["dog"]}
PAUSE = 0.1  # seconds between two calls of a repeated action


class Scene:
    """What a fault consists of: services whose ports are scraped, and actions that are repeated until the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.servers: list[Server] = []
        self.actions: list[Callable[[], object]] = []

    def serve(self, **settings: str) -> Server:
        """A service with one worker, unless ``settings`` say otherwise."""
        server = self.stack.enter_context(serving(**{"WEB_CONCURRENCY": "1"} | settings))
        self.servers.append(server)
        return server

    def terminate(self) -> None:
        """Tell all services to end; each takes more than a second, so it is done for all scenes at once."""
        for server in self.servers:
            server.process.terminate()

    def post(self, server: Server, path: str, body: Any, **options: Any) -> None:
        """Repeat a POST until the end."""
        self.actions.append(lambda: requests.post(server.url + path, json=body, timeout=30, **options))

    def store(self) -> Path:
        """A copy of the shipped store, to change."""
        shutil.copytree(SHIPPED_STORE, self.folder / "store")
        return self.folder / "store"


def healthy(scene: Scene) -> None:
    """No fault: rows like the training rows."""
    server = scene.serve(MENAGERIE_DRIFT_ROWS="1000")
    rows = sampled_animals.unshifted(2_000, seed=7).rows
    seeds = iter(range(1_000))
    scene.actions.append(
        lambda: requests.post(
            f"{server.url}/predict",
            json={"instances": rows[(at := next(seeds) % 20 * 100) : at + 100].tolist()},
            timeout=30,
        )
    )


def down(scene: Scene) -> None:
    """The whole service is killed."""
    kill(scene.serve())


def errors(scene: Scene) -> None:
    """The network overflows on some inputs; none of its golden rows is one."""
    network = Network(
        [np.array([[1e20, 0.0]]), np.array([[1e30], [0.0]])],
        [np.array([-2.999e20]), np.array([0.0, 0.0])],
        ["relu", "softmax"],
    )
    publish(scene.folder, network)
    server = scene.serve(MENAGERIE_MODEL_STORE=str(scene.folder), MENAGERIE_MODEL_NAME="handmade")
    scene.post(server, "/predict", {"features": [3.0, 0.0]})


def overloaded(scene: Scene) -> None:
    """More explanations than the threads and their queue take."""
    server = scene.serve(MENAGERIE_THREADS="1", MENAGERIE_MAX_CONCURRENCY="1")
    for _ in range(4):
        scene.post(server, "/explain", ROW)


def connections_exhausted(scene: Scene) -> None:
    """Idle clients hold every connection."""
    server = scene.serve(MENAGERIE_MAX_CONNECTIONS="4")

    def connect() -> None:
        with ExitStack() as stack:
            for _ in range(8):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.5)

    scene.actions.append(connect)


def slow(scene: Scene) -> None:
    """Batches that take a long time."""
    server = scene.serve(MENAGERIE_MAX_ROWS="100000", MENAGERIE_MAX_BODY_BYTES="100000000")
    scene.post(
        server, "/predict", {"instances": np.tile(sampled_animals.unshifted(1_000, seed=8).rows, (60, 1)).tolist()}
    )


def workers_killed(scene: Scene) -> None:
    """Workers are killed, as by a kernel that is out of memory."""
    server = scene.serve(WEB_CONCURRENCY="2")

    def kill_one() -> None:
        os.kill(workers(server)[0], signal.SIGKILL)
        time.sleep(1.5)

    scene.actions.append(kill_one)


def stuck_draining(scene: Scene) -> None:
    """The service has been told to exit, and does not."""
    server = scene.serve(MENAGERIE_DRAIN_SECONDS="20")
    scene.stack.callback(kill, server)
    server.process.terminate()
    await_true(lambda: requests.get(f"{server.url}/readyz", timeout=5).status_code == 503)


def model_refused(scene: Scene) -> None:
    """A file of a new version in the store is truncated."""
    store = scene.store()
    scene.serve(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_POLL_SECONDS="0.5")
    new = store / "animals" / "2"
    shutil.copytree(store / "animals" / "1", new)
    (new / bundle.MODEL_LITERT).write_bytes((new / bundle.MODEL_LITERT).read_bytes()[:-1])


def versions_differ(scene: Scene) -> None:
    """One instance serves the new version, another is pinned to the old."""
    store = scene.store()
    manifest = json.loads((store / "animals" / "1" / bundle.MANIFEST).read_text())
    shutil.copytree(store / "animals" / "1", store / "animals" / "2")
    (store / "animals" / "2" / bundle.MANIFEST).write_text(json.dumps(manifest | {"version": 2}))
    scene.serve(MENAGERIE_MODEL_STORE=str(store))
    scene.serve(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_VERSION="1")


def bad_input(scene: Scene) -> None:
    """A client sends words instead of numbers."""
    server = scene.serve()
    scene.post(server, "/predict", {"features": ["heavy"] * 8})


def unauthorized(scene: Scene) -> None:
    """A client uses a key that was replaced."""
    server = scene.serve(MENAGERIE_API_KEYS=sha256(KEY.encode()).hexdigest())
    scene.post(server, "/predict", ROW, headers={"X-API-Key": "the old one"})


def drifting(scene: Scene) -> None:
    """Nothing but llamas."""
    server = scene.serve(MENAGERIE_DRIFT_ROWS="1000")
    scene.post(server, "/predict", {"instances": sampled_animals.llamas(200, seed=9).tolist()})


EXPECTED: dict[Callable[[Scene], None], set[str]] = {
    healthy: set(),
    down: {"MenagerieDown"},
    errors: {"MenagerieErrors"},
    overloaded: {"MenagerieOverloaded"},
    connections_exhausted: {"MenagerieOverloaded"},
    slow: {"MenagerieSlow"},
    workers_killed: {"MenagerieWorkersDie"},
    model_refused: {"MenagerieModelRefused"},
    versions_differ: {"MenagerieVersionsDiffer"},
    bad_input: {"MenagerieBadInput"},
    unauthorized: {"MenagerieUnauthorized"},
    drifting: {"MenagerieDrift"},
    stuck_draining: {"MenagerieStuckDraining"},  # the last to start, because it ends after 20 s
}
_BUSY_MACHINE = {"MenagerieSaturated", "MenagerieSlow"}  # may fire anywhere if this machine is overloaded


def _repeat(action: Callable[[], object], ended: threading.Event) -> None:
    while not ended.wait(PAUSE):
        try:
            action()
        except requests.RequestException:  # the server is being killed
            continue


@pytest.fixture
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One Prometheus that scrapes all situations at the same time, each as a job of its own."""
    with ExitStack() as stack:
        rules = tmp_path_factory.mktemp("rules") / "rules.yml"
        rules.write_text(RULES.read_text().replace('up{job="menagerie"}', "up"))
        prometheus = stack.enter_context(
            running_prometheus(tmp_path_factory.mktemp("prometheus"), rules=str(rules), key=KEY)
        )
        scenes = {situation: Scene(tmp_path_factory.mktemp(situation.__name__), stack) for situation in EXPECTED}
        ended = threading.Event()
        pool = stack.enter_context(ThreadPoolExecutor(32))
        for situation, scene in scenes.items():
            situation(scene)
        for scene in scenes.values():
            stack.callback(scene.terminate)
        stack.callback(ended.set)
        prometheus.scrape(
            {situation.__name__: [each.port for each in scene.servers] for situation, scene in scenes.items()}
        )
        for action in [action for scene in scenes.values() for action in scene.actions]:
            pool.submit(_repeat, action, ended)
        yield prometheus


def alerts(prometheus: Prometheus, job: str) -> set[str]:
    """The alerts of a job, pending ones among them."""
    return {result["metric"]["alertname"] for result in prometheus.query(f'ALERTS{{job="{job}"}}')}


def _has_alerts(prometheus: Prometheus, job: str, expected: set[str]) -> bool:
    return expected <= alerts(prometheus, job)


@pytest.mark.alone  # a dozen services, some of them with much to do
def test_each_fault_raises_its_alert_and_no_other(prometheus: Prometheus) -> None:
    """Within seconds the condition of its alert is true, and no other's; without a fault, none is."""
    for situation, alert in reversed(EXPECTED.items()):
        await_true(partial(_has_alerts, prometheus, situation.__name__, alert))
    assert prometheus.query('menagerie_drift_rows{job="healthy"}')[0]["value"][1] != "0"
    raised = {situation.__name__: alerts(prometheus, situation.__name__) - _BUSY_MACHINE for situation in EXPECTED}
    raised["stuck_draining"] -= {"MenagerieDown"}  # once its 20 s are over
    raised["stuck_draining"] |= EXPECTED[stuck_draining]  # which was there before
    assert raised == {situation.__name__: alert - _BUSY_MACHINE for situation, alert in EXPECTED.items()}


def test_every_alert_is_documented() -> None:
    """The table of docs/operations.md names the alerts that this module raises; its text names all of them."""
    documented = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"alert: (\w+)", RULES.read_text())) == set(re.findall(r"`(Menagerie\w+)`", documented))
    in_table = {
        alert
        for line in documented.splitlines()
        if re.match(r"\| \d+\. ", line)
        for alert in re.findall(r"`(Menagerie\w+)`", line)
    }
    assert set().union(*EXPECTED.values()) <= in_table

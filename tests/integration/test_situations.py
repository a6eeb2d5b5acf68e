"""What docs/operations.md lists as broken is broken here for real: the alert that it names comes, and no other."""

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
from support.gunicorn_server import ROOT, Server, serving, workers
from support.handmade_bundles import Network, publish
from support.known_animals import KNOWN
from support.prometheus_server import Prometheus, await_true, scraping

from models import bundle
from service.settings import SHIPPED_STORE

RULES = ROOT / "deploy" / "monitoring" / "rules.yml"
KEY = "of the scrape"
ROW = {"features": KNOWN["dog"]}
PAUSE = 0.1  # seconds between two acts of one that goes on


class Scene:
    """Where a situation is brought about, in a folder of its own: what listens there is looked at."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.ports: list[int] = []
        self.acts: list[Callable[[], object]] = []

    def serve(self, **settings: str) -> Server:
        """A service of one worker, unless told otherwise."""
        server = self.stack.enter_context(serving(**{"WEB_CONCURRENCY": "1"} | settings))
        self.ports.append(server.port)
        return server

    def ask(self, server: Server, path: str, body: Any, **more: Any) -> None:
        """Ask that again and again, until the end."""
        self.acts.append(lambda: requests.post(server.url + path, json=body, timeout=30, **more))

    def store(self) -> Path:
        """The shipped model, to be changed."""
        shutil.copytree(SHIPPED_STORE, self.folder / "store")
        return self.folder / "store"


def well(scene: Scene) -> None:
    """Nothing is the matter: animals like those of the training rows, and now and then a mistake."""
    server = scene.serve(MENAGERIE_DRIFT_ROWS="1000")
    rows = sampled_animals.unshifted(2_000, seed=7).rows
    seeds = iter(range(1_000))
    scene.acts.append(
        lambda: requests.post(
            f"{server.url}/predict",
            json={"instances": rows[(at := next(seeds) % 20 * 100) : at + 100].tolist()},
            timeout=30,
        )
    )


def down(scene: Scene) -> None:
    """The whole service is killed."""
    server = scene.serve()
    for pid in [server.process.pid, *workers(server)]:
        os.kill(pid, signal.SIGKILL)


def errors(scene: Scene) -> None:
    """The network overflows on some inputs; none of its golden rows is one."""
    network = Network(
        [np.array([[1e20, 0.0]]), np.array([[1e30], [0.0]])],
        [np.array([-2.999e20]), np.array([0.0, 0.0])],
        ["relu", "softmax"],
    )
    publish(scene.folder, network)
    server = scene.serve(MENAGERIE_MODEL_STORE=str(scene.folder), MENAGERIE_MODEL_NAME="handmade")
    scene.ask(server, "/predict", {"features": [3.0, 0.0]})


def overloaded(scene: Scene) -> None:
    """More explanations than are taken on."""
    server = scene.serve(MENAGERIE_THREADS="1", MENAGERIE_MAX_CONCURRENCY="1")
    for _ in range(4):
        scene.ask(server, "/explain", ROW)


def crowded(scene: Scene) -> None:
    """Every connection is taken by somebody who is about to ask."""
    server = scene.serve(MENAGERIE_MAX_CONNECTIONS="4")

    def come() -> None:
        with ExitStack() as stack:
            for _ in range(8):
                caller = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                caller.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.5)

    scene.acts.append(come)


def slow(scene: Scene) -> None:
    """Batches that take long."""
    server = scene.serve(MENAGERIE_MAX_ROWS="100000", MENAGERIE_MAX_BODY_BYTES="100000000")
    scene.ask(
        server, "/predict", {"instances": np.tile(sampled_animals.unshifted(1_000, seed=8).rows, (60, 1)).tolist()}
    )


def dying(scene: Scene) -> None:
    """Workers are killed, as a kernel does that wants memory back."""
    server = scene.serve(WEB_CONCURRENCY="2")

    def kill() -> None:
        os.kill(workers(server)[0], signal.SIGKILL)
        time.sleep(1.5)

    scene.acts.append(kill)


def stuck(scene: Scene) -> None:
    """About to end, and not let."""
    server = scene.serve(MENAGERIE_DRAIN_SECONDS="20")
    server.process.terminate()
    await_true(lambda: requests.get(f"{server.url}/readyz", timeout=5).status_code == 503)


def refused(scene: Scene) -> None:
    """A new version lies in the store of which a file is short."""
    store = scene.store()
    scene.serve(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_POLL_SECONDS="0.5")
    new = store / "animals" / "2"
    shutil.copytree(store / "animals" / "1", new)
    (new / bundle.MODEL_LITERT).write_bytes((new / bundle.MODEL_LITERT).read_bytes()[:-1])


def differing(scene: Scene) -> None:
    """One instance has the new version, the other is pinned to the old."""
    store = scene.store()
    manifest = json.loads((store / "animals" / "1" / bundle.MANIFEST).read_text())
    shutil.copytree(store / "animals" / "1", store / "animals" / "2")
    (store / "animals" / "2" / bundle.MANIFEST).write_text(json.dumps(manifest | {"version": 2}))
    scene.serve(MENAGERIE_MODEL_STORE=str(store))
    scene.serve(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_VERSION="1")


def misunderstood(scene: Scene) -> None:
    """A caller sends words for numbers."""
    server = scene.serve()
    scene.ask(server, "/predict", {"features": ["heavy"] * 8})


def locked_out(scene: Scene) -> None:
    """A caller has a key that was replaced."""
    server = scene.serve(MENAGERIE_API_KEYS=sha256(KEY.encode()).hexdigest())
    scene.ask(server, "/predict", ROW, headers={"X-API-Key": "the old one"})


def drifting(scene: Scene) -> None:
    """Nothing but llamas."""
    server = scene.serve(MENAGERIE_DRIFT_ROWS="1000")
    scene.ask(server, "/predict", {"instances": sampled_animals.llamas(200, seed=9).tolist()})


EXPECTED: dict[Callable[[Scene], None], set[str]] = {
    well: set(),
    down: {"MenagerieDown"},
    errors: {"MenagerieErrors"},
    overloaded: {"MenagerieOverloaded"},
    crowded: {"MenagerieOverloaded"},
    slow: {"MenagerieSlow"},
    dying: {"MenagerieWorkersDie"},
    stuck: {"MenagerieStuckDraining"},
    refused: {"MenagerieModelRefused"},
    differing: {"MenagerieVersionsDiffer"},
    misunderstood: {"MenagerieBadInput"},
    locked_out: {"MenagerieUnauthorized"},
    drifting: {"MenagerieDrift"},
}
_MINE = {"MenagerieSaturated", "MenagerieSlow"}  # may come wherever this machine has too much to do


def _go_on(act: Callable[[], object], ended: threading.Event) -> None:
    while not ended.wait(PAUSE):
        try:
            act()
        except requests.RequestException:  # whoever was asked is being killed
            continue


@pytest.fixture
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One Prometheus that looks at all of them at once, each a job of its own."""
    with ExitStack() as stack:
        rules = tmp_path_factory.mktemp("rules") / "rules.yml"
        rules.write_text(RULES.read_text().replace('up{job="menagerie"}', "up"))
        seen = stack.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), rules=str(rules), key=KEY))
        scenes = {situation: Scene(tmp_path_factory.mktemp(situation.__name__), stack) for situation in EXPECTED}
        ended = threading.Event()
        pool = stack.enter_context(ThreadPoolExecutor(32))
        stack.callback(ended.set)
        for situation, scene in scenes.items():
            situation(scene)
        seen.watch({situation.__name__: scene.ports for situation, scene in scenes.items()})
        for act in [act for scene in scenes.values() for act in scene.acts]:
            pool.submit(_go_on, act, ended)
        yield seen


def alerts(seen: Prometheus, job: str) -> set[str]:
    """What is wrong with a job by the rules, whether it has been for as long as they want or not."""
    return {found["metric"]["alertname"] for found in seen.ask(f'ALERTS{{job="{job}"}}')}


def _has_come(seen: Prometheus, job: str, alert: set[str]) -> bool:
    return alert <= alerts(seen, job)


@pytest.mark.alone  # a dozen services, some of them with much to do
def test_each_brings_its_alert_and_no_other(seen: Prometheus) -> None:
    """Within seconds the expression of its alert holds, and no other's; where nothing is the matter, none's."""
    for situation, alert in EXPECTED.items():
        await_true(partial(_has_come, seen, situation.__name__, alert))
    assert seen.ask('menagerie_drift_rows{job="well"}')[0]["value"][1] != "0"
    found = {situation.__name__: alerts(seen, situation.__name__) - _MINE for situation in EXPECTED}
    assert found == {situation.__name__: alert - _MINE for situation, alert in EXPECTED.items()}


def test_each_is_in_the_documentation() -> None:
    """The table of docs/operations.md names the alerts that were brought about; its text names all that there are."""
    documented = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"alert: (\w+)", RULES.read_text())) == set(re.findall(r"`(Menagerie\w+)`", documented))
    told = {
        found
        for line in documented.splitlines()
        if re.match(r"\| \d+\. ", line)
        for found in re.findall(r"`(Menagerie\w+)`", line)
    }
    assert set().union(*EXPECTED.values()) <= told

"""Versions come and go under load, in real workers: no request is lost, and none gets another version's numbers."""

import json
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from support.gunicorn_server import Server, await_ready, await_workers, serving, workers
from support.handmade_bundles import Network, publish
from support.waiting import await_version

from models.bundle import CURRENT, MODEL_LITERT

ROW = [0.5, -1, 2]


def network(version: int) -> Network:
    return Network.random((3, 4, 2), seed=version)


def expected_probabilities(version: str) -> list[float]:
    (row,) = network(int(version)).outputs([ROW])["probabilities"].tolist()  # type: ignore[arg-type]
    return list(row)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path, network(1))
    return tmp_path / "handmade"


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    settings = {"MENAGERIE_MODEL_STORE": str(home.parent), "MENAGERIE_MODEL_NAME": home.name}
    with serving(MENAGERIE_POLL_SECONDS="0.2", WEB_CONCURRENCY="2", **settings) as ready:
        yield ready


class Clients:
    """Eight clients send without pause, in three protocols, and check that numbers and version belong together."""

    def __init__(self, server: Server) -> None:
        self._url = server.url
        self.seen: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(8)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}
        exchanges: list[tuple[str, Any, Callable[[Any], tuple[str, list[float]]]]] = [
            ("/predict", {"features": ROW}, lambda a: (a["model"]["version"], list(a["probabilities"].values()))),
            (
                "/predict",
                {"instances": [ROW] * 500},
                lambda a: (a["model"]["version"], list(a["predictions"][499]["probabilities"].values())),
            ),
            (
                "/v2/models/handmade/infer",
                {"inputs": [tensor]},
                lambda a: (a["model_version"], a["outputs"][0]["data"]),
            ),
        ]
        with requests.Session() as session:
            while not self._stop.is_set():
                for path, document, read in exchanges:
                    try:
                        answer = session.post(
                            self._url + path,
                            data=json.dumps(document),
                            headers={"Content-Type": "application/json"},
                            timeout=30,
                        )
                        version, probabilities = read(answer.json())
                    except Exception as error:  # noqa: BLE001 (whatever it is, a request was lost)
                        self.wrong.append(error)
                        continue
                    if answer.status_code != 200 or probabilities != pytest.approx(
                        expected_probabilities(version), abs=1e-5
                    ):
                        self.wrong.append((answer.status_code, version, probabilities))
                    self.seen[version] += 1


def test_versions_change_without_a_lost_or_wrong_answer(home: Path, server: Server) -> None:
    """New and bad versions, one named by CURRENT, one removed: every response is correct for the version it names."""
    with Clients(server) as clients:
        publish(home.parent, network(2))
        await_version(server, "2")
        damaged = publish(home.parent / "aside", network(3), version=3).folder
        (damaged / MODEL_LITERT).write_bytes(b"TFL3")
        damaged.rename(home / "3")
        time.sleep(1)
        await_version(server, "2")
        publish(home.parent, network(4))
        await_version(server, "4")
        (home / CURRENT).write_text("1")
        await_version(server, "1")
        (home / CURRENT).unlink()
        await_version(server, "4")
        shutil.rmtree(home / "4")
        await_version(server, "2")
    assert clients.wrong == []
    assert set(clients.seen) == {"1", "2", "4"}
    assert sum(clients.seen.values()) > 500


def test_a_version_copied_slowly_is_taken_when_it_is_whole(home: Path, server: Server) -> None:
    """File by file, the manifest first: refused until the last file is there, then served."""
    made = publish(home.parent, network(2)).folder
    shutil.move(made, home.parent / "kept")
    made.mkdir()
    for name in ("manifest.json", "weights.json", "model.tflite"):
        time.sleep(0.5)
        shutil.copy(home.parent / "kept" / name, made / name)
    await_version(server, "2")


REPORTING_CONFIGURATION = """
import gc
from runpy import run_path

globals().update(run_path("service/gunicorn.conf.py"))
start = post_worker_init


def post_worker_init(worker):
    start(worker)
    worker.log.warning("garbage collection: %s", gc.isenabled())
"""


def test_workers_collect_garbage_also_after_sighup(tmp_path: Path) -> None:
    """The configuration, which is read again then, disables it only until all is loaded."""
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text(REPORTING_CONFIGURATION)
    with serving("--config", str(configuration), WEB_CONCURRENCY="1") as server:
        first = workers(server)
        server.process.send_signal(signal.SIGHUP)
        await_workers(server, lambda now: len(now) == 1 and now != first)
        await_ready(server)
        server.process.terminate()
        stderr = server.process.communicate(timeout=60)[1]
    assert re.findall("garbage collection: (True|False)", stderr) == ["True", "True"]

"""MENAGERIE_ENGINE=keras serves model.keras itself: the workers load it, after the fork."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.closed_loop_clients import Load
from support.gunicorn_server import Server, await_workers, serving, workers
from support.known_animals import KNOWN

from models.bundle import MODEL_KERAS
from service.settings import SHIPPED_STORE

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model in a copy of the shipped store."""
    return Path(shutil.copytree(SHIPPED_STORE, tmp_path_factory.mktemp("keras") / "store")) / "animals"


@pytest.fixture(scope="module")
def keras(home: Path) -> Iterator[Server]:
    """One for all tests, as each start imports TensorFlow."""
    settings = {"MENAGERIE_ENGINE": "keras", "MENAGERIE_MODEL_STORE": str(home.parent), "MENAGERIE_DRAIN_SECONDS": "0"}
    settings |= {"MENAGERIE_POLL_SECONDS": "0.2", "MENAGERIE_LOG_RATE": "0", "WEB_CONCURRENCY": "1"}
    with serving(**settings) as ready:
        yield ready


def test_probabilities_are_those_of_litert(server: Server, keras: Server) -> None:
    """Within the precision of float32."""
    for animal in KNOWN.values():
        one, other = (
            requests.post(f"{url}/predict", json={"features": animal}, timeout=60).json()["probabilities"]
            for url in (server.url, keras.url)
        )
        assert one == pytest.approx(other, abs=1e-5)


def test_sighup_with_a_bad_model_changes_nothing(home: Path, keras: Server) -> None:
    """New workers load the newest good version; if none is good, the old workers stay. It ends the service."""
    with Load(keras.port, clients=2, pause=0.05) as load:
        shutil.copytree(home / "1", home / "2")
        (home / "2" / MODEL_KERAS).write_bytes(b"PK")
        first = workers(keras)
        keras.process.send_signal(signal.SIGHUP)
        await_workers(keras, lambda now: len(now) == 1 and now != first, seconds=180)
        health = requests.get(f"{keras.url}/health", timeout=180).json()
        assert (health["ready"], health["model"]["version"], list(health["refused"])) == (True, "1", ["2"])
    (home / "1" / MODEL_KERAS).write_bytes(b"PK")
    second = workers(keras)
    keras.process.send_signal(signal.SIGHUP)
    await_workers(keras, lambda now: len(now) == 2)  # the master tries to load in a child process
    await_workers(keras, lambda now: len(now) == 1, seconds=180)
    assert requests.get(f"{keras.url}/readyz", timeout=60).ok
    assert workers(keras) == second
    keras.process.terminate()
    stderr = keras.process.communicate(timeout=60)[1]
    assert re.search(
        "no new worker can start, keeping the old ones: .*model.keras does not match manifest.json", stderr
    )
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})

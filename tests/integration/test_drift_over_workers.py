"""Drift over real workers: they share one window for each version, which survives them."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from support import sampled_animals
from support.gunicorn_server import Server, serving, workers
from support.known_animals import KNOWN, NAMES, named
from support.waiting import await_everywhere

from service.app import api_keys
from service.arrays import Array
from service.settings import SHIPPED_STORE

ROWS = 500
WORKERS = 3


def get_drift(server: Server) -> dict[str, Any]:
    """The response of one of the workers."""
    drift: dict[str, Any] = requests.get(f"{server.url}/drift", timeout=10).json()
    return drift


def await_drift(server: Server, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The response once it meets the condition whichever worker gives it."""
    drift: dict[str, Any] = await_everywhere(partial(get_drift, server), condition)
    return drift


def predict_spread(server: Server, rows: Array) -> set[int]:
    """Send one row at a time, each on a connection of its own, so that every worker gets some; the statuses."""

    def predict(row: list[float]) -> int:
        return requests.post(f"{server.url}/predict", json={"features": row}, timeout=10).status_code

    with ThreadPoolExecutor(8) as clients:
        return set(clients.map(predict, rows.tolist()))


def predict_on_one_connection(server: Server, rows: Array) -> None:
    """Send one row at a time, all to the same worker."""
    with requests.Session() as session:
        for row in rows.tolist():
            assert session.post(f"{server.url}/predict", json={"features": row}, timeout=10).ok


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(WEB_CONCURRENCY=str(WORKERS), MENAGERIE_DRIFT_ROWS=str(ROWS)) as ready:
        yield ready


def test_each_shift_is_detected(server: Server) -> None:
    """One after the other, through all workers: no shift, llamas, twice the mass, Fahrenheit, no shift."""
    samples: list[tuple[Callable[[int, int], Array], int, list[str]]] = [
        (lambda count, seed: sampled_animals.unshifted(count, seed).rows, 200, []),
        (sampled_animals.llamas, 200, ["every feature"]),
        (sampled_animals.heavier, 200, ["body_mass_kg"]),
        (sampled_animals.in_fahrenheit, 422, ["body_temperature_c"]),
        (lambda count, seed: sampled_animals.unshifted(count, seed).rows, 200, []),
    ]
    for sample, status, shifted in samples:
        assert predict_spread(server, sample(ROWS + 100, 11)) == {status}
        expected = list(NAMES) if shifted == ["every feature"] else shifted
        drift = await_drift(server, partial(has_shifted, names=expected))
        assert ROWS * 0.9 <= drift["rows"] <= ROWS
        assert drift["verdict"] == ("shifted" if shifted else "alike")
        assert drift["labels"]["shifted"] == (shifted == ["every feature"])


def has_shifted(drift: dict[str, Any], names: list[str]) -> bool:
    """Whether these features have shifted, and no others."""
    return [name for name, feature in drift["features"].items() if feature["shifted"]] == names


def test_no_row_is_lost_or_counted_twice() -> None:
    """Every worker reports the same number, whichever of them got the rows; later rows of one worker replace them."""
    with serving(WEB_CONCURRENCY=str(WORKERS), MENAGERIE_DRIFT_ROWS="600") as server:
        assert predict_spread(server, sampled_animals.unshifted(301, 13).rows) == {200}
        requests.post(
            f"{server.url}/predict", json={"instances": sampled_animals.unshifted(200, 14).rows.tolist()}, timeout=10
        )
        requests.post(f"{server.url}/explain", json={"features": named(KNOWN["cat"])}, timeout=10)
        assert await_drift(server, lambda drift: drift["rows"] == 501)["labels"]["rows"] == 501
        predict_on_one_connection(server, sampled_animals.llamas(600, 12)[:600])
        drift = await_drift(server, lambda drift: drift["labels"]["shares"]["llama"]["now"] == 1)
        assert 540 <= drift["rows"] <= 600


def test_the_window_survives_its_workers() -> None:
    """Workers are killed under load, then replaced by SIGHUP: old rows stay, new rows are added, nothing blocks."""
    with serving(WEB_CONCURRENCY=str(WORKERS)) as server:
        predict_spread(server, sampled_animals.unshifted(300, 15).rows)
        await_drift(server, lambda drift: drift["rows"] == 300)
        with ThreadPoolExecutor(1) as client:
            sent = client.submit(_predict_with_retries, server, sampled_animals.unshifted(200, 16).rows)
            for pid in workers(server)[:2]:
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.2)
            sent.result()
        first = workers(server)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while set(first) & set(workers(server)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        before = get_drift(server)  # no rows are pending: the workers that had any have exited
        assert 300 <= before["rows"] <= 500
        assert predict_spread(server, sampled_animals.unshifted(10, 17).rows) == {200}
        assert await_drift(server, lambda drift: drift["rows"] == before["rows"] + 10)["verdict"] == "alike"


def test_each_version_has_a_window_of_its_own(tmp_path: Path) -> None:
    """A new version starts with an empty window; that of the old version is kept."""
    store = Path(shutil.copytree(SHIPPED_STORE, tmp_path / "store"))
    with serving(
        WEB_CONCURRENCY="2", MENAGERIE_MODEL_STORE=str(store), MENAGERIE_POLL_SECONDS="0.2", MENAGERIE_DRIFT_ROWS="200"
    ) as server:
        requests.post(
            f"{server.url}/predict", json={"instances": sampled_animals.llamas(200, 19)[:200].tolist()}, timeout=10
        )
        assert await_drift(server, lambda drift: drift["rows"] == 200)["verdict"] == "shifted"
        _publish(store / "animals", "2")
        fresh = await_drift(server, lambda drift: drift["model"]["version"] == "2")
        assert (fresh["rows"], fresh["verdict"], fresh["since"]) == (0, "unknown", None)
        rows = sampled_animals.unshifted(200, 20).rows.tolist()
        requests.post(f"{server.url}/predict", json={"instances": rows}, timeout=10)
        assert await_drift(server, lambda drift: drift["rows"] == 200)["verdict"] == "alike"
        old = {"instances": [list(map(float, rows[0]))]}
        requests.post(f"{server.url}/v1/models/animals/versions/1:predict", json=old, timeout=10)
        (store / "animals" / "CURRENT").write_text("1")
        back = await_drift(server, lambda drift: drift["model"]["version"] == "1")
        assert (back["rows"] >= 180, back["verdict"]) == (True, "shifted")


def test_drift_needs_a_key() -> None:
    """Where keys are set."""
    key, digest = api_keys.make()
    with serving(MENAGERIE_API_KEYS=digest) as server:
        assert requests.get(f"{server.url}/drift", timeout=10).status_code == 401
        response = requests.get(f"{server.url}/drift", headers={"X-API-Key": key}, timeout=10)
        assert (response.status_code, response.json()["verdict"]) == (200, "unknown")


def _predict_with_retries(server: Server, rows: Array) -> None:
    """Repeat each row until it gets a response, because workers are being killed."""
    for row in rows.tolist():
        while True:
            try:
                requests.post(f"{server.url}/predict", json={"features": row}, timeout=10).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.05)


def _publish(home: Path, version: str) -> None:
    """Publish the first version once more under another number."""
    draft = Path(shutil.copytree(home / "1", home.parent / f"draft-{version}"))
    manifest = json.loads((draft / "manifest.json").read_text())
    (draft / "manifest.json").write_text(json.dumps(manifest | {"version": int(version)}))
    draft.rename(home / version)

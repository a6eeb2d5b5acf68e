"""Drift as real workers count it: all of them as one, by version, whoever dies."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from support import sampled_animals
from support.gunicorn_server import Server, serving
from support.known_animals import KNOWN, named

from service.app import api_keys
from service.inference.validation import Array
from service.settings import SHIPPED_STORE

ROWS = 500
WORKERS = 3
HELD_SECONDS = 1.5  # by then a worker has added what it held


def told(server: Server) -> dict[str, Any]:
    """What one of the workers says."""
    found: dict[str, Any] = requests.get(f"{server.url}/drift", timeout=10).json()
    return found


def await_told(server: Server, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the workers say once ten new connections in a row, spread over them, are told what is wanted."""
    deadline, seen = time.monotonic() + 30, 0
    while True:
        found = told(server)
        seen = seen + 1 if wanted(found) else 0
        if seen == 10:
            return found
        assert time.monotonic() < deadline, found["says"]
        time.sleep(0.05)


def spread(server: Server, rows: Array) -> set[int]:
    """Ask one row at a time, each by a connection of its own, so that every worker gets some; the statuses."""

    def ask(row: list[float]) -> int:
        return requests.post(f"{server.url}/predict", json={"features": row}, timeout=10).status_code

    with ThreadPoolExecutor(8) as callers:
        return set(callers.map(ask, rows.tolist()))


def in_one_connection(server: Server, rows: Array) -> set[int]:
    """Ask one row at a time, all of the same worker."""
    with requests.Session() as session:
        asked = [session.post(f"{server.url}/predict", json={"features": row}, timeout=10) for row in rows.tolist()]
    return {answer.status_code for answer in asked}


def workers(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(WEB_CONCURRENCY=str(WORKERS), MENAGERIE_DRIFT_ROWS=str(ROWS)) as ready:
        yield ready


def test_each_world_is_told_from_the_training_rows(server: Server) -> None:
    """One after the other, through all workers: as in training, llamas, twice the mass, Fahrenheit, as in training."""
    worlds: list[tuple[Callable[[int, int], Array], int, list[str]]] = [
        (lambda count, seed: sampled_animals.unshifted(count, seed).rows, 200, []),
        (sampled_animals.llamas, 200, ["every feature"]),
        (sampled_animals.heavier, 200, ["body_mass_kg"]),
        (sampled_animals.in_fahrenheit, 422, ["body_temperature_c"]),
        (lambda count, seed: sampled_animals.unshifted(count, seed).rows, 200, []),
    ]
    for sample, status, shifted in worlds:
        assert spread(server, sample(ROWS + 100, 11)) == {status}
        time.sleep(HELD_SECONDS)
        found = await_told(server, lambda found: found["rows"] >= ROWS * 0.9)
        names = [name for name, feature in found["features"].items() if feature["shifted"]]
        assert names == (list(found["features"]) if shifted == ["every feature"] else shifted), found["says"]
        assert found["verdict"] == ("shifted" if shifted else "alike")
        assert found["labels"]["shifted"] == (shifted == ["every feature"])


def test_the_last_rows_are_those_that_were_asked_last(server: Server) -> None:
    """However unevenly: first all workers, then one alone, whose rows are all that there is."""
    spread(server, sampled_animals.unshifted(ROWS, 12).rows)
    time.sleep(HELD_SECONDS)
    in_one_connection(server, sampled_animals.llamas(ROWS, 12)[:ROWS])
    found = await_told(server, lambda found: found["labels"]["shares"]["llama"]["now"] == 1)
    assert ROWS * 0.9 <= found["rows"] <= ROWS


def test_no_row_is_lost_or_counted_twice() -> None:
    """Every worker says the same number, whichever of them got the rows, and however few they are."""
    with serving(WEB_CONCURRENCY=str(WORKERS)) as server:
        assert spread(server, sampled_animals.unshifted(301, 13).rows) == {200}
        requests.post(
            f"{server.url}/predict", json={"instances": sampled_animals.unshifted(200, 14).rows.tolist()}, timeout=10
        )
        requests.post(f"{server.url}/explain", json={"features": named(KNOWN["cat"])}, timeout=10)
        assert await_told(server, lambda found: found["rows"] == 501)["labels"]["rows"] == 501


def test_the_window_outlives_its_workers() -> None:
    """Killed under load, then replaced by SIGHUP: what was counted stays, what comes is counted, nobody waits."""
    with serving(WEB_CONCURRENCY=str(WORKERS)) as server:
        spread(server, sampled_animals.unshifted(300, 15).rows)
        await_told(server, lambda found: found["rows"] == 300)
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(_insist, server, sampled_animals.unshifted(200, 16).rows)
            for pid in workers(server)[:2]:
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.2)
            asked.result()
        time.sleep(HELD_SECONDS)
        before = await_told(server, lambda found: 300 <= found["rows"] <= 500)
        first = workers(server)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while set(first) & set(workers(server)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert spread(server, sampled_animals.unshifted(10, 17).rows) == {200}
        assert await_told(server, lambda found: found["rows"] == before["rows"] + 10)["verdict"] == "alike"


def test_a_new_version_begins_a_window_of_its_own(tmp_path: Path) -> None:
    """It is held against its own training rows, by what was asked of it alone; the old one's are kept."""
    store = Path(shutil.copytree(SHIPPED_STORE, tmp_path / "store"))
    with serving(
        WEB_CONCURRENCY="2", MENAGERIE_MODEL_STORE=str(store), MENAGERIE_POLL_SECONDS="0.2", MENAGERIE_DRIFT_ROWS="200"
    ) as server:
        requests.post(
            f"{server.url}/predict", json={"instances": sampled_animals.llamas(200, 19)[:200].tolist()}, timeout=10
        )
        assert await_told(server, lambda found: found["rows"] == 200)["verdict"] == "shifted"
        _publish(store / "animals", "2")
        fresh = await_told(server, lambda found: found["model"]["version"] == "2")
        assert (fresh["rows"], fresh["verdict"], fresh["since"]) == (0, "unknown", None)
        rows = sampled_animals.unshifted(200, 20).rows.tolist()
        requests.post(f"{server.url}/predict", json={"instances": rows}, timeout=10)
        assert await_told(server, lambda found: found["rows"] == 200)["verdict"] == "alike"
        old = {"instances": [list(map(float, rows[0]))]}
        requests.post(f"{server.url}/v1/models/animals/versions/1:predict", json=old, timeout=10)
        (store / "animals" / "CURRENT").write_text("1")
        back = await_told(server, lambda found: found["model"]["version"] == "1")
        assert (back["rows"] >= 180, back["verdict"]) == (True, "shifted")


def test_it_is_for_those_who_may_ask() -> None:
    """Where keys are set, it takes one."""
    key, known = api_keys.make()
    with serving(MENAGERIE_API_KEYS=known) as server:
        assert requests.get(f"{server.url}/drift", timeout=10).status_code == 401
        answer = requests.get(f"{server.url}/drift", headers={"X-API-Key": key}, timeout=10)
        assert (answer.status_code, answer.json()["verdict"]) == (200, "unknown")


def _insist(server: Server, rows: Array) -> None:
    """Ask each row until it is answered, whoever dies meanwhile."""
    for row in rows.tolist():
        while True:
            try:
                requests.post(f"{server.url}/predict", json={"features": row}, timeout=10).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.05)


def _publish(home: Path, version: str) -> None:
    """The first version once more, under another number."""
    draft = Path(shutil.copytree(home / "1", home.parent / f"draft-{version}"))
    manifest = json.loads((draft / "manifest.json").read_text())
    (draft / "manifest.json").write_text(json.dumps(manifest | {"version": int(version)}))
    draft.rename(home / version)

"""Models that come and go while real workers serve: all workers count each, and each count is in the sum once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from support import handmade_bundles, headed_bundles, mixed_bundles
from support.gunicorn_server import ROOT, Server, await_workers, serving, workers
from support.handmade_bundles import Network
from support.named_bundles import copy_bundle

WORKERS = 3
ROWS: dict[str, list[Any]] = {  # of each model
    "handmade": np.random.default_rng(1).uniform(-3, 3, (60, 5)).tolist(),
    "headed": np.random.default_rng(2).uniform(-3, 3, (50, 3)).tolist(),
    "mixed": [list(row) for row in mixed_bundles.raw_rows(40)],
}
WITHOUT_LINUX = {"PYTHONPATH": str(ROOT / "tests" / "support" / "without_linux")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    handmade_bundles.publish(tmp_path, Network.random((5, 4, 3)))
    headed_bundles.publish(tmp_path, headed_bundles.MIXED)
    mixed_bundles.publish(tmp_path)
    return tmp_path


@pytest.fixture(params=[{}, WITHOUT_LINUX], ids=["Linux", "without Linux"])
def server(store: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A service of all models in a store; without what only Linux has, every worker loads them by itself."""
    settings = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODELS": "*", "MENAGERIE_MODEL_NAME": "headed"}
    settings |= {"MENAGERIE_POLL_SECONDS": "0.2", "WEB_CONCURRENCY": str(WORKERS), "MENAGERIE_DRIFT_ROWS": "500"}
    with serving(**settings, **request.param) as ready:
        await_equal(lambda: values(ready, "menagerie_workers"), {(name, "1"): WORKERS for name in ROWS})
        yield ready


def values(server: Server, name: str) -> dict[tuple[str, ...], float]:
    """A family's values, as one worker has them, by the model and the other labels in alphabetical order."""
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    found = [sample for family in prometheus_text(text) for sample in family.samples if sample.name == name]
    return {
        (each.labels["model"], *[each.labels[key] for key in sorted(each.labels) if key != "model"]): each.value
        for each in found
    }


def await_equal(read: Callable[[], Any], expected: Any) -> None:
    """Wait until ten answers in a row, on new connections that spread over the workers, are as expected."""
    deadline, successes = time.monotonic() + 60, 0
    while successes < 10:
        found = read()
        successes = successes + 1 if found == expected else 0
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def predict(server: Server, name: str, rows: list[Any]) -> None:
    """Send each row on a connection of its own."""

    def send(row: list[Any]) -> int:
        return requests.post(f"{server.url}/models/{name}/predict", json={"features": row}, timeout=30).status_code

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(send, rows)) == {200}


def drift_rows(server: Server, name: str) -> int:
    rows: int = requests.get(f"{server.url}/models/{name}/drift", timeout=30).json()["rows"]
    return rows


def require_counted(server: Server, rows: dict[str, int]) -> None:
    """So many rows of each model: as metrics, by label, in the drift window, and in the statistics."""
    await_equal(lambda: values(server, "menagerie_rows_total"), {(name, "1"): count for name, count in rows.items()})
    await_equal(lambda: values(server, "menagerie_drift_rows"), {(name, "1"): count for name, count in rows.items()})
    confidences = values(server, "menagerie_prediction_confidence_ratio_count")
    assert {model: count for (model, *_), count in confidences.items()} == rows
    stats = requests.get(f"{server.url}/v2/models/stats", timeout=30).json()["model_stats"]
    assert {each["name"]: each["inference_count"] for each in stats} == rows
    assert {name: drift_rows(server, name) for name in rows} == rows


def test_models_come_go_and_are_counted_by_all_workers(server: Server, store: Path) -> None:
    """One that appears is found by every worker by itself; its counts, and those of the others, are exact.

    So they are after it was dropped and came back, after a worker was killed, and after all were replaced.
    """
    rows = {name: len(own) for name, own in ROWS.items()}
    for name, own in ROWS.items():
        predict(server, name, own)
    require_counted(server, rows)
    new = copy_bundle(store / "handmade" / "1", store.parent / f"{store.name}-other", "new")
    new.parent.rename(store / "new")
    serving_all = {(name, "1"): WORKERS for name in (*ROWS, "new")}
    await_equal(lambda: values(server, "menagerie_workers"), serving_all)
    assert values(server, "menagerie_model_loads_total")["new", "loaded"] == WORKERS
    predict(server, "new", ROWS["handmade"])
    require_counted(server, rows | {"new": 60})

    (store / "new").rename(new.parent)
    await_equal(lambda: values(server, "menagerie_workers"), {key: WORKERS for key in serving_all if key[0] != "new"})
    require_counted(server, rows)
    predict(server, "headed", ROWS["headed"])
    new.parent.rename(store / "new")
    await_equal(lambda: values(server, "menagerie_workers"), serving_all)
    predict(server, "new", ROWS["handmade"])
    rows |= {"new": 120, "headed": 100}
    require_counted(server, rows)

    victim = workers(server)[0]
    os.kill(victim, signal.SIGKILL)
    await_workers(server, lambda now: len(now) == WORKERS and victim not in now)
    await_equal(lambda: values(server, "menagerie_workers"), serving_all)
    require_counted(server, rows)
    predict(server, "new", ROWS["handmade"])
    predict(server, "mixed", ROWS["mixed"])
    rows |= {"new": 180, "mixed": 80}
    require_counted(server, rows)

    before = workers(server)
    server.process.send_signal(signal.SIGHUP)
    await_workers(server, lambda now: len(now) == WORKERS and not set(now) & set(before))
    await_equal(lambda: values(server, "menagerie_workers"), serving_all)
    require_counted(server, rows)
    predict(server, "new", ROWS["handmade"])
    require_counted(server, rows | {"new": 240})


def test_a_model_that_cannot_be_loaded_has_counts_of_its_refusals(store: Path) -> None:
    """Each worker that finds it refuses it once; nothing is counted of the others."""
    settings = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODELS": "*", "MENAGERIE_MODEL_NAME": "headed"}
    with serving(MENAGERIE_POLL_SECONDS="0.2", WEB_CONCURRENCY=str(WORKERS), **settings) as server:
        (store / "broken" / "1").mkdir(parents=True)
        expected = {("broken", outcome): count for outcome, count in (("loaded", 0), ("refused", WORKERS))}

        def loads() -> dict[tuple[str, ...], float]:
            counts = values(server, "menagerie_model_loads_total")
            return {key: count for key, count in counts.items() if key[0] == "broken"}

        await_equal(loads, expected)
        refused = values(server, "menagerie_model_refused_versions")
        assert {model for (model, _), count in refused.items() if count} == {"broken"}
        assert {model for model, _ in values(server, "menagerie_rows_total")} == set(ROWS)
        assert {model for model, _ in values(server, "menagerie_workers")} == set(ROWS)

"""Real workers that serve a model with an output of each kind: together they count each row once, in every protocol."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families as parsed
from support.gunicorn_server import Server, serving
from support.headed_bundles import MIXED, publish
from support.waiting import await_equal, await_metrics

from models.bundle import Bundle
from service.arrays import Array
from service.inference.model import Model

WORKERS = 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return publish(tmp_path_factory.mktemp("store"), MIXED)


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[Server]:
    store = str(bundle.folder.parent.parent)
    settings = {"WEB_CONCURRENCY": str(WORKERS), "MENAGERIE_DRIFT_ROWS": "500"}
    with serving(MENAGERIE_MODEL_STORE=store, MENAGERIE_MODEL_NAME="headed", **settings) as ready:
        yield ready


def random_rows(count: int) -> Array:
    return np.random.default_rng(8).uniform(-2.9, 2.9, (count, 3)).astype(np.float32)


def post_all(server: Server, rows: Array) -> None:
    """The same number of rows to each form, each request on a connection of its own."""
    native, listed, rest, v1, v2 = np.split(rows, 5)
    names = ("f1", "f2", "f3")
    tensor = {"name": "measurements", "shape": [len(v2), 3], "datatype": "FP32", "data": v2.ravel().tolist()}
    requests_ = [
        ("/predict", {"instances": native.tolist()}),
        *(("/predict", {"features": row}) for row in listed.tolist()),
        *(("/predict", {"features": dict(zip(names, row, strict=True))}) for row in rest.tolist()),
        ("/v1/models/headed:predict", {"instances": v1.tolist()}),
        ("/v2/models/headed/infer", {"inputs": [tensor]}),
    ]
    for path, body in requests_:
        response = requests.post(server.url + path, json=body, timeout=10)
        assert response.status_code == 200, response.text


def test_workers_count_each_row_once(server: Server, bundle: Bundle) -> None:
    """By label, by value and for drift, from the fast path, in batches, and in the other protocols."""
    model, rows = Model.open(bundle.folder, "litert"), random_rows(100)
    post_all(server, rows)
    outputs = model.outputs(rows)
    prices, sold = outputs[:, 0], outputs[:, 7] > np.float32(0.2)
    labels = {
        **dict(zip(("kind.flat", "kind.house", "kind.land"), np.bincount(outputs[:, 1:4].argmax(axis=1)), strict=True)),
        **dict(zip(("tags.warm", "tags.wet"), (outputs[:, 4:6] > np.float32(0.6)).sum(axis=0), strict=True)),
        "sold.no": (~sold).sum(),
        "sold.yes": sold.sum(),
    }

    def counted() -> dict[str, float]:
        families = {each.name: each for each in parsed(requests.get(f"{server.url}/metrics", timeout=10).text)}
        return {sample.labels["label"]: sample.value for sample in families["menagerie_predictions"].samples}

    def counted_values() -> dict[str, float]:
        families = {each.name: each for each in parsed(requests.get(f"{server.url}/metrics", timeout=10).text)}
        return {each.labels["le"]: each.value for each in families["menagerie_prediction_value"].samples}

    await_equal(counted, labels)
    await_equal(counted_values, {bound: (prices <= np.float32(bound)).sum() for bound in counted_values()})
    await_equal(lambda: requests.get(f"{server.url}/drift", timeout=10).json()["rows"], len(rows))
    drift = requests.get(f"{server.url}/drift", timeout=10).json()
    assert drift["verdict"] == "alike"
    assert drift["outputs"]["sold"]["shares"]["yes"]["now"] == pytest.approx(sold.mean())
    statistics = f"{server.url}/v2/models/headed/stats"
    await_equal(lambda: requests.get(statistics, timeout=10).json()["model_stats"][0]["inference_count"], len(rows))


def test_a_model_without_a_sample_serves_without_drift(tmp_path: Path) -> None:
    """Requests are counted, and drift says why it has nothing to say."""
    publish(tmp_path, MIXED, sample=False, weights=False)
    with serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="headed") as server:
        post_all(server, random_rows(20))
        metrics = await_metrics(server, 'menagerie_rows_total{model="headed",version="1"} 20.0')
        drift = requests.get(f"{server.url}/drift", timeout=10).json()
        assert (drift["verdict"], drift["rows"], drift["outputs"]) == ("unknown", 0, {})
        assert "without a sample" in drift["says"]
    assert "menagerie_drift_alarm{" not in metrics
    assert "menagerie_warnings_total" not in metrics

"""Models of different widths and kinds in one service: counts, drift, statistics and log of each are its own."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from support import handmade_bundles, headed_bundles, mixed_bundles
from support.handmade_bundles import Network

from models.bundle import CURRENT
from service.app.asgi import AsgiApp
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.http.context import RequestContext
from service.http.routing import routes_of
from service.inference.catalog import Catalog
from service.inference.sandbox import no_check
from service.monitoring.drift.observer import Drift
from service.monitoring.model_metrics import ModelMetrics
from service.monitoring.shared_counters import SharedCounters
from service.protocols.native import Native
from service.settings import Settings

ROWS: dict[str, list[Any]] = {  # of each model
    "handmade": np.random.default_rng(1).uniform(-3, 3, (30, 5)).tolist(),
    "headed": np.random.default_rng(2).uniform(-3, 3, (20, 3)).tolist(),
    "mixed": [list(row) for row in mixed_bundles.raw_rows(10)],
}
KINDS = {"handmade": 1, "headed": 2, "mixed": 3}  # and the format of its bundle


def publish(store: Path, name: str) -> None:
    if name == "handmade":
        handmade_bundles.publish(store, Network.random((5, 4, 3)))
    elif name == "headed":
        headed_bundles.publish(store, headed_bundles.MIXED)
    else:
        mixed_bundles.publish(store)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Three models, one of each format of bundles."""
    for name in ROWS:
        publish(tmp_path, name)
    return build_service(Settings(model_store=tmp_path, models="*", model_name="headed", drift_rows=100))


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return flask_app(service).test_client()


def samples(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """A family's values by its labels' values, the model first, the rest in the labels' alphabetical order."""
    found = [sample for family in prometheus_text(client.get("/metrics").text) for sample in family.samples]
    return {
        (sample.labels["model"], *[sample.labels[key] for key in sorted(sample.labels) if key != "model"]): sample.value
        for sample in found
        if sample.name == name
    }


def predict(client: FlaskClient, name: str, rows: Sequence[Any]) -> None:
    assert client.post(f"/models/{name}/predict", json={"instances": rows}).status_code == 200


def test_each_model_has_its_counts(client: FlaskClient, service: Service) -> None:
    """By its own labels, targets and features, in one family for all models."""
    for name, rows in ROWS.items():
        assert service.catalog.by_path[name].current.model.manifest.format == KINDS[name]
        predict(client, name, rows)
        assert client.post(f"/models/{name}/predict", json={"features": rows[0]}).status_code == 200
        assert client.post(f"/models/{name}/predict", json={"features": []}).status_code == 422
    assert samples(client, "menagerie_rows_total") == {("handmade", "1"): 31, ("headed", "1"): 21, ("mixed", "1"): 11}
    assert set(samples(client, "menagerie_inference_duration_seconds_count").values()) == {2}
    predictions = samples(client, "menagerie_predictions_total")
    sums = {name: sum(count for (model, *_), count in predictions.items() if model == name) for name in ROWS}
    assert (sums["handmade"], sums["mixed"]) == (31, 11)
    assert {label for model, label, _ in predictions if model == "handmade"} == {"l1", "l2", "l3"}
    assert {label for model, label, _ in predictions if model == "mixed"} == {*mixed_bundles.LABELS}
    assert {label for model, label, _ in predictions if model == "headed"} >= {"kind.flat", "tags.wet", "sold.yes"}
    assert samples(client, "menagerie_prediction_confidence_ratio_count") == {
        ("handmade", "probabilities", "1"): 31,
        ("headed", "kind", "1"): 21,
        ("headed", "sold", "1"): 21,
        ("mixed", "species", "1"): 11,
    }
    values = samples(client, "menagerie_prediction_value_bucket")
    assert {(model, target) for model, _, target, _ in values} == {("headed", "price")}
    warnings = samples(client, "menagerie_warnings_total")
    widths = [sum(model == name for model, *_ in warnings) for name in ROWS]
    assert widths == [5, 3, len(mixed_bundles.FEATURES)]


def test_a_family_is_there_once(client: FlaskClient) -> None:
    """In both formats, so that Prometheus takes them."""
    for name, rows in ROWS.items():
        predict(client, name, rows)
    for accept, parse in (("text/plain", prometheus_text), ("application/openmetrics-text", open_metrics)):
        text = client.get("/metrics", headers={"Accept": accept}).text
        names = [family.name for family in parse(text)]
        assert len(names) == len(set(names))
        headers = [line for line in text.splitlines() if line.startswith("# TYPE ")]
        assert len(headers) == len(set(headers))


def test_each_model_has_its_drift(client: FlaskClient, service: Service) -> None:
    """Its own window, with its own features; those of one say nothing of another."""
    predict(client, "headed", ROWS["headed"])
    predict(client, "mixed", [[79.5, *row[1:]] for row in mixed_bundles.raw_rows(90)])
    reports = {name: json.loads(client.get(f"/models/{name}/drift").data) for name in ROWS}
    assert {name: report["rows"] for name, report in reports.items()} == {"handmade": 0, "headed": 20, "mixed": 90}
    assert reports["mixed"]["verdict"] == "shifted"
    assert reports["handmade"]["verdict"] == "unknown"
    assert json.loads(client.get("/drift").data) == reports["headed"]  # the default model
    for name, report in reports.items():
        assert list(report["features"]) == list(service.catalog.by_path[name].current.model.manifest.feature_names)
    assert samples(client, "menagerie_drift_rows") == {("handmade", "1"): 0, ("headed", "1"): 20, ("mixed", "1"): 90}
    assert samples(client, "menagerie_drift_alarm")["mixed", "1"] == 1
    assert {model for model, *_ in samples(client, "menagerie_drift_psi_labels")} == {"mixed"}
    assert {model for model, *_ in samples(client, "menagerie_drift_psi_outputs")} == {"headed"}


def test_each_model_has_its_statistics(client: FlaskClient) -> None:
    """Also in the list of all."""
    for name, rows in ROWS.items():
        predict(client, name, rows)
    (headed,) = json.loads(client.get("/v2/models/headed/stats").data)["model_stats"]
    assert (headed["name"], headed["inference_count"], headed["execution_count"]) == ("headed", 20, 1)
    entries = json.loads(client.get("/v2/models/stats").data)["model_stats"]
    assert {each["name"]: each["inference_count"] for each in entries} == {"handmade": 30, "headed": 20, "mixed": 10}


def test_log_lines_have_the_model(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Also of a refused request; a path without a model that is there has none."""
    with caplog.at_level(logging.INFO, "menagerie.requests"):
        predict(client, "mixed", ROWS["mixed"])
        client.post("/v1/models/handmade:predict", json={"instances": [[1]]})
        client.post("/predict", json={"features": ROWS["headed"][0]})
        client.post("/models/nothing/predict", json={"features": [1]})
        client.get("/livez")
    fields = [record.fields for record in caplog.records if record.name == "menagerie.requests"]  # type: ignore[attr-defined]
    assert [each.get("model") for each in fields] == ["mixed", "handmade", "headed", None, None]
    assert [each["route"] for each in fields[:2]] == ["/models/{model}/predict", "/v1/models/{model}:predict"]


def refresh(service: Service) -> None:
    for event in service.catalog.refresh():
        service.model_metrics.count_event(event)


def test_a_model_that_appears_is_counted_and_a_dropped_one_leaves(service: Service, tmp_path: Path) -> None:
    """If it comes back, its counters go on; with other features, they begin anew."""
    client = flask_app(service).test_client()
    predict(client, "handmade", ROWS["handmade"])
    predict(client, "headed", ROWS["headed"])
    away = tmp_path.parent / f"{tmp_path.name}-away"
    (tmp_path / "handmade").rename(away)
    refresh(service)
    assert samples(client, "menagerie_rows_total") == {("headed", "1"): 20, ("mixed", "1"): 0}
    assert "handmade" not in client.get("/metrics").text
    away.rename(tmp_path / "handmade")
    refresh(service)
    predict(client, "handmade", ROWS["handmade"])
    assert samples(client, "menagerie_rows_total")["handmade", "1"] == 60
    assert samples(client, "menagerie_model_loads_total")["handmade", "loaded"] == 2
    assert samples(client, "menagerie_drift_rows")["handmade", "1"] == 60
    shutil.rmtree(tmp_path / "handmade")
    refresh(service)
    handmade_bundles.publish(tmp_path, Network.random((9, 4, 2)))
    refresh(service)
    assert samples(client, "menagerie_rows_total")["handmade", "1"] == 0
    predict(client, "handmade", [[0.5] * 9] * 7)
    assert samples(client, "menagerie_rows_total")["handmade", "1"] == 7
    assert samples(client, "menagerie_drift_rows")["handmade", "1"] == 7
    assert samples(client, "menagerie_model_loads_total")["handmade", "loaded"] == 3


def test_events_and_workers_by_model(service: Service, tmp_path: Path) -> None:
    """Also of a model of which no version can be loaded, which no worker serves."""
    (tmp_path / "broken" / "4").mkdir(parents=True)
    headed_bundles.publish(tmp_path, headed_bundles.MIXED)
    for _ in range(3):
        refresh(service)
    app, client = AsgiApp(service), flask_app(service).test_client()
    app.report_worker(connections=0, loop_lag=0)
    assert samples(client, "menagerie_workers") == {("handmade", "1"): 1, ("headed", "2"): 1, ("mixed", "1"): 1}
    assert samples(client, "menagerie_model_refused_versions") == {
        ("broken", "0"): 1,
        **{(name, "0"): 0 for name in ROWS},
    }
    loads = samples(client, "menagerie_model_loads_total")
    assert (loads["broken", "loaded"], loads["broken", "refused"]) == (0, 1)
    assert (loads["headed", "loaded"], loads["headed", "refused"]) == (2, 0)
    takeovers = samples(client, "menagerie_model_takeovers_total")
    assert {key for key, count in takeovers.items() if count} == {("headed", "forward")}
    assert ("broken", "4") not in samples(client, "menagerie_rows_total")
    (tmp_path / "headed" / CURRENT).write_text("1")
    shutil.rmtree(tmp_path / "mixed")
    refresh(service)
    app.report_worker(connections=0, loop_lag=0)
    assert samples(client, "menagerie_workers") == {("handmade", "1"): 1, ("headed", "1"): 1}
    mixed_bundles.publish(tmp_path)
    service.catalog.refresh()  # found again, and not reported yet
    assert ("mixed", "1") not in samples(client, "menagerie_workers")


def test_versions_of_one_model_may_have_other_features(tmp_path: Path) -> None:
    """After a restart, a version with other features may serve, and an older one is kept for paths with a version."""
    handmade_bundles.publish(tmp_path, Network.random((5, 4, 3)))
    handmade_bundles.publish(tmp_path, Network.random((2, 4, 4)))
    client = flask_app(build_service(Settings(model_store=tmp_path, model_name="handmade"))).test_client()
    for version, rows in (("1", [[0.5] * 5] * 3), ("2", [[0.5] * 2] * 4)):
        tensor = {
            "name": "features",
            "shape": [len(rows), len(rows[0])],
            "datatype": "FP32",
            "data": rows[0] * len(rows),
        }
        path = f"/v2/models/handmade/versions/{version}/infer"
        assert client.post(path, json={"inputs": [tensor]}).status_code == 200
    assert samples(client, "menagerie_rows_total") == {("handmade", "1"): 3, ("handmade", "2"): 4}
    assert samples(client, "menagerie_drift_rows") == {("handmade", "1"): 3, ("handmade", "2"): 4}
    labels = samples(client, "menagerie_predictions_total")
    assert sorted((version, label) for _, label, version in labels) == sorted(
        [("1", f"l{i}") for i in (1, 2, 3)] + [("2", f"l{i}") for i in (1, 2, 3, 4)]
    )


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    store = tmp_path_factory.mktemp("store")
    for name in ROWS:
        publish(store, name)
    return Catalog(Settings(model_store=store, models="*", model_name="headed"), no_check)


@given(st.lists(st.tuples(st.sampled_from(sorted(ROWS)), st.integers(1, 5), st.integers(0, 3)), max_size=30))
def test_requests_of_all_models_count_together_as_alone(catalog: Catalog, requests: list[tuple[str, int, int]]) -> None:
    """In one batch of observations, in any order and by any workers: as if each had come alone."""
    route = next(iter(routes_of(Native)))
    contexts = []
    for name, rows, _ in requests:
        model, validator, _ = catalog.by_path[name].current
        context = RequestContext("POST", "/predict", route)
        context.model = model
        context.prediction = model.predict(validator.validate_rows(ROWS[name][:rows], "instances"))
        context.stages = {"validate": 0, "infer": 10}
        context.finish(200)
        contexts.append(context)
    alone, together = SharedCounters(), SharedCounters()
    counters_and_batches = (alone, [[each] for each in contexts]), (together, [contexts])
    found = []
    for counters, batches in counters_and_batches:
        metrics, drift = ModelMetrics(counters), Drift(Settings(), counters, catalog)
        for batch, (*_, slot) in zip(batches, requests or [("", 0, 0)], strict=False):
            counters.use_slot(slot)
            metrics.observe(batch)
            drift.observe(batch)
        totals = {model.name: metrics.totals(model) | {"last_ms": 0, "success_ns": 0} for model in catalog.models}
        counted = [version for each in catalog.registries for version in metrics.counts(each)[0].versions.values()]
        outputs = [(each.labels, each.values) for counts in counted for each in counts.outputs]
        windows = [drift.judge(model).window.counts.tolist() for model in catalog.models]
        found.append((totals, outputs, [counts.features for counts in counted], windows))
    assert found[0] == found[1]
    expected = {name: sum(rows for other, rows, _ in requests if other == name) for name in ROWS}
    assert {name: totals["rows"] for name, totals in found[0][0].items()} == expected

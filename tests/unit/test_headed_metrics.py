"""Metrics of models with every kind of output: what they count is what the model predicted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from support.headed_bundles import HEADS, MIXED, MULTI_LABEL, QUANTILES, publish

from models.signature import Head
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.arrays import Array, Prediction
from service.http.context import RequestContext
from service.inference.model import Model
from service.monitoring.output_counts import value_bounds
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.version_counts import VersionCounts
from service.settings import Settings

ALL_HEADS = pytest.mark.parametrize("heads", [*HEADS.values(), MIXED], ids=[*HEADS, "mixed"])
Labels = tuple[tuple[str, str], ...]


def serve(store: Path, heads: Sequence[Head], *, sample: bool = True) -> Service:
    publish(store, heads, sample=sample)
    return build_service(Settings(model_store=store, model_name="headed"))


def post(client: FlaskClient, rows: Array) -> None:
    """Send most rows together, the last ones alone."""
    assert client.post("/predict", json={"instances": rows[:-5].tolist()}).status_code == 200
    for row in rows[-5:].tolist():
        assert client.post("/predict", json={"features": row}).status_code == 200


def random_rows(count: int = 60) -> Array:
    return np.random.default_rng(5).uniform(-2.9, 2.9, (count, 3)).astype(np.float32)


def samples(client: FlaskClient) -> dict[str, dict[Labels, float]]:
    """The values of every metric about predictions by labels, without the model's and the version's, which is 1."""
    found: dict[str, dict[Labels, float]] = {}
    for family in prometheus_text(client.get("/metrics").text):
        for sample in family.samples:
            if "version" in sample.labels and not family.name.startswith(("menagerie_build", "menagerie_workers")):
                assert (sample.labels.pop("model"), sample.labels.pop("version")) == ("headed", "1")
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def predicted_labels(model: Model, outputs: Array) -> Counter[str]:
    """How many rows each label is predicted for, by the label's column, from each row's numbers."""
    counts = Counter(dict.fromkeys(label_columns(model), 0))
    for row in outputs.tolist():
        for each in model.heads:
            head, values, names = each.head, row[each.columns], model.column_names[each.columns]
            if head.kind == "multi_label":
                threshold = np.float32(head.threshold or 0.5)
                counts.update(name for name, value in zip(names, values, strict=True) if value > threshold)
            elif head.kind == "classification":
                best = (
                    values.index(max(values)) if head.threshold is None else int(values[1] > np.float32(head.threshold))
                )
                counts[names[best]] += 1
    return counts


def label_columns(model: Model) -> list[str]:
    return [name for each in model.heads if each.head.labels for name in model.column_names[each.columns]]


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no sample"])
@ALL_HEADS
def test_metrics_count_what_was_predicted(tmp_path: Path, heads: Sequence[Head], *, sample: bool) -> None:
    """Rows by label and by value; the values' buckets are the model's own."""
    service = serve(tmp_path, heads, sample=sample)
    client, model, rows = flask_app(service).test_client(), service.registry.current.model, random_rows()
    post(client, rows)
    outputs, found = model.outputs(rows), samples(client)
    assert found["menagerie_rows_total"] == {(): len(rows)}
    assert found["menagerie_inference_duration_seconds_count"] == {(): 6}
    labels = {(("label", name),): count for name, count in predicted_labels(model, outputs).items()}
    assert found.get("menagerie_predictions_total", {}) == labels
    buckets = found.get("menagerie_prediction_value_bucket", {})
    targets = [name for each in model.heads if each.head.targets for name in model.column_names[each.columns]]
    assert {dict(key)["target"] for key in buckets} == set(targets)
    for key, count in buckets.items():
        values = outputs[:, model.column_names.index(dict(key)["target"])]
        assert count == (values <= np.float32(dict(key)["le"])).sum()
    assert len(buckets) == len(targets) * ((len(QUANTILES) - 2 if sample else 9) + 1)
    assert ("menagerie_warnings_total" in found) == sample
    stats = client.get("/v2/models/headed/stats").get_json()["model_stats"][0]
    assert (stats["inference_count"], stats["execution_count"]) == (len(rows), 6)


@ALL_HEADS
def test_each_classification_has_its_confidence(tmp_path: Path, heads: Sequence[Head]) -> None:
    """With the output's name, also if there is only one output: another model may have several."""
    service = serve(tmp_path, heads)
    client, model, rows = flask_app(service).test_client(), service.registry.current.model, random_rows()
    post(client, rows)
    outputs, found = model.outputs(rows), samples(client)
    totals = found.get("menagerie_prediction_confidence_ratio_sum", {})
    classifications = [each for each in model.heads if each.head.kind == "classification"]
    assert len(totals) == len(classifications)
    for each in classifications:
        key = (("output", each.head.name),)
        values, threshold = each.of(outputs), each.head.threshold
        confidences = values.max(axis=1)
        if threshold is not None:
            confidences = np.where(values[:, 1] > threshold, values[:, 1], values[:, 0])
        assert totals[key] == pytest.approx(confidences.sum(), abs=1e-4)
        assert found["menagerie_prediction_confidence_ratio_count"][key] == len(rows)


def test_each_version_has_bounds_of_its_own(tmp_path: Path) -> None:
    """A version whose bounds are unknown, because it is no longer loaded, has no buckets, but its other counts."""
    publish(tmp_path, HEADS["regression"])
    service = build_service(Settings(model_store=tmp_path, model_name="headed", keep_versions=1))
    client, rows = flask_app(service).test_client(), random_rows()
    post(client, rows)
    publish(tmp_path, HEADS["regression"], sample=False)
    service.observations.flush()
    service.registry.refresh()
    post(client, rows)
    families = {family.name: family for family in prometheus_text(client.get("/metrics").text)}
    value_samples = families["menagerie_prediction_value"].samples
    assert {sample.labels["version"] for sample in value_samples} == {"2"}
    assert {sample.labels["le"] for sample in value_samples} >= {"-100.0", "0.0", "1000000.0", "+Inf"}
    assert [sample.value for sample in families["menagerie_rows"].samples] == [len(rows)] * 2


def test_each_version_has_thresholds_of_its_own(tmp_path: Path) -> None:
    """Those of the version that predicted, not of the one that served at the start."""
    (tags,) = MULTI_LABEL
    rows, predictions = random_rows(), {}
    for version, threshold in ((1, 0.9), (2, 0.1)):
        publish(tmp_path, [tags.model_copy(update={"threshold": threshold})])
        if version == 1:
            service = build_service(Settings(model_store=tmp_path, model_name="headed"))
        service.registry.refresh()
        client = flask_app(service).test_client()
        post(client, rows)
        service.observations.flush()
        model = service.registry.current.model
        predictions[version] = (model.outputs(rows) > np.float32(threshold)).sum(axis=0).tolist()
    ((_, counts),) = service.model_metrics.counts(service.registry)
    assert {version: counts[version].outputs[0].labels for version in counts} == predictions
    assert predictions[1] != predictions[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model with an output of each kind."""
    return Model.open(publish(tmp_path_factory.mktemp("store"), MIXED).folder, "litert")


@given(st.data())
def test_rows_count_the_same_alone_and_together(model: Model, data: st.DataObject) -> None:
    """Also at the bounds of buckets, each of which includes its upper one."""
    bounds = value_bounds(model, model.heads[0])[0]
    elements = st.floats(0, 1, width=32) | st.sampled_from([float(np.float32(each)) for each in (*bounds, 0.2, 0.6)])
    outputs = data.draw(arrays.arrays(np.float32, (4, 8), elements=elements))
    alone, together = (VersionCounts(SharedCounters(), model) for _ in range(2))
    for rows in outputs[:, np.newaxis]:
        alone.add(model, [context_of(model, rows)])
    together.add(model, [context_of(model, outputs)])
    one_by_one, at_once = (counts.by_version([model])[1].outputs for counts in (alone, together))
    assert [each.labels for each in one_by_one] == [each.labels for each in at_once]
    assert [each.values for each in one_by_one] == [each.values for each in at_once]
    (values,) = at_once[0].values
    for bound, cumulative in zip(values.bounds, np.cumsum(values.counts), strict=False):
        assert cumulative == (outputs[:, 0] <= np.float32(bound)).sum()
    assert sum(values.counts) == sum(at_once[1].labels) == sum(at_once[3].labels) == len(outputs)
    labels = dict(zip(label_columns(model), [count for each in at_once for count in each.labels], strict=True))
    assert labels == predicted_labels(model, outputs)


def context_of(model: Model, outputs: Array) -> RequestContext:
    """A completed request whose network gave these outputs."""
    context = RequestContext("POST", "/predict", None)
    count = len(outputs)
    context.model, context.prediction = (
        model,
        Prediction(np.zeros((count, 3), np.float32), outputs, [0] * count, (), {}),
    )
    context.stages = {"validate": 0, "infer": 1}
    context.finish(200)
    return context


@ALL_HEADS
def test_openmetrics_can_be_parsed(tmp_path: Path, heads: Sequence[Head]) -> None:
    """Also histograms of values that may be negative, which have no sum."""
    client = flask_app(serve(tmp_path, heads)).test_client()
    post(client, random_rows())
    text = client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    families = {family.name: family for family in open_metrics(text)}  # type: ignore[no-untyped-call]
    kinds = {head.kind for head in heads}
    assert ("menagerie_prediction_value" in families) == ("regression" in kinds)
    assert ("menagerie_predictions" in families) == (kinds != {"regression"})
    assert ("menagerie_prediction_confidence_ratio" in families) == ("classification" in kinds)

"""Metrics of each model version: the same for rows one by one and together, summed over all workers."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.arrays import Array, Indices, Prediction
from service.http.context import RequestContext
from service.http.routing import Protocol, Route
from service.inference.model import Model
from service.inference.registry import Event
from service.monitoring.model_metrics import ModelMetrics
from service.monitoring.output_counts import CONFIDENCE_BOUNDS
from service.monitoring.shared_counters import SharedCounters

ROW, CAT = np.zeros((1, 8), np.float32), np.eye(1, 4, dtype=np.float32)
ABOVE_BOUNDS = np.nextafter(np.array(CONFIDENCE_BOUNDS, np.float32), np.float32(2)).tolist()
CONFIDENCES = sorted({*CONFIDENCE_BOUNDS, *ABOVE_BOUNDS, 0.2501, 0.97})


def metrics_of(model: Model) -> ModelMetrics:
    return ModelMetrics(SharedCounters(), model.manifest)


def context_of(prediction: Prediction | None = None, version: int = 1, nanoseconds: int = 10) -> RequestContext:
    """A completed request whose inference took ``nanoseconds``; of one animal unless a prediction is given."""
    context = RequestContext("POST", "/predict", Route("POST", "/predict", "predict", "", "", Protocol.NATIVE, {}))
    context.version = version
    context.prediction = prediction or Prediction(ROW, CAT, (0,), (), {})
    context.stages = {"validate": context.started, "infer": context.started + nanoseconds}
    context.finish(200)
    return context


def counts_of(metrics: ModelMetrics, version: int = 1) -> dict[str, Any]:
    """All of a version's counts, without its times."""
    counts = metrics.versions()[version]
    return counts._asdict() | {"fields": {"rows": counts.fields["rows"], "runs": counts.fields["runs"]}}


def field_of_versions(metrics: ModelMetrics, field: str) -> dict[int, int]:
    return {version: counts.fields[field] for version, counts in metrics.versions().items()}


def predict(model: Model, rows: Array, probabilities: Array) -> Prediction:
    """As a model whose network gave these probabilities."""
    labels: Indices = probabilities.argmax(axis=1)
    return Prediction(rows, probabilities, labels, model.ranges.outside(rows, labels), {})


@given(st.data())
def test_rows_count_the_same_alone_and_together(model: Model, data: st.DataObject) -> None:
    """By label, by confidence and by out-of-range feature, also at the bounds of buckets."""
    count = data.draw(st.integers(2, 8))
    confidences = data.draw(arrays.arrays(np.float32, count, elements=st.sampled_from(CONFIDENCES)))
    labels = data.draw(arrays.arrays(np.intp, count, elements=st.integers(0, 3)))
    probabilities = np.repeat((1 - confidences[:, None]) / 4, 4, axis=1).astype(np.float32)
    probabilities[np.arange(count), labels] = confidences
    rows = data.draw(arrays.arrays(np.float32, (count, 8), elements=st.floats(0, 300, width=32)))
    alone, together = metrics_of(model), metrics_of(model)
    predictions = [predict(model, rows[[index]], probabilities[[index]]) for index in range(count)]
    alone.observe([context_of(prediction) for prediction in predictions])
    batch = predict(model, rows, probabilities)
    together.observe([context_of(batch)])
    assert batch.out_of_range.tolist() == [  # type: ignore[union-attr]
        index * 8 + feature for index, prediction in enumerate(predictions) for feature in prediction.out_of_range
    ]
    one_by_one, at_once = counts_of(alone), counts_of(together)
    (output,) = at_once["outputs"]
    assert one_by_one | {"fields": {"rows": count, "runs": 1}} == at_once
    assert one_by_one["fields"] == {"rows": count, "runs": count}
    assert sum(output.confidence.counts) == sum(output.labels) == count
    assert output.labels == np.bincount(batch.labels, minlength=4).tolist()
    assert at_once["features"] == np.bincount(np.array(batch.out_of_range, int) % 8, minlength=8).tolist()
    for bound, cumulative in zip(CONFIDENCE_BOUNDS, np.cumsum(output.confidence.counts), strict=False):
        assert cumulative == (probabilities.max(axis=1) <= bound).sum()


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=40))
def test_versions_add_up_over_workers(model: Model, requests: list[tuple[int, int]]) -> None:
    """Workers that meet versions in different orders count them in different places."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters, model.manifest)
    for slot, version in requests:
        counters.use_slot(slot)
        metrics.observe([context_of(version=version)])
    versions = [version for _, version in requests]
    expected = {version: versions.count(version) for version in versions}
    assert field_of_versions(metrics, "rows") == expected
    assert field_of_versions(metrics, "run_ns") == {version: count * 10 for version, count in expected.items()}


def test_a_worker_counts_in_its_own_slot(model: Model) -> None:
    """Also a version that the master has counted."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters, model.manifest)
    metrics.count_event(Event("loaded", 1))
    before = counters.slots[0].tolist()
    counters.use_slot(counters.allocate_slot())
    metrics.observe([context_of()])
    assert counters.slots[0].tolist() == before
    assert counters.slots[1].any()


def test_threads_of_a_worker_lose_nothing(model: Model) -> None:
    """Observers are called one at a time, events beside them; all share the worker's slot."""
    metrics = metrics_of(model)

    def count() -> None:
        for _ in range(200):
            metrics.observe([context_of()])
            metrics.count_event(Event("loaded", 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.versions()[1].fields["run_ns"] == 800 * 10
    assert metrics.events()["loaded"] == 800


def test_one_version_too_many_replaces_the_lowest(model: Model) -> None:
    """There is no growth, and the counts of the one are not in the other's."""
    metrics = metrics_of(model)
    for version in range(1, 101):
        metrics.observe([context_of(version=version)] * version)
    assert field_of_versions(metrics, "rows") == {version: version for version in range(85, 101)}
    metrics.observe([context_of(version=2)])  # it serves again
    assert field_of_versions(metrics, "rows")[2] == 1
    assert 85 not in metrics.versions()


@pytest.mark.parametrize(
    ("trained", "expected"), [("2026-11-23T06:43:29+00:00", 1795416209), ("long ago", 0), ("9" * 99, 0)]
)
def test_training_time_of_a_version(model: Model, trained: str, expected: int) -> None:
    """The manifest's timestamp, or 0 if it cannot be read."""
    metrics = metrics_of(model)
    metrics.count_event(Event("loaded", 1, trained))
    assert metrics.versions()[1].fields["created_s"] == expected
    assert metrics.events()["loaded"] == 1

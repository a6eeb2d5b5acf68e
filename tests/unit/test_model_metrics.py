"""Metrics of each model version: the same for rows one by one and together, summed over all workers."""

import threading
import time
from copy import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.arrays import Array, Indices, Prediction
from service.http.context import RequestContext
from service.http.routing import Protocol, Route
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.inference.registry import Event
from service.inference.sandbox import no_check
from service.monitoring import shared_regions
from service.monitoring.drift.observer import Drift
from service.monitoring.model_metrics import ModelMetrics
from service.monitoring.model_states import ModelState
from service.monitoring.output_counts import CONFIDENCE_BOUNDS
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.version_counts import VersionCounts
from service.settings import Settings

ROW, CAT = np.zeros((1, 8), np.float32), np.eye(1, 4, dtype=np.float32)
ABOVE_BOUNDS = np.nextafter(np.array(CONFIDENCE_BOUNDS, np.float32), np.float32(2)).tolist()
CONFIDENCES = sorted({*CONFIDENCE_BOUNDS, *ABOVE_BOUNDS, 0.2501, 0.97})


def version_of(model: Model, number: int) -> Model:
    """The same model as another version."""
    version = copy(model)
    version.version, version.derived = number, {}
    return version


def context_of(model: Model, prediction: Prediction | None = None, nanoseconds: int = 10) -> RequestContext:
    """A completed request whose inference took ``nanoseconds``; of one animal unless a prediction is given."""
    context = RequestContext("POST", "/predict", Route("POST", "/predict", "predict", "", "", Protocol.NATIVE, {}))
    context.model = model
    context.prediction = prediction or Prediction(ROW, CAT, (0,), (), {})
    context.stages = {"validate": context.started, "infer": context.started + nanoseconds}
    context.finish(200)
    return context


def counts_of(counters: SharedCounters, model: Model) -> dict[str, Any]:
    """All of a version's counts, without its times."""
    counts = VersionCounts(counters, model).by_version([model])[model.version]
    return counts._asdict() | {"fields": {"rows": counts.fields["rows"], "runs": counts.fields["runs"]}}


def field_of_versions(counters: SharedCounters, model: Model, field: str) -> dict[int, int]:
    counts = VersionCounts(counters, model).by_version([])
    return {version: counts.fields[field] for version, counts in counts.items()}


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
    alone, together = SharedCounters(), SharedCounters()
    predictions = [predict(model, rows[[index]], probabilities[[index]]) for index in range(count)]
    ModelMetrics(alone).observe([context_of(model, prediction) for prediction in predictions])
    batch = predict(model, rows, probabilities)
    ModelMetrics(together).observe([context_of(model, batch)])
    assert batch.out_of_range.tolist() == [  # type: ignore[union-attr]
        index * 8 + feature for index, prediction in enumerate(predictions) for feature in prediction.out_of_range
    ]
    one_by_one, at_once = counts_of(alone, model), counts_of(together, model)
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
    metrics = ModelMetrics(counters)
    by_number = {number: version_of(model, number) for number in range(1, 6)}
    for slot, version in requests:
        counters.use_slot(slot)
        metrics.observe([context_of(by_number[version])])
    versions = [version for _, version in requests]
    expected = {version: versions.count(version) for version in versions}
    assert field_of_versions(counters, model, "rows") == expected
    run_times = field_of_versions(counters, model, "run_ns")
    assert run_times == {version: count * 10 for version, count in expected.items()}


def test_a_worker_counts_in_its_own_slot(model: Model) -> None:
    """Also a version that the master has counted."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters)
    metrics.observe([context_of(model)])
    for _ in range(2):
        counters.use_slot(counters.allocate_slot())
        metrics.observe([context_of(model)] * 2)
    counters.use_slot(0)
    assert counts_of(counters, model)["fields"]["rows"] == 5
    cells = counters.model_block(VersionCounts(counters, model).name, 16 * (9 + 14 + 4 + 8)).of([0, 1, 2, 3])
    assert cells[:, 8].tolist() == [1, 2, 2, 0]


def test_threads_of_a_worker_lose_nothing(model: Model) -> None:
    """Observers are called one at a time, events beside them; all share the worker's slot."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters)

    def count() -> None:
        for _ in range(200):
            metrics.observe([context_of(model)])
            metrics.count_event(Event("animals", "loaded", 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert field_of_versions(counters, model, "run_ns") == {1: 800 * 10}
    assert ModelState(counters, "animals").events()["loaded"] == 800


def test_one_version_too_many_replaces_the_lowest(model: Model) -> None:
    """There is no growth, and the counts of the one are not in the other's."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters)
    for number in range(1, 101):
        metrics.observe([context_of(version_of(model, number))] * number)
    assert field_of_versions(counters, model, "rows") == {number: number for number in range(85, 101)}
    metrics.observe([context_of(version_of(model, 2))])  # it serves again
    rows = field_of_versions(counters, model, "rows")
    assert rows[2] == 1
    assert 85 not in rows


@pytest.mark.parametrize(
    ("trained", "expected"), [("2026-11-23T06:43:29+00:00", 1795416209), ("long ago", 0), ("9" * 99, 0)]
)
def test_training_time_of_a_version(trained: str, expected: int) -> None:
    """The manifest's timestamp, or 0 if it cannot be read."""
    counters = SharedCounters()
    ModelMetrics(counters).count_event(Event("animals", "loaded", 1, trained))
    state = ModelState(counters, "animals")
    assert state.loads()[1].trained_s == expected
    assert state.loads()[1].loaded_ms == pytest.approx(time.time() * 1e3, abs=60_000)
    assert state.events() == {"loaded": 1, "refused": 0, "forward": 0, "back": 0}


def test_events_are_counted_by_model() -> None:
    """Also of a model that was never loaded."""
    counters = SharedCounters()
    metrics = ModelMetrics(counters)
    for name, kinds in {"a": ("refused",) * 3, "b": ("loaded", "refused", "forward", "back")}.items():
        for kind in kinds:
            metrics.count_event(Event(name, kind, 1))
    assert ModelState(counters, "a").events() == {"loaded": 0, "refused": 3, "forward": 0, "back": 0}
    assert ModelState(counters, "b").events() == {"loaded": 1, "refused": 1, "forward": 1, "back": 1}
    assert ModelState(counters, "a").loads() == {}


def test_a_model_without_room_is_served_and_not_counted(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once; others are counted as before."""
    counters = SharedCounters()
    metrics, drift = ModelMetrics(counters), Drift(Settings(), counters, Catalog(Settings(), no_check))
    metrics.count_event(Event("animals", "loaded", 1))
    monkeypatch.setattr(shared_regions, "MAX_REGIONS", 1)
    for _ in range(3):
        metrics.observe([context_of(model)])
        metrics.count_event(Event("animals", "loaded", 1))
        metrics.count_event(Event("other", "loaded", 1))
        drift.observe([context_of(model)])
    assert metrics.totals(model)["rows"] == 0
    assert drift.judge(model).window.rows == 0
    assert ModelState(counters, "animals").events()["loaded"] == 4
    monkeypatch.undo()
    names = [record.message.split(" for ")[1].split(":")[0] for record in caplog.records]
    assert names == [VersionCounts(SharedCounters(), model).name, "state/other", "drift/animals"]
    assert {record.message.split(" for ")[0] for record in caplog.records} == {"not counted: no shared memory"}

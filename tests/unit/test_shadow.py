"""A shadow: which rows it computes, and that their counts are those of a comparison of the same rows."""

import gc
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import headed_bundles, mixed_bundles
from support.handmade_bundles import Network, publish
from support.named_bundles import publish_named
from support.shadow_networks import OVERFLOW_ABOVE, build_overflowing
from support.waiting import await_equal, await_true

from models.bundle import CURRENT, SHADOW
from models.encoding import OneHotEncoder
from models.feature import Feature
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.arrays import Array, Prediction
from service.comparison.comparison import Comparison
from service.inference.model import Model
from service.monitoring.shadow.pairs import Pair
from service.monitoring.shadow.row_queue import RowQueue, Rows
from service.monitoring.shadow.worker_load import WorkerLoad
from service.monitoring.shared_counters import SharedCounters
from service.settings import Settings

SHAPE = (3, 4, 2)
NEW_COLONY = "a new colony"


def open_model(store: Path, name: str, version: int) -> Model:
    return Model.open(store / name / str(version), "litert")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model of which version 2 is the shadow of version 1."""
    for seed in (1, 2):
        publish(tmp_path, Network.random(SHAPE, seed=seed))
    (tmp_path / "handmade" / SHADOW).write_text("2")
    return tmp_path


def start_service(store: Path, **settings: Any) -> Service:
    return build_service(Settings(model_store=store, **({"model_name": "handmade"} | settings)))


def random_rows(count: int, seed: int = 0) -> list[list[float]]:
    rows: list[list[float]] = np.random.default_rng(seed).uniform(-3, OVERFLOW_ABOVE, (count, 3)).round(4).tolist()
    return rows


def post(service: Service, document: Any, path: str = "/predict", status: int = 200) -> Any:
    response = flask_app(service).test_client().post(path, json=document)
    assert response.status_code == status, response.data
    return response.json


def get(service: Service, path: str = "/shadow") -> Any:
    response = flask_app(service).test_client().get(path)
    assert response.status_code == 200, response.data
    return response.json


def compared(serving: Model, shadow: Model, rows: Array) -> dict[str, Any]:
    """What a comparison of the rows alone reports."""
    comparison = Comparison(serving, shadow)
    return {**comparison.report(comparison.count(rows, serving.outputs(rows), shadow.outputs(rows)))}


def test_report_is_that_of_a_comparison_of_the_same_rows(store: Path) -> None:
    """In every protocol and in batches of any size; nothing else is counted."""
    service = start_service(store)
    rows = random_rows(2_600)
    for row in rows[:50]:
        post(service, {"features": row})
    post(service, {"instances": rows[50:2550]})
    post(service, {"instances": rows[2550:2590]}, "/v1/models/handmade:predict")
    post(service, {"instances": rows[2590:2595]}, "/v1/models/handmade/versions/1:predict")
    post(service, {"features": rows[2595]}, "/models/handmade/predict")
    tensor = {"name": "features", "shape": [4, 3], "datatype": "FP32", "data": rows[2596:]}
    post(service, {"inputs": [tensor]}, "/v2/models/handmade/infer")
    post(service, {"features": [9, 9, 9]}, status=422)
    post(service, {"instances": [rows[0]]}, "/v1/models/handmade/versions/2:predict")
    report = get(service)
    expected = compared(open_model(store, "handmade", 1), open_model(store, "handmade", 2), np.array(rows, np.float32))
    assert {name: report[name] for name in expected} == expected
    assert (report["rows"], report["share"]) == (2_600, 1)
    assert report["dropped"] == {"overload": 0, "queue": 0, "exit": 0}
    assert report["failed"] == {"network": 0, "input": 0}
    assert get(service, "/models/handmade/shadow") == report


@pytest.mark.parametrize(("share", "low", "high"), [(0, 0, 0), (0.5, 120, 280), (1, 400, 400)])
def test_share_of_the_requests_is_compared(store: Path, share: float, low: int, high: int) -> None:
    """Each request as a whole."""
    service = start_service(store, shadow_share=share)
    for row in random_rows(200):
        post(service, {"instances": [row, row]})
    report = get(service)
    assert low <= report["rows"] <= high
    assert report["rows"] % 2 == 0
    assert report["share"] == share


def remove_shadow(model_dir: Path) -> None:
    (model_dir / SHADOW).unlink()


def name_serving(model_dir: Path) -> None:
    (model_dir / CURRENT).write_text("2")


def break_shadow(model_dir: Path) -> None:
    (model_dir / "2" / "model.tflite").write_bytes(b"nonsense")


def name_nothing(model_dir: Path) -> None:
    (model_dir / SHADOW).write_text("soon")


def name_later(model_dir: Path) -> None:
    (model_dir / CURRENT).write_text("1")
    (model_dir / SHADOW).write_text("3")


@pytest.mark.parametrize(
    ("change", "serving", "reason"),
    [
        (remove_shadow, "2", "there is no file SHADOW"),
        (name_serving, "2", "version 2 serves"),
        (break_shadow, "1", "version 2 is refused: 2/model.tflite does not match"),
        (name_nothing, "2", "SHADOW must contain a version number only"),
        (name_later, "1", "there is no version 3 yet"),
    ],
)
def test_reason_for_no_shadow_is_reported(
    store: Path, change: Callable[[Path], None], serving: str, reason: str
) -> None:
    """By GET /shadow, and by GET /health where there is the file; predictions go on, and nothing is counted."""
    change(store / "handmade")
    service = start_service(store)
    post(service, {"features": [1, 2, 0]})
    report = get(service)
    assert report.pop("reason").startswith(reason)
    assert report == {"model": "handmade", "serving": serving, "shadow": None}
    health = get(service, "/health")
    assert health["shadow"] is None
    assert (health["shadow_fault"] or "").startswith("" if change is remove_shadow else reason)
    assert (health["shadow_fault"] is None) == (change is remove_shadow)
    assert "menagerie_shadow_rows_total{" not in flask_app(service).test_client().get("/metrics").text


def test_unknown_and_unloaded_models_have_no_report(store: Path) -> None:
    (store / "broken" / "1").mkdir(parents=True)
    service = start_service(store, models="handmade, broken")
    client = flask_app(service).test_client()
    assert client.get("/models/other/shadow").status_code == 404
    assert client.get("/models/broken/shadow").status_code == 503


def test_each_model_has_its_own_shadow(store: Path) -> None:
    """And a model without one has no counts."""
    for seed in (5, 6):
        publish_named(store, "other", (3, 2, 3), seed)
    service = start_service(store, models="handmade,other")
    rows = random_rows(30)
    post(service, {"instances": rows}, "/models/other/predict")
    assert get(service, "/models/other/shadow")["shadow"] is None
    (store / "other" / SHADOW).write_text("2")
    service.catalog.refresh()
    for count in (10, 20):
        post(service, {"instances": rows[:count]})
    post(service, {"instances": rows}, "/models/other/predict")
    assert (get(service)["rows"], get(service, "/models/other/shadow")["rows"]) == (30, 30)
    expected = compared(open_model(store, "other", 1), open_model(store, "other", 2), np.array(rows, np.float32))
    assert get(service, "/models/other/shadow")["agree"] == expected["agree"]


def test_new_pair_begins_anew(store: Path) -> None:
    """Another shadow or another serving version; the same pair goes on, and its memory is used again."""
    publish(store, Network.random(SHAPE, seed=3))
    service = start_service(store, keep_versions=1)
    model_dir = store / "handmade"
    post(service, {"instances": random_rows(10)})
    assert (get(service)["serving"], get(service)["rows"]) == ("3", 10)
    (model_dir / CURRENT).write_text("1")
    service.catalog.refresh()
    assert (get(service)["serving"], get(service)["rows"], get(service)["since"]) == ("1", 0, None)
    post(service, {"instances": random_rows(4)})
    regions = len(service.shadow.pairs._counters.regions._regions)  # noqa: SLF001
    assert (get(service)["rows"], get(service)["since"] is None) == (4, False)
    (model_dir / SHADOW).write_text("3")
    service.catalog.refresh()
    post(service, {"instances": random_rows(5)})
    assert (get(service)["shadow"], get(service)["rows"]) == ("3", 5)
    remove_shadow(model_dir)
    service.catalog.refresh()
    post(service, {"instances": random_rows(50)})
    assert get(service)["shadow"] is None
    (model_dir / SHADOW).write_text("3")
    service.catalog.refresh()
    post(service, {"instances": random_rows(6)})
    assert get(service)["rows"] == 11
    assert len(service.shadow.pairs._counters.regions._regions) == regions  # noqa: SLF001


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("has_threads", [False, True])
def test_shadow_that_is_no_more_leaves_nothing_in_memory(store: Path, *, has_threads: bool) -> None:
    """Neither its model nor that of the serving version, also if rows still wait; its metrics end."""
    publish(store, Network.random(SHAPE, seed=3))
    (store / "handmade" / CURRENT).write_text("1")
    service = start_service(store, keep_versions=1)
    if has_threads:
        service.shadow.start()
    for _ in range(3):
        post(service, {"instances": random_rows(3_000)})
    models = weakref.WeakSet(service.registry.models)
    assert len(models) == 2
    remove_shadow(store / "handmade")
    (store / "handmade" / CURRENT).write_text("3")
    service.catalog.refresh()
    service.observations.flush()
    await_true(lambda: not shadow_threads())
    gc.collect()
    assert list(models) == []
    assert "menagerie_shadow_rows_total{" not in flask_app(service).test_client().get("/metrics").text


def test_rows_that_overflow_in_the_shadow_are_counted(store: Path) -> None:
    """The client sees nothing of it, and the other rows of the batch are compared."""
    publish(store, build_overflowing())
    (store / "handmade" / SHADOW).write_text("3")
    service = start_service(store)
    before = start_service(store, model_version=2)
    rows = random_rows(20)
    document = {"instances": [*rows[:7], [3, 0, 0], *rows[7:], [2.99, 1, 1]]}
    assert post(service, document) == post(before, document)
    report = get(service)
    assert (report["rows"], report["failed"]) == (20, {"network": 2, "input": 0})
    expected = compared(open_model(store, "handmade", 2), open_model(store, "handmade", 3), np.array(rows, np.float32))
    assert report["outputs"] == expected["outputs"]


def test_shadow_that_fails_is_logged_once(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its rows are counted, and clients get their predictions."""
    service = start_service(store)
    shadow = service.registry.shadow
    assert shadow
    shadow.model._engine = object()  # type: ignore[assignment] # noqa: SLF001
    for count in (3, 4):
        post(service, {"instances": random_rows(count)})
    assert (get(service)["rows"], get(service)["failed"]) == (0, {"network": 7, "input": 0})
    assert caplog.text.count("version 2 of handmade failed as a shadow") == 1


@pytest.mark.usefixtures("no_threads")
def test_shadow_for_which_there_is_no_memory_is_reported(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once; no rows wait for it."""
    service = start_service(store, model_version=1)
    service.shadow.pairs._counters.regions.get = _raise_full  # type: ignore[method-assign, assignment] # noqa: SLF001
    for _ in range(3):
        post(service, {"features": [1, 2, 0]})
    assert get(service)["reason"] == "version 2 cannot be compared: no room"
    service.shadow.start()
    post(service, {"instances": random_rows(50)})
    assert service.shadow._queue.take(lambda _: 1) is None, "rows wait in vain"  # noqa: SLF001
    assert caplog.text.count("version 2 of handmade cannot be compared") == 1
    remove_shadow(store / "handmade")
    service.catalog.refresh()


def _raise_full(*_: Any) -> Any:
    raise MemoryError("no room")


@pytest.mark.parametrize(
    ("name", "fields", "columns", "unknown"),
    [
        ("island", {"categories": mixed_bundles.ISLANDS[::-1]}, (0, 1, 2), ""),
        ("sex", {"allow_missing": False, "default": "male"}, (0, 1), ""),
        ("colony", {"categories": (NEW_COLONY, "north", "south", 'ümläut "quoted"')}, (0, 1, 2, 3, 0), NEW_COLONY),
    ],
)
def test_shadow_computes_the_values_that_clients_sent(
    tmp_path: Path, name: str, fields: dict[str, Any], columns: tuple[int, ...], unknown: str
) -> None:
    """Versions may encode a category differently: what the shadow computes is what it answers to the same request."""
    mixed_bundles.publish(tmp_path)
    features = [
        Feature(**(each.model_dump() | (fields if each.name == name else {}))) for each in mixed_bundles.FEATURES
    ]
    encoders = [
        OneHotEncoder(feature=name, width=max(columns) + 1, columns=columns) if each.feature == name else each
        for each in mixed_bundles.ENCODERS
    ]
    mixed_bundles.publish(tmp_path, features=features, encoders=encoders)
    (tmp_path / "mixed" / SHADOW).write_text("2")
    service = start_service(tmp_path, model_name="mixed")
    rows = [list(row) for row in mixed_bundles.raw_rows(120, seed=5)]
    post(service, {"instances": rows})
    report = get(service)
    path = "/v1/models/mixed/versions/{}:predict"
    answers = [post(service, {"instances": rows}, path.format(n))["predictions"] for n in (1, 2)]
    labels = [np.argmax(each, axis=1) for each in answers]
    is_known = np.array([not unknown or unknown not in row for row in rows])
    assert report["failed"] == {"network": 0, "input": int((~is_known).sum())}
    assert report["rows"] == int(is_known.sum())
    assert report["agree"]["rows"] == int((labels[0] == labels[1])[is_known].sum())


def test_outputs_of_every_kind_are_compared(tmp_path: Path) -> None:
    """Each output has its own part of the report; a row agrees if all of its outputs do."""
    for hidden in ((4,), (5,)):
        headed_bundles.publish(tmp_path, headed_bundles.SEVERAL, hidden=hidden)
    (tmp_path / "headed" / SHADOW).write_text("2")
    service = start_service(tmp_path, model_name="headed")
    rows = np.random.default_rng(1).uniform(-1, 1, (300, 3)).astype(np.float32)
    post(service, {"instances": rows.tolist()})
    report = get(service)
    expected = compared(open_model(tmp_path, "headed", 1), open_model(tmp_path, "headed", 2), rows)
    assert {name: report[name] for name in expected} == expected
    assert {output["kind"] for output in report["outputs"]} == {"multi_label", "regression"}
    metrics = read_metrics(service)
    changed = metrics["menagerie_shadow_rows_total"]["change"]
    assert changed == report["rows"] - report["agree"]["rows"]


def read_metrics(service: Service) -> dict[str, dict[str, float]]:
    """The shadow's metrics: values by name, and by their last labels."""
    text = flask_app(service).test_client().get("/metrics").text
    samples: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("menagerie_shadow"):
                labels = dict(sample.labels)
                assert (labels.pop("version"), labels.pop("shadow")) == ("1", "2")
                labels.pop("model")
                samples.setdefault(sample.name, {})[" ".join(labels.values())] = sample.value
    return samples


def test_metrics_are_those_of_the_report(store: Path) -> None:
    service = start_service(store)
    post(service, {"instances": random_rows(500)})
    report, metrics = get(service), read_metrics(service)
    agreeing = report["agree"]["rows"]
    (output,) = report["outputs"]
    assert metrics["menagerie_shadow_rows_total"] == {"agree": agreeing, "change": 500 - agreeing}
    assert metrics["menagerie_shadow_dropped_rows_total"] == report["dropped"]
    assert metrics["menagerie_shadow_failed_rows_total"] == report["failed"]
    changes = metrics["menagerie_shadow_label_changes_total"]
    lost = {name: count for name, count in changes.items() if "lost" in name}
    assert sum(lost.values()) == 500 - agreeing
    name = "menagerie_shadow_probability_shift_ratio"
    assert metrics[f"{name}_count"]["probabilities"] == 500
    assert metrics[f"{name}_sum"]["probabilities"] == pytest.approx(500 * output["moved"]["mean"])
    counts = np.cumsum([bucket["rows"] for bucket in output["moved"]["histogram"]]).tolist()
    assert list(metrics[f"{name}_bucket"].values()) == counts


def shadow_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "shadow"]


@pytest.fixture
def no_threads() -> Iterator[None]:
    """Await the end of threads that other tests began."""
    yield
    await_true(lambda: not shadow_threads())


@pytest.mark.usefixtures("no_threads")
def test_thread_runs_while_there_is_a_shadow(store: Path) -> None:
    """It starts with the first requests, ends with the shadow, and starts again with another."""
    model_dir = store / "handmade"
    remove_shadow(model_dir)
    service = start_service(store, model_version=1)
    service.shadow.start()
    post(service, {"instances": random_rows(5)})
    assert not shadow_threads()
    for compared_rows in (10, 20):
        (model_dir / SHADOW).write_text("2")
        service.catalog.refresh()
        post(service, {"instances": random_rows(5)})
        assert len(shadow_threads()) == 1
        post(service, {"instances": random_rows(5)})
        assert len(shadow_threads()) == 1
        await_equal(lambda: get(service)["rows"], compared_rows)
        remove_shadow(model_dir)
        service.catalog.refresh()
        await_true(lambda: not shadow_threads())
    (model_dir / SHADOW).write_text("2")
    service.catalog.refresh()
    assert get(service)["rows"] == 20
    remove_shadow(model_dir)
    service.catalog.refresh()


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("is_overloaded", [False, True])
def test_rows_without_room_are_dropped_and_counted(
    store: Path, monkeypatch: pytest.MonkeyPatch, *, is_overloaded: bool
) -> None:
    """The reason is the worker's load, or else that the shadow does not keep up; what waits at exit is dropped too."""
    monkeypatch.setattr(WorkerLoad, "is_overloaded", lambda _: is_overloaded)
    service = start_service(store, shadow_rows=100)
    service.shadow.start()
    if is_overloaded:  # it has been, when the rows come
        post(service, {"features": [1, 2, 0]})
        await_true(lambda: service.shadow._is_overloaded)  # noqa: SLF001
    post(service, {"instances": random_rows(1_000)})
    reason = "overload" if is_overloaded else "queue"
    waiting = 100 if is_overloaded else 0
    expected = 1_001 - waiting if is_overloaded else 1_000
    await_true(lambda: _known(get(service)) == expected)
    report = get(service)
    assert report["dropped"] == {"overload": 0, "queue": 0, "exit": 0} | {reason: expected - report["rows"]}
    assert report["rows"] == (0 if is_overloaded else 100)
    service.close(0)
    assert get(service)["dropped"]["exit"] == waiting
    remove_shadow(store / "handmade")
    (store / "handmade" / CURRENT).write_text("1")
    service.catalog.refresh()


@pytest.mark.usefixtures("no_threads")
def test_rows_that_wait_when_a_shadow_ends_are_not_for_the_next(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may come days later, for the same serving version."""
    is_overloaded = True
    monkeypatch.setattr(WorkerLoad, "is_overloaded", lambda _: is_overloaded)
    service = start_service(store, model_version=1)
    service.shadow.start()
    post(service, {"instances": random_rows(30)})
    remove_shadow(store / "handmade")
    service.catalog.refresh()
    await_true(lambda: not shadow_threads())
    is_overloaded = False
    (store / "handmade" / SHADOW).write_text("2")
    service.catalog.refresh()
    post(service, {"instances": random_rows(5)})
    await_true(lambda: _known(get(service)) >= 5)
    assert get(service)["rows"] == 5
    remove_shadow(store / "handmade")
    service.catalog.refresh()


def _known(report: dict[str, Any]) -> int:
    return int(report["rows"] + sum(report["dropped"].values()) + sum(report["failed"].values()))


def test_counts_of_all_workers_add_up(store: Path) -> None:
    """Each has cells of its own, of which those of an earlier pair do not count."""
    serving, shadow = open_model(store, "handmade", 1), open_model(store, "handmade", 2)
    counters = SharedCounters()
    slots = [counters.allocate_slot() for _ in range(3)]
    rows = np.array(random_rows(90), np.float32)
    for slot in slots:
        counters.use_slot(slot)
        Pair(counters, shadow, serving).compare(Rows(rows, shadow.outputs(rows)))
    for slot, part in zip(slots[:2], (slice(0, 30), slice(30, 90)), strict=True):
        counters.use_slot(slot)
        Pair(counters, serving, shadow).compare(Rows(rows[part], serving.outputs(rows[part])))
    pair = Pair(counters, serving, shadow)
    read = pair.read()
    assert {**pair.comparison.report(read.cells)} == compared(serving, shadow, rows)
    assert read.since == pytest.approx(time.time(), abs=60)
    other = Pair(counters, shadow, serving)
    assert other.comparison.totals(other.read().cells).rows == 90


def predictions(sizes: list[int], start: int = 0) -> list[Prediction]:
    """Predictions of so many rows each, whose values are numbered."""
    ends = np.cumsum([start, *sizes]).tolist()
    return [
        Prediction(rows, -rows, (), (), {})
        for rows in (np.arange(low, high, dtype=np.float32)[:, None] for low, high in pairwise(ends))
    ]


def test_queue_gives_the_rows_in_order_and_models_in_turn(store: Path) -> None:
    first, second = open_model(store, "handmade", 1), open_model(store, "handmade", 2)
    queue = RowQueue(20)
    queue.put(first, predictions([1, 2, 5]), "queue")
    queue.put(second, predictions([3], start=100), "queue")
    queue.put(first, predictions([4, 2], start=8), "queue")
    taken = []
    while one := queue.take(lambda _: 6):
        np.testing.assert_array_equal(one[1].outputs, -one[1].rows)
        taken.append((one[0], one[1].rows[:, 0].tolist()))
    assert taken == [
        (first, [0, 1, 2, 3, 4, 5]),
        (second, [100, 101, 102]),
        (first, [6, 7, 8, 9, 10, 11]),
        (first, [12, 13]),
    ]
    assert queue.take_dropped() == {}


def test_queue_has_room_again_once_rows_are_taken(store: Path) -> None:
    model = open_model(store, "handmade", 1)
    queue = RowQueue(10)
    queue.put(model, predictions([4, 9]), "queue")
    queue.put(model, predictions([2]), "overload")
    assert queue.take_dropped() == {(model, "queue"): 3, (model, "overload"): 2}
    assert queue.take_dropped() == {}
    one = queue.take(lambda _: 4)
    assert one
    assert one[1].rows[:, 0].tolist() == [0, 1, 2, 3]
    queue.put(model, predictions([5], start=50), "queue")
    assert queue.take_dropped() == {(model, "queue"): 1}
    queue.drop_all("exit")
    assert queue.take_dropped() == {(model, "exit"): 10}
    assert queue.take(lambda _: 4) is None
    queue.put(model, predictions([10]), "queue")
    assert queue.take_dropped() == {}


def test_queue_keeps_no_rows_in_memory_but_those_that_wait(store: Path) -> None:
    """Of large requests it takes a few rows each, while the shadow does not keep up."""
    model = open_model(store, "handmade", 1)
    queue = RowQueue(1_000)
    request = predictions([20_000])
    tracemalloc.start()
    for _ in range(100):
        queue.put(model, request, "queue")
        queue.take(lambda _: 10)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 160_000  # bytes, which the rows and outputs of one request have


def test_load_is_that_of_other_threads() -> None:
    """A thread that computes all the time is an overload, whether or not it gets a core; one that sleeps is none."""
    load = WorkerLoad()
    time.sleep(0.2)
    assert not load.is_overloaded()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:  # this thread does not count
        pass
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    worker = threading.Thread(target=compute)
    worker.start()
    load = WorkerLoad()
    try:
        await_true(load.is_overloaded)
    finally:
        stop.set()
        worker.join()
    await_true(lambda: not load.is_overloaded())

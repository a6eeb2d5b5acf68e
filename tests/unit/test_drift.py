"""`GET /drift`: which rows are counted, and how they compare with the training rows."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families as parsed
from support import sampled_animals
from support.known_animals import KNOWN, named

from service.app import create_app
from service.arrays import Array
from service.http.context import RequestContext
from service.http.routing import routes_of
from service.inference.catalog import Catalog
from service.inference.sandbox import no_check
from service.monitoring.drift.observer import Drift
from service.monitoring.shared_counters import SharedCounters
from service.protocols.native import Native
from service.settings import Settings

Predict = Callable[[FlaskClient, Array], int]


@pytest.fixture
def client() -> FlaskClient:
    """A service of its own, so that no other test adds rows."""
    return create_app(Settings(drift_rows=500)).test_client()


def get_drift(client: FlaskClient) -> dict[str, Any]:
    drift: dict[str, Any] = json.loads(client.get("/drift").data)
    return drift


def predict_native(client: FlaskClient, rows: Array) -> int:
    return client.post("/predict", json={"instances": rows.tolist()}).status_code


def predict_row_by_row(client: FlaskClient, rows: Array) -> int:
    return max(client.post("/predict", json={"features": row}).status_code for row in rows.tolist())


def infer_json(client: FlaskClient, rows: Array) -> int:
    body = {"inputs": [{"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()}]}
    return client.post("/v2/models/animals/infer", json=body).status_code


def infer_binary(client: FlaskClient, rows: Array) -> int:
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    return client.post("/v2/models/animals/infer", data=rows.tobytes(), headers=headers).status_code


def predict_tfserving(client: FlaskClient, rows: Array) -> int:
    return client.post("/v1/models/animals:predict", json={"instances": rows.tolist()}).status_code


def classify_tfserving(client: FlaskClient, rows: Array) -> int:
    body = {"examples": [named(tuple(row)) for row in rows.tolist()]}
    return client.post("/v1/models/animals/versions/1:classify", json=body).status_code


PROTOCOLS = pytest.mark.parametrize(
    "predict", [predict_native, predict_row_by_row, infer_json, infer_binary, predict_tfserving, classify_tfserving]
)


@PROTOCOLS
def test_predictions_are_counted(client: FlaskClient, predict: Predict) -> None:
    """Each row once, whatever the protocol."""
    assert predict(client, sampled_animals.unshifted(150, 1).rows) == 200
    drift = get_drift(client)
    assert drift["rows"] == drift["labels"]["rows"] == drift["features"]["ear_length_cm"]["rows"] == 150
    assert sum(share["now"] for share in drift["labels"]["shares"].values()) == pytest.approx(1)


@PROTOCOLS
def test_out_of_bounds_values_are_counted(client: FlaskClient, predict: Predict) -> None:
    """They never reach the network, but they are a sign of drift."""
    assert predict(client, sampled_animals.in_fahrenheit(120, 1)) in (400, 422)
    client.post("/predict", json={"features": named(KNOWN["cat"])})
    drift = get_drift(client)
    rejected = 100 if predict is not predict_row_by_row else 120  # one response reports MENAGERIE_MAX_ERRORS
    assert drift["rows"] == rejected + 1
    assert drift["features"]["body_temperature_c"]["refused"] == pytest.approx(rejected / (rejected + 1))
    assert drift["features"]["body_mass_kg"]["rows"] == 1


def test_values_that_are_no_numbers_are_not_counted(client: FlaskClient) -> None:
    """A string or a missing value has no place in a feature's distribution; the metric of rejections counts it."""
    dog = named(KNOWN["dog"])
    for features in (dog | {"ear_length_cm": "15.5"}, dog | {"ear_length_cm": None}, {"ear_length_cm": 15.5}):
        assert client.post("/predict", json={"features": features}).status_code == 422
    assert get_drift(client)["rows"] == 0


def test_explanations_are_not_counted(client: FlaskClient) -> None:
    """The page's sliders explain animals that do not exist."""
    for value in (38.4, 101.1):
        body = named(KNOWN["dog"]) | {"body_temperature_c": value}
        client.post("/explain", json={"features": body})
    assert get_drift(client)["rows"] == 0


def test_few_rows_give_no_verdict(client: FlaskClient) -> None:
    """The verdict is unknown, and no index an alarm, until a fifth of the window is filled."""
    assert get_drift(client)["says"] == "too few rows for a verdict: 0 of 100"
    assert all(
        share == {"then": share["then"], "now": None} for share in get_drift(client)["labels"]["shares"].values()
    )
    predict_native(client, sampled_animals.llamas(99, 1)[:99])
    drift = get_drift(client)
    assert (drift["verdict"], drift["alarm"], drift["rows"]) == ("unknown", False, 99)
    assert drift["features"]["body_mass_kg"]["psi"] > 1
    predict_native(client, sampled_animals.llamas(1, 2)[:1])
    assert get_drift(client)["verdict"] == "shifted"


def test_unshifted_rows_look_like_the_training_rows(client: FlaskClient) -> None:
    """The verdict, the number of rows and their age, and about the same medians."""
    predict_native(client, sampled_animals.unshifted(500, 7).rows)
    drift = get_drift(client)
    assert (drift["verdict"], drift["says"], drift["rows"]) == ("alike", "looks like the training rows", 500)
    assert drift["since"].startswith("20")
    mass = drift["features"]["body_mass_kg"]
    assert (mass["shifted"], mass["says"], mass["refused"], mass["limit"]) == (False, "", 0, 0.2)
    assert 0 < mass["psi"] < 0.1
    assert mass["median"]["then"] == pytest.approx(5.836, abs=1e-3)
    assert mass["median"]["now"]["above"] in (mass["bins"][4]["above"], mass["bins"][5]["above"])
    assert len(mass["bins"]) == 10
    assert sum(each["now"] for each in mass["bins"]) == pytest.approx(1)
    assert [each["then"] for each in mass["bins"]] == pytest.approx(
        [0.01, 0.04, 0.05, 0.15, 0.25, 0.25, 0.15, 0.05, 0.04, 0.01], abs=1e-3
    )


def test_summary_names_the_features_and_the_label_that_shifted_most(client: FlaskClient) -> None:
    """With nothing but llamas: three features with the direction of their shift, the number of others, the label."""
    predict_native(client, sampled_animals.llamas(500, 7))
    drift = get_drift(client)
    assert drift["alarm"]
    assert (
        "shoulder_height_cm is higher: its median was 26.9 cm in training and is now between 70.6 and 111 cm; "
        in drift["says"]
    )
    assert "5 more features have shifted" in drift["says"]
    assert drift["says"].endswith("llama is predicted for 100% of the rows, compared with 25% of the training rows")


def test_only_the_feature_that_shifted_is_reported(client: FlaskClient) -> None:
    """A scale that shows twice the mass shifts one feature: higher, with its medians."""
    predict_native(client, sampled_animals.heavier(500, 7))
    drift = get_drift(client)
    assert [name for name, feature in drift["features"].items() if feature["shifted"]] == ["body_mass_kg"]
    mass = drift["features"]["body_mass_kg"]
    assert drift["says"].startswith(f"has shifted: {mass['says']}")
    assert (
        mass["says"] == "body_mass_kg is higher: its median was 5.84 kg in training and is now between 5.84 and 35.5 kg"
    )
    assert mass["median"]["now"] == {key: mass["bins"][5][key] for key in ("above", "upto")}


def test_another_unit_is_reported_although_every_row_is_rejected(client: FlaskClient) -> None:
    """With the bounds, and a question that leads to the cause."""
    predict_row_by_row(client, sampled_animals.in_fahrenheit(100, 7))
    assert get_drift(client)["says"] == (
        "has shifted: body_temperature_c is out of bounds, 5 to 45 °C, in 100% of the rows: "
        "is it measured in another unit?"
    )


def test_a_feature_may_shift_around_the_same_median(client: FlaskClient) -> None:
    """It is neither higher nor lower."""
    rows = sampled_animals.unshifted(500, 7).rows
    rows[:, 4] = np.where(rows[:, 4] < 11.47, 11.3, 11.6)
    predict_native(client, rows)
    assert get_drift(client)["features"]["head_length_cm"]["says"] == (
        "head_length_cm is distributed differently than in the training rows"
    )


def test_the_setting_sets_the_limit() -> None:
    """With a higher limit there is no alarm."""
    lenient = create_app(Settings(drift_rows=500, drift_psi=2)).test_client()
    predict_native(lenient, sampled_animals.heavier(500, 7))
    assert get_drift(lenient)["verdict"] == "alike"


@pytest.mark.parametrize("batch_rows", [3_000, 250])
def test_only_the_last_rows_of_a_large_batch_count(client: FlaskClient, batch_rows: int) -> None:
    """As many as a window holds, of one batch or of several."""
    rows = np.concatenate([sampled_animals.llamas(2_000, 7)[:2_000], sampled_animals.unshifted(1_000, 8).rows])
    for start in range(0, len(rows), batch_rows):
        predict_native(client, rows[start : start + batch_rows])
    assert (get_drift(client)["rows"], get_drift(client)["verdict"]) == (500, "alike")


def test_rows_that_wait_for_the_lock_are_bounded() -> None:
    """While another worker holds the lock of the windows, the rows of one window wait, and no more."""
    settings, counters = Settings(drift_rows=500), SharedCounters()
    catalog = Catalog(settings, no_check)
    drift, model = Drift(settings, counters, catalog), catalog.default.current.model
    own = drift._drifts.of(model)  # noqa: SLF001 (another worker cannot be made to take long)
    assert own.windows
    with own.windows.lock.attempt() as is_locked:
        assert is_locked
        for seed in range(10):
            context = RequestContext("POST", "/predict", next(iter(routes_of(Native))))
            context.model, context.prediction = model, model.predict(sampled_animals.unshifted(450, seed).rows)
            drift.observe([context])
        assert 500 <= sum(map(len, own.binned)) <= 2 * 500
    assert drift.judge(model).window.rows == 500


def test_metrics_equal_the_report(client: FlaskClient) -> None:
    """The alarm and the indices; there is no index while there are too few rows."""
    predict_native(client, sampled_animals.heavier(60, 7))
    assert _values(client) == {"rows": {(): 60.0}, "alarm": {(): 0.0}}
    predict_native(client, sampled_animals.heavier(440, 8))
    predict_row_by_row(client, sampled_animals.in_fahrenheit(20, 9))
    drift, metrics = get_drift(client), _values(client)
    assert (metrics["rows"][()], metrics["alarm"][()]) == (drift["rows"], 1)
    for name, feature in drift["features"].items():
        assert metrics["psi"][name,] == pytest.approx(feature["psi"])
        assert metrics["refused_ratio"][name,] == pytest.approx(feature["refused"])
    assert metrics["psi_labels"][()] == pytest.approx(drift["labels"]["psi"])


def _values(client: FlaskClient) -> dict[str, dict[tuple[str, ...], float]]:
    """Every drift metric of version 1 by the feature in its labels, if any."""
    families = [family for family in parsed(client.get("/metrics").text) if family.name.startswith("menagerie_drift")]
    assert {sample.labels["version"] for family in families for sample in family.samples} == {"1"}
    return {
        family.name.removeprefix("menagerie_drift_"): {
            tuple(value for key, value in sample.labels.items() if key == "feature"): sample.value
            for sample in family.samples
        }
        for family in families
        if family.samples
    }

"""What the last rows look like beside the training rows: counted at the gate, judged, told."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families as parsed
from support import sampled_animals
from support.known_animals import KNOWN, named

from service.app import create_app
from service.inference.validation import Array
from service.settings import Settings

Ask = Callable[[FlaskClient, Array], int]


@pytest.fixture
def client() -> FlaskClient:
    """A service of its own: what others asked is none of its rows."""
    return create_app(Settings(drift_rows=500)).test_client()


def told(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.get("/drift").data)
    return found


def native(client: FlaskClient, rows: Array) -> int:
    return client.post("/predict", json={"instances": rows.tolist()}).status_code


def one_by_one(client: FlaskClient, rows: Array) -> int:
    return max(client.post("/predict", json={"features": row}).status_code for row in rows.tolist())


def tensors(client: FlaskClient, rows: Array) -> int:
    body = {"inputs": [{"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()}]}
    return client.post("/v2/models/animals/infer", json=body).status_code


def raw(client: FlaskClient, rows: Array) -> int:
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    return client.post("/v2/models/animals/infer", data=rows.tobytes(), headers=headers).status_code


def serving(client: FlaskClient, rows: Array) -> int:
    return client.post("/v1/models/animals:predict", json={"instances": rows.tolist()}).status_code


def examples(client: FlaskClient, rows: Array) -> int:
    body = {"examples": [named(tuple(row)) for row in rows.tolist()]}
    return client.post("/v1/models/animals/versions/1:classify", json=body).status_code


WAYS = pytest.mark.parametrize("ask", [native, one_by_one, tensors, raw, serving, examples])


@WAYS
def test_predictions_are_counted(client: FlaskClient, ask: Ask) -> None:
    """By every protocol, as often as there are rows."""
    assert ask(client, sampled_animals.unshifted(150, 1).rows) == 200
    found = told(client)
    assert found["rows"] == found["labels"]["rows"] == found["features"]["ear_length_cm"]["rows"] == 150
    assert sum(share["now"] for share in found["labels"]["shares"].values()) == pytest.approx(1)


@WAYS
def test_values_beyond_the_bounds_are_counted_as_refused(client: FlaskClient, ask: Ask) -> None:
    """They never reach the network, which is all the more a sign."""
    assert ask(client, sampled_animals.in_fahrenheit(120, 1)) in (400, 422)
    client.post("/predict", json={"features": named(KNOWN["cat"])})
    found = told(client)
    refused = 100 if ask is not one_by_one else 120  # MENAGERIE_MAX_ERRORS are told of one request
    assert found["rows"] == refused + 1
    assert found["features"]["body_temperature_c"]["refused"] == pytest.approx(refused / (refused + 1))
    assert found["features"]["body_mass_kg"]["rows"] == 1


def test_what_is_no_value_is_not_counted(client: FlaskClient) -> None:
    """A string, or nothing at all, says nothing of how a feature is spread; the rejections' metric has it."""
    dog = named(KNOWN["dog"])
    for features in (dog | {"ear_length_cm": "15.5"}, dog | {"ear_length_cm": None}, {"ear_length_cm": 15.5}):
        assert client.post("/predict", json={"features": features}).status_code == 422
    assert told(client)["rows"] == 0


def test_explanations_are_not_counted(client: FlaskClient) -> None:
    """Whoever moves a slider of the page shows the network animals that nobody met."""
    for value in (38.4, 101.1):
        body = named(KNOWN["dog"]) | {"body_temperature_c": value}
        client.post("/explain", json={"features": body})
    assert told(client)["rows"] == 0


def test_few_rows_say_nothing(client: FlaskClient) -> None:
    """Of a fifth of the window it can be said; before, no figure is an alarm."""
    assert told(client)["says"] == "too few rows to say: 0 of the 100 that it takes"
    assert all(share == {"then": share["then"], "now": None} for share in told(client)["labels"]["shares"].values())
    native(client, sampled_animals.llamas(99, 1)[:99])
    found = told(client)
    assert (found["verdict"], found["alarm"], found["rows"]) == ("unknown", False, 99)
    assert found["features"]["body_mass_kg"]["psi"] > 1
    native(client, sampled_animals.llamas(1, 2)[:1])
    assert told(client)["verdict"] == "shifted"


def test_animals_as_in_training_look_like_it(client: FlaskClient) -> None:
    """Since when, how many, and about the same medians."""
    native(client, sampled_animals.unshifted(500, 7).rows)
    found = told(client)
    assert (found["verdict"], found["says"], found["rows"]) == ("alike", "looks like the training rows", 500)
    assert found["since"].startswith("20")
    mass = found["features"]["body_mass_kg"]
    assert (mass["shifted"], mass["says"], mass["refused"], mass["limit"]) == (False, "", 0, 0.2)
    assert 0 < mass["psi"] < 0.1
    assert mass["median"]["then"] == pytest.approx(5.836, abs=1e-3)
    assert mass["median"]["now"]["above"] in (mass["bins"][4]["above"], mass["bins"][5]["above"])
    assert len(mass["bins"]) == 10
    assert sum(one["now"] for one in mass["bins"]) == pytest.approx(1)
    assert [one["then"] for one in mass["bins"]] == pytest.approx(
        [0.01, 0.04, 0.05, 0.15, 0.25, 0.25, 0.15, 0.05, 0.04, 0.01], abs=1e-3
    )


def test_nothing_but_llamas_is_told_by_feature_and_label(client: FlaskClient) -> None:
    """The worst three by name and which way, the rest by number, and what they are taken for."""
    native(client, sampled_animals.llamas(500, 7))
    found = told(client)
    assert found["alarm"]
    assert "shoulder_height_cm is higher: its median was 26.9 cm, and now is between 70.6 and 111 cm; " in found["says"]
    assert "and so have 5 more of the features" in found["says"]
    assert found["says"].endswith("llama is the answer to 100% of the rows, to 25% of the training rows")


def test_a_scale_that_shows_twice_the_mass_is_told(client: FlaskClient) -> None:
    """That one feature alone, higher, with its medians."""
    native(client, sampled_animals.heavier(500, 7))
    found = told(client)
    assert [name for name, told in found["features"].items() if told["shifted"]] == ["body_mass_kg"]
    mass = found["features"]["body_mass_kg"]
    assert found["says"].startswith(f"has shifted: {mass['says']}")
    assert mass["says"] == "body_mass_kg is higher: its median was 5.84 kg, and now is between 5.84 and 35.5 kg"
    assert mass["median"]["now"] == {key: mass["bins"][5][key] for key in ("above", "upto")}


def test_another_thermometer_is_told_though_all_of_it_is_refused(client: FlaskClient) -> None:
    """With the bounds, and the question that an operator should ask."""
    one_by_one(client, sampled_animals.in_fahrenheit(100, 7))
    assert told(client)["says"] == (
        "has shifted: body_temperature_c was refused in 100% of the rows, as not within 5 to 45 °C: "
        "is it measured in another unit?"
    )


def test_a_feature_may_be_spread_otherwise_around_the_same_middle(client: FlaskClient) -> None:
    """Neither higher nor lower."""
    rows = sampled_animals.unshifted(500, 7).rows
    rows[:, 4] = np.where(rows[:, 4] < 11.47, 11.3, 11.6)
    native(client, rows)
    assert told(client)["features"]["head_length_cm"]["says"] == (
        "head_length_cm is spread in another way than in the training rows"
    )


def test_the_setting_says_from_where_on() -> None:
    """A greater index allowed, no alarm."""
    lenient = create_app(Settings(drift_rows=500, drift_psi=2)).test_client()
    native(lenient, sampled_animals.heavier(500, 7))
    assert told(lenient)["verdict"] == "alike"


@pytest.mark.parametrize("at_once", [3_000, 250])
def test_a_large_batch_is_its_last_rows(client: FlaskClient, at_once: int) -> None:
    """No more of it, or of several, is looked at than a window has."""
    rows = np.concatenate([sampled_animals.llamas(2_000, 7)[:2_000], sampled_animals.unshifted(1_000, 8).rows])
    for start in range(0, len(rows), at_once):
        native(client, rows[start : start + at_once])
    assert (told(client)["rows"], told(client)["verdict"]) == (500, "alike")


def test_what_is_held_is_bounded(client: FlaskClient) -> None:
    """While another worker has its turn for good, the rows of one window wait, and no more."""
    application = client.application
    assert isinstance(application, Flask)
    drift = application.extensions["menagerie"].drift
    with drift._windows.turn() as mine:  # noqa: SLF001 (another worker cannot be told to take long)
        assert mine
        for seed in range(10):
            native(client, sampled_animals.unshifted(450, seed).rows)
        assert sum(len(cells) for _, cells in drift._placed) <= 2 * 500  # noqa: SLF001
        assert not drift._held  # noqa: SLF001
    assert told(client)["rows"] == 500


def test_the_metrics_say_the_same(client: FlaskClient) -> None:
    """An alarm and the indices; none of these while there are too few rows."""
    native(client, sampled_animals.heavier(60, 7))
    assert _values(client) == {"rows": {(): 60.0}, "alarm": {(): 0.0}}
    native(client, sampled_animals.heavier(440, 8))
    one_by_one(client, sampled_animals.in_fahrenheit(20, 9))
    found, metrics = told(client), _values(client)
    assert (metrics["rows"][()], metrics["alarm"][()]) == (found["rows"], 1)
    for name, feature in found["features"].items():
        assert metrics["psi"][name,] == pytest.approx(feature["psi"])
        assert metrics["refused_ratio"][name,] == pytest.approx(feature["refused"])
    assert metrics["psi_labels"][()] == pytest.approx(found["labels"]["psi"])


def _values(client: FlaskClient) -> dict[str, dict[tuple[str, ...], float]]:
    """Every metric of drift, of version 1, by the feature that it is of, if any."""
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

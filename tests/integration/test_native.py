"""The native protocol: ``POST /predict``, in process and through gunicorn."""

import json
from typing import Any

import numpy as np
import pytest
from support.bad_input import BAD_INPUTS, GOOD, BadInput
from support.http_responses import Send
from support.known_animals import BEARDED_DRAGON, GREAT_DANE, KNOWN, LLAMA, MAINE_COON, NAMES, named

JSON = {"Content-Type": "application/json"}


def predict(send: Send, document: Any) -> Any:
    response = send("POST", "/predict", json.dumps(document).encode(), JSON)
    assert response.status == 200, response.body
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.body)


@pytest.mark.parametrize("label", KNOWN)
def test_known_animals_are_predicted_in_both_forms(send: Send, label: str) -> None:
    """Animals of breeds that are not in the training data, with features by name or as a list."""
    response = predict(send, {"features": KNOWN[label]})
    assert response["label"] == label
    assert predict(send, {"features": named(KNOWN[label])}) == response


def test_batch_equals_single_predictions(send: Send) -> None:
    """Instances of both forms, mixed, get the numbers that each gets single, in their order."""
    batch = predict(send, {"instances": [MAINE_COON, named(GREAT_DANE), LLAMA, named(BEARDED_DRAGON)]})
    single = [predict(send, {"features": values}) for values in (MAINE_COON, GREAT_DANE, LLAMA, BEARDED_DRAGON)]
    assert batch["predictions"] == [{key: each[key] for key in each if key != "model"} for each in single]
    assert batch["model"] == single[0]["model"] == {"name": "animals", "version": "1"}


def test_response_has_the_documented_shape(send: Send) -> None:
    """The label is the most probable one; probabilities are in the order of the labels and sum to 1."""
    response = predict(send, {"features": MAINE_COON})
    assert list(response) == ["label", "confidence", "probabilities", "warnings", "model"]
    assert list(response["probabilities"]) == ["cat", "dog", "llama", "lizard"]
    assert sum(response["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert (
        response["confidence"]
        == response["probabilities"][response["label"]]
        == max(response["probabilities"].values())
    )


def test_floats_are_the_shortest_decimals(send: Send) -> None:
    """A probability reads 0.97, not 0.9700000286102295, and still parses to the same float32."""
    response = predict(send, {"instances": list(KNOWN.values())})
    for prediction in response["predictions"]:
        for value in prediction["probabilities"].values():
            assert repr(value) == repr(float(str(np.float32(value))))


def test_order_of_feature_names_does_not_matter(send: Send) -> None:
    """Features by name give the same response in any order."""
    backwards = dict(reversed(named(GREAT_DANE).items()))
    assert predict(send, {"features": backwards}) == predict(send, {"features": GREAT_DANE})


def test_value_outside_the_training_range_gets_a_warning(send: Send) -> None:
    """It has the value and the predicted label's training range."""
    komodo_dragon = predict(send, {"features": [70, 35, 80, 140, 22, 12, 0, 36]})
    assert komodo_dragon["label"] == "lizard"
    warnings = {sentence.split()[0]: sentence for sentence in komodo_dragon["warnings"]}
    assert warnings.keys() >= {"body_mass_kg", "tail_length_cm"}
    assert warnings["tail_length_cm"].startswith("tail_length_cm is 140 cm, outside ")
    assert " outside the training range of lizard, " in warnings["body_mass_kg"]
    assert predict(send, {"features": GREAT_DANE})["warnings"] == []


def test_integers_are_numbers(send: Send) -> None:
    """6 and 6.0 are the same JSON number."""
    assert predict(send, {"features": [6, 31, 42, 36, 11, 8, 7, 38]}) == predict(
        send, {"features": [6.0, 31.0, 42.0, 36.0, 11.0, 8.0, 7.0, 3.8e1]}
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=UTF-8",
        "Application/JSON",
        'application/json;charset="utf-8"',
        "application/json; charset=utf-8; version=1",
        "application/json; odata=verbose",
        "application/json;",
        "application/json; charset=latin-1",
        "application/vnd.api+json",
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_equivalent_content_types_are_accepted(send: Send, path: str, content_type: str) -> None:
    """RFC 9110, section 8.3.1: media types are case-insensitive; JSON's parameters have no effect (RFC 8259)."""
    assert send("POST", path, GOOD, {"Content-Type": content_type}).status == 200


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_refused_content_type_is_named(send: Send, path: str) -> None:
    """With what to send instead, also in Accept; Accept-Encoding is about content codings only (RFC 9110)."""
    response = send("POST", path, GOOD, {"Content-Type": "text/plain; a=zebra"})
    assert response.status == 415
    assert response.headers["Accept"] == "application/json"
    assert "Accept-Encoding" not in response.headers
    detail = json.loads(response.body)["detail"]
    assert detail == "send `Content-Type: application/json`: `text/plain` is not supported"


@pytest.mark.parametrize(
    ("document", "same"),
    [
        ({"features": LLAMA, "instances": None}, {"features": LLAMA}),
        ({"instances": None, "features": LLAMA}, {"features": LLAMA}),
        ({"features": None, "instances": [LLAMA]}, {"instances": [LLAMA]}),
        ({"features": None, "instances": [named(LLAMA)]}, {"instances": [named(LLAMA)]}),
    ],
)
def test_null_is_taken_as_absent(send: Send, document: Any, same: Any) -> None:
    """Typed clients send null for a member that they do not use."""
    assert predict(send, document) == predict(send, same)


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_invalid_request_is_refused(send: Send, bad: BadInput) -> None:
    """Each gets its status and a problem that names the fault, without the body's values."""
    response = send("POST", "/predict", bad.body, bad.headers)
    problem = json.loads(response.body)
    assert response.status == problem["status"] == bad.status, problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    assert problem["detail"]
    assert len(response.body) < 20_000
    if bad.status == 422:
        assert bad.code in {fault["code"] for fault in problem["errors"]}
        assert not bad.field or bad.field in {fault["field"] for fault in problem["errors"]}


def test_unknown_members_are_reported_in_their_order(send: Send) -> None:
    """Every worker gives the same response; a member that is null beside the other one is no fault."""
    names = ["z", "alpha", "m", "b", "omega", "c"]
    document = {"features": MAINE_COON, "instances": None, **dict.fromkeys(names)}
    response = send("POST", "/predict", json.dumps(document).encode(), JSON)
    assert [fault["field"] for fault in json.loads(response.body)["errors"]] == names


def test_all_faults_of_a_row_are_reported(send: Send) -> None:
    """One entry for each, with the most similar feature for an unknown one."""
    features = named(MAINE_COON) | {"body_mass": 1, "ear_length_cm": "long", "body_temperature_c": 99}
    del features["body_mass_kg"]
    response = send("POST", "/predict", json.dumps({"features": features}).encode(), JSON)
    faults = {fault["field"]: fault for fault in json.loads(response.body)["errors"]}
    assert {field: fault["code"] for field, fault in faults.items()} == {
        "features.body_mass_kg": "missing",
        "features.body_mass": "unknown",
        "features.ear_length_cm": "type",
        "features.body_temperature_c": "out_of_bounds",
    }
    assert "did you mean body_mass_kg?" in faults["features.body_mass"]["message"]
    assert "5 to 45" in faults["features.body_temperature_c"]["message"]


def test_number_of_reported_faults_is_limited(send: Send) -> None:
    """To 100, and the detail says so."""
    body = json.dumps({"instances": [["x"] * len(NAMES)] * 1000}).encode()
    problem = json.loads(send("POST", "/predict", body, JSON).body)
    assert len(problem["errors"]) == 100
    assert "first 100" in problem["detail"]


def test_largest_batch_is_predicted(send: Send) -> None:
    """As many rows as the setting allows."""
    response = predict(send, {"instances": [list(LLAMA)] * 10_000})
    assert len(response["predictions"]) == 10_000
    assert {prediction["label"] for prediction in response["predictions"]} == {"llama"}

"""The native contract: ``POST /predict``, in process and under gunicorn."""

import json
from typing import Any

import numpy as np
import pytest
from support.bad_input import BAD_INPUTS, GOOD, BadInput
from support.http_responses import Send
from support.known_animals import BEARDED_DRAGON, GREAT_DANE, KNOWN, LLAMA, MAINE_COON, NAMES, named

JSON = {"Content-Type": "application/json"}


def ask(send: Send, document: Any) -> Any:
    answer = send("POST", "/predict", json.dumps(document).encode(), JSON)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


@pytest.mark.parametrize("label", KNOWN)
def test_real_animals_get_their_label_in_both_forms(send: Send, label: str) -> None:
    """Animals of breeds that the model never saw are told right, whether their features are named or listed."""
    answer = ask(send, {"features": KNOWN[label]})
    assert answer["label"] == label
    assert ask(send, {"features": named(KNOWN[label])}) == answer


def test_a_batch_answers_as_its_rows_would_alone(send: Send) -> None:
    """Instances of either form, mixed, get the very numbers that each gets alone, in their order."""
    batch = ask(send, {"instances": [MAINE_COON, named(GREAT_DANE), LLAMA, named(BEARDED_DRAGON)]})
    alone = [ask(send, {"features": values}) for values in (MAINE_COON, GREAT_DANE, LLAMA, BEARDED_DRAGON)]
    assert batch["predictions"] == [{key: one[key] for key in one if key != "model"} for one in alone]
    assert batch["model"] == alone[0]["model"] == {"name": "animals", "version": "1"}


def test_an_answer_has_the_shape_of_the_contract(send: Send) -> None:
    """Label and confidence are the likeliest of the probabilities, which are in the labels' order and sum to 1."""
    answer = ask(send, {"features": MAINE_COON})
    assert list(answer) == ["label", "confidence", "probabilities", "warnings", "model"]
    assert list(answer["probabilities"]) == ["cat", "dog", "llama", "lizard"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["confidence"] == answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())


def test_numbers_are_the_shortest_that_mean_the_float32(send: Send) -> None:
    """A probability reads as 0.97, not 0.9700000286102295, and still gives the network's very bits."""
    answer = ask(send, {"instances": list(KNOWN.values())})
    for prediction in answer["predictions"]:
        for value in prediction["probabilities"].values():
            assert repr(value) == repr(float(str(np.float32(value))))


def test_the_order_of_names_means_nothing(send: Send) -> None:
    """Features by name answer the same in any order."""
    backwards = dict(reversed(named(GREAT_DANE).items()))
    assert ask(send, {"features": backwards}) == ask(send, {"features": GREAT_DANE})


def test_what_no_training_row_had_is_warned_of(send: Send) -> None:
    """What is in bounds but was never seen with the answer is told, with value and range: a dog without ears, say."""
    komodo = ask(send, {"features": [70, 35, 80, 140, 22, 12, 0, 36]})
    assert komodo["label"] == "dog"  # what the model cannot know
    told = {sentence.split()[0]: sentence for sentence in komodo["warnings"]}
    assert told.keys() >= {"tail_length_cm", "ear_length_cm"}
    assert told["tail_length_cm"].startswith("tail_length_cm is 140 cm, but ")
    assert " in every dog of the training rows: " in told["ear_length_cm"]
    assert ask(send, {"features": GREAT_DANE})["warnings"] == []


def test_whole_numbers_are_numbers(send: Send) -> None:
    """JSON does not tell 6 from 6.0, nor does the service."""
    assert ask(send, {"features": [6, 31, 42, 36, 11, 8, 7, 38]}) == ask(
        send, {"features": [6.0, 31.0, 42.0, 36.0, 11.0, 8.0, 7.0, 3.8e1]}
    )


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"']
)
def test_content_types_that_mean_the_same_are_taken(send: Send, content_type: str) -> None:
    """The media type is compared as RFC 9110 says: in any case, with the one charset that JSON has."""
    assert send("POST", "/predict", GOOD, {"Content-Type": content_type}).status == 200


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_bad_input_is_refused_by_name(send: Send, bad: BadInput) -> None:
    """Each fault gets its status and a problem that names it, and nothing of the body comes back."""
    headers = dict(bad.headers) | ({"Content-Type": bad.content_type} if bad.content_type else {})
    answer = send("POST", "/predict", bad.body, headers)
    problem = json.loads(answer.body)
    assert answer.status == problem["status"] == bad.status, problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    assert problem["detail"]
    assert len(answer.body) < 20_000
    if bad.status == 422:
        assert bad.code in {fault["code"] for fault in problem["errors"]}
        assert not bad.field or bad.field in {fault["field"] for fault in problem["errors"]}


def test_every_fault_of_a_row_is_told_at_once(send: Send) -> None:
    """One entry a fault, the nearest known feature for an unknown one."""
    features = named(MAINE_COON) | {"body_mass": 1, "ear_length_cm": "long", "body_temperature_c": 99}
    del features["body_mass_kg"]
    answer = send("POST", "/predict", json.dumps({"features": features}).encode(), JSON)
    faults = {fault["field"]: fault for fault in json.loads(answer.body)["errors"]}
    assert {field: fault["code"] for field, fault in faults.items()} == {
        "features.body_mass_kg": "missing",
        "features.body_mass": "unknown",
        "features.ear_length_cm": "type",
        "features.body_temperature_c": "out_of_bounds",
    }
    assert "did you mean body_mass_kg?" in faults["features.body_mass"]["message"]
    assert "5 to 45" in faults["features.body_temperature_c"]["message"]


def test_faults_without_end_are_cut_short(send: Send) -> None:
    """A batch of nothing but faults gets the first hundred, and is told that there are more."""
    body = json.dumps({"instances": [["x"] * len(NAMES)] * 1000}).encode()
    problem = json.loads(send("POST", "/predict", body, JSON).body)
    assert len(problem["errors"]) == 100
    assert "first 100" in problem["detail"]


def test_the_largest_batch_is_answered(send: Send) -> None:
    """As many rows as the setting allows are answered in one request."""
    answer = ask(send, {"instances": [list(LLAMA)] * 10_000})
    assert len(answer["predictions"]) == 10_000
    assert {prediction["label"] for prediction in answer["predictions"]} == {"llama"}

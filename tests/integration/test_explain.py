"""``POST /explain``: every number of an answer can be had from the others, and the prediction is ``/predict``'s."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bad_input import BAD_INPUTS, BadInput
from support.gunicorn_server import ROOT, environment
from support.handmade_bundles import Network, publish
from support.http_responses import Send
from support.known_animals import BEARDED_DRAGON, GREAT_DANE, KNOWN, LLAMA, MAINE_COON, NAMES, named

from service.app import create_app
from service.inference.model import Model
from service.settings import Settings

JSON = {"Content-Type": "application/json"}
LABELS = ["cat", "dog", "llama", "lizard"]


def ask(send: Send, document: Any, path: str = "/explain") -> Any:
    answer = send("POST", path, json.dumps(document).encode(), JSON)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


def of(client: FlaskClient, features: Any, path: str = "/explain") -> Any:
    answer = client.post(path, json={"features": features})
    assert answer.status_code == 200, answer.data
    return json.loads(answer.data)


@pytest.mark.parametrize("label", KNOWN)
def test_the_prediction_is_what_predict_answers(send: Send, label: str) -> None:
    """To the byte, in both forms; the last layer ends in the very same probabilities."""
    for features in (KNOWN[label], named(KNOWN[label])):
        explained = ask(send, {"features": features})
        predicted = ask(send, {"features": features}, "/predict")
        assert json.dumps(explained["prediction"]) == json.dumps(predicted)
        outputs = {node["name"]: node["output"] for node in explained["layers"][-1]["nodes"]}
        assert outputs == predicted["probabilities"]


def test_an_answer_has_the_shape_of_the_contract(send: Send) -> None:
    """The parts, in order, each of the schema's features and labels in its own order."""
    answer = ask(send, {"features": GREAT_DANE})
    assert list(answer) == ["prediction", "layers", "attributions", "sweeps"]
    first, *dense = answer["layers"]
    assert list(first) == ["name", "kind", "nodes"]
    assert (first["name"], first["kind"]) == ("normalization", "normalization")
    for node in first["nodes"]:
        assert list(node) == ["name", "value", "mean", "standard_deviation", "output"]
    assert [(layer["name"], layer["activation"]) for layer in dense] == [
        ("hidden_1", "relu"),
        ("hidden_2", "relu"),
        ("probabilities", "softmax"),
    ]
    for layer in dense:
        assert list(layer) == ["name", "kind", "activation", "nodes"]
        assert layer["kind"] == "dense"
        for node in layer["nodes"]:
            assert list(node) == ["name", "bias", "weighted_sum", "output", "connections"]
            assert all(list(one) == ["from", "weight", "input", "contribution"] for one in node["connections"])
    assert list(answer["attributions"]) == ["base", "values"]
    assert list(answer["attributions"]["base"]) == LABELS
    assert all(list(values) == LABELS for values in answer["attributions"]["values"].values())
    assert list(answer["attributions"]["values"]) == list(answer["sweeps"]) == list(NAMES)
    for sweep in answer["sweeps"].values():
        assert list(sweep) == ["values", "labels", "probabilities", "changes"]
        assert list(sweep["probabilities"]) == LABELS
        assert list(sweep["changes"]) == ["below", "above"]


def test_every_connection_starts_at_a_node_of_the_layer_before(send: Send) -> None:
    """Names lead from the probabilities back to the features; what comes in is the output of the node of that name."""
    layers = ask(send, {"features": LLAMA})["layers"]
    assert [node["name"] for node in layers[0]["nodes"]] == list(NAMES)
    assert [node["name"] for node in layers[1]["nodes"]] == [f"hidden_1.{i}" for i in range(1, 7)]
    assert [node["name"] for node in layers[-1]["nodes"]] == LABELS
    for before, layer in pairwise(layers):
        outputs = {node["name"]: node["output"] for node in before["nodes"]}
        for node in layer["nodes"]:
            assert {one["from"]: one["input"] for one in node["connections"]} == outputs


def recompute(answer: Any) -> None:
    """Do again with a calculator what the answer says was done, and compare to 1e-5."""
    first, *dense = answer["layers"]
    for node in first["nodes"]:
        normalized = (node["value"] - node["mean"]) / node["standard_deviation"]
        assert node["output"] == pytest.approx(normalized, rel=1e-5, abs=1e-5)
    for layer in dense:
        sums = []
        for node in layer["nodes"]:
            for one in node["connections"]:
                assert one["contribution"] == pytest.approx(one["weight"] * one["input"], rel=2e-7)
            sums.append(sum(one["contribution"] for one in node["connections"]) + node["bias"])
            assert node["weighted_sum"] == pytest.approx(sums[-1], rel=1e-6, abs=1e-6)
        powers = [exp(total - max(sums)) for total in sums]
        activated = {
            "relu": [max(0, total) for total in sums],
            "softmax": [power / sum(powers) for power in powers],
        }[layer["activation"]]
        assert [node["output"] for node in layer["nodes"]] == pytest.approx(activated, rel=1e-5, abs=1e-5)


def shared_out(answer: Any) -> None:
    """The attributions of each label sum to its probability minus the base, to 1e-6."""
    base, values = answer["attributions"]["base"], answer["attributions"]["values"].values()
    for label, probability in answer["prediction"]["probabilities"].items():
        assert sum(value[label] for value in values) == pytest.approx(probability - base[label], abs=1e-6)


@pytest.mark.parametrize("label", KNOWN)
def test_each_node_can_be_recomputed(send: Send, label: str) -> None:
    """Contributions plus bias give the weighted sum, its activation the output; for real animals."""
    answer = ask(send, {"features": KNOWN[label]})
    recompute(answer)
    shared_out(answer)


@given(data=st.data())
@settings(max_examples=60)
def test_sums_hold_anywhere_within_the_bounds(model: Model, app: Any, data: st.DataObject) -> None:
    """Whatever is asked, the layers can be recomputed, the attributions sum up, and the prediction is the same."""
    row = [data.draw(st.floats(feature.minimum, feature.maximum)) for feature in model.features]
    answer = of(app.test_client(), row)
    recompute(answer)
    shared_out(answer)
    assert answer["prediction"] == of(app.test_client(), row, "/predict")
    taken = [node["value"] for node in answer["layers"][0]["nodes"]]
    np.testing.assert_array_equal(np.array(taken, np.float32), np.array(row, np.float32))


def test_the_base_is_the_mean_answer_to_the_background(send: Send, model: Model) -> None:
    """What the network says of the bundle's background rows, on average."""
    background = [list(row) for row in model.manifest.background]
    predictions = ask(send, {"instances": background}, "/predict")["predictions"]
    base = ask(send, {"features": GREAT_DANE})["attributions"]["base"]
    for label in LABELS:
        mean = sum(one["probabilities"][label] for one in predictions) / len(background)
        assert base[label] == pytest.approx(mean, abs=1e-7)


@pytest.mark.parametrize("label", KNOWN)
def test_sweeps_are_what_predict_answers(send: Send, label: str) -> None:
    """Each point of each sweep is the prediction for the row with that one value changed, to the bit."""
    row = KNOWN[label]
    for index, (name, sweep) in enumerate(ask(send, {"features": row})["sweeps"].items()):
        rows = [named(row) | {name: value} for value in sweep["values"]]
        predicted = ask(send, {"instances": rows}, "/predict")["predictions"]
        assert sweep["labels"] == [one["label"] for one in predicted]
        for each in LABELS:
            assert sweep["probabilities"][each] == [one["probabilities"][each] for one in predicted]
        assert sweep["labels"][sweep["values"].index(row[index])] == label


def test_sweeps_go_from_bound_to_bound(send: Send, model: Model) -> None:
    """Ascending, and not so many that a page could not draw them."""
    sweeps = ask(send, {"features": BEARDED_DRAGON})["sweeps"]
    for feature in model.features:
        values = sweeps[feature.name]["values"]
        assert (values[0], values[-1]) == (feature.minimum, feature.maximum)
        assert values == sorted(set(values))
        assert 50 < len(values) < 150


@pytest.mark.parametrize("label", KNOWN)
def test_the_label_changes_where_it_is_told_to(send: Send, label: str) -> None:
    """At the value told it is the other label; a ten-thousandth before it still the row's, and at all points between.

    Where no change is told, every point of the sweep on that side has the row's label.
    """
    row = KNOWN[label]
    sweeps = ask(send, {"features": row})["sweeps"]
    asked, expected = [], []
    for value, (name, sweep) in zip(row, sweeps.items(), strict=True):
        points = list(zip(sweep["values"], sweep["labels"], strict=True))
        for change, beyond in ((sweep["changes"]["below"], min), (sweep["changes"]["above"], max)):
            side = [(at, told) for at, told in points if beyond(at, value) == at]
            if not change:
                assert {told for _, told in side} == {label}
                continue
            asked += [named(row) | {name: change["at"]}, named(row) | {name: change["at"] * 0.9999 + value * 1e-4}]
            expected += [change["label"], label]
            assert {told for at, told in side if beyond(at, change["at"]) != at} == {label}
    assert expected
    answered = ask(send, {"instances": asked}, "/predict")["predictions"]
    assert [one["label"] for one in answered] == expected


ONE_ROW = [bad for bad in BAD_INPUTS if not bad.body.startswith(b'{"instances"')]


@pytest.mark.parametrize("bad", ONE_ROW, ids=lambda bad: bad.description)
def test_bad_input_is_refused_as_predict_refuses_it(send: Send, bad: BadInput) -> None:
    """Status, faults and words are those of ``/predict``."""
    headers = dict(bad.headers) | ({"Content-Type": bad.content_type} if bad.content_type else {})
    headers["X-Request-ID"] = "the-same"
    answer = send("POST", "/explain", bad.body, headers)
    assert answer.status == bad.status
    assert json.loads(answer.body) == json.loads(send("POST", "/predict", bad.body, headers).body)


@pytest.mark.parametrize(
    "instances", [[MAINE_COON], [MAINE_COON, LLAMA], [], None, [[1]], [named(MAINE_COON)] * 10_001]
)
def test_several_rows_are_refused(send: Send, instances: Any) -> None:
    """One row is explained at a time; several are refused as such, whatever they hold."""
    answer = send("POST", "/explain", json.dumps({"instances": instances}).encode(), JSON)
    assert answer.status == 422
    (fault,) = json.loads(answer.body)["errors"]
    assert (fault["field"], fault["code"]) == ("instances", "form")
    assert "`features`" in fault["message"]


def test_it_is_asked_by_post(send: Send) -> None:
    """Any other method is told so."""
    answer = send("GET", "/explain")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def handmade(store: Path, network: Network, **how: int) -> FlaskClient:
    publish(store, network, **how)
    return create_app(Settings(model_store=store, model_name="handmade")).test_client()


@pytest.mark.parametrize("widths", [(1, 2), (3, 2), (2, 7, 3), (9, 6, 6, 6, 6, 5), (12, 4, 2)])
def test_any_bundle_is_explained(tmp_path: Path, widths: tuple[int, ...]) -> None:
    """Any number of features, labels and layers, and none of their names is known to the service."""
    answer = of(handmade(tmp_path, Network.random(widths)), [0.5] * widths[0])
    recompute(answer)
    shared_out(answer)
    assert [len(layer["nodes"]) for layer in answer["layers"]] == [widths[0], *widths[1:]]
    assert list(answer["sweeps"]) == [f"f{i + 1}" for i in range(widths[0])]
    assert [node["name"] for node in answer["layers"][-1]["nodes"]] == [f"l{i + 1}" for i in range(widths[-1])]


def test_a_network_without_normalization_begins_with_its_first_dense_layer(tmp_path: Path) -> None:
    """What comes in is the features, under their names."""
    network = Network.random((3, 4, 2))
    network.normal = None
    answer = of(handmade(tmp_path, network), [0.5, -1, 2])
    first = answer["layers"][0]
    assert first["name"] == "hidden_1"
    assert [(one["from"], one["input"]) for one in first["nodes"][0]["connections"]] == [
        ("f1", 0.5),
        ("f2", -1.0),
        ("f3", 2.0),
    ]


@given(seed=st.integers(0, 2**32 - 1), row=st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4))
@settings(max_examples=15)
def test_attributions_obey_the_axioms(tmp_path_factory: pytest.TempPathFactory, seed: int, row: list[float]) -> None:
    """A feature that no weight looks at adds nothing; two that stand for one another add the same; all sum up."""
    network = Network.random((4, 5, 3), seed)
    assert network.normal is not None
    network.weights[0][:, 3] = 0
    network.weights[0][:, 1] = network.weights[0][:, 0]
    network.normal[0][1], network.normal[1][1] = network.normal[0][0], network.normal[1][0]
    row[1] = row[0]
    client = handmade(tmp_path_factory.mktemp("store"), network, alike=2)
    answer = of(client, row)
    shared_out(answer)
    values = [list(of_one.values()) for of_one in answer["attributions"]["values"].values()]
    assert values[3] == pytest.approx([0, 0, 0], abs=1e-12)
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize(
    ("widths", "background", "said"), [((13, 4, 2), 20, "12 features are the most"), ((3, 2), 0, "no background rows")]
)
def test_attributions_that_cannot_be_had_say_why(
    tmp_path: Path, widths: tuple[int, ...], background: int, said: str
) -> None:
    """The rest of the answer is as always."""
    answer = of(handmade(tmp_path, Network.random(widths), background=background), [0.5] * widths[0])
    assert answer["attributions"] is None
    assert said in answer["attributions_reason"]
    recompute(answer)
    assert len(answer["sweeps"]) == widths[0]


def test_a_network_that_cannot_be_taken_apart_still_predicts(tmp_path: Path) -> None:
    """It starts and answers ``/predict``; ``/explain`` says what is in the way."""
    client = handmade(tmp_path, Network.random((3, 4, 2), hidden="elu"))
    assert of(client, [0, 0, 0], "/predict")["label"] in {"l1", "l2"}
    answer = client.post("/explain", json={"features": [0, 0, 0]})
    assert answer.status_code == 501
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.data)
    assert problem["type"] == "urn:menagerie:problem:not-explainable"
    assert "hidden_1" in problem["detail"]


def test_the_first_answers_may_be_asked_for_at_once(app: Any) -> None:
    """Eight threads that meet an application whose weights nobody has read yet get the same answer."""
    fresh = create_app(Settings())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: of(fresh.test_client(), GREAT_DANE), range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0] == of(app.test_client(), GREAT_DANE)


def test_it_needs_no_tensorflow() -> None:
    """Nor anything else of training."""
    program = f"""
import sys
from service.app import create_app
client = create_app().test_client()
assert client.post("/explain", json={{"features": {list(GREAT_DANE)}}}).status_code == 200
assert not {{"keras", "tensorflow", "h5py", "models.network"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True)

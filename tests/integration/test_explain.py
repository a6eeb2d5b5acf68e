"""``POST /explain``: its numbers follow from each other, and its prediction is that of ``/predict``."""

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


def post(send: Send, document: Any, path: str = "/explain") -> Any:
    response = send("POST", path, json.dumps(document).encode(), JSON)
    assert response.status == 200, response.body
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.body)


def explain(client: FlaskClient, features: Any, path: str = "/explain") -> Any:
    response = client.post(path, json={"features": features})
    assert response.status_code == 200, response.data
    return json.loads(response.data)


@pytest.mark.parametrize("label", KNOWN)
def test_prediction_equals_that_of_predict(send: Send, label: str) -> None:
    """To the byte, in both forms; the output of the last layer is the same probabilities."""
    for features in (KNOWN[label], named(KNOWN[label])):
        explained = post(send, {"features": features})
        predicted = post(send, {"features": features}, "/predict")
        assert json.dumps(explained["prediction"]) == json.dumps(predicted)
        outputs = {node["name"]: node["output"] for node in explained["layers"][-1]["nodes"]}
        assert outputs == predicted["probabilities"]


def test_response_has_the_documented_shape(send: Send) -> None:
    """Its parts are in order, and features and labels in the order of the schema."""
    response = post(send, {"features": GREAT_DANE})
    assert list(response) == ["prediction", "layers", "attributions", "sweeps"]
    first, *dense = response["layers"]
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
    assert list(response["attributions"]) == ["base", "values"]
    assert list(response["attributions"]["base"]) == LABELS
    assert all(list(values) == LABELS for values in response["attributions"]["values"].values())
    assert list(response["attributions"]["values"]) == list(response["sweeps"]) == list(NAMES)
    for sweep in response["sweeps"].values():
        assert list(sweep) == ["values", "labels", "probabilities", "changes"]
        assert list(sweep["probabilities"]) == LABELS
        assert list(sweep["changes"]) == ["below", "above"]


def test_connections_start_at_nodes_of_the_previous_layer(send: Send) -> None:
    """An input is the output of the node with that name; the first names are the features."""
    layers = post(send, {"features": LLAMA})["layers"]
    assert [node["name"] for node in layers[0]["nodes"]] == list(NAMES)
    assert [node["name"] for node in layers[1]["nodes"]] == [f"hidden_1.{i}" for i in range(1, 7)]
    assert [node["name"] for node in layers[-1]["nodes"]] == LABELS
    for before, layer in pairwise(layers):
        outputs = {node["name"]: node["output"] for node in before["nodes"]}
        for node in layer["nodes"]:
            assert {one["from"]: one["input"] for one in node["connections"]} == outputs


def assert_layers_recompute(response: Any) -> None:
    """Recompute every node from the numbers in the response, to 1e-5."""
    first, *dense = response["layers"]
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


def assert_attributions_sum_up(response: Any) -> None:
    """The attributions of each label sum to its probability minus the base, to 1e-6."""
    base, values = response["attributions"]["base"], response["attributions"]["values"].values()
    for label, probability in response["prediction"]["probabilities"].items():
        assert sum(value[label] for value in values) == pytest.approx(probability - base[label], abs=1e-6)


@pytest.mark.parametrize("label", KNOWN)
def test_nodes_can_be_recomputed(send: Send, label: str) -> None:
    """Contributions plus bias give the weighted sum, and its activation the output."""
    response = post(send, {"features": KNOWN[label]})
    assert_layers_recompute(response)
    assert_attributions_sum_up(response)


@given(data=st.data())
@settings(max_examples=60)
def test_sums_hold_for_random_rows(model: Model, app: Any, data: st.DataObject) -> None:
    """Layers recompute, attributions sum up, and the prediction is that of ``/predict``."""
    row = [data.draw(st.floats(feature.minimum, feature.maximum)) for feature in model.features]
    response = explain(app.test_client(), row)
    assert_layers_recompute(response)
    assert_attributions_sum_up(response)
    assert response["prediction"] == explain(app.test_client(), row, "/predict")
    values = [node["value"] for node in response["layers"][0]["nodes"]]
    np.testing.assert_array_equal(np.array(values, np.float32), np.array(row, np.float32))


def test_base_is_the_mean_prediction_of_the_background(send: Send, model: Model) -> None:
    """The network's mean probabilities over the bundle's background rows."""
    background = [list(row) for row in model.manifest.background]
    predictions = post(send, {"instances": background}, "/predict")["predictions"]
    base = post(send, {"features": GREAT_DANE})["attributions"]["base"]
    for label in LABELS:
        mean = sum(one["probabilities"][label] for one in predictions) / len(background)
        assert base[label] == pytest.approx(mean, abs=1e-7)


@pytest.mark.parametrize("label", KNOWN)
def test_sweeps_equal_predictions(send: Send, label: str) -> None:
    """Each point is the prediction for the row with that one value changed, to the bit."""
    row = KNOWN[label]
    for index, (name, sweep) in enumerate(post(send, {"features": row})["sweeps"].items()):
        rows = [named(row) | {name: value} for value in sweep["values"]]
        predicted = post(send, {"instances": rows}, "/predict")["predictions"]
        assert sweep["labels"] == [one["label"] for one in predicted]
        for each in LABELS:
            assert sweep["probabilities"][each] == [one["probabilities"][each] for one in predicted]
        assert sweep["labels"][sweep["values"].index(row[index])] == label


def test_sweeps_cover_the_bounds(send: Send, model: Model) -> None:
    """The values ascend, and there are few enough to draw."""
    sweeps = post(send, {"features": BEARDED_DRAGON})["sweeps"]
    for feature in model.features:
        values = sweeps[feature.name]["values"]
        assert (values[0], values[-1]) == (feature.minimum, feature.maximum)
        assert values == sorted(set(values))
        assert 50 < len(values) < 150


@pytest.mark.parametrize("label", KNOWN)
def test_label_changes_where_reported(send: Send, label: str) -> None:
    """At the reported value the label is the new one; a ten-thousandth before it, and at all points between, the row's.

    Where no change is reported, every point of the sweep on that side has the row's label.
    """
    row = KNOWN[label]
    sweeps = post(send, {"features": row})["sweeps"]
    rows, expected = [], []
    for value, (name, sweep) in zip(row, sweeps.items(), strict=True):
        points = list(zip(sweep["values"], sweep["labels"], strict=True))
        for change, outermost in ((sweep["changes"]["below"], min), (sweep["changes"]["above"], max)):
            side = [(at, point_label) for at, point_label in points if outermost(at, value) == at]
            if not change:
                assert {point_label for _, point_label in side} == {label}
                continue
            rows += [named(row) | {name: change["at"]}, named(row) | {name: change["at"] * 0.9999 + value * 1e-4}]
            expected += [change["label"], label]
            assert {point_label for at, point_label in side if outermost(at, change["at"]) != at} == {label}
    assert expected
    predictions = post(send, {"instances": rows}, "/predict")["predictions"]
    assert [one["label"] for one in predictions] == expected


SINGLE_ROW_INPUTS = [bad for bad in BAD_INPUTS if not bad.body.startswith(b'{"instances"')]


@pytest.mark.parametrize("bad", SINGLE_ROW_INPUTS, ids=lambda bad: bad.description)
def test_invalid_request_gets_the_error_of_predict(send: Send, bad: BadInput) -> None:
    """Status, faults and messages are those of ``/predict``."""
    headers = bad.headers | {"X-Request-ID": "the-same"}
    response = send("POST", "/explain", bad.body, headers)
    assert response.status == bad.status
    assert json.loads(response.body) == json.loads(send("POST", "/predict", bad.body, headers).body)


@pytest.mark.parametrize(
    "instances", [[MAINE_COON], [MAINE_COON, LLAMA], [], None, [[1]], [named(MAINE_COON)] * 10_001]
)
def test_instances_are_refused(send: Send, instances: Any) -> None:
    """One row is explained at a time."""
    response = send("POST", "/explain", json.dumps({"instances": instances}).encode(), JSON)
    assert response.status == 422
    (fault,) = json.loads(response.body)["errors"]
    assert (fault["field"], fault["code"]) == ("instances", "form")
    assert "`features`" in fault["message"]


def test_get_is_not_allowed(send: Send) -> None:
    """Allow names POST."""
    response = send("GET", "/explain")
    assert (response.status, response.headers["Allow"]) == (405, "POST")


def client_of(store: Path, network: Network, **options: Any) -> FlaskClient:
    publish(store, network, **options)
    return create_app(Settings(model_store=store, model_name="handmade")).test_client()


@pytest.mark.parametrize("widths", [(1, 2), (3, 2), (2, 7, 3), (9, 6, 6, 6, 6, 5), (12, 4, 2)])
def test_any_network_is_explained(tmp_path: Path, widths: tuple[int, ...]) -> None:
    """Any number of features, labels and layers, with names that the service does not know."""
    response = explain(client_of(tmp_path, Network.random(widths)), [0.5] * widths[0])
    assert_layers_recompute(response)
    assert_attributions_sum_up(response)
    assert [len(layer["nodes"]) for layer in response["layers"]] == [widths[0], *widths[1:]]
    assert list(response["sweeps"]) == [f"f{i + 1}" for i in range(widths[0])]
    assert [node["name"] for node in response["layers"][-1]["nodes"]] == [f"l{i + 1}" for i in range(widths[-1])]


def test_network_without_normalization_starts_with_a_dense_layer(tmp_path: Path) -> None:
    """Its inputs are the features, by name."""
    network = Network.random((3, 4, 2))
    network.normal = None
    response = explain(client_of(tmp_path, network), [0.5, -1, 2])
    first = response["layers"][0]
    assert first["name"] == "hidden_1"
    assert [(one["from"], one["input"]) for one in first["nodes"][0]["connections"]] == [
        ("f1", 0.5),
        ("f2", -1.0),
        ("f3", 2.0),
    ]


@given(seed=st.integers(0, 2**32 - 1), row=st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4))
@settings(max_examples=15)
def test_attributions_obey_the_axioms(tmp_path_factory: pytest.TempPathFactory, seed: int, row: list[float]) -> None:
    """An unused feature adds nothing, two interchangeable ones add the same, and all sum up."""
    network = Network.random((4, 5, 3), seed)
    assert network.normal is not None
    network.weights[0][:, 3] = 0
    network.weights[0][:, 1] = network.weights[0][:, 0]
    network.normal[0][1], network.normal[1][1] = network.normal[0][0], network.normal[1][0]
    row[1] = row[0]
    client = client_of(tmp_path_factory.mktemp("store"), network, alike=2)
    response = explain(client, row)
    assert_attributions_sum_up(response)
    values = [list(attributions.values()) for attributions in response["attributions"]["values"].values()]
    assert values[3] == pytest.approx([0, 0, 0], abs=1e-12)
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize(
    "widths",
    [(3, 2), (13, 4, 2)],
)
def test_missing_attributions_have_a_reason(tmp_path: Path, widths: tuple[int, ...]) -> None:
    """The rest of the response is complete."""
    response = explain(client_of(tmp_path, Network.random(widths), background=0), [0.5] * widths[0])
    assert response["attributions"] is None
    assert "no background rows" in response["attributions_reason"]
    assert_layers_recompute(response)
    assert len(response["sweeps"]) == widths[0]


@pytest.mark.parametrize("features", [13, 30])
def test_attributions_of_many_features_are_estimated(tmp_path: Path, features: int) -> None:
    """They sum up as exact ones do, each has a standard error, and the same row gets the same bytes."""
    client = client_of(tmp_path, Network.random((features, 4, 2)))
    row = {"features": np.linspace(-2, 2, features).tolist()}
    response = explain(client, row["features"])
    assert_attributions_sum_up(response)
    attributions = response["attributions"]
    assert list(attributions) == ["base", "values", "standard_errors", "evaluations"]
    assert attributions["evaluations"] <= Settings().shapley_evaluations
    for name, errors in attributions["standard_errors"].items():
        assert errors.keys() == attributions["values"][name].keys() == {"l1", "l2"}
        assert all(0 < error < 0.05 for error in errors.values())
    assert client.post("/explain", json=row).data == client.post("/explain", json=row).data


def test_network_with_an_unsupported_activation_still_predicts(tmp_path: Path) -> None:
    """``/explain`` gets 501 and names the layer."""
    client = client_of(tmp_path, Network.random((3, 4, 2), hidden="elu"))
    assert explain(client, [0, 0, 0], "/predict")["label"] in {"l1", "l2"}
    response = client.post("/explain", json={"features": [0, 0, 0]})
    assert response.status_code == 501
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.data)
    assert problem["type"] == "urn:menagerie:problem:not-explainable"
    assert "hidden_1" in problem["detail"]
    (name,) = json.loads(client.get("/v1/models").data)["models"]
    response = client.post(f"/v1/models/{name}:explain", json={"instances": [[0, 0, 0]]})
    assert (response.status_code, response.json) == (501, {"error": problem["detail"]})


def test_first_requests_may_be_concurrent(app: Any) -> None:
    """Eight threads get the same response from an application that has not read its weights yet."""
    fresh = create_app(Settings())
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: explain(fresh.test_client(), GREAT_DANE), range(16)))
    assert all(response == responses[0] for response in responses)
    assert responses[0] == explain(app.test_client(), GREAT_DANE)


def test_explain_imports_no_tensorflow() -> None:
    """Nor anything else of training."""
    program = f"""
import sys
from service.app import create_app
client = create_app().test_client()
assert client.post("/explain", json={{"features": {list(GREAT_DANE)}}}).status_code == 200
assert not {{"keras", "tensorflow", "h5py", "models.network"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True)

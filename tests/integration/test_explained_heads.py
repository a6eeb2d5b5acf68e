"""``POST /explain`` for adopted models: every head, networks with branches, and reasons for what there is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from support import headed_bundles
from support.branched_networks import BranchedNetwork, dense, wide_and_deep
from support.headed_bundles import HEADS, REGRESSION

from models.bundle import Bundle
from models.weights import DenseWeights
from service.app import create_app
from service.inference.activations import bind
from service.inference.layers import ActivationLayer
from service.inference.model import Model
from service.protocols import explanations, layer_documents
from service.settings import Settings

NAME = "headed"
PARTS = ("layers", "attributions", "sweeps")
KINDS: dict[str, dict[str, Any]] = {
    **{name: {"heads": heads} for name, heads in HEADS.items()},
    "branched": {"heads": REGRESSION, "network": wide_and_deep()},
    "13 features": {"heads": HEADS["several"], "features": 13},
    "30 features": {"heads": HEADS["binary"], "features": 30},
    "100 features": {"heads": REGRESSION, "features": 100},
    "no sample": {"heads": HEADS["multi_label"], "sample": False},
    "no weights": {"heads": HEADS["softmax"], "weights": False},
    "nothing": {"heads": REGRESSION, "sample": False, "weights": False},
}


def client_of(store: Path, kind: str, **settings: Any) -> tuple[FlaskClient, Bundle]:
    arguments = dict(KINDS[kind])
    published = headed_bundles.publish(store, arguments.pop("heads"), **arguments)
    return create_app(Settings(model_store=store, model_name=NAME, **settings)).test_client(), published


def explain(client: FlaskClient, row: Any) -> Any:
    response = client.post("/explain", json={"features": list(row)})
    assert response.status_code == 200, response.data
    return response.json


@pytest.fixture(params=KINDS)
def explained(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FlaskClient, Bundle, Any]:
    """A client, the model, and the explanation of its first golden row."""
    client, published = client_of(tmp_path, request.param)
    return client, published, explain(client, published.manifest.golden[0].features)


def columns_of(prediction: Any) -> dict[str, float]:
    """What a prediction says about every output column."""
    if "outputs" not in prediction:
        columns: dict[str, float] = prediction.get("values") or prediction["probabilities"]
        return columns
    named: dict[str, float] = {}
    for output, document in prediction["outputs"].items():
        own = columns_of(document)
        named |= {output if list(own) == [output] else f"{output}.{name}": value for name, value in own.items()}
    return named


def test_responses_are_what_the_schema_says(explained: tuple[FlaskClient, Bundle, Any]) -> None:
    """The prediction is that of `/predict`, and what is null has a reason that names the remedy."""
    client, published, response = explained
    schemas = client.get("/openapi.json").json
    whole = {"$ref": "#/components/schemas/Explanation", "components": schemas["components"]}  # type: ignore[index]
    assert [error.message for error in Draft202012Validator(whole).iter_errors(response)] == []
    row = list(published.manifest.golden[0].features)
    assert response["prediction"] == client.post("/predict", json={"features": row}).json
    for part in PARTS:
        assert (response[part] is None) == (f"{part}_reason" in response)
        assert "adopt it again" in response.get(f"{part}_reason", "adopt it again")


def test_the_same_row_gets_the_same_bytes(explained: tuple[FlaskClient, Bundle, Any]) -> None:
    client, published, _ = explained
    rows = [list(golden.features) for golden in published.manifest.golden[:2]]
    first, _, again = (client.post("/explain", json={"features": row}).data for row in (rows[0], rows[1], rows[0]))
    assert first == again


def test_nodes_can_be_recomputed(explained: tuple[FlaskClient, Bundle, Any]) -> None:
    """From the numbers in the response; a node's inputs are outputs of the nodes that it names."""
    _, published, response = explained
    known = dict(zip(published.manifest.feature_names, published.manifest.golden_rows[0].tolist(), strict=True))
    before = list(known)
    for layer in response["layers"] or []:
        inputs = {name: known[name] for name in layer.get("inputs", before)}
        outputs = [node["output"] for node in layer["nodes"]]
        np.testing.assert_allclose(recompute(layer, inputs), outputs, rtol=1e-5, atol=1e-5)
        before = [node["name"] for node in layer["nodes"]]
        assert len(set(before)) == len(before)
        known |= dict(zip(before, outputs, strict=True))


def recompute(layer: Any, inputs: Mapping[str, float]) -> Any:
    """The outputs of a layer's nodes, from its inputs by name and the other numbers of the nodes."""
    nodes = layer["nodes"]
    if layer["kind"] != "dense":
        np.testing.assert_allclose([node["value"] for node in nodes], list(inputs.values()), rtol=1e-6)
    match layer["kind"]:
        case "normalization":
            return [(node["value"] - node["mean"]) / node["standard_deviation"] for node in nodes]
        case "rescaling":
            return [node["value"] * node["scale"] + node["offset"] for node in nodes]
        case "activation":
            sums = [node["value"] for node in nodes]
        case "dense":
            for node in nodes:
                assert [one["from"] for one in node["connections"]] == list(inputs)
                np.testing.assert_allclose([one["input"] for one in node["connections"]], list(inputs.values()))
                contributions = [one["contribution"] for one in node["connections"]]
                assert contributions == pytest.approx([one["weight"] * one["input"] for one in node["connections"]])
                assert node["weighted_sum"] == pytest.approx(sum(contributions) + node["bias"], abs=1e-5)
            sums = [node["weighted_sum"] for node in nodes]
    return bind(layer["activation"], layer.get("parameters", {}))(np.array([sums]))[0]


def test_attributions_sum_up(explained: tuple[FlaskClient, Bundle, Any]) -> None:
    """For every column, and with standard errors where there are too many features for exact values."""
    _, published, response = explained
    if not (attributions := response["attributions"]):
        return
    columns = columns_of(response["prediction"])
    assert list(attributions["base"]) == list(columns) == list(published.manifest.column_names)
    assert list(attributions["values"]) == list(published.manifest.feature_names)
    for name, value in columns.items():
        added = sum(values[name] for values in attributions["values"].values())
        assert added == pytest.approx(value - attributions["base"][name], rel=1e-5, abs=2e-6)
    is_sampled = len(published.manifest.features) > 12
    assert ("standard_errors" in attributions) == ("evaluations" in attributions) == is_sampled
    if is_sampled:
        assert attributions["evaluations"] <= Settings().shapley_evaluations
        assert attributions["standard_errors"].keys() == attributions["values"].keys()


def test_sweeps_equal_predictions(explained: tuple[FlaskClient, Bundle, Any]) -> None:
    """Each point is what `/predict` gives for the row with that value, and the row's own value is among them."""
    client, published, response = explained
    row = list(published.manifest.golden[0].features)
    for index, (name, sweep) in enumerate(list((response["sweeps"] or {}).items())[:3]):
        assert name == published.manifest.feature_names[index]
        assert np.float32(row[index]) in np.array(sweep["values"], np.float32)
        rows = [[*row[:index], value, *row[index + 1 :]] for value in sweep["values"]]
        predictions = client.post("/predict", json={"instances": rows}).json["predictions"]  # type: ignore[index]
        by_column = sweep.get("outputs") or sweep["probabilities"]
        for column, values in by_column.items():
            assert values == [columns_of(prediction)[column] for prediction in predictions]
        if published.manifest.class_labels:
            assert sweep["labels"] == [prediction["label"] for prediction in predictions]
            assert sweep.keys() == {"values", "labels", "probabilities", "changes"}
        else:
            assert sweep.keys() == {"values", "outputs"}


def test_label_changes_heed_the_threshold(tmp_path: Path) -> None:
    """At the reported value the label is the other one, though it may not be the more probable one."""
    one_unit, both_labels = dense(1, 3, 3), DenseWeights(weights=((-1.0,), (1.0,)), bias=(1.0, 0.0))
    network = BranchedNetwork(
        3, {"hidden_2": one_unit, "probabilities": both_labels}, {"hidden_2": "sigmoid"}, derived=["probabilities"]
    )
    published = headed_bundles.publish(tmp_path, HEADS["binary"], network=network)
    client = create_app(Settings(model_store=tmp_path, model_name=NAME)).test_client()
    changes = 0
    for golden in published.manifest.golden:
        row = list(golden.features)
        for index, sweep in enumerate(explain(client, row)["sweeps"].values()):
            for change in filter(None, sweep["changes"].values()):
                near = [*row[:index], change["at"], *row[index + 1 :]]
                predicted = client.post("/predict", json={"features": near}).json
                assert predicted is not None
                assert predicted["label"] == change["label"]
                assert predicted["probabilities"]["yes"] == pytest.approx(0.3, abs=0.01)
                changes += 1
    assert changes


NODES = [
    ("binary", "hidden_2", ["yes"]),
    ("logits", "hidden_2", ["red", "green", "blue"]),
    ("regression", "probabilities", ["price", "age"]),
    ("several", "probabilities", ["price", "tags.warm", "tags.wet", "risk.low", "risk.high"]),
    ("branched", "probabilities", ["price", "age"]),
]


@pytest.mark.parametrize(("kind", "layer", "names"), NODES)
def test_nodes_of_outputs_have_the_names_of_columns(tmp_path: Path, kind: str, layer: str, names: list[str]) -> None:
    """The last layer that is shown is the one with the model's own output."""
    client, published = client_of(tmp_path, kind)
    last = explain(client, published.manifest.golden[0].features)["layers"][-1]
    assert last["name"] == layer
    assert [node["name"] for node in last["nodes"]] == names


def test_nodes_have_the_names_of_features_that_only_they_take(tmp_path: Path) -> None:
    """Otherwise a name would mean a feature and its normalized value."""
    client, published = client_of(tmp_path, "branched")
    layers = {layer["name"]: layer for layer in explain(client, published.manifest.golden[0].features)["layers"]}
    assert layers["normalized"]["inputs"] == ["f1", "f2", "f3"]
    assert [node["name"] for node in layers["normalized"]["nodes"]] == [f"normalized.{unit}" for unit in (1, 2, 3)]
    assert layers["probabilities"]["inputs"] == [*(f"leaky.{unit}" for unit in (1, 2, 3, 4)), "f2", "f4"]
    assert "inputs" not in layers["leaky"]
    assert (layers["leaky"]["activation"], layers["leaky"]["parameters"]) == ("leaky_relu", {"negative_slope": 0.3})
    client, published = client_of(tmp_path / "plain", "regression")
    first, *_ = explain(client, published.manifest.golden[0].features)["layers"]
    assert [node["name"] for node in first["nodes"]] == ["f1", "f2", "f3"]


REASONS = [
    ("no weights", {}, {"layers": "the network cannot be shown layer by layer: build it from Dense"}),
    ("regression", {"max_explained_connections": 22}, {"layers": "raise MENAGERIE_MAX_EXPLAINED_CONNECTIONS"}),
    ("30 features", {"shapley_evaluations": 500}, {"attributions": "raise MENAGERIE_SHAPLEY_EVALUATIONS"}),
    (
        "no sample",
        {},
        {
            "attributions": "without a sample: adopt it again with --sample",
            "sweeps": "without a sample: adopt it again with --sample",
        },
    ),
    (
        "nothing",
        {},
        {
            "layers": "and adopt it again",
            "attributions": "there are no background rows",
            "sweeps": "the features have no bounds",
        },
    ),
]


@pytest.mark.parametrize(("kind", "settings", "reasons"), REASONS)
def test_what_is_missing_has_a_reason_and_the_rest_is_there(
    tmp_path: Path, kind: str, settings: dict[str, Any], reasons: dict[str, str]
) -> None:
    """One plain sentence with the remedy."""
    client, published = client_of(tmp_path, kind, **settings)
    response = explain(client, published.manifest.golden[0].features)
    assert {part for part in PARTS if response[part] is None} == set(reasons)
    for part, reason in reasons.items():
        assert reason in response[f"{part}_reason"]
        assert ". " not in response[f"{part}_reason"]


def test_weights_of_far_too_many_connections_are_not_read(tmp_path: Path) -> None:
    """The size of the file is enough to know."""
    large = BranchedNetwork(100, {"probabilities": dense(2, 100)})
    published = headed_bundles.publish(tmp_path, REGRESSION, network=large)
    files = dict(published.manifest.files)
    files["weights.json"] = files["weights.json"].model_copy(update={"size": 64 * 100 + 100_001})
    model = Model(Bundle(published.folder, published.manifest.model_copy(update={"files": files})), None)  # type: ignore[arg-type]
    assert explanations._layer_documents(model, 100) == (  # noqa: SLF001
        "the network has more than 100 connections, and layers are shown for up to 100: raise "
        "MENAGERIE_MAX_EXPLAINED_CONNECTIONS"
    )


def test_layers_are_shown_up_to_the_limit(tmp_path: Path) -> None:
    """A connection is a weight; a normalization has one for each unit."""
    client, published = client_of(tmp_path, "regression", max_explained_connections=3 + 3 * 4 + 4 * 2)
    assert explain(client, published.manifest.golden[0].features)["layers"]


def test_broken_weights_leave_out_the_layers_only(tmp_path: Path) -> None:
    """Of an adopted model; one that was trained here gets 501."""
    client, published = client_of(tmp_path, "regression")
    (published.folder / "weights.json").write_text("{}")
    response = explain(client, published.manifest.golden[0].features)
    assert response["layers"] is None
    assert "restart the service" in response["layers_reason"]
    assert response["attributions"]
    assert response["sweeps"]


def test_overflow_of_other_rows_leaves_out_the_part(tmp_path: Path) -> None:
    """The row itself has a finite prediction, but not every value within the bounds."""
    steep = dense(2, 2, 1).model_copy(update={"weights": ((2e38, 0.0), (0.0, 1.0))})
    network = BranchedNetwork(2, {"probabilities": steep})
    golden = np.array([[0.5, 1.0], [-0.5, 0.0]])
    published = headed_bundles.publish(tmp_path, REGRESSION, network=network, golden=golden)
    client = create_app(Settings(model_store=tmp_path, model_name=NAME)).test_client()
    response = explain(client, published.manifest.golden[0].features)
    assert "not a finite number" in response["sweeps_reason"]
    assert "narrow their bounds" in response["attributions_reason"]


def test_gates_are_shown() -> None:
    """`glu` makes one output of two inputs; LiteRT has no operator for it, so nodes are written from numbers."""
    layer = ActivationLayer("gated", "glu", 2)
    inputs = np.array([1.0, 2.0, 0.0, 3.0], np.float32)
    nodes = list(
        layer_documents._nodes(layer, ["gated.1", "gated.2"], [], inputs, layer.forward(inputs[np.newaxis])[0])  # noqa: SLF001
    )
    assert [list(node) for node in nodes] == [["name", "value", "gate", "output"]] * 2
    assert [(node["value"], node["gate"]) for node in nodes] == [(1, 0), (2, 3)]
    assert nodes[0]["output"] == 0.5


def test_kserve_gets_the_same_explanations(tmp_path: Path) -> None:
    client, published = client_of(tmp_path, "softmax")
    rows = [list(golden.features) for golden in published.manifest.golden[:2]]
    response = client.post(f"/v1/models/{NAME}:explain", json={"instances": rows}).json
    assert response is not None
    assert response["explanations"] == [explain(client, row) for row in rows]

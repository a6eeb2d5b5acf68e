"""Adopted models served by real gunicorn: the same numbers as Keras through every protocol, explained and described."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import requests
from numpy.typing import NDArray
from support.adoptions import NAMES, AdoptedModel, AdoptedModels
from support.gunicorn_server import serving

from models.signature import Head
from service.inference.model import Model
from service.score.options import ColumnOptions
from service.score.scorer import Scorer, decode_dictionaries

pytestmark = pytest.mark.tensorflow

ROWS = 25
TOLERANCE = 1e-5  # relative to the largest number
Numbers = NDArray[np.float64]


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_gives_what_keras_gives(adopted_models: AdoptedModels, name: str) -> None:
    adopted = adopted_models.get(name)
    model = Model.open(adopted.folder, "litert")
    rows = adopted.made.rows[:ROWS].astype(np.float32)
    with serving(MENAGERIE_MODEL_STORE=str(adopted.store), MENAGERIE_MODEL_NAME=adopted.name) as server:
        document = requests.get(f"{server.url}/openapi.json", timeout=30).json()
        _compare_native(server.url, model, adopted, rows, document)
        _compare_tfserving(server.url, adopted, rows)
        _compare_oip(server.url, adopted, rows)
        _check_explanations(server.url, model, rows[0].tolist(), document)
        description = requests.get(f"{server.url}/model", timeout=30).json()
        assert [feature["name"] for feature in description["features"]] == list(adopted.made.columns)
        assert [output["name"] for output in description["outputs"]] == [head.name for head in adopted.made.heads]
        drift = requests.get(f"{server.url}/drift", timeout=30).json()
        _require_schema(drift, "Drift", document)
        metrics = requests.get(f"{server.url}/metrics", timeout=30).text
        assert "menagerie_requests_total" in metrics
        assert requests.get(server.url, headers={"Accept": "text/html"}, timeout=30).ok
    _compare_table(model, adopted, rows)


def _compare_native(url: str, model: Model, adopted: AdoptedModel, rows: NDArray[np.float32], openapi: Any) -> None:
    """/predict of all rows by name, and of each row as a list."""
    by_name = [dict(zip(adopted.made.columns, row, strict=True)) for row in rows.tolist()]
    answer = requests.post(f"{url}/predict", json={"instances": by_name}, timeout=30).json()
    _require_schema(answer, "Predictions", openapi)
    columns = np.array([_read_columns(each, adopted.made.heads) for each in answer["predictions"]])
    _assert_close(columns, adopted.expected_columns[: len(rows)])
    np.testing.assert_array_equal(columns.astype(np.float32), model.outputs(rows))
    for row, expected in zip(rows.tolist()[:5], answer["predictions"], strict=False):
        single = requests.post(f"{url}/predict", json={"features": row}, timeout=30).json()
        _require_schema(single, "Prediction", openapi)
        assert single.pop("model") == {"name": adopted.name, "version": "1"}
        assert single == expected


def _read_columns(prediction: Mapping[str, Any], heads: tuple[Head, ...]) -> list[float]:
    """A prediction's numbers, in the order of the heads' columns."""
    own = [prediction] if len(heads) == 1 else [prediction["outputs"][head.name] for head in heads]
    return [
        (part["values"] if head.kind == "regression" else part["probabilities"])[name]
        for head, part in zip(heads, own, strict=True)
        for name in head.column_names
    ]


def _compare_tfserving(url: str, adopted: AdoptedModel, rows: NDArray[np.float32]) -> None:
    """/v1 has the outputs as the model itself gives them: a list of rows, or an object for each row."""
    path = f"{url}/v1/models/{adopted.name}:predict"
    predictions = requests.post(path, json={"instances": rows.tolist()}, timeout=30).json()["predictions"]
    for head in adopted.made.heads:
        several = len(adopted.made.heads) > 1
        actual = np.array([each[head.name] for each in predictions] if several else predictions)
        _assert_close(actual.reshape(len(rows), -1), adopted.made.expected[head.name][: len(rows)])


def _compare_oip(url: str, adopted: AdoptedModel, rows: NDArray[np.float32]) -> None:
    """/v2 has them as tensors, from one tensor for each of the model's inputs; as JSON and as bytes."""
    metadata = requests.get(f"{url}/v2/models/{adopted.name}", timeout=30).json()
    inputs, start = [], 0
    for tensor in metadata["inputs"]:
        width = tensor["shape"][1]
        part = rows[:, start : start + width]
        shape = [len(rows), width]
        inputs.append({"name": tensor["name"], "datatype": "FP32", "shape": shape, "data": part.ravel().tolist()})
        start += width
    assert start == rows.shape[1]
    path = f"{url}/v2/models/{adopted.name}/infer"
    response = requests.post(path, json={"inputs": inputs}, timeout=30).json()
    outputs = {each["name"]: each for each in response["outputs"]}
    raw = [{"name": head.name, "parameters": {"binary_data": True}} for head in adopted.made.heads]
    answer = requests.post(path, json={"inputs": inputs, "outputs": raw}, timeout=30)
    size = int(answer.headers["Inference-Header-Content-Length"])
    described, content = json.loads(answer.content[:size])["outputs"], answer.content[size:]
    for head, tensor in zip(adopted.made.heads, described, strict=True):
        expected = adopted.made.expected[head.name][: len(rows)]
        _assert_close(np.array(outputs[head.name]["data"]).reshape(len(rows), -1), expected)
        length = tensor["parameters"]["binary_data_size"]
        _assert_close(np.frombuffer(content[:length], "<f4").reshape(len(rows), -1), expected)
        content = content[length:]
    assert not content


def _check_explanations(url: str, model: Model, row: list[float], openapi: Any) -> None:
    """Shapley values sum to the prediction; there are sweeps, and layers or the reason why not."""
    response = requests.post(f"{url}/explain", json={"features": row}, timeout=60)
    assert response.status_code == 200, response.text
    explanation = response.json()
    _require_schema(explanation, "Explanation", openapi)
    outputs = model.outputs(np.array([row], np.float32))[0]
    attributions = explanation["attributions"]
    scale = max(1.0, float(np.abs(outputs).max()), *map(abs, attributions["base"].values()))
    for column, output in zip(model.column_names, outputs.tolist(), strict=True):
        total = attributions["base"][column] + sum(values[column] for values in attributions["values"].values())
        assert total == pytest.approx(output, abs=1e-4 * scale)
    assert ("standard_errors" in attributions) == (len(row) > 12)
    assert set(explanation["sweeps"]) == set(model.manifest.feature_names)
    found = model.manifest.training.settings["not_taken_apart"]
    connections = "138,752 connections" if model.manifest.name == "fraud" else ""  # a wide network
    assert (explanation["layers"] is None) == bool(found or connections)
    assert (found or connections) in explanation.get("layers_reason", "")


def _compare_table(model: Model, adopted: AdoptedModel, rows: NDArray[np.float32]) -> None:
    """`service.score` has the same numbers in its columns."""
    table = pa.record_batch([pa.array(column) for column in rows.T], names=list(adopted.made.columns))
    scored = decode_dictionaries(Scorer(model, table.schema, ColumnOptions()).score(table).answered)
    heads = adopted.made.heads
    prefixes = ["" if len(heads) == 1 else f"{head.name}_" for head in heads]
    names = [
        f"{prefix}{'value' if head.kind == 'regression' else 'probability'}_{column}"
        for prefix, head in zip(prefixes, heads, strict=True)
        for column in head.column_names
    ]
    actual = np.column_stack([scored.column(name).to_numpy(zero_copy_only=False) for name in names])
    np.testing.assert_array_equal(actual, model.outputs(rows))


def _require_schema(document: Any, name: str, openapi: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def _assert_close(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * scale)

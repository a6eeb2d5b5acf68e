"""Every protocol gives the same float32 float32_bits for the same row."""

from typing import Any

import numpy as np
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from support.headed_bundles import HEADS
from support.headed_models import NAME, Headed
from support.known_animals import NAMES, named
from support.published_bundles import newest_version

from models.bundle import Bundle
from service.app.flask_app import create_app
from service.settings import SHIPPED_STORE, Settings

FEATURES = Bundle.read(newest_version(SHIPPED_STORE / "animals")).manifest.features
row_lists = st.lists(st.tuples(*(st.floats(f.minimum, f.maximum) for f in FEATURES)), min_size=1, max_size=40)


def float32_bits(values: Any) -> Any:
    return np.array(values, np.float32).reshape(-1, 4).view(np.uint32)


@given(row_lists, st.data())
def test_all_protocols_give_the_same_bits(app: Flask, rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    """Native, OIP in JSON and in bytes, TensorFlow Serving by row and by column: equal probabilities and labels."""
    client = app.test_client()

    def post(path: str, document: Any) -> Any:
        response = client.post(path, json=document)
        assert response.status_code == 200, response.data
        return response.json

    native = post("/predict", {"instances": [data.draw(st.sampled_from([row, named(row)])) for row in rows]})
    expected = float32_bits([list(prediction["probabilities"].values()) for prediction in native["predictions"]])
    labels = [prediction["label"] for prediction in native["predictions"]]

    datatype = data.draw(st.sampled_from(["FP32", "FP64"]))
    tensor = {"name": "features", "shape": [len(rows), len(NAMES)], "datatype": datatype, "data": rows}
    probabilities, label = post("/v2/models/animals/infer", {"inputs": [tensor]})["outputs"]
    np.testing.assert_array_equal(float32_bits(probabilities["data"]), expected)
    assert label["data"] == labels

    binary = client.post(
        "/v2/models/animals/infer",
        data=np.array(rows, "<f4").tobytes(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    size = int(binary.headers["Inference-Header-Content-Length"])
    content = binary.data[size : size + 16 * len(rows)]
    np.testing.assert_array_equal(float32_bits(np.frombuffer(content, "<f4")), expected)

    by_row = post("/v1/models/animals:predict", {"instances": rows})["predictions"]
    by_column = post("/v1/models/animals:predict", {"inputs": {"features": rows}})["outputs"]
    np.testing.assert_array_equal(float32_bits(by_row), expected)
    np.testing.assert_array_equal(float32_bits(by_column), expected)
    classified = post("/v1/models/animals:classify", {"examples": [named(row) for row in rows]})["results"]
    np.testing.assert_array_equal(float32_bits([[score for _, score in result] for result in classified]), expected)


HEADED_FEATURES = ("f1", "f2", "f3")
INPUT_COLUMNS = {"position": slice(0, 2), "speed": slice(2, 3)}
headed_rows = st.lists(st.tuples(*(st.floats(-3, 3, width=32) for _ in HEADED_FEATURES)), min_size=1, max_size=20)


@pytest.fixture(scope="module", params=[*HEADS, "a classification among others"])
def headed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Headed, Flask]:
    headed = Headed.publish(tmp_path_factory.mktemp("store"), request.param, "several inputs")
    return headed, create_app(Settings(model_store=headed.store, model_name=NAME))


@settings(deadline=None, max_examples=15)
@given(headed_rows)
def test_every_form_gives_the_bits_of_the_network(headed: tuple[Headed, Flask], rows: list[tuple[float, ...]]) -> None:
    """Of any head: rows and columns by feature and by input, tensors in JSON and in bytes, and the native documents."""
    model, app = headed
    client, array = app.test_client(), np.array(rows, np.float32)
    raw = model.raw(rows)

    def post(path: str, document: Any) -> Any:
        response = client.post(path, json=document)
        assert response.status_code == 200, response.data
        return response.json

    assert [
        {key: value for key, value in prediction.items() if key != "warnings"}
        for prediction in post("/predict", {"instances": rows})["predictions"]
    ] == [{key: value for key, value in document.items() if key != "warnings"} for document in model.documents(rows)]
    by_input = {name: array[:, columns].tolist() for name, columns in INPUT_COLUMNS.items()}
    by_feature = {name: array[:, index].tolist() for index, name in enumerate(HEADED_FEATURES)}
    for inputs in (rows, by_input, by_feature):
        outputs = post(f"/v1/models/{NAME}:predict", {"inputs": inputs})["outputs"]
        _require_bits(outputs if len(raw) > 1 else dict.fromkeys(raw, outputs), raw)
    for form in (by_input, by_feature):
        instances = [dict(zip(form, row, strict=True)) for row in zip(*form.values(), strict=True)]
        predictions = post(f"/v1/models/{NAME}:predict", {"instances": instances})["predictions"]
        by_name = {name: [row[name] if len(raw) > 1 else row for row in predictions] for name in raw}
        _require_bits(by_name, raw)
    tensors = [
        {"name": name, "shape": [len(rows), len(values[0])], "datatype": "FP32", "data": values}
        for name, values in by_input.items()
    ]
    outputs = post(f"/v2/models/{NAME}/infer", {"inputs": tensors})["outputs"]
    _require_bits({output["name"]: output["data"] for output in outputs if output["name"] in raw}, raw)
    binary = client.post(
        f"/v2/models/{NAME}/infer", data=array.tobytes(), headers={"Inference-Header-Content-Length": "0"}
    )
    content = binary.data[int(binary.headers["Inference-Header-Content-Length"]) :]
    assert content.startswith(b"".join([np.ascontiguousarray(values).tobytes() for values in raw.values()]))


def _require_bits(outputs: Any, raw: Any) -> None:
    """Assert that each output has the float32 of the network, row by row."""
    assert list(outputs) == list(raw)
    for name, values in raw.items():
        actual = np.array(outputs[name], np.float32).reshape(values.shape)
        np.testing.assert_array_equal(actual.view(np.uint32), np.ascontiguousarray(values).view(np.uint32))

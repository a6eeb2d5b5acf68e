"""Every protocol gives the same float32 float32_bits for the same row."""

from typing import Any

import numpy as np
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from support.known_animals import NAMES, named
from support.published_bundles import newest_version

from models.bundle import Bundle
from service.settings import SHIPPED_STORE

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

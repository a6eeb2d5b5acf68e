"""One truth: whichever protocol asks, a row gets the same float32 bits."""

from typing import Any

import numpy as np
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from support.known_animals import NAMES, named

from models import bundle
from models.bundle import Bundle
from service.settings import SHIPPED_STORE

FEATURES = Bundle.read(bundle.find_newest_version(SHIPPED_STORE, "animals")).manifest.features
rows_ = st.lists(st.tuples(*(st.floats(f.minimum, f.maximum) for f in FEATURES)), min_size=1, max_size=40)


def bits(values: Any) -> Any:
    return np.array(values, np.float32).reshape(-1, 4).view(np.uint32)


@given(rows_, st.data())
def test_every_protocol_answers_the_same_bits(app: Flask, rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    """Native, tensors in JSON and in bytes, rows and columns: the same probabilities and labels for the same rows."""
    client = app.test_client()

    def ask(path: str, document: Any) -> Any:
        answer = client.post(path, json=document)
        assert answer.status_code == 200, answer.data
        return answer.json

    native = ask("/predict", {"instances": [data.draw(st.sampled_from([row, named(row)])) for row in rows]})
    expected = bits([list(one["probabilities"].values()) for one in native["predictions"]])
    labels = [one["label"] for one in native["predictions"]]

    datatype = data.draw(st.sampled_from(["FP32", "FP64"]))
    tensor = {"name": "features", "shape": [len(rows), len(NAMES)], "datatype": datatype, "data": rows}
    probabilities, label = ask("/v2/models/animals/infer", {"inputs": [tensor]})["outputs"]
    np.testing.assert_array_equal(bits(probabilities["data"]), expected)
    assert label["data"] == labels

    raw = client.post(
        "/v2/models/animals/infer",
        data=np.array(rows, "<f4").tobytes(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    size = int(raw.headers["Inference-Header-Content-Length"])
    content = raw.data[size : size + 16 * len(rows)]
    np.testing.assert_array_equal(bits(np.frombuffer(content, "<f4")), expected)

    by_row = ask("/v1/models/animals:predict", {"instances": rows})["predictions"]
    by_column = ask("/v1/models/animals:predict", {"inputs": {"features": rows}})["outputs"]
    np.testing.assert_array_equal(bits(by_row), expected)
    np.testing.assert_array_equal(bits(by_column), expected)
    classified = ask("/v1/models/animals:classify", {"examples": [named(row) for row in rows]})["results"]
    np.testing.assert_array_equal(bits([[score for _, score in result] for result in classified]), expected)

"""Tensors: what goes over the wire as JSON or bytes is what was meant, and nothing else passes."""

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.http.errors import BadTensorError
from service.protocols.oip_tensors import DATATYPES, Tensor, array_from_bytes, rows_from_json

KINDS = {name: np.dtype(name.lower().replace("fp", "float")) for name in DATATYPES}
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4))


@given(st.sampled_from(DATATYPES).flatmap(lambda name: st.tuples(st.just(name), arrays.arrays(KINDS[name], shapes))))
def test_bytes_are_read_as_what_they_say(case: tuple[str, Any]) -> None:
    """Every datatype of numbers comes back bit for bit, row by row, little-endian."""
    datatype, values = case
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(array_from_bytes(content, datatype, values.shape, "it"), values)
    for wrong in (content[:-1], content + b"\0", b""):
        with pytest.raises(BadTensorError, match="bytes of data"):
            array_from_bytes(wrong, datatype, values.shape, "it")


@given(arrays.arrays(np.int64, shapes))
def test_flat_and_nested_data_mean_the_same(values: Any) -> None:
    """Row by row or in one list: the same rows."""
    rows = values.tolist()
    assert rows_from_json(rows, "INT64", values.shape, "it") == rows
    assert rows_from_json(values.ravel().tolist(), "INT64", values.shape, "it") == rows


@given(arrays.arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_are_written_so_that_they_read_as_the_same(values: Any) -> None:
    """JSON and bytes give the very float32."""
    tensor = Tensor("it", values.shape, values)
    assert tensor.datatype == "FP32"
    read = np.array(orjson.loads(orjson.dumps(tensor.as_json())), np.float32)
    np.testing.assert_array_equal(read, values.ravel())
    np.testing.assert_array_equal(np.frombuffer(tensor.as_bytes(), "<f4"), values.ravel())


@given(st.lists(st.text()))
def test_strings_stand_behind_their_lengths(values: list[str]) -> None:
    """BYTES: a uint32 and so many bytes for each element."""
    tensor = Tensor("it", (len(values),), values)
    content, found = tensor.as_bytes(), []
    while content:
        (size,) = struct.unpack_from("<I", content)
        found.append(content[4 : 4 + size].decode())
        content = content[4 + size :]
    assert (tensor.datatype, found) == ("BYTES", values)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT8", [128]),
        ("INT8", [-129]),
        ("UINT8", [-1]),
        ("UINT64", [2**64]),
        ("INT32", [1.5]),
        ("INT32", [1.0]),
        ("INT32", [True]),
        ("INT32", ["1"]),
        ("INT32", [None]),
        ("BOOL", [True]),
        ("BYTES", ["x"]),
        ("FP16", [1.0]),
        ("BF16", [1.0]),
        ("fp32", [1.0]),
        ("", [1.0]),
        ("FP32", []),
        ("FP32", [1.0, 2.0]),
        ("FP32", [[1.0], [2.0]]),
        ("FP32", [[1.0], 2.0]),
        ("FP32", [[[1.0]], [1.0]]),
        ("FP32", 1.0),
        ("FP32", {"0": 1.0}),
        ("FP32", None),
    ],
)
def test_data_that_are_not_what_they_say_are_refused(datatype: str, data: Any) -> None:
    """A datatype's range, a shape's count and the form of a list are held."""
    with pytest.raises(BadTensorError, match="it"):
        rows_from_json(data, datatype, (1, 1), "it")

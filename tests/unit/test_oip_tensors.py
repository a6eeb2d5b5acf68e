"""Tensors of the Open Inference Protocol, as JSON and as bytes."""

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.http.errors import BadTensorError
from service.protocols.oip_tensors import NUMERIC_DATATYPES, Tensor, array_from_bytes, rows_from_json

DTYPES = {name: np.dtype(name.lower().replace("fp", "float")) for name in NUMERIC_DATATYPES}
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4))


@given(
    st.sampled_from(NUMERIC_DATATYPES).flatmap(
        lambda name: st.tuples(st.just(name), arrays.arrays(DTYPES[name], shapes))
    )
)
def test_binary_data_are_decoded(case: tuple[str, Any]) -> None:
    """Every numeric datatype round-trips bit for bit: row-major, little-endian."""
    datatype, values = case
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(array_from_bytes(content, datatype, values.shape, "tensor"), values)
    for truncated_or_extended in (content[:-1], content + b"\0", b""):
        with pytest.raises(BadTensorError, match="bytes of data"):
            array_from_bytes(truncated_or_extended, datatype, values.shape, "tensor")


@given(arrays.arrays(np.int64, shapes))
def test_flat_and_nested_data_are_equivalent(values: Any) -> None:
    """A list of rows, or one list of all elements in row-major order."""
    rows = values.tolist()
    assert rows_from_json(rows, "INT64", values.shape, "tensor")[0] == rows
    assert rows_from_json(values.ravel().tolist(), "INT64", values.shape, "tensor")[0] == rows


@given(arrays.arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_round_trip(values: Any) -> None:
    """JSON and bytes both reproduce the float32."""
    tensor = Tensor("tensor", values.shape, values)
    assert tensor.datatype == "FP32"
    read = np.array(orjson.loads(tensor.as_json()), np.float32)
    np.testing.assert_array_equal(read, values.ravel())
    np.testing.assert_array_equal(np.frombuffer(tensor.as_bytes(), "<f4"), values.ravel())


@given(st.lists(st.text()))
def test_strings_have_length_prefixes(values: list[str]) -> None:
    """BYTES: a uint32 and that many bytes for each element."""
    tensor = Tensor("tensor", (len(values),), values)
    content, strings = tensor.as_bytes(), []
    while content:
        (size,) = struct.unpack_from("<I", content)
        strings.append(content[4 : 4 + size].decode())
        content = content[4 + size :]
    assert (tensor.datatype, strings) == ("BYTES", values)


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
        ("BOOLEAN", [True]),
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
def test_data_that_do_not_fit_are_refused(datatype: str, data: Any) -> None:
    """The datatype's range, the shape's element count and the nesting are checked."""
    with pytest.raises(BadTensorError, match="tensor"):
        rows_from_json(data, datatype, (1, 1), "tensor")

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


texts = st.lists(st.text() | st.sampled_from(["\0", "a\0b", "\U0001f427", "x" * 300]), min_size=1, max_size=12)


def to_elements(values: list[str]) -> bytes:
    """Strings as Triton's clients serialize them."""
    encoded = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def reference_elements(content: bytes) -> list[str] | None:
    """The strings in the bytes of a tensor, read from the front by slices; None if they are none."""
    values = []
    while content:
        length = int.from_bytes(content[:4], "little")
        if len(content) < 4 + length:
            return None
        try:
            values.append(str(content[4 : 4 + length], "utf-8"))
        except UnicodeDecodeError:
            return None
        content = content[4 + length :]
    return values


@given(texts)
def test_binary_strings_are_decoded(values: list[str]) -> None:
    """Every string of Unicode, in the shape of the tensor, as they are written."""
    content = to_elements(values)
    assert Tensor("tensor", (len(values),), values).as_bytes() == content
    assert array_from_bytes(content, "BYTES", (len(values), 1), "tensor").tolist() == [[value] for value in values]


@given(texts, st.data())
def test_binary_strings_must_have_the_tensors_length(values: list[str], data: st.DataObject) -> None:
    """Nothing less than all bytes, nothing after them, and as many elements as the shape has."""
    content = to_elements(values)
    end = data.draw(st.integers(0, len(content) - 1))
    more = data.draw(st.binary(min_size=1, max_size=9))
    for wrong in (content[:end], content + more):
        with pytest.raises(BadTensorError, match="tensor"):
            array_from_bytes(wrong, "BYTES", (len(values), 1), "tensor")
    for count in (len(values) - 1, len(values) + 1):
        with pytest.raises(BadTensorError, match=f"its shape needs {count} elements"):
            array_from_bytes(content, "BYTES", (count, 1), "tensor")


@given(texts, st.data())
def test_mutated_strings_are_what_a_plain_reader_finds(values: list[str], data: st.DataObject) -> None:
    """Or are refused with a short message: never another error, whatever a length says."""
    content = bytearray(to_elements(values))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    expected = reference_elements(bytes(content))
    try:
        read = array_from_bytes(bytes(content), "BYTES", (len(values), 1), "tensor").ravel().tolist()
    except BadTensorError as error:
        assert expected is None or len(expected) != len(values)
        assert len(str(error)) < 300
    else:
        assert read == expected


@given(st.binary(max_size=60), st.integers(1, 5))
def test_any_bytes_are_strings_or_refused(content: bytes, count: int) -> None:
    expected = reference_elements(content)
    if expected is not None and len(expected) == count:
        assert array_from_bytes(content, "BYTES", (count, 1), "tensor").ravel().tolist() == expected
    else:
        with pytest.raises(BadTensorError, match="tensor"):
            array_from_bytes(content, "BYTES", (count, 1), "tensor")


@given(arrays.arrays(np.bool_, shapes), st.integers(2, 255), st.data())
def test_binary_booleans_are_one_byte(values: Any, wrong: int, data: st.DataObject) -> None:
    """It is 0 or 1."""
    content = values.tobytes()
    np.testing.assert_array_equal(array_from_bytes(content, "BOOL", values.shape, "tensor"), values)
    position = data.draw(st.integers(0, len(content) - 1))
    changed = content[:position] + bytes([wrong]) + content[position + 1 :]
    for refused, message in (
        (changed, "other than 0 and 1"),
        (content[1:], "bytes of data"),
        (content + b"\0", "bytes"),
    ):
        with pytest.raises(BadTensorError, match=message):
            array_from_bytes(refused, "BOOL", values.shape, "tensor")


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

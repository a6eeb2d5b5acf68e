"""Tensors of the Open Inference Protocol: their datatypes, and their elements as JSON or as bytes.

Source: the protocol's specification, and Triton's binary tensor data extension: little-endian, row by row, nothing
between elements; a BYTES element is its length as a uint32, then itself.
"""

import math
import struct
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.arrays import Array
from service.http import strict_json
from service.http.errors import BadTensorError

_IS_LITTLE_ENDIAN = sys.byteorder == "little"
_DTYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
_NUMBERS = {int, float}
NUMERIC_DATATYPES = tuple(_DTYPES)
_LENGTH_BYTES = 4  # of a BYTES element


_UINT32 = struct.Struct("<I")


class Tensor(NamedTuple):
    """A named output [rows, ...]. ``values`` are an array of float32 or of booleans, or strings for BYTES."""

    name: str
    shape: Sequence[int]
    values: Array | NDArray[np.bool_] | Sequence[str]

    @property
    def datatype(self) -> str:
        if isinstance(self.values, np.ndarray):
            return "BOOL" if self.values.dtype.kind == "b" else "FP32"
        return "BYTES"

    def as_json(self) -> bytes:
        """All elements, row by row; a float32 as its shortest decimal."""
        if isinstance(self.values, np.ndarray):
            return strict_json.shortest_decimals(self.values.ravel())
        return orjson.dumps(self.values)

    def as_bytes(self) -> bytes:
        """All elements, row by row; a boolean is one byte."""
        if isinstance(self.values, np.ndarray):
            return (self.values if _IS_LITTLE_ENDIAN else self.values.byteswap()).tobytes()
        encoded = {value: _bytes_element(value) for value in set(self.values)}  # labels repeat
        return b"".join([encoded[value] for value in self.values])


def array_from_bytes(content: bytes, datatype: str, shape: Sequence[int], location: str) -> NDArray[Any]:
    """The array of a binary tensor, of its own datatype and shape.

    Raises:
        BadTensorError: the length does not fit datatype and shape, or the elements are not those of the datatype.
    """
    if datatype == "BYTES":
        return _texts_from_bytes(content, math.prod(shape), location).reshape(shape)
    if datatype == "BOOL":
        return _booleans_from_bytes(content, shape, location)
    dtype = _dtype(datatype, location)
    expected = dtype.itemsize * math.prod(shape)
    if len(content) != expected:
        raise BadTensorError(
            f"{location} has {len(content)} bytes of data, but {datatype} of shape {list(shape)} needs {expected}"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def rows_from_json(
    data: Any, datatype: str, shape: Sequence[int], location: str, *, allows_null: bool = False
) -> tuple[list[Any], bool]:
    """The rows of a tensor [rows, columns] from JSON, nested or flat; also whether they are known to have numbers only.

    The elements of BYTES and BOOL are not checked.

    Raises:
        BadTensorError: the number of elements does not fit the shape, or they are not integers although they must be.
    """
    dtype = None if datatype in {"BYTES", "BOOL"} else _dtype(datatype, location)
    count, width = shape
    if not isinstance(data, list):
        raise BadTensorError(f"{location}.data must be a list")
    if data and isinstance(data[0], list):
        rows, fits = data, len(data) == count and [type(row) for row in data].count(list) == count
        elements: Iterable[Any] = chain.from_iterable(data) if fits else ()
    else:
        rows = [data[start : start + width] for start in range(0, len(data), width)]
        fits, elements = len(data) == count * width, data
    are_numbers = (
        count > 1 and dtype is not None and {*map(type, elements)} <= _NUMBERS
    )  # of one row, validation tells as fast
    if not fits:
        raise BadTensorError(f"{location}.data must have {count * width} elements, as in its shape {list(shape)}")
    if dtype is not None and dtype.kind != "f":
        _require_integers(rows, dtype, datatype, location, allows_null=allows_null)
    return rows, are_numbers


def _require_integers(
    rows: Iterable[list[Any]], dtype: np.dtype[Any], datatype: str, location: str, *, allows_null: bool
) -> None:
    limits = np.iinfo(dtype)
    for row in rows:
        given = [value for value in row if value is not None] if allows_null else row
        if not all(type(value) is int and limits.min <= value <= limits.max for value in given):
            raise BadTensorError(f"{location}.data must be integers from {limits.min} to {limits.max} for {datatype}")


def _dtype(datatype: str, location: str) -> np.dtype[Any]:
    if datatype not in _DTYPES:
        raise BadTensorError(f"{location}.datatype must be one of {', '.join(NUMERIC_DATATYPES)}")
    return _DTYPES[datatype]


def _booleans_from_bytes(content: bytes, shape: Sequence[int], location: str) -> NDArray[np.bool_]:
    if len(content) != math.prod(shape):
        raise BadTensorError(
            f"{location} has {len(content)} bytes of data, but BOOL of shape {list(shape)} needs {math.prod(shape)}"
        )
    if content.translate(None, b"\0\1"):
        raise BadTensorError(f"{location} has a byte other than 0 and 1: a BOOL is one of these")
    return np.frombuffer(content, np.bool_).reshape(shape)


def _texts_from_bytes(content: bytes, count: int, location: str) -> NDArray[Any]:
    """The elements of a BYTES tensor, which must be UTF-8: each is its length, then itself."""
    texts: list[str] = []
    start = 0
    try:
        while start < len(content) and len(texts) < count:
            (length,) = _UINT32.unpack_from(content, start)
            stop = start + _LENGTH_BYTES + length
            if stop > len(content):
                raise struct.error  # noqa: TRY301 (one way out)
            texts.append(content[start + _LENGTH_BYTES : stop].decode())
            start = stop
    except struct.error:
        raise BadTensorError(
            f"{location} ends within its element {len(texts)}, which starts at byte {start} of {len(content)}: "
            "each element of BYTES is its length in 4 bytes, little-endian, then itself"
        ) from None
    except UnicodeDecodeError:
        raise BadTensorError(f"{location}: element {len(texts)}, at byte {start}, is not valid UTF-8") from None
    if len(texts) != count or start != len(content):
        found = f"{len(texts)} elements" if len(texts) != count else f"{len(content) - start} bytes too many"
        raise BadTensorError(f"{location} has {found}, but its shape needs {count} elements")
    return np.array(texts, object)


def _bytes_element(value: str) -> bytes:
    content = value.encode()
    return struct.pack("<I", len(content)) + content

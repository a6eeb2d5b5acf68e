"""Tensors of the Open Inference Protocol: their datatypes, and their numbers as JSON or as bytes.

Source: the protocol's specification, and Triton's binary tensor data extension: little-endian, row by row, nothing
between elements; an element of BYTES is its length as a uint32 and then itself.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.http.errors import BadTensorError

_FLOAT = np.dtype("<f4")
_NUMBERS: dict[str, np.dtype[Any]] = {
    "FP32": _FLOAT,
    "FP64": np.dtype("<f8"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
DATATYPES = tuple(_NUMBERS)


class Tensor(NamedTuple):
    """A named output, its first dimension the rows'. ``values`` are an array of float32, or strings for BYTES."""

    name: str
    shape: Sequence[int]
    values: NDArray[np.float32] | Sequence[str]

    @property
    def datatype(self) -> str:
        return "FP32" if isinstance(self.values, np.ndarray) else "BYTES"

    def as_json(self) -> Any:
        """Every element, row by row, as `orjson` writes it: a float32 as the shortest decimal that means it."""
        if not isinstance(self.values, np.ndarray):
            return self.values
        return orjson.Fragment(orjson.dumps(self.values.ravel(), option=orjson.OPT_SERIALIZE_NUMPY))

    def as_bytes(self) -> bytes:
        """Every element, row by row."""
        if isinstance(self.values, np.ndarray):
            return self.values.astype(_FLOAT, copy=False).tobytes()
        encoded = {value: _element(value) for value in set(self.values)}  # labels repeat
        return b"".join([encoded[value] for value in self.values])


def from_bytes(content: bytes, datatype: str, shape: Sequence[int], place: str) -> NDArray[Any]:
    """The numbers of a binary tensor, of its own type and shape.

    Raises:
        BadTensorError: there are not as many bytes as datatype and shape say, or the datatype is not one of numbers.
    """
    kind = _kind(datatype, place)
    expected = kind.itemsize * math.prod(shape)
    if len(content) != expected:
        raise BadTensorError(
            f"{place} has {len(content)} bytes of data where {datatype} of shape {list(shape)} has {expected}"
        )
    return np.frombuffer(content, kind).reshape(shape)


def rows_from_json(data: Any, datatype: str, shape: Sequence[int], place: str) -> list[Any]:
    """The elements of a tensor [rows, columns] from JSON, nested or flat, as rows; they may still be no numbers.

    Raises:
        BadTensorError: there are not as many elements as the shape says, or the datatype is not one of numbers.
    """
    kind = _kind(datatype, place)
    count, width = shape
    if not isinstance(data, list):
        raise BadTensorError(f"{place}.data must be a list")
    if data and isinstance(data[0], list):
        rows, fits = data, len(data) == count and [type(row) for row in data].count(list) == count
    else:
        rows = [data[start : start + width] for start in range(0, len(data), width)]
        fits = len(data) == count * width
    if not fits:
        raise BadTensorError(f"{place}.data does not have the {count * width} elements of its shape {list(shape)}")
    if kind.kind != "f":
        _require_integers(rows, kind, datatype, place)
    return rows


def _require_integers(rows: Iterable[list[Any]], kind: np.dtype[Any], datatype: str, place: str) -> None:
    limits = np.iinfo(kind)
    for row in rows:
        if not all(type(value) is int and limits.min <= value <= limits.max for value in row):
            raise BadTensorError(f"{place}.data must be integers from {limits.min} to {limits.max}, as {datatype} says")


def _kind(datatype: str, place: str) -> np.dtype[Any]:
    if datatype not in _NUMBERS:
        raise BadTensorError(f"{place} must be of {', '.join(DATATYPES)}")
    return _NUMBERS[datatype]


def _element(value: str) -> bytes:
    content = value.encode()
    return struct.pack("<I", len(content)) + content

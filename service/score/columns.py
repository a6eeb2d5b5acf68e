"""Arrow columns to rows of numbers, and what is wrong with each value: `inference.validation` for whole columns.

A number is the same as in a request: a double, then the float32 nearest to it. A bound counts in the column's own
precision. A null is a missing value. Only where all there is is text, as in CSV, does text count as a number.
"""

import difflib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.manifest import Feature
from service.http.errors import TableError

Array = NDArray[np.float32]
Codes = NDArray[np.uint8]

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(nan|inf|infinity))$"  # what Arrow casts
_NOTHING = pa.array(["", "NA", "N/A", "NULL", "null"])


class Code(IntEnum):
    """What is wrong with a value; 0 is nothing."""

    MISSING = 1
    NOT_FINITE = 2
    OUT_OF_BOUNDS = 3
    STRING = 4
    BOOLEAN = 5
    LIST = 6
    OBJECT = 7


class Columns:
    """Where a table has the features: ``names`` are its columns', one a feature, in the schema's order.

    In a table that is ``text`` all values are strings.

    Raises:
        TableError: a feature has no column, or more than one.
    """

    def __init__(
        self, features: Sequence[Feature], schema: pa.Schema, mapping: Mapping[str, str], *, text: bool
    ) -> None:
        self._features = features
        self._text = text
        for name in mapping:
            if name not in {feature.name for feature in features}:
                raise TableError(f"--map {name}: no such feature; {nearest(name, [one.name for one in features])}")
        self.names = [mapping.get(feature.name, feature.name) for feature in features]
        for feature, name in zip(features, self.names, strict=True):
            if not (found := schema.get_all_field_indices(name)):
                told = nearest(name, schema.names)
                raise TableError(f"no column {name}: {told}; --map {feature.name}=COLUMN names another")
            if len(found) > 1:
                raise TableError(f"{len(found)} columns are named {name}: rename all but one")

    def read(self, batch: pa.RecordBatch) -> tuple[Array, Codes]:
        """The features' values, float32 [rows, features], and a `Code` for each, 0 for a good one."""
        rows = np.empty((batch.num_rows, len(self.names)), np.float32)
        codes = np.zeros(rows.shape, np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):  # whatever is too large for a float32 has a code
            for index, (feature, name) in enumerate(zip(self._features, self.names, strict=True)):
                values, codes[:, index] = self._column(batch.column(name), feature)
                rows[:, index] = values
        return rows, codes

    def _column(self, column: pa.Array, feature: Feature) -> tuple[NDArray[Any], Codes | int]:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self._text:
            column, strange = _numbers(column)
        elif (code := _kind(column.type)) is not None:
            column, strange = pa.nulls(len(column), pa.float64()), np.where(_nulls(column), Code.MISSING, code)
        else:
            column, strange = _doubles(column), None
        return _judge(column, feature, strange)


def _judge(column: pa.Array, feature: Feature, strange: Codes | None) -> tuple[NDArray[Any], Codes | int]:
    """A column of numbers as such, and its codes; ``strange`` are those of values that were none."""
    values = column.to_numpy(zero_copy_only=False)
    good = (values >= feature.minimum) & (values <= feature.maximum)  # NumPy takes a bound as what the values are
    if column.null_count == 0 and good.all():
        return values, 0
    codes = np.where(good, 0, np.where(np.isfinite(values), Code.OUT_OF_BOUNDS, Code.NOT_FINITE)).astype(np.uint8)
    codes[_nulls(column)] = Code.MISSING
    if strange is not None:
        codes = np.where(strange, strange, codes)
    return values, codes


def _doubles(column: pa.Array) -> pa.Array:
    """Numbers of any type as doubles, float32 as they are; of integers too long the nearest, as Python has them."""
    kind = column.type
    if kind in {pa.float32(), pa.float64()}:
        return column
    if pa.types.is_decimal(kind):  # by way of its digits, because dividing by a power of ten is not exact
        return column.cast(pa.string()).cast(pa.float64())
    return column.cast(pa.float64(), safe=False)


def _numbers(column: pa.Array) -> tuple[pa.Array, Codes | None]:
    """Text as doubles, and codes for what is none."""
    column = pc.ascii_trim_whitespace(column)
    try:
        return column.cast(pa.float64()), None
    except pa.ArrowInvalid:  # something is no number: by and by, as the neighbours may be
        number = pc.fill_null(pc.match_substring_regex(column, _NUMBER), False)  # noqa: FBT003 (the value for nulls)
        nothing = pc.fill_null(pc.is_in(column, value_set=_NOTHING), True)  # noqa: FBT003
        codes = np.where(_numpy(nothing), Code.MISSING, np.where(_numpy(number), 0, Code.STRING))
        return pc.if_else(number, column, None).cast(pa.float64()), codes.astype(np.uint8)


def _kind(kind: pa.DataType) -> Code | None:
    """What a request's JSON would have where a column has this type; None for a number."""
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return None
    if types.is_boolean(kind):
        return Code.BOOLEAN
    if types.is_struct(kind) or types.is_map(kind):
        return Code.OBJECT
    return Code.LIST if types.is_nested(kind) else Code.STRING  # dates and bytes are strings there


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    return _numpy(column.is_null())


def _numpy(flags: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(flags.to_numpy(zero_copy_only=False), np.bool_)


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for whoever named a column that is not there."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"did you mean {near[0]}?" if near else "there is none at all"

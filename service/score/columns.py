"""Feature values from Arrow columns, checked by whole columns as `service.inference.validation` checks rows.

A number is read as in a request: as a double, then rounded to the nearest float32. Bounds are compared in the column's
own precision. A null is a missing value. Text counts as a number only in a table of text, such as CSV.
"""

import difflib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.feature import Feature
from models.names import normalize_name
from models.number_format import NumberFormat
from service.arrays import Array
from service.score.errors import TableError

Codes = NDArray[np.uint8]

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(nan|inf|infinity))$"  # what Arrow's cast accepts
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
_MISSING_TEXT = pa.array(["", "NA", "N/A", "NULL", "null"])


class FaultCode(IntEnum):
    """What is wrong with one value; a valid value has the code 0."""

    MISSING = 1
    NOT_FINITE = 2
    OUT_OF_BOUNDS = 3
    STRING = 4
    BOOLEAN = 5
    LIST = 6
    OBJECT = 7


class FeatureColumns:
    """The columns of a table that hold the features; ``names`` lists them in the order of the model's schema.

    With ``all_text``, every column of the table is a string column.

    Raises:
        TableError: a feature has no column, or more than one.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        schema: pa.Schema,
        mapping: Mapping[str, str],
        *,
        all_text: bool,
        number_format: NumberFormat | None = None,
    ) -> None:
        self._features = features
        self._all_text = all_text
        self._number_format = None if number_format == NumberFormat() else number_format
        feature_names = [feature.name for feature in features]
        for name in mapping:
            if name not in feature_names:
                raise TableError(f"--map {name}: unknown feature; {suggest_name(name, feature_names)}")
        self.names = [
            _find_column(mapping.get(name, name), schema.names, feature_name=name, all_text=all_text)
            for name in feature_names
        ]

    def extract(self, batch: pa.RecordBatch) -> tuple[Array, Codes]:
        """The features' values, float32 [rows, features], and their fault codes in the same shape."""
        rows = np.empty((batch.num_rows, len(self.names)), np.float32)
        codes = np.zeros(rows.shape, np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):  # a value too large for float32 has a fault code
            for index, (feature, name) in enumerate(zip(self._features, self.names, strict=True)):
                rows[:, index], codes[:, index] = self._extract_column(batch.column(name), feature)
        return rows, codes

    def _extract_column(self, column: pa.Array, feature: Feature) -> tuple[NDArray[Any], Codes | int]:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        type_codes: Codes | None = None
        if self._all_text:
            column, type_codes = _parse_text(column, self._number_format)
        elif (type_code := _type_code(column.type)) is not None:
            type_codes = np.where(_is_null(column), FaultCode.MISSING, type_code)
            column = pa.nulls(len(column), pa.float64())
        else:
            column = _to_floats(column)
        return _check_values(column, feature, type_codes)


def _find_column(name: str, known_names: Sequence[str], *, feature_name: str, all_text: bool) -> str:
    """The column of this name, or else the one that training would give this name, without spaces around it."""
    found = [known for known in known_names if known == name]
    found = found or [known for known in known_names if normalize_name(known) == normalize_name(name)]
    if not found:
        hint = (all_text and _suggest_delimiter(known_names)) or suggest_name(name, known_names)
        raise TableError(f"no column {name}: {hint}; or choose one with --map {feature_name}=COLUMN")
    if len(found) > 1:
        raise TableError(f"{len(found)} columns are named {name}: rename all but one")
    return found[0]


def _check_values(column: pa.Array, feature: Feature, type_codes: Codes | None) -> tuple[NDArray[Any], Codes | int]:
    """The values of a numeric column and their fault codes; ``type_codes`` has those of values that are no numbers."""
    values = column.to_numpy(zero_copy_only=False)
    if feature.has_bounds:
        valid = (values >= feature.minimum) & (values <= feature.maximum)  # NumPy casts the bounds to the values' type
    else:
        valid = np.isfinite(values.astype(np.float32))
    if column.null_count == 0 and valid.all():
        return values, 0
    codes = np.where(valid, 0, np.where(np.isfinite(values), FaultCode.OUT_OF_BOUNDS, FaultCode.NOT_FINITE)).astype(
        np.uint8
    )
    codes[_is_null(column)] = FaultCode.MISSING
    if type_codes is not None:
        codes = np.where(type_codes, type_codes, codes)
    return values, codes


def _to_floats(column: pa.Array) -> pa.Array:
    """A numeric column as doubles, float32 unchanged; an integer beyond 2^53 becomes the nearest double."""
    if column.type in {pa.float32(), pa.float64()}:
        return column
    if pa.types.is_decimal(column.type):  # through its digits, because dividing by a power of ten is not exact
        return column.cast(pa.string()).cast(pa.float64())
    return column.cast(pa.float64(), safe=False)


def _parse_text(column: pa.Array, number_format: NumberFormat | None) -> tuple[pa.Array, Codes | None]:
    """A text column as doubles, with fault codes for missing values and for text that is not a number."""
    column = pc.utf8_trim_whitespace(column)
    try:
        if not number_format:
            return column.cast(pa.float64()), None
    except pa.ArrowInvalid:  # at least one value is not a number, so each is looked at
        pass
    pattern = number_format.pattern if number_format else _NUMBER
    is_number = pc.fill_null(pc.match_substring_regex(column, pattern), False)  # noqa: FBT003 (the value for nulls)
    is_missing = pc.fill_null(pc.is_in(column, value_set=_MISSING_TEXT), True)  # noqa: FBT003
    codes = np.where(_to_numpy(is_number), 0, FaultCode.STRING)
    codes = np.where(_to_numpy(is_missing), FaultCode.MISSING, codes)
    numbers = pc.if_else(is_number, column, None)
    plain = number_format.to_plain(numbers) if number_format else numbers
    return plain.cast(pa.float64()), codes.astype(np.uint8)


def _type_code(dtype: pa.DataType) -> FaultCode | None:
    """The fault of every value in a column of this type, named after the JSON type in a request; None for numbers."""
    types = pa.types
    if types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype) or types.is_null(dtype):
        return None
    if types.is_boolean(dtype):
        return FaultCode.BOOLEAN
    if types.is_struct(dtype) or types.is_map(dtype):
        return FaultCode.OBJECT
    return FaultCode.LIST if types.is_nested(dtype) else FaultCode.STRING  # dates and bytes are strings in JSON


def _is_null(column: pa.Array) -> NDArray[np.bool_]:
    return _to_numpy(column.is_null())


def _to_numpy(flags: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(flags.to_numpy(zero_copy_only=False), np.bool_)


def suggest_name(name: str, known_names: Sequence[str]) -> str:
    """A hint for an error message about an unknown ``name``: the most similar known one."""
    matches = difflib.get_close_matches(name, known_names, n=1, cutoff=0)
    if not matches:
        return "the table has no columns"
    match = matches[0]
    return f"did you mean {match}?" if match == match.strip() else f"did you mean {match!r}, with the spaces?"


def _suggest_delimiter(known_names: Sequence[str]) -> str | None:
    """A hint if the names of a CSV's columns look as if they were separated by another delimiter."""
    counts = {delimiter: sum(name.count(delimiter) for name in known_names) for delimiter in _DELIMITERS}
    delimiter = max(counts, key=counts.__getitem__)
    if counts[delimiter] < len(known_names):
        return None
    return f"the columns seem to be separated by {_DELIMITERS[delimiter]}: set --delimiter {delimiter!r}"

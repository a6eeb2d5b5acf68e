"""Numbers from an Arrow column, checked as `service.inference.validation` checks those of a request.

A number is read as in a request: as a double, then rounded to the nearest float32. Bounds are compared in the column's
own precision. A null is a missing value, and so is NaN if the feature is more than a plain number. Text counts as a
number only in a table of text, such as CSV.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.feature import Feature
from models.names import GAP_TEXTS
from models.number_format import NumberFormat
from service.inference.csv_cells import MISSING_NUMBERS
from service.score.cell_faults import Codes, FaultCode, InvalidValues

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(nan|inf|infinity))$"  # what Arrow's cast accepts
_MISSING_NUMBERS = pa.array(sorted(MISSING_NUMBERS))
_GAP_TEXTS = pa.array(sorted(GAP_TEXTS))


class NumberColumn:
    """Reads the column of a number or of an integer; with ``all_text``, from text in ``number_format``."""

    def __init__(self, feature: Feature, *, all_text: bool, number_format: NumberFormat | None) -> None:
        self._feature = feature
        self._all_text = all_text
        self._number_format = number_format

    def extract(self, column: pa.Array, invalid: InvalidValues) -> tuple[NDArray[Any], Codes | int]:
        """The values [rows] and their fault codes, 0 if there are none."""
        feature = self._feature
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        type_codes: Codes | None = None
        if self._all_text:
            missing_texts = _MISSING_NUMBERS if feature.is_plain else _GAP_TEXTS
            column, type_codes = _parse_text(column, self._number_format, missing_texts)
        elif (type_code := _type_code(column.type)) is not None:
            type_codes = np.where(_is_null(column), FaultCode.MISSING, type_code)
            column = pa.nulls(len(column), pa.float64())
        else:
            column = _to_floats(column)
        values, codes = _check_values(column, feature, type_codes)
        return (values, codes) if feature.is_plain else _check_kind(values, codes, feature, invalid)


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


def _check_kind(
    values: NDArray[Any], found: Codes | int, feature: Feature, invalid: InvalidValues
) -> tuple[NDArray[Any], Codes]:
    """The same where a value may be missing or must be whole."""
    codes = np.zeros(len(values), np.int32)
    codes[:] = found
    is_missing = np.isnan(values) & (codes <= FaultCode.NOT_FINITE)
    if feature.is_required:
        codes[is_missing] = FaultCode.MISSING
    else:
        values, codes[is_missing] = np.where(is_missing, feature.to_code(None), values), 0
    if feature.kind == "integer":
        doubles = values.astype(np.float64)
        is_fraction = (codes == 0) & (doubles != np.floor(doubles)) & ~is_missing
        fractions, inverse = np.unique(doubles[is_fraction], return_inverse=True)
        codes[is_fraction] = np.array([invalid.add(value) for value in fractions.tolist()], np.int32)[inverse]
    return values, codes


def _to_floats(column: pa.Array) -> pa.Array:
    """A numeric column as doubles, float32 unchanged; an integer beyond 2^53 becomes the nearest double."""
    if column.type in {pa.float32(), pa.float64()}:
        return column
    if pa.types.is_decimal(column.type):  # through its digits, because dividing by a power of ten is not exact
        return column.cast(pa.string()).cast(pa.float64())
    return column.cast(pa.float64(), safe=False)


def _parse_text(
    column: pa.Array, number_format: NumberFormat | None, missing_texts: pa.Array
) -> tuple[pa.Array, Codes | None]:
    """A text column as doubles, with fault codes for missing values and for text that is not a number."""
    column = pc.utf8_trim_whitespace(column)
    try:
        if not number_format:
            return column.cast(pa.float64()), None
    except pa.ArrowInvalid:  # at least one value is not a number, so each is looked at
        pass
    numbers = find_numbers(column, number_format)
    is_missing = pc.or_(pc.is_in(column, value_set=missing_texts), column.is_null())
    codes = np.where(_is_null(numbers), FaultCode.STRING, 0)
    codes = np.where(_to_numpy(is_missing), FaultCode.MISSING, codes)
    return numbers.cast(pa.float64()), codes.astype(np.uint8)


def find_numbers(text: pa.Array, number_format: NumberFormat | None) -> pa.Array:
    """The numbers in a text column, still as text, with a decimal point and without signs between thousands.

    All other text is null. There must be no spaces around the values.
    """
    pattern = number_format.pattern if number_format else _NUMBER
    is_number = pc.fill_null(pc.match_substring_regex(text, pattern), False)  # noqa: FBT003 (the value for nulls)
    numbers = pc.if_else(is_number, text, None)
    return number_format.to_plain(numbers) if number_format else numbers


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

"""Codes of categories from an Arrow column: each distinct value of a batch is looked up once.

A value counts as in a request, without spaces being dropped or upper case being ignored. A table of text, such as CSV,
is read as training reads one.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.feature import Feature, UnknownCategoryError
from models.names import GAP_TEXTS
from models.number_format import NumberFormat
from service.arrays import Array
from service.inference.csv_cells import make_text_reader, to_truth_value, to_whole_number
from service.score.cell_faults import Codes, FaultCode, InvalidValues
from service.score.errors import TableError
from service.score.number_columns import find_numbers

_MAX_CACHED = 1 << 16  # hashes of texts, which take 5 us or more each
_TYPES: dict[type, tuple[str, str, Callable[[pa.DataType], bool]]] = {
    str: (
        "texts",
        "string",
        lambda dtype: pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype),
    ),
    int: (
        "integers",
        "int64",
        lambda dtype: pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype),
    ),
    bool: ("truth values", "bool", pa.types.is_boolean),
}


class CategoryColumn:
    """Reads the column ``name``, which has the type ``dtype``; with ``all_text``, from text.

    Raises:
        TableError: no value of a column of this type can be one of the feature's categories.
    """

    def __init__(
        self,
        feature: Feature,
        name: str,
        dtype: pa.DataType,
        *,
        all_text: bool,
        number_format: NumberFormat | None,
    ) -> None:
        self._feature = feature
        self._name = name
        self._all_text = all_text
        self._number_format = number_format
        self._read_text = make_text_reader(feature)
        self._to_code = lru_cache(_MAX_CACHED, typed=True)(feature.to_code) if feature.hashing else feature.to_code
        if not all_text:
            self._require_type(dtype)

    def extract(self, column: pa.Array, invalid: InvalidValues) -> tuple[Array, Codes | int]:
        """The categories' codes [rows], and their fault codes, 0 if there are none."""
        encoded = _encode(column)
        values = [*self._read(encoded.dictionary), None]  # the last is that of nulls
        codes, faults = self._look_up(values, invalid)
        indices = pc.fill_null(encoded.indices.cast(pa.int32()), len(values) - 1).to_numpy()
        return codes[indices], faults[indices] if faults.any() else 0

    def _look_up(self, values: list[Any], invalid: InvalidValues) -> tuple[Array, NDArray[np.int32]]:
        codes, faults = np.zeros(len(values), np.float32), np.zeros(len(values), np.int32)
        for index, value in enumerate(values):
            try:
                codes[index] = self._to_code(value)
            except (TypeError, UnknownCategoryError):
                faults[index] = FaultCode.MISSING if value is None else invalid.add(value)
        return codes, faults

    def _read(self, values: pa.Array) -> list[Any]:
        """Raw values as in a request, None for a missing one."""
        category_type = self._feature.category_type
        if not self._all_text:
            try:
                return [_to_plain(value) for value in values.to_pylist()]
            except UnicodeDecodeError as error:
                raise TableError(
                    f"column {self._name} has text that is not UTF-8 ({error.reason}): convert it"
                ) from None
        if category_type is str:
            return [*map(self._read_text, values.to_pylist())]
        text = pc.utf8_trim_whitespace(values)
        numbers = find_numbers(text, self._number_format) if category_type is int else pa.nulls(len(text), pa.string())
        return [_read_cell(*each) for each in zip(text.to_pylist(), numbers.to_pylist(), strict=True)]

    def _require_type(self, dtype: pa.DataType) -> None:
        value_type = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
        plural, target, is_suitable = _TYPES[self._feature.category_type]
        if not is_suitable(value_type) and not pa.types.is_null(value_type):
            raise TableError(
                f"column {self._name} has the type {dtype}, but {self._feature.name} is a category of {plural}: "
                f"convert the column to {target}, or choose another one with --map {self._feature.name}=COLUMN"
            )


def _encode(column: pa.Array) -> pa.DictionaryArray:
    """The column with a dictionary that is not longer than itself."""
    if pa.types.is_dictionary(column.type):
        if len(column.dictionary) <= len(column):
            return column
        column = column.dictionary_decode()  # a slice of a long column has the whole dictionary
    return column.dictionary_encode()


def _read_cell(text: str, number: str | None) -> Any:
    """A number or a truth value in a cell without spaces around it; the text itself if it is neither."""
    if text in GAP_TEXTS:
        return None
    return to_truth_value(text) if number is None else to_whole_number(number)


def _to_plain(value: Any) -> Any:
    """What Arrow gives as Python has it in a request: NaN is missing, and a decimal is a number."""
    if type(value) is Decimal:
        return int(value) if value == value.to_integral_value() else float(value)
    return None if type(value) is float and math.isnan(value) else value

"""Values that stand for a missing one in a table, beside those that always do: `--na-values`, as in training."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from models.feature import Feature
from models.names import find_numeric_markers, spell_markers
from models.number_format import NumberFormat
from service.score.number_columns import find_numbers


class MissingValues:
    """Replaces ``markers`` in a feature's column by nulls: a text in any of its spellings, a number however written."""

    def __init__(self, feature: Feature, markers: Sequence[str], number_format: NumberFormat | None) -> None:
        has_numbers = not feature.is_category or feature.category_type is int
        numbers = find_numeric_markers(markers) if has_numbers else []
        self._texts = pa.array(sorted(spell_markers(markers)), pa.string())
        self._numbers = pa.array(numbers, pa.float64())
        self._number_format = number_format

    def replace(self, column: pa.Array) -> pa.Array:
        """The column with nulls for its missing values; of a dictionary, the values become null."""
        types, dtype = pa.types, column.type
        if types.is_dictionary(dtype):
            return pa.DictionaryArray.from_arrays(column.indices, self.replace(column.dictionary))
        if types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype):
            column = column.cast(pa.string())
            is_missing = self._find_in_text(column)
        elif types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype):
            is_missing = pc.is_in(column.cast(pa.float64(), safe=False), value_set=self._numbers)
        else:
            return column
        return pc.if_else(is_missing, pa.scalar(None, column.type), column)

    def _find_in_text(self, column: pa.Array) -> pa.Array | bool:
        try:
            text = pc.utf8_trim_whitespace(column)
        except pa.ArrowInvalid:  # it is not UTF-8, which is an error where the column is read
            return False
        is_missing = pc.is_in(text, value_set=self._texts)
        if not len(self._numbers):
            return is_missing
        numbers = find_numbers(text, self._number_format).cast(pa.float64())
        return pc.or_(is_missing, pc.is_in(numbers, value_set=self._numbers))

"""The values of a column: numbers, gaps, and what is neither."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.names import find_numeric_markers, spell_markers
from models.number_format import NumberFormat
from models.tables.columns import Columns, Flags
from models.tables.findings import count, list_some
from models.tables.text_kinds import TEXT, find_kind, shorten

MAX_MAGNITUDE = 1e30  # the square of a larger number overflows float32

_DIGITS_AND_SEPARATORS = "^[+-]?[0-9.,' \u00a0\u202f\u2019]*[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?$"
_TRUTH_VALUES = ("true", "false")
_MOST = 0.9  # the share of numbers from which on text is a column of numbers, in which all else is a fault
_MIN_DISTINCT = 20
_MAX_DISTINCT = 1000  # invalid values that are looked at in one column


@dataclass(frozen=True)
class Cells:
    """The parsed values of a feature's column: ``values`` is not a number where there is a gap or an invalid text."""

    values: NDArray[np.float64]
    is_gap: Flags
    is_invalid: Flags
    text: pa.Array | None  # of the values, if the column is text

    @property
    def are_numbers(self) -> bool:
        """Whether the column is one of numbers, of which text that is none is a fault.

        It is if at least nine in ten values are numbers or meant to be some, such as ``12 %`` or a date. Ranges, bounds
        and numbers with units count only beside many numbers, or if they hardly repeat: else they are categories.
        """
        if self.text is None or not self.is_invalid.any():
            return True
        invalid = self.text.filter(pa.array(self.is_invalid))
        shown: Counter[str] = Counter()
        for entry in invalid.value_counts()[:_MAX_DISTINCT].to_pylist():
            shown[find_kind(entry["values"]).reading] += entry["counts"]
        rows_per_shown = len(invalid) / shown.total()
        valid = len(self.values) - int((self.is_gap | self.is_invalid).sum())
        total = valid + rows_per_shown * (shown.total() - shown["nothing"])
        numbers = valid + rows_per_shown * shown["numbers"]
        if total and numbers + rows_per_shown * shown["either"] >= _MOST * total:
            return numbers >= _MOST * total or 2 * valid >= total or hardly_repeats(len(invalid.unique()), len(invalid))
        return False

    def describe_invalid(self, name: str, columns: Columns, *, is_needed: bool = False) -> str:
        """What the invalid values are, by kind, where the first ones are, and what to do.

        A column that ``is_needed`` cannot be left out.
        """
        where, leave_out = columns.describe_rows(self.is_invalid), "" if is_needed else ", or leave the column out"
        if self.text is None:
            return f"column {name!r}, {where}: an infinite number: replace it{leave_out}"
        invalid = self.text.filter(pa.array(self.is_invalid))
        examples: dict[tuple[str, str], list[str]] = {}
        for text in invalid.unique()[:_MAX_DISTINCT].to_pylist():
            examples.setdefault(find_kind(text).describe(text), []).append(repr(shorten(text)))
        if list(examples) == [TEXT.describe("")] and len(invalid) == len(self.values) - int(self.is_gap.sum()):
            remedy = "write it as the numbers that the model was trained on" if is_needed else "leave it out"
            return f"column {name!r} is text ({list_some(next(iter(examples.values()))[:3])}): {remedy}"
        if len(invalid) == 1:
            (((what, remedy), (example,)),) = examples.items()
            return f"column {name!r}, {where}: {example} is {what}: {remedy}{leave_out}"
        kinds = "; ".join(f"{list_some(texts)} ({what}: {remedy})" for (what, remedy), texts in examples.items())
        number = count(len(invalid), "value")
        return f"column {name!r}: {number} are no numbers ({where}): {kinds}{leave_out.replace(',', ';')}"


def hardly_repeats(distinct: int, rows: int) -> bool:
    """Whether so many of the values differ that they are names, remarks or measurements, but no categories."""
    return distinct > max(_MIN_DISTINCT, rows / 2)


def strip(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A text column without spaces around its values."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.utf8_trim_whitespace(array)


def find_gaps(text: pa.Array, markers: tuple[str, ...]) -> Flags:
    """Where a text column, without spaces around its values, has nothing or a marker for a missing value."""
    values = pa.array(sorted(spell_markers(markers)))
    return to_numpy(pc.or_(pc.is_in(text, value_set=values), text.is_null()))


def parse_cells(column: pa.ChunkedArray, markers: tuple[str, ...], number_format: NumberFormat | None) -> Cells:
    """Parse a column as numbers; text in ``number_format``, except in Parquet numbers as they are.

    Without a ``number_format``, text of nothing but digits and separators is not invalid, though not parsed either.
    """
    if not pa.types.is_string(column.type):
        return _parse_typed(column, markers)
    text = strip(column)
    is_gap = find_gaps(text, markers)
    pattern = number_format.pattern if number_format else _DIGITS_AND_SEPARATORS
    is_number = to_numpy(pc.fill_null(pc.match_substring_regex(text, pattern), False))  # noqa: FBT003 (for nulls)
    is_number &= ~is_gap
    if number_format:
        numbers = pc.if_else(pa.array(is_number), text, None)
        values = _to_floats(number_format.to_plain(numbers).cast(pa.float64()))
    else:
        values = np.full(len(text), np.nan)
    is_gap |= _find_numeric_markers(values, markers)
    values[is_gap] = np.nan
    return Cells(values, is_gap, ~is_number & ~is_gap, text)


def _parse_typed(column: pa.ChunkedArray, markers: tuple[str, ...]) -> Cells:
    array = column.combine_chunks()
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())  # through its digits, because dividing by a power of ten is not exact
    values = _to_floats(array.cast(pa.float64(), safe=False))
    is_gap = to_numpy(array.is_null()) | np.isnan(values) | _find_numeric_markers(values, markers)
    is_infinite = np.isinf(values)
    values[is_gap | is_infinite] = np.nan
    return Cells(values, is_gap, is_infinite, None)


def truth_values_to_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with 1 and 0 for true and false, if it has nothing else; any other as it is."""
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8())
    if not pa.types.is_string(column.type):
        return column
    text = pc.utf8_lower(strip(column))
    if set(text[:100].unique().to_pylist()).isdisjoint(_TRUTH_VALUES):
        return column
    is_known = pc.fill_null(pc.is_in(text, pa.array([*_TRUTH_VALUES, ""])), True)  # noqa: FBT003 (for nulls)
    if not pc.all(is_known).as_py():
        return column
    is_true = pc.equal(text, "true")
    return pa.chunked_array([pc.if_else(is_true, "1", pc.if_else(pc.equal(text, "false"), "0", text))])


def parse_truth_values(column: pa.ChunkedArray, markers: tuple[str, ...]) -> NDArray[np.float64] | None:
    """A column with 1 and 0 for true and false and NaN in gaps; None if it has anything else, or no truth value."""
    if pa.types.is_boolean(column.type):
        return _to_floats(column.cast(pa.int8()))
    if not pa.types.is_string(column.type) or _find_truth_values(strip(column[:_MAX_DISTINCT]), markers) is None:
        return None
    values = _find_truth_values(strip(column), markers)
    return None if values is None or np.isnan(values).all() else values


def _find_truth_values(text: pa.Array, markers: tuple[str, ...]) -> NDArray[np.float64] | None:
    values = _to_floats(pc.index_in(pc.utf8_lower(text), value_set=pa.array(["false", "true"])))
    return None if (np.isnan(values) & ~find_gaps(text, markers)).any() else values


def _find_numeric_markers(values: NDArray[np.float64], markers: tuple[str, ...]) -> Flags:
    """Where a number stands for a missing value, such as -999, however it is written."""
    numbers = find_numeric_markers(markers)
    return np.isin(values, numbers) if numbers else np.zeros(len(values), bool)


def _to_floats(array: pa.Array) -> NDArray[np.float64]:
    return np.array(array.to_numpy(zero_copy_only=False), np.float64)


def to_numpy(flags: pa.Array) -> Flags:
    """Arrow's bits as an array of Booleans."""
    return np.array(flags.to_numpy(zero_copy_only=False), np.bool_)

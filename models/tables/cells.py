"""The values of a column: numbers, gaps, and what is neither."""

import re
import shlex
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.names import spell_markers
from models.number_format import NumberFormat
from models.tables.columns import Columns, Flags
from models.tables.findings import count, list_some

MAX_MAGNITUDE = 1e30  # the square of a larger number overflows float32

# A kind of text that is no number, what it is called, and what to do about it; the first that fits is named.
_KINDS = (
    (r"#(DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)", "an error of a spreadsheet", "correct the formula"),
    (
        r"[-\u2010-\u2015.?*]+|missing|unknown|n\.?d\.?|n\.a\.?|nil",
        "perhaps a missing value",
        "if so, add --na-values={}",
    ),
    (r"[+-]?(inf|infinity|∞)", "an infinite number", "replace it"),
    (r"true|false|yes|no", "a truth value", "write 1 and 0"),
    (r"[+-]?[0-9.,\s]+\s*%", "a percentage", "remove the percent sign"),
    (r"[+-]?\s*[$€£¥₹₽₩]\s*[0-9.,\s]+|[+-]?[0-9.,\s]+\s*[$€£¥₹₽₩]", "an amount of money", "remove the currency sign"),
    (
        r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([T ].*)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})( .*)?",
        "a date",
        "write a number, such as the days since a fixed day",
    ),
    (r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]*)?)?", "a time", "write a number, such as the seconds"),
    (r"[+-]?0x[0-9a-f]+", "a hexadecimal number", "write it with decimal digits"),
    (r"[+-]?[0-9]+(_[0-9]+)+(\.[0-9]*)?", "a number with underscores", "remove them"),
    (r"[\u2010-\u2015\u2212]\s*[0-9.,]+(e.*)?", "a number with a minus sign other than '-'", "replace the sign"),
    (r"[<>≤≥~≈]=?\s*[0-9.,]+.*", "a bound and not a value", "replace it by a number"),
    (r"[+-]?[0-9]+\s*[/-]\s*[0-9]+", "a fraction or a range", "replace it by a number"),
    (r"[+-]?[0-9.,]*[0-9][.,]?\s*[^\W\d_]{1,6}[²³]?", "a number with a unit", "remove the unit"),
    (
        r"[+-]?[0-9][0-9.,' \u00a0\u202f\u2019]*",
        "a number with other separators than the rest",
        "write it like the others",
    ),
)


_DIGITS_AND_SEPARATORS = "^[+-]?[0-9.,' \u00a0\u202f\u2019]*[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?$"
_TRUTH_VALUES = ("true", "false")
_TEXT = "not a number", "correct it"
_MAX_DISTINCT = 1000  # invalid values that are looked at in one column


@dataclass(frozen=True)
class Cells:
    """The parsed values of a feature's column: ``values`` is not a number where there is a gap or an invalid text."""

    values: NDArray[np.float64]
    is_gap: Flags
    is_invalid: Flags
    text: pa.Array | None  # of the values, if the column is text

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
            examples.setdefault(_find_kind(text), []).append(repr(_shorten(text)))
        if list(examples) == [_TEXT] and len(invalid) == len(self.values) - int(self.is_gap.sum()):
            remedy = "write it as the numbers that the model was trained on" if is_needed else "leave it out"
            return f"column {name!r} is text ({list_some(examples[_TEXT][:3])}): {remedy}"
        if len(invalid) == 1:
            (((what, remedy), (example,)),) = examples.items()
            return f"column {name!r}, {where}: {example} is {what}: {remedy}{leave_out}"
        kinds = "; ".join(f"{list_some(texts)} ({what}: {remedy})" for (what, remedy), texts in examples.items())
        number = count(len(invalid), "value")
        return f"column {name!r}: {number} are no numbers ({where}): {kinds}{leave_out.replace(',', ';')}"


def strip(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A text column without spaces around its values."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.utf8_trim_whitespace(array)


def find_gaps(text: pa.Array, markers: tuple[str, ...]) -> Flags:
    """Where a text column, without spaces around its values, has nothing or a marker for a missing value."""
    values = pa.array(sorted(spell_markers(markers)))
    return to_numpy(pc.fill_null(pc.is_in(text, value_set=values), True))  # noqa: FBT003 (the value for nulls)


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


def _find_numeric_markers(values: NDArray[np.float64], markers: tuple[str, ...]) -> Flags:
    """Where a number stands for a missing value, such as -999, however it is written."""
    numbers = [float(marker) for marker in markers if re.fullmatch(r"[+-]?[0-9]+\.?[0-9]*", marker)]
    return np.isin(values, numbers) if numbers else np.zeros(len(values), bool)


def _to_floats(array: pa.Array) -> NDArray[np.float64]:
    return np.array(array.to_numpy(zero_copy_only=False), np.float64)


def to_numpy(flags: pa.Array) -> Flags:
    """Arrow's bits as an array of Booleans."""
    return np.array(flags.to_numpy(zero_copy_only=False), np.bool_)


def _find_kind(text: str) -> tuple[str, str]:
    """What a text that is no number is, and what to do about it."""
    for pattern, what, remedy in _KINDS:
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return what, remedy.format(shlex.quote(text))
    if re.fullmatch(r"[+-]?[\d.,]+", text):
        return "a number with other digits than 0 to 9", "replace them"
    return _TEXT


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004 (a glance)

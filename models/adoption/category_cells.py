"""The values of a sample's column that the model looks up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.adoption.raw_columns import RawColumn
from models.feature import Feature
from models.number_format import NumberFormat
from models.tables.cells import find_gaps, parse_cells, truth_values_to_numbers
from models.tables.columns import Columns, Flags
from models.tables.feature_columns import find_type_fault
from models.tables.findings import list_some
from models.tables.gaps import Gaps

_MAX_SHOWN = 5


@dataclass(frozen=True)
class CategoryColumn:
    """The values of a category [rows], None where one is missing."""

    values: NDArray[Any]
    is_gap: Flags
    is_invalid: Flags


def read_category(  # noqa: PLR0913, PLR0917 (what reading a column takes)
    columns: Columns,
    position: int,
    feature: Feature,
    column: RawColumn,
    markers: tuple[str, ...],
    number_format: NumberFormat | None,
    gaps: Gaps,
) -> NDArray[Any]:
    """The values [rows] of a column as the model takes them; a default in the place of gaps, or else None.

    Faults are added to the findings: values that the model does not know, and gaps where none are allowed.
    """
    array, name = columns.arrays[position], columns.names[position]
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    read = _read_texts(array, column, markers) if column.is_text else _read_integers(array, markers, number_format)
    if read is None:
        fault = f"column {name!r} has {find_type_fault(array.type)}: write it as the model looks it up"
        gaps.findings.add_fault(fault, position=position)
        return np.full(len(array), None, object)
    if feature.is_required:
        remedy = f"or allow it with missing = true for {name!r} in the schema" if column.can_be_missing else ""
        gaps.add(position, read.is_gap, remedy or "or give a default in the schema")
    values = read.values
    if feature.category_type is bool:
        values = _objects([bool(value) if value in (0, 1) else value for value in values.tolist()])
    is_unknown = read.is_invalid | _find_unknown(values, feature, read.is_gap)
    if is_unknown.any():
        shown = list_some([repr(each) for each in dict.fromkeys(values[is_unknown].tolist())], _MAX_SHOWN)
        known = list_some([repr(each) for each in feature.categories], _MAX_SHOWN) or "any whole number"
        gaps.findings.add_fault(
            f"column {name!r}, {columns.describe_rows(is_unknown)}: the model does not know {shown}, only {known}: "
            "correct the sample, or leave out the rows",
            position=position,
        )
    values[read.is_gap | is_unknown] = feature.default
    return values


def _find_unknown(values: NDArray[Any], feature: Feature, is_gap: Flags) -> Flags:
    if feature.allow_other or feature.hashing:
        return np.zeros(len(values), bool)
    known = set(feature.categories)
    return np.array([value not in known for value in values.tolist()], bool) & ~is_gap


def _read_texts(array: pa.ChunkedArray, column: RawColumn, markers: tuple[str, ...]) -> CategoryColumn | None:
    """Text as the vocabulary has it: with the spaces around it only if that has them too."""
    if not (pa.types.is_string(array.type) or pa.types.is_boolean(array.type) or pa.types.is_integer(array.type)):
        return None
    cells = [None if cell is None else str(cell) for cell in array.to_pylist()]
    known = set(column.categories)
    unique = [*dict.fromkeys(cells)]
    stripped = [(cell or "").strip() for cell in unique]
    gaps = find_gaps(pa.array(stripped, pa.string()), markers).tolist()
    meaning = {
        cell: _match(cell, short, known, is_gap=is_gap)
        for cell, short, is_gap in zip(unique, stripped, gaps, strict=True)
    }
    values = _objects([meaning[cell] for cell in cells])
    is_gap = np.array([value is None for value in values.tolist()], bool)
    return CategoryColumn(values, is_gap, np.zeros(len(values), bool))


def _match(cell: str | None, stripped: str, known: set[Any], *, is_gap: bool) -> str | None:
    forms = (cell, stripped, stripped.lower()) if stripped in ("True", "False") else (cell, stripped)
    found = next((form for form in forms if form in known and form), None)
    return found if found is not None else None if is_gap else stripped


def _read_integers(
    array: pa.ChunkedArray, markers: tuple[str, ...], number_format: NumberFormat | None
) -> CategoryColumn | None:
    array = truth_values_to_numbers(array)
    if find_type_fault(array.type):
        return None
    cells = parse_cells(array, markers, number_format)
    is_invalid = (cells.is_invalid | (cells.values != np.round(cells.values))) & ~cells.is_gap
    shown = array.to_pylist()
    values = _objects(
        [
            shown[i] if bad else None if gap else int(value)
            for i, (value, gap, bad) in enumerate(
                zip(cells.values.tolist(), cells.is_gap.tolist(), is_invalid.tolist(), strict=True)
            )
        ]
    )
    return CategoryColumn(values, cells.is_gap, is_invalid)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array

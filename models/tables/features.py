"""The columns of features as numbers."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.command_line import ReadingOptions
from models.feature import Feature
from models.number_format import NumberFormat
from models.tables.cells import MAX_MAGNITUDE, parse_cells, strip
from models.tables.columns import Columns
from models.tables.findings import Findings, list_some
from models.tables.gaps import Gaps
from models.tables.number_detection import NumberFormatDetector
from models.tables.schema import Schema

_STEPS_PER_DEVIATION = 500  # of float32, at least; with fewer, measurements would be rounded visibly

Rows = NDArray[np.float64]


def detect_number_format(
    columns: Columns, positions: Sequence[int], options: ReadingOptions, findings: Findings
) -> NumberFormat | None:
    """Detect how the numbers of the features are written; None, with a fault, if it is unclear."""
    if not columns.delimiter:  # Parquet has numbers as such
        return NumberFormat()
    detector = NumberFormatDetector()
    if options.decimal is None or options.thousands is None:
        for position in positions:
            detector.add(columns.names[position], strip(columns.arrays[position]))
    return detector.decide(findings, columns.delimiter, options.decimal, options.thousands)


def read_numbers(
    columns: Columns,
    positions: Sequence[int],
    markers: tuple[str, ...],
    number_format: NumberFormat | None,
    gaps: Gaps,
) -> Rows:
    """The values of the features at ``positions``, [rows, features], NaN in a gap and where there is no number.

    The columns are emptied, so that a table is not twice in memory.
    """
    findings = gaps.findings
    rows = np.empty((len(columns.numbers), len(positions)), np.float64, order="F")
    for index, position in enumerate(positions):
        name = columns.names[position]
        array, columns.arrays[position] = columns.arrays[position], pa.chunked_array([], pa.string())
        if reason := find_type_fault(array.type):
            remedy = "convert them to numbers" if findings.needs_columns else "leave it out"
            findings.add_fault(f"column {name!r} has {reason}: {remedy}", position=position, drop=name)
            rows[:, index] = np.nan
            continue
        cells = parse_cells(array, markers, number_format)
        rows[:, index] = cells.values
        if cells.is_invalid.any():
            message = cells.describe_invalid(name, columns, is_needed=findings.needs_columns)
            findings.add_fault(message, position=position, drop=name)
        gaps.add(position, cells.is_gap)
        is_large = (np.abs(cells.values) >= MAX_MAGNITUDE) & ~cells.is_invalid
        if is_large.any():
            rows[is_large, index] = np.nan
            remedy = "correct it" if findings.needs_columns else "use a larger unit, or leave out the column"
            example = cells.text[int(is_large.argmax())] if cells.text else cells.values[is_large][0]
            findings.add_fault(
                f"column {name!r}, {columns.describe_rows(is_large)}: {str(example)[:40]} is too large (the limit is "
                f"±{MAX_MAGNITUDE:g}): {remedy}",
                position=position,
                drop=name,
            )
    return rows


def build_features(
    columns: Columns, positions: Sequence[int], rows: Rows, schema: Schema, findings: Findings
) -> tuple[list[int], list[Feature]]:
    """The features, and their indices in ``rows``, without columns that have the same value in every row."""
    indices, features, constant = [], [], []
    for index, position in enumerate(positions):
        name, values = columns.names[position], rows[:, index]
        if not np.isfinite(values).any():  # which is a fault already
            continue
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if low == high:
            constant.append(f"{name!r} ({low:g})")
        elif loss := _describe_lost_precision(values):
            findings.add_fault(f"column {name!r} {loss}", position=position, drop=name)
        else:
            indices.append(index)
            features.append(schema.build_feature(name, low, high))
    if constant:
        findings.note(f"left out, because all rows have the same value: {list_some(constant, 10)}")
    return indices, features


def _describe_lost_precision(values: Rows) -> str:
    """What float32, in which the network computes, loses of a feature's values; empty if that is too little to see."""
    deviation, center = float(np.nanstd(values)), float(np.nanmedian(values))
    step = float(np.spacing(np.float32(np.nanmax(np.abs(values)))))
    if deviation >= _STEPS_PER_DEVIATION * step:
        return ""
    return (
        f"varies by {deviation:.2g} around {center:.17g}, where the network's single precision has steps of "
        f"{step:.2g}: subtract {center:.17g} from the column, and from what you send to the service, or leave it out"
    )


def find_type_fault(dtype: pa.DataType) -> str | None:
    """What the values of a Parquet column are, if they are neither numbers nor text."""
    types = pa.types
    if types.is_string(dtype) or types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype):
        return None
    if types.is_null(dtype):
        return None
    if types.is_boolean(dtype):
        return "truth values (write 1 and 0 to train on them)"
    return "dates or times" if types.is_temporal(dtype) else f"values of the type {dtype}"

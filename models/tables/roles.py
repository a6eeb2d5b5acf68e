"""What each column of a table is for: label, group, feature, or left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.names import MAX_NAME_LENGTH, normalize_name
from models.number_format import NumberFormat
from models.options import TableOptions
from models.tables.cells import find_gaps, parse_cells, strip
from models.tables.columns import Columns
from models.tables.findings import Findings, list_some
from models.tables.labels import find_invisible
from models.tables.row_numbers import numbers_rows

_PANDAS_INDEX = "Unnamed: 0"  # what pandas calls a first column without a name when it reads one


@dataclass(frozen=True)
class Roles:
    """The positions of the columns that are used; ``group`` is None without ``--group``."""

    label: int
    group: int | None
    features: tuple[int, ...]
    kept: frozenset[int] = frozenset()  # by --keep
    categories: frozenset[int] = frozenset()  # by --category


def assign_roles(columns: Columns, options: TableOptions, markers: tuple[str, ...], findings: Findings) -> Roles:
    """Decide on each column; a fault or a note says why it is left out.

    Raises:
        DataError: the label or the group column is not there, or no feature is.
    """
    label = _find(columns, options.label, "--label", findings)
    group = _find(columns, options.group, "--group", findings)
    if label is not None and label == group:
        findings.add_fault(
            f"--group is the label column {options.label!r}: choose another column, or leave out --group"
        )
    dropped = _find_all(columns, options.drop, "--drop", findings)
    kept = _find_all(columns, options.keep, "--keep", findings)
    for position in (label, group):
        if position in dropped:
            findings.add_fault(f"column {columns.names[position]!r} has a role, so it cannot be left out with --drop")
    categories = _find_categories(columns, options.category, {label, group}, findings)
    features = []
    for position in range(len(columns.names)):
        if position in {label, group} or position in dropped:
            continue
        if position in kept or not (reason := _find_reason_to_leave_out(columns, position, markers)):
            features.append(position)
        else:
            findings.note(reason)
    if dropped:
        findings.note(f"left out with --drop: {list_some([repr(columns.names[each]) for each in sorted(dropped)], 5)}")
    roles = [each for each in (label, group, *features) if each is not None]
    has_faulty_name = {each for each in sorted(roles) if find_name_fault(columns, each, findings)}
    features = [each for each in features if each not in has_faulty_name]
    if not features:
        findings.add_fault("no feature column is left: add at least one column besides the label")
    if label is None or not features:
        findings.raise_faults()
    assert label is not None  # noqa: S101 (or else a fault was raised)
    return Roles(label, group, tuple(features), frozenset(kept), categories)


def _find(columns: Columns, name: str | None, option: str, findings: Findings) -> int | None:
    if name is None:
        return None
    if (wanted := normalize_name(name)) in columns.names:
        return columns.names.index(wanted)
    known = [each for each in columns.names if each]
    findings.add_fault(f"no column {name!r}: set {option} to one of {', '.join(known[:100])}")
    return None


def _find_all(columns: Columns, values: Sequence[str], option: str, findings: Findings) -> set[int]:
    """The columns in the values of a repeatable option, each one name or several with commas between them."""
    positions = set()
    for value in values:
        name = normalize_name(value)
        names = [name] if name in columns.names else [normalize_name(part) for part in value.split(",")]
        for each in filter(None, names):
            found = {position for position, known in enumerate(columns.names) if known == each}
            if not found:
                _find(columns, each, option, findings)
            positions |= found
    return positions


def _find_categories(
    columns: Columns, values: Sequence[str], roles: set[int | None], findings: Findings
) -> frozenset[int]:
    categories = _find_all(columns, values, "--category", findings)
    for position in categories & roles:
        findings.add_fault(f"column {columns.names[position]!r} is no feature: remove it from --category")
    return frozenset(categories)


def _find_reason_to_leave_out(columns: Columns, position: int, markers: tuple[str, ...]) -> str | None:
    name, array = columns.names[position], columns.arrays[position]
    shown = repr(name) if name else f"{position + 1}, which has no name,"
    if _is_empty(array, markers):
        return f"left out: column {shown} is empty"
    if is_index(columns, position):
        return f"left out: column {shown} has the names or numbers of the rows"
    if _counts_rows(array, markers):
        keep = f"; to train on it, add --keep {name!r}" if name else ""
        return f"left out: column {shown} numbers the rows, which can give the labels away{keep}"
    return None


def is_index(columns: Columns, position: int) -> bool:
    """Whether a column has the names or numbers of the rows that a program added when it wrote the table."""
    name = columns.names[position]
    is_unnamed = not name and (position == 0 or not columns.delimiter)  # in Parquet, only pandas' index has no name
    return is_unnamed or name == _PANDAS_INDEX


def _is_empty(array: pa.ChunkedArray, markers: tuple[str, ...]) -> bool:
    if not pa.types.is_string(array.type):
        return bool(array.null_count == len(array))
    return bool(find_gaps(strip(array[:100]), markers).all() and find_gaps(strip(array), markers).all())


def _counts_rows(array: pa.ChunkedArray, markers: tuple[str, ...]) -> bool:
    if not _is_numeric(array.type):
        return False
    start = parse_cells(array[:100], markers, NumberFormat())
    whole = start.values == np.round(start.values)
    return bool(whole.all()) and numbers_rows(parse_cells(array, markers, NumberFormat()).values)


def _is_numeric(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(dtype) or types.is_integer(dtype) or types.is_floating(dtype))


def find_name_fault(columns: Columns, position: int, findings: Findings) -> bool:
    """Whether the name of a column is a fault."""
    name, drop = columns.names[position], None
    if not name:
        message = f"column {position + 1} has no name: name it in the header"
    elif invisible := find_invisible(name):
        message = f"the name of column {position + 1}, {name!a}, has an invisible character ({invisible}): remove it"
    elif len(name) > MAX_NAME_LENGTH:
        shown = f"{name[:40]!r}..."
        message = f"the name of column {position + 1}, {shown}, has more than {MAX_NAME_LENGTH} characters: shorten it"
    elif columns.names.index(name) != position:
        instead = "" if findings.needs_columns else ", or leave both out"
        message, drop = f"two columns are named {name!r}: rename one{instead}", name
    else:
        return False
    findings.add_fault(message, position=position, drop=drop)
    return True

"""The columns of features as numbers, before it is known which rows are used: values, or indices of categories."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.feature import Category
from models.names import normalize_name
from models.number_format import NumberFormat
from models.tables.cells import MAX_MAGNITUDE, Cells, hardly_repeats, parse_cells, parse_truth_values
from models.tables.columns import Columns, Flags
from models.tables.feature_rules import LARGEST_CODE, LARGEST_INTEGER, FeatureRules
from models.tables.findings import Findings, column_options, count
from models.tables.gaps import Gaps
from models.tables.labels import NamedRows
from models.tables.roles import Roles
from models.tables.schema import Schema
from models.tables.text_kinds import find_kind

_MAX_GAPS = 0.95  # the share of gaps from which on a column has too few values to learn from
_MAX_SUSPECTS = 1000  # values of a category that are compared with markers of gaps

Values = NDArray[np.float64]


@dataclass
class FeatureColumn:
    """The column at ``position``: ``values`` [rows], NaN in a gap and where there is no valid value.

    If it is a category, they are indices into ``categories``, which are in the order of their first appearance, or
    ``is_ordered`` if Parquet has an order for them.
    """

    position: int
    values: Values
    is_gap: Flags
    categories: list[Category] | None = None
    is_ordered: bool = False


def find_type_fault(dtype: pa.DataType) -> str | None:
    """What the values of a Parquet column are, if they are neither numbers nor text."""
    types = pa.types
    if types.is_string(dtype) or types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype):
        return None
    if types.is_null(dtype):
        return None
    return "dates or times" if types.is_temporal(dtype) else f"values of the type {dtype}"


def report_type_fault(columns: Columns, position: int, dtype: pa.DataType, findings: Findings) -> bool:
    """Whether the type of a Parquet column is a fault, which is added."""
    if not (reason := find_type_fault(dtype)):
        return False
    name, remedy = columns.names[position], "convert them to numbers" if findings.needs_columns else "leave it out"
    findings.add_fault(f"column {name!r} has {reason}: {remedy}", position=position, drop=name)
    return True


def report_invalid(columns: Columns, position: int, cells: Cells, findings: Findings, hint: str = "") -> None:
    """Add the faults of a column of numbers; a number that is too large becomes NaN."""
    name = columns.names[position]
    if cells.is_invalid.any():
        message = cells.describe_invalid(name, columns, is_needed=findings.needs_columns)
        findings.add_fault(message + (hint if cells.text is not None else ""), position=position, drop=name)
    is_large = (np.abs(cells.values) >= MAX_MAGNITUDE) & ~cells.is_invalid
    if is_large.any():
        remedy = "correct it" if findings.needs_columns else "use a larger unit, or leave out the column"
        example = cells.text[int(is_large.argmax())] if cells.text else cells.values[is_large][0]
        findings.add_fault(
            f"column {name!r}, {columns.describe_rows(is_large)}: {str(example)[:40]} is too large (the limit is "
            f"±{MAX_MAGNITUDE:g}): {remedy}",
            position=position,
            drop=name,
        )
        cells.values[is_large] = np.nan


@dataclass
class FeatureReader:
    """Reads the columns of features; the schema, or else the values decide on the kind of each."""

    columns: Columns
    roles: Roles
    schema: Schema
    markers: tuple[str, ...]
    number_format: NumberFormat | None
    gaps: Gaps

    def read(self) -> list[FeatureColumn]:
        """Read all columns that are of use; the table's columns are emptied, so that it is not twice in memory."""
        read = [self._read(position) for position in self.roles.features]
        return [column for column in read if column and self._check_gaps(column)]

    def _read(self, position: int) -> FeatureColumn | None:
        name = self.columns.names[position]
        rules = self.schema.rules(name)
        array, self.columns.arrays[position] = self.columns.arrays[position], pa.chunked_array([], pa.string())
        truth_values = parse_truth_values(array, self.markers)
        if truth_values is not None and {type(category) for category in rules.categories} <= {bool}:
            return FeatureColumn(
                position, truth_values, np.isnan(truth_values), None if rules.is_number else [False, True]
            )
        if pa.types.is_boolean(array.type):
            raise self.schema.fault(f"{name!r} has truth values: write categories = [false, true], or leave them out")
        if report_type_fault(self.columns, position, array.type, self.gaps.findings):
            return None
        if rules.kind == "category" or (position in self.columns.dictionaries and not rules.is_number):
            return self._read_category(position, array, rules)
        cells = parse_cells(array, self.markers, self.number_format)
        if rules.is_number or cells.are_numbers:
            return self._read_numbers(position, cells, rules)
        return self._read_texts(position, array)

    def _read_numbers(self, position: int, cells: Cells, rules: FeatureRules) -> FeatureColumn:
        name = self.columns.names[position]
        (option,) = column_options("--category", [name])
        hint = f' (if its values are categories, add {option}, or kind = "category" in a schema)'
        report_invalid(self.columns, position, cells, self.gaps.findings, hint)
        if rules.kind == "integer":
            self._report(position, ~_is_whole(cells.values), "not a whole number: correct it, or remove the kind")
            is_large = np.abs(cells.values) > LARGEST_INTEGER
            limit = f"beyond ±{LARGEST_INTEGER:,}, up to which the network's single precision has every whole number"
            self._report(position, is_large, f'{limit}: write kind = "category" or "number", or leave out the column')
            cells.values[is_large] = np.nan
        return FeatureColumn(position, cells.values, cells.is_gap)

    def _read_category(self, position: int, array: pa.ChunkedArray, rules: FeatureRules) -> FeatureColumn | None:
        wanted = {type(category) for category in rules.categories}
        is_dictionary = position in self.columns.dictionaries
        is_text = pa.types.is_string(array.type)
        if wanted == {str} or (is_text and is_dictionary and not wanted):
            return self._read_texts(position, array)
        if wanted == {bool}:
            name = self.columns.names[position]
            raise self.schema.fault(f"{name!r} has other values than true and false: correct its 'categories'")
        cells = parse_cells(array, self.markers, self.number_format)
        is_whole = _is_whole(cells.values)
        if is_text and not wanted and not (is_whole.all() and not cells.is_invalid.any() and _has_plain_digits(cells)):
            return self._read_texts(position, array)
        report_invalid(self.columns, position, cells, self.gaps.findings)
        self._report(position, ~is_whole, "not a whole number, so it is no category: write it as text, or as a code")
        is_large = np.abs(cells.values) > LARGEST_CODE
        self._report(position, is_large, f"beyond ±{LARGEST_CODE:,}: write it as text, such as with a letter")
        is_gap = np.isnan(cells.values)
        numbers, indices = np.unique(cells.values[~is_gap], return_inverse=True)
        values = np.full(len(is_gap), np.nan)
        values[~is_gap] = indices
        return self._keep(position, values, [int(number) for number in numbers])

    def _read_texts(self, position: int, array: pa.ChunkedArray) -> FeatureColumn | None:
        rows = NamedRows(array, self.markers)
        categories: list[Category] = list(rows.names)
        column = self._keep(position, np.where(rows.is_gap, np.nan, rows.codes), categories)
        if column:
            self._note_suspects(position, rows.names)
        return column

    def _keep(self, position: int, values: Values, categories: list[Category]) -> FeatureColumn | None:
        """The column of a category, in the order of Parquet if it has one; None, with a note, if it hardly repeats."""
        name, rows = self.columns.names[position], int(np.isfinite(values).sum())
        if hardly_repeats(len(categories), rows) and not self._is_wanted(position):
            different = f"{len(categories):,} different values in {rows:,} rows"
            self.gaps.findings.note(f"left out: column {name!r} has {different}; to train on it, add --keep {name!r}")
            return None
        order = self.columns.dictionaries.get(position)
        is_gap = np.isnan(values)
        if order is None:
            return FeatureColumn(position, values, is_gap, categories)
        places: dict[Category, int] = {}
        for value in order:
            places.setdefault(normalize_name(value), len(places))
        ordered = sorted(categories, key=lambda category: places.get(category, len(places)))
        targets = np.argsort([places.get(category, len(places)) for category in categories]).argsort()
        values[~is_gap] = targets[values[~is_gap].astype(np.intp)]
        return FeatureColumn(position, values, is_gap, ordered, is_ordered=True)

    def _check_gaps(self, column: FeatureColumn) -> bool:
        """Fill gaps with the default, or report them; whether the column has enough values."""
        position, is_gap = column.position, column.is_gap
        name = self.columns.names[position]
        rules = self.schema.rules(name)
        gaps = int(is_gap.sum())
        if rules.default is not None:
            self._fill(column, rules.default)
        elif rules.required:
            self.gaps.add(position, is_gap)
        elif gaps > _MAX_GAPS * len(is_gap) and not self._is_wanted(position):
            present = f"{len(is_gap) - gaps:,} of {count(len(is_gap), 'row')}"
            self.gaps.findings.note(
                f"left out: column {name!r} has a value in only {present}; to train on it, add --keep {name!r}"
            )
            return False
        else:
            self.gaps.allow(position, is_gap)
        return True

    def _fill(self, column: FeatureColumn, default: Category | float) -> None:
        """Fill the gaps with the default, which is a category although no row has it otherwise."""
        categories = column.categories
        name = self.columns.names[column.position]
        if categories is None:
            if isinstance(default, bool | str):
                raise self.schema.fault(f"the default {default!r} of {name!r} is not a number: correct it")
            column.values[column.is_gap] = default
            return
        if isinstance(default, float) or {type(each) for each in categories} - {type(default)}:
            kind = {str: "texts", int: "whole numbers", bool: "truth values"}[type(categories[0])]
            raise self.schema.fault(f"the default {default!r} of {name!r} is none of its {kind}: correct it")
        if column.is_gap.any():
            if default not in categories:
                categories.append(default)
            column.values[column.is_gap] = categories.index(default)

    def _is_wanted(self, position: int) -> bool:
        return position in self.roles.kept or self.schema.rules(self.columns.names[position]).is_wanted

    def _report(self, position: int, flags: Flags, what: str) -> None:
        """Add a fault of some rows of a column, if there are any."""
        if flags.any():
            name = self.columns.names[position]
            where = self.columns.describe_rows(flags)
            self.gaps.findings.add_fault(f"column {name!r}, {where}: {what}", position=position, drop=name)

    def _note_suspects(self, position: int, texts: list[str]) -> None:
        for text in texts[:_MAX_SUSPECTS]:
            kind = find_kind(text)
            if kind.reading == "nothing":
                what, remedy = kind.describe(text)
                self.gaps.findings.note(f"column {self.columns.names[position]!r}: {text!r} is {what}: {remedy}")


def _is_whole(values: Values) -> Flags:
    """Where a value is a whole number, or none at all."""
    whole: Flags = np.isnan(values) | (values == np.round(values))
    return whole


def _has_plain_digits(cells: Cells) -> bool:
    """Whether text has no numbers with leading zeros, which would be lost, as in postal codes."""
    return not pc.any(pc.match_substring_regex(cells.text, "^[+-]?0[0-9]")).as_py()

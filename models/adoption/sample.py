"""A sample: a table of rows as the model takes them, with or without the right answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.category_cells import read_category
from models.adoption.errors import AdoptionError
from models.adoption.options import AdoptionOptions
from models.adoption.raw_columns import RawColumn
from models.adoption.raw_features import build_category, build_number
from models.dataset import Doubles, Floats, Integers
from models.feature import Feature
from models.names import GAP_MARKERS
from models.number_format import NumberFormat
from models.tables.cells import parse_cells, truth_values_to_numbers
from models.tables.columns import Flags
from models.tables.csv_file import read_csv
from models.tables.feature_columns import find_type_fault
from models.tables.features import detect_number_format, read_numbers
from models.tables.findings import Findings
from models.tables.gaps import Gaps
from models.tables.labels import NamedRows
from models.tables.parquet_file import read_parquet
from models.tables.roles import find_name_fault, is_index
from models.tables.schema import Schema
from models.tables.source_file import is_parquet

Note = Callable[[str], None]


@dataclass(frozen=True)
class LabelColumn:
    """A column with right answers: ``texts[codes]`` [rows] as text, and ``numbers`` [rows] if all of it is numbers.

    Truth values are numbers too.
    """

    name: str
    texts: tuple[str, ...]
    codes: Integers
    numbers: Doubles | None

    @property
    def is_flag(self) -> bool:
        """Whether all its values are 0 or 1."""
        return self.numbers is not None and bool(np.isin(self.numbers, (0, 1)).all())

    @cached_property
    def has_whole_numbers(self) -> bool:
        return self.numbers is not None and bool((self.numbers == np.round(self.numbers)).all())


@dataclass(frozen=True)
class Sample:
    """The sample's ``rows`` [rows, features], ``features``, and the columns with the right answers by output.

    Of a model that looks categories up, ``rows`` are codes and ``raw`` are the values of each feature, [rows], None
    where one is missing.
    """

    rows: Floats
    features: tuple[Feature, ...]
    labels: Mapping[str, Sequence[LabelColumn]]
    raw: tuple[NDArray[Any], ...] = ()


class _PartlyAllowedGaps(Gaps):
    """Adds the gaps of all columns but those at ``allowed`` positions to other gaps."""

    def __init__(self, gaps: Gaps, allowed: Sequence[int]) -> None:
        self.findings = gaps.findings
        self._gaps = gaps
        self._allowed = allowed

    def add(self, position: int, is_gap: Flags, remedy: str = "") -> None:
        if position not in self._allowed:
            self._gaps.add(position, is_gap, remedy)


class SampleTable:
    """The table before it is known what its columns mean."""

    def __init__(self, options: AdoptionOptions, path: Path, note: Note) -> None:
        """Read the file.

        Raises:
            DataError: it is not a table.
        """
        self.path = path
        self._options = options
        self._findings = Findings(path, note, needs_columns=True)
        plain_labels = [text for text in options.label if not set(text) & set(",=")]  # others can be several columns
        expected = [*options.columns, *plain_labels]
        self._columns = read_parquet(path) if is_parquet(path) else read_csv(options, expected, self._findings)

    @property
    def names(self) -> list[str]:
        """The columns that have a name and values, in the table's order."""
        return [
            name for position, name in enumerate(self._columns.names) if name and not is_index(self._columns, position)
        ]

    def read(
        self,
        features: Sequence[str],
        labels: Mapping[str, Sequence[str]],
        schema: Schema,
        raw_columns: Sequence[RawColumn] = (),
    ) -> Sample:
        """Read the columns of features, in this order, and those of labels, by output.

        ``raw_columns`` describe the columns of features, if the model looks categories up.

        Raises:
            DataError: a value is missing, unknown or no number; the message names all faults.
        """
        columns, findings = self._columns, self._findings
        markers = (*GAP_MARKERS, *self._options.na_values)
        positions = [columns.names.index(name) for name in features]
        label_positions = [columns.names.index(name) for names in labels.values() for name in names]
        for position in (*positions, *label_positions):
            name = columns.names[position]
            if not find_name_fault(columns, position, findings) and columns.names.count(name) > 1:
                findings.add_fault(f"two columns are named {name!r}: rename one", position=position)
        raw_columns = raw_columns or [RawColumn()] * len(features)
        categories = {
            name: build_category(name, column, schema)
            for name, column in zip(features, raw_columns, strict=True)
            if column.is_category
        }
        numbers = [p for p, column in zip(positions, raw_columns, strict=True) if not column.is_category]
        numeric = [p for p, column in zip(positions, raw_columns, strict=True) if not column.is_text]
        for position in numbers:
            columns.arrays[position] = truth_values_to_numbers(columns.arrays[position])
        gaps = Gaps(columns, findings, dropped=self._options.drop_rows_with_gaps)
        number_format = detect_number_format(columns, (*numeric, *label_positions), self._options, findings)
        read = [self._read_label(position, markers, number_format, gaps) for position in label_positions]
        raw: dict[int, NDArray[Any]] = {}
        for name, column, position in zip(features, raw_columns, positions, strict=True):
            if column.is_category:
                raw[position] = read_category(columns, position, categories[name], column, markers, number_format, gaps)
        raw |= self._read_numbers(numbers, positions, raw_columns, schema, markers, number_format, gaps)
        findings.raise_faults()
        is_used = ~gaps.rows
        if not is_used.all():
            findings.note(f"left out: {gaps.describe()}")
            if not is_used.any():
                raise AdoptionError(f"{self.path}: every row has a gap: fill them in")
        values = [raw[position][is_used] for position in positions]
        by_name = {column.name: _select(column, is_used) for column in read}
        described = tuple(
            categories[name]
            if column.is_category
            else build_number(name, column, schema, _find_range(name, own), has_gaps=bool(np.isnan(own).any()))
            for name, column, own in zip(features, raw_columns, values, strict=True)
        )
        return Sample(
            rows=np.column_stack([_to_codes(each, own) for each, own in zip(described, values, strict=True)]),
            features=described,
            labels={output: [by_name[name] for name in names] for output, names in labels.items()},
            raw=tuple(map(_to_raw, values)) if categories or any(column.boundaries for column in raw_columns) else (),
        )

    def _read_numbers(  # noqa: PLR0913, PLR0917 (what reading takes)
        self,
        numbers: Sequence[int],
        positions: Sequence[int],
        raw_columns: Sequence[RawColumn],
        schema: Schema,
        markers: tuple[str, ...],
        number_format: NumberFormat | None,
        gaps: Gaps,
    ) -> dict[int, NDArray[Any]]:
        """The numbers of columns by position, NaN in a gap that the model can take; a default in the place of gaps."""
        described = dict(zip(positions, raw_columns, strict=True))
        names = self._columns.names
        defaults = {p: schema.section(names[p]).get("default") for p in numbers}
        allowed = [
            p
            for p in numbers
            if defaults[p] is not None or (described[p].accepts_nan and schema.section(names[p]).get("missing", True))
        ]
        rows = read_numbers(self._columns, numbers, markers, number_format, _PartlyAllowedGaps(gaps, allowed))
        for index, position in enumerate(numbers):
            if isinstance(defaults[position], int | float):
                rows[np.isnan(rows[:, index]), index] = defaults[position]
        return {position: rows[:, index] for index, position in enumerate(numbers)}

    def _read_label(
        self, position: int, markers: tuple[str, ...], number_format: NumberFormat | None, gaps: Gaps
    ) -> LabelColumn:
        column = self._columns.arrays[position]
        names = NamedRows(column, markers)
        gaps.add(position, names.is_gap, "or leave out the rows with --drop-rows-with-gaps")
        column, numbers = truth_values_to_numbers(column), None
        if number_format and find_type_fault(column.type) is None:
            cells = parse_cells(column, markers, number_format)
            numbers = None if cells.is_invalid.any() else cells.values
        return LabelColumn(self._columns.names[position], tuple(names.names), names.codes, numbers)


def _select(column: LabelColumn, is_used: Flags) -> LabelColumn:
    """The used rows of a column."""
    codes, numbers = column.codes[is_used], column.numbers
    used = np.unique(codes)
    return LabelColumn(
        column.name,
        tuple(column.texts[code] for code in used),
        np.searchsorted(used, codes),
        None if numbers is None else numbers[is_used],
    )


def _find_range(name: str, values: Doubles) -> tuple[float, float]:
    """The smallest and the largest of the values that are not missing."""
    if np.isnan(values).all():
        raise AdoptionError(f"column {name!r} has no values at all: fill it in, or leave it out of the model")
    return float(np.nanmin(values)), float(np.nanmax(values))


def _to_codes(feature: Feature, values: NDArray[Any]) -> Floats:
    if not feature.is_category:
        return values.astype(np.float32)
    codes = {value: feature.to_code(value) for value in set(values.tolist())}
    return np.array([codes[value] for value in values.tolist()], np.float32)


def _to_raw(values: NDArray[Any]) -> NDArray[Any]:
    """The values with None in the place of NaN."""
    if values.dtype == object:
        return values
    raw: NDArray[Any] = values.astype(object)
    raw[np.isnan(values)] = None
    return raw

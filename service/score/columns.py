"""Feature values from Arrow columns, checked by whole columns as `/predict` checks rows."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

from models.feature import Feature
from models.names import normalize_name
from models.number_format import NumberFormat
from service.arrays import Array
from service.score.category_columns import CategoryColumn
from service.score.cell_faults import Codes, InvalidValues
from service.score.errors import TableError
from service.score.missing_values import MissingValues
from service.score.number_columns import NumberColumn
from service.score.options import ColumnOptions

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}


class ExtractedRows(NamedTuple):
    """The ``rows`` of a batch, [rows, features], and in the same shape the ``codes`` of what is wrong with a value.

    A row has the codes of `models.feature`. The ``invalid`` values are those that the fault codes refer to.
    """

    rows: Array
    codes: Codes
    invalid: InvalidValues


class FeatureColumns:
    """The columns of a table that hold the features; ``names`` lists them in the order of the model's schema.

    With ``all_text``, every column of the table is a string column. ``na_values`` stand for missing values.

    Raises:
        TableError: a feature has no column, more than one, or one of a type that cannot have its categories.
    """

    def __init__(  # noqa: PLR0913 (what a table's columns need)
        self,
        features: Sequence[Feature],
        schema: pa.Schema,
        mapping: Mapping[str, str],
        *,
        all_text: bool,
        number_format: NumberFormat | None = None,
        na_values: Sequence[str] = (),
    ) -> None:
        feature_names = [feature.name for feature in features]
        for name in mapping:
            if name not in feature_names:
                raise TableError(f"--map {name}: unknown feature; {suggest_name(name, feature_names)}")
        self.names = [
            _find_column(mapping.get(name, name), schema.names, feature_name=name, all_text=all_text)
            for name in feature_names
        ]

        number_format = None if number_format == NumberFormat() else number_format
        self._columns: list[CategoryColumn | NumberColumn] = [
            CategoryColumn(feature, name, schema.field(name).type, all_text=all_text, number_format=number_format)
            if feature.is_category
            else NumberColumn(feature, all_text=all_text, number_format=number_format)
            for feature, name in zip(features, self.names, strict=True)
        ]
        self._missing_values = (
            [MissingValues(each, na_values, number_format) for each in features] if na_values else None
        )
        self._code_type: type[np.integer[Any]] = np.uint8 if all(feature.is_plain for feature in features) else np.int32

    @classmethod
    def from_options(
        cls, features: Sequence[Feature], schema: pa.Schema, options: ColumnOptions, *, all_text: bool
    ) -> Self:
        """The columns that the options of a command say."""
        return cls(
            features,
            schema,
            options.mapping,
            all_text=all_text,
            number_format=options.number_format,
            na_values=options.na_values,
        )

    def extract(self, batch: pa.RecordBatch) -> ExtractedRows:
        """The features' values and what is wrong with them."""
        rows = np.empty((batch.num_rows, len(self.names)), np.float32)
        codes = np.zeros(rows.shape, self._code_type)
        invalid = InvalidValues()
        with np.errstate(over="ignore", invalid="ignore"):  # a value too large for float32 has a fault code
            for index, (column, name) in enumerate(zip(self._columns, self.names, strict=True)):
                values = batch.column(name)
                if self._missing_values:
                    values = self._missing_values[index].replace(values)
                rows[:, index], codes[:, index] = column.extract(values, invalid)
        return ExtractedRows(rows, codes, invalid)


def _find_column(name: str, known_names: Sequence[str], *, feature_name: str, all_text: bool) -> str:
    """The column of this name, or else the one that training would give this name, without spaces around it."""
    found = [known for known in known_names if known == name]
    found = found or [known for known in known_names if normalize_name(known) == normalize_name(name)]
    if not found:
        hint = (all_text and _suggest_delimiter(known_names)) or suggest_name(name, known_names)
        raise TableError(f"no column {name}: {hint}; or choose one with --map {feature_name}=COLUMN")
    if len(found) > 1:
        raise TableError(f"{len(found)} columns are named {name}: rename all but one")
    return found[0]


def suggest_name(name: str, known_names: Sequence[str]) -> str:
    """A hint for an error message about an unknown ``name``: the most similar known one."""
    matches = difflib.get_close_matches(name, known_names, n=1, cutoff=0)
    if not matches:
        return "the table has no columns"
    match = matches[0]
    return f"did you mean {match}?" if match == match.strip() else f"did you mean {match!r}, with the spaces?"


def _suggest_delimiter(known_names: Sequence[str]) -> str | None:
    """A hint if the names of a CSV's columns look as if they were separated by another delimiter."""
    counts = {delimiter: sum(name.count(delimiter) for name in known_names) for delimiter in _DELIMITERS}
    delimiter = max(counts, key=counts.__getitem__)
    if counts[delimiter] < len(known_names):
        return None
    return f"the columns seem to be separated by {_DELIMITERS[delimiter]}: set --delimiter {delimiter!r}"

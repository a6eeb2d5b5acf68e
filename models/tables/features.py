"""The features of a table, from their columns: kinds, bounds, categories, and the code of each value."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.command_line import ReadingOptions
from models.dataset import Floats
from models.feature import Category, Feature, describe_category
from models.names import GAP_MARKERS
from models.number_format import NumberFormat
from models.tables.cells import find_gaps, parse_cells, strip
from models.tables.columns import Columns, Flags
from models.tables.feature_columns import FeatureColumn, Values, report_invalid, report_type_fault
from models.tables.feature_rules import MAX_TABLE_CATEGORIES, FeatureRules
from models.tables.findings import Findings, column_options, count, list_some
from models.tables.gaps import Gaps
from models.tables.labels import check_names, find_similar, sort_labels
from models.tables.number_detection import NumberFormatDetector
from models.tables.schema import Schema
from models.tables.text_kinds import shorten

_STEPS_PER_DEVIATION = 500  # of float32, at least; with fewer, measurements would be rounded visibly
_MIN_ROWS_PER_CATEGORY = 10  # with fewer, it counts as "other" where that is allowed
_MIN_CODES = 3  # two are the same to a network as a number and as a category
_MAX_CODES = 10  # whole numbers with at most so many values may be codes
_ROWS_PER_CODE = 5
_MAX_SHOWN = 10  # categories in a note

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
            text = strip(columns.arrays[position])
            is_gap = find_gaps(text, (*GAP_MARKERS, *options.na_values))
            detector.add(columns.names[position], text.filter(pa.array(~is_gap)))
    return detector.decide(findings, columns.delimiter, options.decimal, options.thousands)


def read_numbers(
    columns: Columns,
    positions: Sequence[int],
    markers: tuple[str, ...],
    number_format: NumberFormat | None,
    gaps: Gaps,
) -> Rows:
    """The values of the columns at ``positions``, [rows, columns], NaN in a gap and where there is no number.

    The columns are emptied, so that a table is not twice in memory.
    """
    rows = np.full((len(columns.numbers), len(positions)), np.nan, order="F")
    for index, position in enumerate(positions):
        array, columns.arrays[position] = columns.arrays[position], pa.chunked_array([], pa.string())
        if not report_type_fault(columns, position, array.type, gaps.findings):
            cells = parse_cells(array, markers, number_format)
            report_invalid(columns, position, cells, gaps.findings)
            gaps.add(position, cells.is_gap)
            rows[:, index] = cells.values
    return rows


class BuiltFeature(NamedTuple):
    """A feature, and the codes of the used rows, [rows]."""

    feature: Feature
    codes: Floats


class FeatureBuilder:
    """Builds features from the rows that are used; columns that have the same value in all of these are left out."""

    def __init__(self, columns: Columns, schema: Schema, findings: Findings) -> None:
        self._names = columns.names
        self._schema = schema
        self._findings = findings
        self._constant: list[str] = []
        self._perhaps_codes: dict[str, int] = {}

    def build(self, column: FeatureColumn, is_used: Flags) -> BuiltFeature | None:
        """Build a feature; None if its column is left out, with a note or a fault."""
        values = column.values if is_used.all() else column.values[is_used]
        if not np.isfinite(values).any():  # which is a fault already, unless these are gaps that are allowed
            if column.is_gap[is_used].all():
                self._findings.note(f"left out: column {self._names[column.position]!r} has no value in any used row")
            return None
        filled = int(column.is_gap[is_used].sum())
        if column.categories is None:
            return self._build_number(column.position, values, filled)
        return self._build_category(column, column.categories, values, filled)

    def note_columns(self) -> None:
        """Note which columns are constant, and which numbers may be codes."""
        if self._constant:
            self._findings.note(f"left out, because all rows have the same value: {list_some(self._constant, 10)}")
        if self._perhaps_codes:
            values = list_some([f"{name!r} ({number})" for name, number in self._perhaps_codes.items()], 10)
            options = " ".join(column_options("--category", list(self._perhaps_codes)))
            self._findings.note(
                f"few different whole numbers: {values}: if they are codes and no quantities, write "
                f'kind = "category" for them in a schema, or add {options}'
            )

    def _build_number(self, position: int, values: Values, filled: int) -> BuiltFeature | None:
        name, missing = self._names[position], int(np.isnan(values).sum())
        rules = self._schema.rules(name)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if low == high and not missing:
            self._constant.append(f"{name!r} ({low:g})")
            return None
        if low != high and (loss := _describe_lost_precision(values)):
            self._findings.add_fault(f"column {name!r} {loss}", position=position, drop=name)
            return None
        if isinstance(rules.default, int | float):
            low, high = min(low, rules.default), max(high, rules.default)
        feature = self._schema.build_feature(
            name,
            low,
            high,
            kind="integer" if rules.kind == "integer" else "number",
            allow_missing=rules.default is None and (rules.missing or missing > 0),
        )
        if rules.kind is None and (number := _count_codes(values)):
            self._perhaps_codes[name] = number
        if not feature.is_plain:
            kind = f"{feature.kind}, {low:g} to {high:g}"
            self._findings.note(f"{name}: {kind}{_describe_gaps(feature, missing, filled, len(values))}")
        return BuiltFeature(feature, values.astype(np.float32))

    def _build_category(
        self, column: FeatureColumn, known: list[Category], values: Values, filled: int
    ) -> BuiltFeature | None:
        name, is_missing = self._names[column.position], np.isnan(values)
        rules, missing = self._schema.rules(name), int(is_missing.sum())
        indices = values[~is_missing].astype(np.intp)
        sizes = np.bincount(indices, minlength=len(known)).tolist()
        counts = {category: size for category, size in zip(known, sizes, strict=True) if size}
        if len(counts) == 1 and not missing:
            self._constant.append(f"{name!r} ({describe_category(next(iter(counts)))})")
            return None
        categories = self._list_categories(column, known, counts, rules)
        if not self._check_categories(column.position, categories, counts, rules):
            return None
        feature = self._schema.build_category(
            name,
            categories=categories,
            allow_other=rules.other,
            allow_missing=rules.default is None and (rules.missing or missing > 0),
            default=rules.default,
        )
        codes = {category: code for code, category in enumerate(categories)}
        targets = np.array([codes.get(category, len(categories)) for category in known], np.float32)
        rows = np.full(len(values), np.nan, np.float32)
        rows[~is_missing] = targets[indices]
        self._note_category(feature, counts, _describe_gaps(feature, missing, filled, len(values)))
        return BuiltFeature(feature, rows)

    def _list_categories(
        self, column: FeatureColumn, known: list[Category], counts: dict[Category, int], rules: FeatureRules
    ) -> tuple[Category, ...]:
        """The vocabulary: the list of the schema, or the values that rows have, in the order of Parquet or sorted."""
        if rules.categories:
            return rules.categories
        if isinstance(known[0], bool):
            return tuple(known)
        least = _MIN_ROWS_PER_CATEGORY if rules.other else 1
        present = [category for category in known if counts.get(category, 0) >= least]
        if column.is_ordered:
            return tuple(present)
        texts = [category for category in present if isinstance(category, str)]
        return sort_labels(texts) if texts else tuple(sorted(present))

    def _check_categories(
        self, position: int, categories: tuple[Category, ...], counts: dict[Category, int], rules: FeatureRules
    ) -> bool:
        """Whether the vocabulary can be used; if it cannot, a fault or a note says why."""
        name = self._names[position]
        unknown = [f"{describe_category(each)!r} ({counts[each]})" for each in counts if each not in set(categories)]
        fault = ""
        if unknown and not rules.other:
            verb = "is" if len(unknown) == 1 else "are"
            fault = f"{list_some(unknown)} {verb} not in the list 'categories': correct it, or write other = true"
        elif rules.other and not categories:
            fault = (
                f"every value has fewer than {_MIN_ROWS_PER_CATEGORY} rows, so all are 'other': leave the column out"
            )
        elif rules.other and isinstance(categories[0], bool):
            fault = "truth values have no 'other': remove it from the schema"
        elif rules.default is not None and not rules.other and rules.default not in categories:
            fault = f"the default {rules.default!r} is none of its values: correct it, or list all in 'categories'"
        elif len(categories) > MAX_TABLE_CATEGORIES:
            fault = f"{len(categories):,} different values, but a category has at most {MAX_TABLE_CATEGORIES:,}"
            fault += ": join some of them, or write other = true in a schema, which joins the rare ones"
        if fault:
            self._findings.add_fault(f"column {name!r}: {fault}", position=position, drop=name)
        texts = [category for category in categories if isinstance(category, str)]
        check_names(name, texts, self._findings, position, "value")
        for similar in find_similar(texts):
            which = " and ".join(f"{text!r} ({count(counts.get(text, 0), 'row')})" for text in similar)
            self._findings.note(f"column {name!r} has values that differ only in spelling: {which}: write them alike")
        return not fault

    def _note_category(self, feature: Feature, counts: dict[Category, int], gaps: str) -> None:
        names = [shorten(describe_category(category)) for category in feature.categories]
        more = f" and {len(names) - _MAX_SHOWN:,} more" if len(names) > _MAX_SHOWN else ""
        note = f"{feature.name}: category, {count(len(names), 'value')}: {', '.join(names[:_MAX_SHOWN])}{more}{gaps}"
        unseen = [describe_category(category) for category in feature.categories if category not in counts]
        if unseen:
            note += f"; no row has {list_some(map(repr, unseen))}, so the network learns nothing of it"
        rare = [category for category in counts if counts[category] < _MIN_ROWS_PER_CATEGORY]
        if feature.allow_other:
            other = [category for category in counts if category not in set(feature.categories)]
            rows = sum(counts[category] for category in other)
            if rows:
                note += f"; {count(len(other), 'value')} in {count(rows, 'row')} and all unknown ones count as other"
            else:
                note += "; unknown ones count as other, which no row has, so the network learns nothing of it"
        elif len(rare) > 1 and len(names) > _MAX_SHOWN:
            note += f"; {len(rare):,} values have fewer than {_MIN_ROWS_PER_CATEGORY} rows (other = true joins them)"
        self._findings.note(note)


def note_leaks(built: Sequence[BuiltFeature], labels: NDArray[np.intp], findings: Findings) -> None:
    """Note each feature whose few values all occur with one label only, as if they were another word for it."""
    for feature, codes in built:
        is_present = ~np.isnan(codes)
        present = labels[is_present]
        values, first, indices = np.unique(codes[is_present], return_index=True, return_inverse=True)
        is_told = len(values) > 1 and (present == present[first][indices]).all()
        if is_told and len(values) * _MIN_ROWS_PER_CATEGORY <= len(present):
            findings.note(
                f"column {feature.name!r} tells the label: each of its values occurs with one label only. If it is not "
                f"known before the label is, add {column_options('--drop', [feature.name])[0]}"
            )


def _describe_gaps(feature: Feature, missing: int, filled: int, rows: int) -> str:
    """What happens where a value is missing, as the end of a sentence; empty if it must be there."""
    if feature.default is not None:
        default = feature.default if isinstance(feature.default, float) else describe_category(feature.default)
        return f"; {filled:,} of {rows:,} were missing, the default is {default}"
    if not feature.allow_missing:
        return ""
    if missing:
        return f"; {missing:,} of {rows:,} are missing"
    return "; none is missing, so the network learns nothing of missing ones"


def _count_codes(values: Values) -> int:
    """How many different whole numbers there are, if they are few and may be codes, else 0."""
    present = values[~np.isnan(values)]
    if not (present[:100] == np.round(present[:100])).all() or not (present == np.round(present)).all():
        return 0
    distinct = len(np.unique(present[:1000]))
    distinct = len(np.unique(present)) if distinct <= _MAX_CODES else distinct
    return distinct if _MIN_CODES <= distinct <= min(_MAX_CODES, len(present) // _ROWS_PER_CODE) else 0


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

"""The request schema of a model whose features are not all numbers: raw values to codes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.feature import Feature, describe_category
from service.arrays import Array, Doubles
from service.http import strict_json
from service.http.errors import UNKNOWN_CATEGORY, Fault
from service.inference.suggestions import LOOK_ALIKE, Suggestions, escape, look_alike, quote
from service.inference.validation import Validator, json_type, locate, value_fault
from service.inference.value_readers import make_reader
from service.significant_digits import format_distinct

_CHUNK = 4096  # rows; as many as are read before another thread can run
_MAX_LISTED = 20  # categories that a message lists
_FEW_LISTED = 3  # of more
_INVALID = (ValueError, TypeError, KeyError)


def make_validator(features: Sequence[Feature], *, max_rows: int, max_errors: int) -> Validator:
    """The validator of rows with these features."""
    validator = _choose_type(features)(features, max_rows=max_rows, max_errors=max_errors)
    if isinstance(validator, MixedValidator):
        vocabularies = {
            feature.name: [each for each in feature.categories if type(each) is str] for feature in features
        }
        # Now: for 100,000 categories it takes a third of a second, too long for a request on the event loop.
        validator.suggestions = {name: Suggestions(known) for name, known in vocabularies.items() if known}
    return validator


def _choose_type(features: Sequence[Feature]) -> type[Validator]:
    return Validator if all(feature.is_plain for feature in features) else MixedValidator


class MixedValidator(Validator):
    """Validates rows of raw values; what it returns are their codes, as `models.feature` has them.

    A value that is null or absent is the feature's default, or missing, where the feature allows it.
    """

    def _prepare(self) -> None:
        self._readers = [make_reader(feature) for feature in self._features]
        self._read_values = [reader.read for reader in self._readers]
        self._known_names = frozenset(self._names)
        self.suggestions: dict[str, Suggestions] = {}  # by feature with a vocabulary of strings

    def validate_columns(self, columns: Mapping[str, Sequence[Any]], location: str) -> Array:
        count = max(map(len, columns.values()), default=0)
        self._require_count(count, location)
        try:
            given = [columns.get(name) for name in self._names]
            return self._read_columns([[None] * count if values is None else values for values in given])
        except _INVALID:  # which the rows' own reader reports by row
            return super().validate_columns(columns, location)

    def validate_array(self, rows: NDArray[Any], location: str) -> Array:
        """As `Validator.validate_array`, for an array of any type; NaN and null are missing values."""
        self._require_count(len(rows), location)
        try:
            columns = [reader.read_array(values) for reader, values in zip(self._readers, rows.T, strict=True)]
            return _stack(columns)
        except _INVALID:
            raise self._error_of(self._faults_in_array(self._to_doubles(rows), location)) from None

    def part(self, columns: slice) -> Validator:
        key = columns.start, columns.stop
        if key not in self._parts:
            features = self._features[columns]
            part = _choose_type(features)(features, max_rows=self.max_rows, max_errors=self._max_errors)
            if isinstance(part, MixedValidator):
                part.suggestions = self.suggestions
            self._parts[key] = part
        return self._parts[key]

    def count_names(self, rows: list[Any]) -> int:
        """How many strings there are in valid rows from JSON: names, and values that are texts."""
        return strict_json.count_strings(rows)

    def _validate_one(self, values: Any) -> tuple[Array, int]:
        row, names = self._in_schema_order(values), len(values) if type(values) is dict else 0
        try:
            codes = [read(value) for read, value in zip(self._read_values, row, strict=True)]
        except (TypeError, KeyError):
            raise ValueError from None
        return np.array([codes], np.float32), names + [*map(type, row)].count(str)

    def _is_within_bounds(self, rows: NDArray[Any]) -> bool:
        """Not known of an array as a whole: its values are read one by one, in the pipeline."""
        del rows
        return False

    def _validate_numbers(self, rows: list[Any]) -> Array:
        return self._validate(rows)

    def _validate(self, rows: list[Any]) -> Array:
        try:
            chunks = [self._validate_chunk(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        except (TypeError, KeyError):
            raise ValueError from None
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

    def _validate_chunk(self, rows: list[Any]) -> Array:
        if {*map(type, rows)} != {list}:
            rows = [self._in_schema_order(row) for row in rows]
        if {*map(len, rows)} != {len(self._names)}:
            raise ValueError
        return self._read_columns(zip(*rows, strict=True))

    def _in_schema_order(self, row: Any) -> list[Any]:
        """A row's values; None for one that is absent."""
        if type(row) is dict:
            if row.keys() <= self._known_names:
                return [*map(row.get, self._names)]
        elif type(row) is list:
            return row
        raise ValueError

    def _read_columns(self, columns: Iterable[Sequence[Any]]) -> Array:
        return _stack([reader.read_column(values) for reader, values in zip(self._readers, columns, strict=True)])

    def _faults_in_values(self, row: dict[str, Any] | list[Any], location: str) -> Iterator[Fault]:
        for index, reader in enumerate(self._readers):
            key = reader.feature.name if isinstance(row, dict) else index
            if isinstance(row, dict) and key not in row:
                if reader.missing is None:
                    yield _missing_fault(reader.feature, locate(location, key))
            elif not reader.accepts(value := row[key]):  # type: ignore[index]
                yield self._value_fault(reader.feature, locate(location, key), value)

    def _faults_in_array(self, rows: NDArray[Any], location: str) -> Iterator[Fault]:
        """The faults of an array; NaN is a missing value where that is allowed, elsewhere it is not a number."""
        is_optional = [reader.missing is not None for reader in self._readers]
        for index, row in enumerate(rows):
            values = [
                None if value != value and optional else value  # noqa: PLR0124 (NaN)
                for value, optional in zip(row.tolist(), is_optional, strict=True)
            ]
            yield from self._faults_in_values(values, f"{location}[{index}]")

    def _value_fault(self, feature: Feature, location: str, value: Any) -> Fault:
        if feature.is_category:
            return self._category_fault(feature, location, value)
        if feature.is_plain or type(value) in {int, float}:
            return _number_fault(feature, location, value)
        return Fault(location, "type", f"{_must_be(feature)}, not {json_type(value)}", feature.name)

    def _category_fault(self, feature: Feature, location: str, value: Any) -> Fault:
        is_number = type(value) in {int, float}
        if type(value) is not feature.category_type and not (is_number and feature.category_type is int):
            return Fault(location, "type", f"{_must_be(feature)}, not {json_type(value)}", feature.name)
        if is_number and not float(value).is_integer():
            return Fault(location, "type", f"{_must_be(feature)}, not {value!r}", feature.name)
        if is_number:
            return Fault(location, UNKNOWN_CATEGORY, f"{_must_be(feature)}, not {_shorten(value)}", feature.name)
        if type(value) is bool:
            return Fault(
                location, UNKNOWN_CATEGORY, f"{_must_be(feature)}, not {describe_category(value)}", feature.name
            )
        return Fault(location, UNKNOWN_CATEGORY, self._unknown_text(feature, value), feature.name)

    def _unknown_text(self, feature: Feature, text: str) -> str:
        """The message about a text that is not in the vocabulary."""
        nearest = self.suggestions[feature.name].find(text)
        if nearest is None:
            return f"{_must_be(feature)}, not {quote(text)}"
        if look_alike(text, nearest):
            return f"{_must_be(feature)}, not {escape(text)}: did you mean {escape(nearest)}?{LOOK_ALIKE}"
        return f"{_must_be(feature)}, not {quote(text)}: did you mean {quote(nearest)}?"


def describe_values(feature: Feature) -> str:
    """The valid values of a feature, as a message names them."""
    null = "" if feature.is_required else " or null"
    if feature.is_category:
        is_open = feature.hashing or (feature.allow_other and feature.category_type is not bool)
        return f"{_describe_type(feature) if is_open else _list_categories(feature)}{null}"
    bounds = f" from {_bounds(feature)}" if feature.has_bounds else ""
    return f"{_describe_type(feature)}{bounds}{null}"


def _must_be(feature: Feature) -> str:
    return f"{feature.name} must be {describe_values(feature)}"


def _describe_type(feature: Feature) -> str:
    if feature.is_category and feature.category_type is str:
        return "a string"
    return "a number" if feature.kind == "number" else "a whole number"


def _list_categories(feature: Feature) -> str:
    categories = feature.categories
    if feature.category_type is bool:
        return " or ".join(describe_category(each) for each in categories)
    is_long = len(categories) > _MAX_LISTED
    names = [_shorten(each) for each in (categories[:_FEW_LISTED] if is_long else categories)]
    if is_long:
        return f"one of {len(categories)} categories, such as {', '.join(names)}"
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0]


def _shorten(value: Any) -> str:
    """A category, or what a client sent for one, as text of limited length."""
    if isinstance(value, str):
        return quote(value)
    return f"{value:g}" if isinstance(value, float) else strict_json.truncated(describe_category(value))


def _bounds(feature: Feature) -> str:
    return f"{' to '.join(format_distinct((feature.lowest, feature.highest)))} {feature.unit}".rstrip()


def _missing_fault(feature: Feature, location: str) -> Fault:
    message = f"{feature.name} is missing: it must be {describe_values(feature)}"
    return Fault(location, "missing", message, feature.name)


def _number_fault(feature: Feature, location: str, value: Any) -> Fault:
    """The fault of a number or an integer, as `Validator` reports it; and that a number is not whole."""
    if type(value) not in {int, float}:
        return value_fault(feature, location, "float_type", value)
    number = float(value)
    if not np.isfinite(number):
        return value_fault(feature, location, "finite_number", value)
    if feature.lowest <= number <= feature.highest:
        return Fault(location, "type", f"{_must_be(feature)}, not {value!r}", feature.name)
    return value_fault(feature, location, "less_than_equal", value)


def _stack(columns: Sequence[Doubles]) -> Array:
    """The columns as rows, [rows, features]."""
    return np.column_stack(columns).astype(np.float32)

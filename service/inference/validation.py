"""The request schema: bytes to rows of numbers, as strict as the model's features."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import le
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from models.feature import Feature
from service.arrays import Array
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import OUT_OF_BOUNDS, Fault, NotJsonError, UnacceptableError
from service.inference.suggestions import LOOK_ALIKE, Suggestions, escape, look_alike
from service.significant_digits import format_distinct

_CHUNK = 256  # rows; pydantic lets no other thread run before it has validated them all
_BULK = 512  # rows; as many as NumPy converts before another thread can run, and from which on it is worth its calls
_MEMBERS = ("features", "instances")
_MEMBER_SUGGESTIONS = Suggestions(_MEMBERS)
_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


class Validator:
    """Validates requests against one schema, with pydantic types built from the manifest's features."""

    def __init__(self, features: Sequence[Feature], *, max_rows: int, max_errors: int) -> None:
        self._features = features
        self._noun = "numbers" if all(feature.is_plain for feature in features) else "values"
        self._names = [feature.name for feature in features]
        self._name_suggestions = Suggestions(self._names)
        self._bounds = np.array([[feature.lowest for feature in features], [feature.highest for feature in features]])
        self._bounds32 = self._bounds.astype(np.float32)
        self.max_rows = max_rows
        self._max_errors = max_errors
        self._parts: dict[tuple[int, int], Validator] = {}
        self._prepare()

    def _prepare(self) -> None:
        """Prepare the types that rows are validated against."""
        # Schemas of pydantic's core: from Python's types, pydantic would make the same in many times the time.
        numbers: list[Mapping[str, Any]] = [
            core_schema.float_schema(strict=True, allow_inf_nan=False, ge=feature.lowest, le=feature.highest)
            for feature in self._features
        ]
        listed = core_schema.tuple_schema(numbers)
        fields = {name: core_schema.typed_dict_field(number) for name, number in zip(self._names, numbers, strict=True)}
        named = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        row = core_schema.union_schema([named, listed], mode="left_to_right")  # no value fits both
        self._named, self._listed = SchemaValidator(named), SchemaValidator(listed)
        self._listed_rows, self._mixed_rows = (
            SchemaValidator(core_schema.list_schema(each, fail_fast=True)) for each in (listed, row)
        )

    def parse(self, body: bytes, context: RequestContext) -> tuple[Array, bool]:
        """Parse and validate the body of a native request: the rows, [rows, features], and whether it was a single one.

        Raises:
            NotJsonError: the body is not strict JSON.
            UnacceptableError: it is, but not what the schema allows.
        """
        document = strict_json.parse(body)
        context.mark("parse")
        if type(document) is dict and len(document) > 1:
            _drop_null(document)
        try:
            rows, names, is_single = self._validate_document(document, body)
        except ValueError:  # of pydantic, or of _validate_document
            if not strict_json.has_numbers_only(body, "features"):
                strict_json.require_unique_keys(body, strict_json.count_strings(document))
            raise self._error_of(self._faults(document)) from None
        strict_json.require_unique_keys(body, 1 + names)
        context.mark("validate")
        return rows, is_single

    def _validate_document(self, document: Any, body: bytes) -> tuple[Array, int, bool]:
        """The rows in a document, how many feature names they have, and whether it has the form of a single row.

        Raises:
            ValueError: it has neither form, or the rows are not valid.
        """
        if type(document) is dict and len(document) == 1:
            if "features" in document:
                return *self._validate_one(document["features"]), True
            rows = document.get("instances")
            if isinstance(rows, list) and 1 <= len(rows) <= self.max_rows:
                if len(rows) >= _BULK and strict_json.has_numbers_only(body, "instances"):
                    return self._validate_numbers(rows), 0, False
                return self._validate(rows), self.count_names(rows), False
        raise ValueError

    def validate_row(self, values: Any, body: bytes, strings: int) -> Array:
        """One row, [1, features], from its values by name, in schema order, or as float32 [1, features].

        ``strings`` is how many strings the JSON body must have beside feature names; else a key may be there twice.

        Raises:
            ValueError: the row is not what the schema allows, or a key may be there twice; `parse` says what is wrong.
        """
        if isinstance(values, np.ndarray):
            if self._is_within_bounds(values):
                return values
            raise ValueError
        row, names = self._validate_one(values)
        if body.count(b'"') != 2 * (strings + names):
            raise ValueError
        return row

    def _validate_one(self, values: Any) -> tuple[Array, int]:
        """A row from JSON as [1, features], and how many feature names it has; pydantic's error is a ValueError."""
        if type(values) is list:
            return np.array([self._listed.validate_python(values)], np.float32), 0
        row = self._named.validate_python(values).values()  # in the order of the type's fields: the schema's
        return np.array([list(row)], np.float32), len(self._names)

    def validate_rows(self, rows: list[Any], location: str, *, are_numbers: bool = False) -> Array:
        """Validate rows from JSON, each by name or as a list; the result is [rows, features].

        ``location`` is where the rows were in the document, for the faults to name; ``are_numbers`` if they are known
        to be lists of nothing but numbers, which saves half of the time.

        Raises:
            UnacceptableError: they are not what the schema allows.
        """
        self._require_count(len(rows), location)
        try:
            return self._validate_numbers(rows) if are_numbers and len(rows) >= _BULK else self._validate(rows)
        except ValueError:
            raise self._error_of(self._faults_in_rows(rows, location)) from None

    def validate_columns(self, columns: Mapping[str, Sequence[Any]], location: str) -> Array:
        """Validate rows from JSON that are given as lists of the same length, one for each feature by name.

        Raises:
            UnacceptableError: they are not what the schema allows.
        """
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return self.validate_rows(rows, location)

    def _validate_numbers(self, rows: list[Any]) -> Array:
        """Many rows' values, without a look at the type of each; ValueError if they are not what the schema allows."""
        width = len(self._names)
        if {*map(type, rows)} != {list} or {*map(len, rows)} != {width}:
            raise ValueError
        chunks = [rows[start : start + _BULK] for start in range(0, len(rows), _BULK)]
        try:
            arrays = [np.fromiter(chain.from_iterable(chunk), np.float64, len(chunk) * width) for chunk in chunks]
        except TypeError:  # a list in a row
            raise ValueError from None
        values = np.concatenate(arrays).reshape(-1, width)
        if not self._is_within_bounds(values):
            raise ValueError
        return values.astype(np.float32)

    def validate_array(self, rows: NDArray[Any], location: str) -> Array:
        """Validate an array [rows, features] of any numeric type; the result is float32.

        Raises:
            UnacceptableError: a value is out of bounds, or there are too many rows.
        """
        self._require_count(len(rows), location)
        if not self._is_within_bounds(rows):
            raise self._error_of(self._faults_in_rows(self._to_doubles(rows).tolist(), location))
        return rows.astype(np.float32, copy=False)

    def _to_doubles(self, rows: NDArray[Any]) -> NDArray[Any]:
        """An array whose faults are to be found; a float32 that is valid stays so, where it is just beyond a bound."""
        if rows.dtype != np.float32:
            return rows
        is_valid = (rows >= self._bounds32[0]) & (rows <= self._bounds32[1])
        return np.where(is_valid, rows.astype(np.float64).clip(*self._bounds), rows)

    def part(self, columns: slice) -> "Validator":
        """The validator of some of the features, for rows that have no others."""
        key = columns.start, columns.stop
        if key not in self._parts:
            features = self._features[columns]
            self._parts[key] = Validator(features, max_rows=self.max_rows, max_errors=self._max_errors)
        return self._parts[key]

    def count_names(self, rows: list[Any]) -> int:
        """How many feature names there are in valid rows from JSON."""
        return len(self._names) * [type(row) for row in rows].count(dict)

    def _is_within_bounds(self, rows: NDArray[Any]) -> bool:
        # A bound counts in the precision of the values: the float32 nearest to a maximum is not beyond it.
        bounds = self._bounds32 if rows.dtype == np.float32 else self._bounds
        if len(rows) == 1:  # for one row Python's functions take less than NumPy's
            lower, upper = bounds.tolist()
            return all(map(le, lower, row := rows[0].tolist())) and all(map(le, row, upper))
        return bool(((rows >= bounds[0]) & (rows <= bounds[1])).all())

    def _validate(self, rows: list[Any]) -> Array:
        """The rows' values, [rows, features] in schema order; pydantic's ValidationError is a ValueError."""
        if len(rows) == 1 and type(rows[0]) is list:
            return np.array([self._listed.validate_python(rows[0])], np.float32)
        chunks = [self._validate_chunk(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

    def _validate_chunk(self, rows: list[Any]) -> Array:
        if type(rows[0]) is list:
            try:
                valid = self._listed_rows.validate_python(rows)
            except ValidationError:
                pass
            else:
                return np.fromiter(chain.from_iterable(valid), np.float32).reshape(-1, len(self._names))
        valid = self._mixed_rows.validate_python(rows)
        values = chain.from_iterable([row.values() if type(row) is dict else row for row in valid])
        return np.fromiter(values, np.float32).reshape(-1, len(self._names))

    def _error_of(self, faults: Iterator[Fault]) -> NotJsonError | UnacceptableError:
        reported = list(islice(faults, self._max_errors + 1))
        if not reported:  # the strict parser accepts a few more levels than orjson
            return NotJsonError("the body is nested too deeply: a request has at most three levels")
        return UnacceptableError(reported[: self._max_errors], has_more=len(reported) > self._max_errors)

    def _require_count(self, count: int, location: str) -> None:
        if not 1 <= count <= self.max_rows:
            raise UnacceptableError([self._count_fault(count, location)])

    def _count_fault(self, count: int, location: str) -> Fault:
        return Fault(location, "count", f"{location} must have 1 to {self.max_rows} rows, not {count}")

    def _faults(self, document: Any) -> Iterator[Fault]:
        if not isinstance(document, dict):
            yield Fault(
                "", "type", f"the body must be an object with `features` or `instances`, not {json_type(document)}"
            )
            return
        yield from (_unknown_fault(key, "", _MEMBER_SUGGESTIONS) for key in document if key not in _MEMBERS)
        if ("features" in document) == ("instances" in document):
            yield Fault("", "form", "send either `features` for one row or `instances` for several")
        elif "features" in document:
            yield from self._faults_in_row(document["features"], "features")
        elif not isinstance(document["instances"], list):
            yield Fault(
                "instances", "type", f"instances must be a list of rows, not {json_type(document['instances'])}"
            )
        elif not 1 <= len(document["instances"]) <= self.max_rows:
            yield self._count_fault(len(document["instances"]), "instances")
        else:
            yield from self._faults_in_rows(document["instances"], "instances")

    def _faults_in_rows(self, rows: list[Any], location: str) -> Iterator[Fault]:
        for index, row in enumerate(rows):
            yield from self._faults_in_row(row, f"{location}[{index}]")

    def _faults_in_row(self, row: Any, location: str) -> Iterator[Fault]:
        width = len(self._names)
        if isinstance(row, dict):
            unknown = [key for key in row if key not in self._names]
            yield from (_unknown_fault(key, f"{location}.", self._name_suggestions) for key in unknown)
            known = {key: row[key] for key in self._names if key in row}
            yield from self._faults_in_values(known, location)
        elif isinstance(row, list) and len(row) == width:
            yield from self._faults_in_values(row, location)
        elif isinstance(row, list):
            order = ", ".join(self._names)
            message = f"{location} must have {width} {self._noun}, not {len(row)}, in this order: {order}"
            yield Fault(location, "length", message)
        else:
            message = f"{location} must be an object or a list of {width} {self._noun}, not {json_type(row)}"
            yield Fault(location, "type", message)

    def _faults_in_values(self, row: dict[str, Any] | list[Any], location: str) -> Iterator[Fault]:
        """The faults of a row by name that has no unknown names, or of a list of the right length."""
        try:
            if isinstance(row, dict):
                self._named.validate_python(row)
            else:
                self._listed.validate_python(row)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                key = fault["loc"][-1]
                index = key if isinstance(key, int) else self._names.index(key)
                yield value_fault(self._features[index], locate(location, key), fault["type"], fault["input"])


def _drop_null(document: dict[str, Any]) -> None:
    """Drop the null one of ``features`` and ``instances`` if the other is not null: it counts as absent."""
    for given, null in (("features", "instances"), ("instances", "features")):
        if document.get(given) is not None and null in document and document[null] is None:
            del document[null]


def _unknown_fault(key: str, prefix: str, suggestions: Suggestions) -> Fault:
    key = strict_json.truncated(key)
    nearest = suggestions.find_nearest(key)
    message = f"{key} is unknown: did you mean {nearest}?"
    if look_alike(key, nearest):
        message = f"{escape(key)} is unknown: did you mean {escape(nearest)}?{LOOK_ALIKE}"
    return Fault(f"{prefix}{key}", "unknown", message)


def value_fault(feature: Feature, location: str, error_type: str, value: Any) -> Fault:
    """The fault of a feature's value; ``error_type`` is pydantic's."""
    name, unit = feature.name, f" {feature.unit}" if feature.unit else ""
    bounds = f"{' to '.join(format_distinct((feature.lowest, feature.highest)))}{unit}"
    allowed = f" from {bounds}" if feature.has_bounds else ""
    is_beyond = error_type in ("greater_than_equal", "less_than_equal")
    match error_type:
        case "missing":
            return Fault(location, "missing", f"{name} is missing: it must be a number{allowed}", name)
        case "finite_number":
            return Fault(location, "not_finite", f"{name} must be a finite number{allowed}", name)
        case _ if is_beyond and not feature.has_bounds:
            largest = str(np.finfo(np.float32).max)
            message = f"{name} must be a number that a float32 can hold, -{largest} to {largest}{unit}"
            return Fault(location, "not_finite", message, name)
        case _ if is_beyond:
            return Fault(location, OUT_OF_BOUNDS, f"{name} must be in the range {bounds}", name)
        case _:
            return Fault(location, "type", f"{name} must be a number{allowed}, not {json_type(value)}", name)


def locate(location: str, key: int | str) -> str:
    """Where a value is in a row, which is at a location."""
    return f"{location}[{key}]" if isinstance(key, int) else f"{location}.{key}"


def json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "a number")

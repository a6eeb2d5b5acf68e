"""The request schema: bytes to rows of numbers, as strict as the model's features."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import le
from typing import Annotated, Any, Union

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.manifest import Feature
from service.arrays import Array
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import OUT_OF_BOUNDS, Fault, NotJsonError, UnacceptableError

_CHUNK = 256  # rows; pydantic lets no other thread run before it has validated them all
_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class RowsRequest:
    """A valid request: ``rows`` [rows, features] in schema order; ``is_single`` if it was one row, not a list."""

    rows: Array
    is_single: bool


def value_type(feature: Feature) -> Any:
    """The pydantic type of a feature's values: a finite number within its bounds."""
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=feature.minimum, le=feature.maximum)]


def row_types(value_types: Mapping[str, Any]) -> tuple[Any, Any]:
    """A row's two forms: an object by feature name, and a list in schema order; ``value_types`` are by feature name."""
    named = with_config(ConfigDict(extra="forbid"))(TypedDict("Features", value_types))  # type: ignore[operator]
    return named, tuple[*value_types.values()]  # type: ignore[misc]


class Validator:
    """Validates requests against one schema, with pydantic types built from the manifest's features."""

    def __init__(self, features: Sequence[Feature], *, max_rows: int, max_errors: int) -> None:
        self._features = features
        self._names = [feature.name for feature in features]
        self._bounds = np.array([[feature.minimum for feature in features], [feature.maximum for feature in features]])
        self._bounds32 = self._bounds.astype(np.float32)
        self.max_rows = max_rows
        self._max_errors = max_errors
        named, listed = row_types({feature.name: value_type(feature) for feature in features})
        # Left to right: no value fits both types.
        row: Any = Annotated[Union[named, listed], Field(union_mode="left_to_right")]  # noqa: UP007 (made at run time)
        self._named: TypeAdapter[Any] = TypeAdapter(named)
        self._listed: TypeAdapter[Any] = TypeAdapter(listed)
        self._rows: TypeAdapter[list[Any]] = TypeAdapter(Annotated[list[row], Field(fail_fast=True)])

    def parse(self, body: bytes, context: RequestContext) -> RowsRequest:
        """Parse and validate the body of a native request.

        Raises:
            NotJsonError: the body is not strict JSON.
            UnacceptableError: it is, but not what the schema allows.
        """
        try:
            document = orjson.loads(body)
            context.mark("parse")
            rows, is_single = self._rows_of(document)
            values = self._validate(rows)
        except ValueError:  # of orjson, of pydantic, or of _rows_of
            raise self._error_of(self._faults(strict_json.loads(body))) from None
        strict_json.require_unique_keys(body, 1 + self.count_names(rows))
        context.mark("validate")
        return RowsRequest(values, is_single)

    def validate_rows(self, rows: list[Any], location: str) -> Array:
        """Validate rows from JSON, each by name or as a list; the result is [rows, features].

        ``location`` is where the rows were in the document, for the faults to name.

        Raises:
            UnacceptableError: they are not what the schema allows.
        """
        self._require_count(len(rows), location)
        try:
            return self._validate(rows)
        except ValueError:
            raise self._error_of(self._faults_in_rows(rows, location)) from None

    def validate_array(self, rows: NDArray[Any], location: str) -> Array:
        """Validate an array [rows, features] of any numeric type; the result is float32.

        Raises:
            UnacceptableError: a value is out of bounds, or there are too many rows.
        """
        self._require_count(len(rows), location)
        if not self._is_within_bounds(rows):
            raise self._error_of(self._faults_in_rows(rows.tolist(), location))
        return rows.astype(np.float32, copy=False)

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

    def _rows_of(self, document: Any) -> tuple[list[Any], bool]:
        """The rows in a document, and whether it is a single one; ValueError if it is neither form."""
        if isinstance(document, dict) and len(document) == 1:
            if "features" in document:
                return [document["features"]], True
            rows = document.get("instances")
            if isinstance(rows, list) and 1 <= len(rows) <= self.max_rows:
                return rows, False
        raise ValueError

    def _validate(self, rows: list[Any]) -> Array:
        """The rows' values, [rows, features] in schema order; pydantic's ValidationError is a ValueError."""
        chunks = [self._validate_chunk(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

    def _validate_chunk(self, rows: list[Any]) -> Array:
        valid = self._rows.validate_python(rows)
        # pydantic gives a TypedDict back in the order of its fields, which is the schema's.
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
                "", "type", f"the body must be an object with `features` or `instances`, not {_json_type(document)}"
            )
            return
        for key in document.keys() - {"features", "instances"}:
            yield _unknown_fault(key, "", ["features", "instances"])
        if ("features" in document) == ("instances" in document):
            yield Fault("", "form", "send either `features` for one row or `instances` for several")
        elif "features" in document:
            yield from self._faults_in_row(document["features"], "features")
        elif not isinstance(document["instances"], list):
            yield Fault(
                "instances", "type", f"instances must be a list of rows, not {_json_type(document['instances'])}"
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
            yield from (_unknown_fault(key, f"{location}.", self._names) for key in unknown)
            known = {key: row[key] for key in self._names if key in row}
            yield from self._faults_by_type(self._named, known, location)
        elif isinstance(row, list) and len(row) == width:
            yield from self._faults_by_type(self._listed, tuple(row), location)
        elif isinstance(row, list):
            order = ", ".join(self._names)
            message = f"{location} must have {width} numbers, not {len(row)}, in this order: {order}"
            yield Fault(location, "length", message)
        else:
            message = f"{location} must be an object or a list of {width} numbers, not {_json_type(row)}"
            yield Fault(location, "type", message)

    def _faults_by_type(self, adapter: TypeAdapter[Any], row: Any, location: str) -> Iterator[Fault]:
        try:
            adapter.validate_python(row)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                key = fault["loc"][-1]
                index, field = (
                    (key, f"{location}[{key}]")
                    if isinstance(key, int)
                    else (self._names.index(key), f"{location}.{key}")
                )
                yield _value_fault(self._features[index], field, fault["type"], fault["input"])


def _unknown_fault(key: str, prefix: str, known: list[str]) -> Fault:
    key = strict_json.truncated(key)
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
    return Fault(f"{prefix}{key}", "unknown", f"{key} is unknown: did you mean {nearest}?")


def _value_fault(feature: Feature, location: str, error_type: str, value: Any) -> Fault:
    """The fault of a feature's value; ``error_type`` is pydantic's."""
    name, unit = feature.name, f" {feature.unit}" if feature.unit else ""
    allowed = f"{feature.minimum:g} to {feature.maximum:g}{unit}"
    match error_type:
        case "missing":
            return Fault(location, "missing", f"{name} is missing: it must be a number from {allowed}", name)
        case "finite_number":
            return Fault(location, "not_finite", f"{name} must be a finite number from {allowed}", name)
        case "greater_than_equal" | "less_than_equal":
            return Fault(location, OUT_OF_BOUNDS, f"{name} must be in the range {allowed}", name)
        case _:
            return Fault(location, "type", f"{name} must be a number from {allowed}, not {_json_type(value)}", name)


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "a number")

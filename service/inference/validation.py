"""From a request's bytes to rows of numbers: the native request, as strict as the model's schema."""

import difflib
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Annotated, Any, Union

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.manifest import Feature
from service.http import strict_json
from service.http.context import Record
from service.http.errors import OUT_OF_BOUNDS, Fault, NotJsonError, UnacceptableError

Array = NDArray[np.float32]

_AT_ONCE = 256  # rows
_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks about: ``rows`` is float32 of shape [rows, features], in schema order."""

    rows: Array
    single: bool


def number(feature: Feature) -> Any:
    """The type of one feature's values."""
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=feature.minimum, le=feature.maximum)]


def row_types(numbers: Mapping[str, Any]) -> tuple[Any, Any]:
    """A row's two types, by name and as a list in schema order; ``numbers`` gives each feature's own by name."""
    named = with_config(ConfigDict(extra="forbid"))(TypedDict("Features", numbers))  # type: ignore[operator]
    return named, tuple[*numbers.values()]  # type: ignore[misc]


class Validator:
    """The native request model of one schema: pydantic types built from the manifest's features."""

    def __init__(self, features: Sequence[Feature], *, max_rows: int, max_errors: int) -> None:
        self._features = features
        self._names = [feature.name for feature in features]
        self._bounds = np.array([[feature.minimum for feature in features], [feature.maximum for feature in features]])
        self._bounds32 = self._bounds.astype(np.float32)
        self.max_rows = max_rows
        self._max_errors = max_errors
        named, listed = row_types({feature.name: number(feature) for feature in features})
        # Left to right: the two have no value in common, so the first that fits is the one that was meant.
        row: Any = Annotated[Union[named, listed], Field(union_mode="left_to_right")]  # noqa: UP007 (made at run time)
        self._named: TypeAdapter[Any] = TypeAdapter(named)
        self._listed: TypeAdapter[Any] = TypeAdapter(listed)
        self._rows: TypeAdapter[list[Any]] = TypeAdapter(Annotated[list[row], Field(fail_fast=True)])

    def read(self, body: bytes, record: Record) -> Submission:
        """The rows that a native request body asks about.

        Raises:
            NotJsonError: the body is not strict JSON.
            UnacceptableError: it is, but not what the schema allows.
        """
        try:
            document = orjson.loads(body)
            record.lap("parse")
            rows, single = self._asked(document)
            numbers = self._numbers(rows)
        except ValueError:  # of orjson, of pydantic, or of an outer form that is neither
            raise self._refusal(body) from None
        strict_json.require_unique(body, 1 + self.strings(rows))
        record.lap("validate")
        return Submission(numbers, single)

    def rows(self, rows: list[Any], place: str) -> Array:
        """The numbers of rows that were read from JSON, [rows, features]: each named or listed, within bounds.

        ``place`` says where they stood, for a fault to name.

        Raises:
            UnacceptableError: something about them is not what the schema allows.
        """
        self._require_count(len(rows), place)
        try:
            return self._numbers(rows)
        except ValueError:
            raise self._refused(self._faults_of_rows(rows, place)) from None

    def array(self, rows: NDArray[Any], place: str) -> Array:
        """The same for numbers of any type that came as such, [rows, features]: within bounds, as float32.

        Raises:
            UnacceptableError: as `rows`.
        """
        self._require_count(len(rows), place)
        if not self._within(rows):
            raise self._refused(self._faults_of_rows(rows.tolist(), place))
        return rows.astype(np.float32, copy=False)

    def strings(self, rows: list[Any]) -> int:
        """How many strings there are in valid rows: the names of those that were named."""
        return len(self._names) * [type(row) for row in rows].count(dict)

    def _within(self, rows: NDArray[Any]) -> bool:
        # A bound counts in the caller's own precision: the float32 nearest to a maximum is not beyond it.
        bounds = self._bounds32 if rows.dtype == np.float32 else self._bounds
        if len(rows) == 1:  # faster one by one, as in `model._require_finite`
            least, most = bounds.tolist()
            return all(map(operator.le, least, row := rows[0].tolist())) and all(map(operator.le, row, most))
        return bool(((rows >= bounds[0]) & (rows <= bounds[1])).all())

    def _asked(self, document: Any) -> tuple[list[Any], bool]:
        if isinstance(document, dict) and len(document) == 1:
            if "features" in document:
                return [document["features"]], True
            rows = document.get("instances")
            if isinstance(rows, list) and 1 <= len(rows) <= self.max_rows:
                return rows, False
        raise ValueError

    def _numbers(self, rows: list[Any]) -> Array:
        """The rows' numbers, [rows, features] in schema order."""
        # By and by, because pydantic lets no other thread run before it has done.
        parts = [self._part(rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, rows: list[Any]) -> Array:
        valid = self._rows.validate_python(rows)
        # pydantic gives a TypedDict back in the order of its fields, which is the schema's.
        values = chain.from_iterable([row.values() if type(row) is dict else row for row in valid])
        return np.fromiter(values, np.float32).reshape(-1, len(self._names))

    def _refusal(self, body: bytes) -> NotJsonError | UnacceptableError:
        """Why a body was refused, told in the words of the schema rather than in those of two failed types."""
        return self._refused(self._faults(strict_json.loads(body)))

    def _refused(self, faults: Iterator[Fault]) -> NotJsonError | UnacceptableError:
        told = list(islice(faults, self._max_errors + 1))
        if not told:  # the strict reader takes a little more than orjson: some more levels
            return NotJsonError("the body is nested too deeply: a request is three levels deep at most")
        return UnacceptableError(told[: self._max_errors], more=len(told) > self._max_errors)

    def _require_count(self, count: int, place: str) -> None:
        if not 1 <= count <= self.max_rows:
            raise UnacceptableError([self._count(count, place)])

    def _count(self, count: int, place: str) -> Fault:
        return Fault(place, "count", f"{place} must hold 1 to {self.max_rows} rows, not {count}")

    def _faults(self, document: Any) -> Iterator[Fault]:
        if not isinstance(document, dict):
            yield Fault("", "type", f"the body must be an object with `features` or `instances`, not {_kind(document)}")
            return
        for key in document.keys() - {"features", "instances"}:
            yield self._unknown(key, "", ["features", "instances"])
        if ("features" in document) == ("instances" in document):
            yield Fault("", "form", "give either `features` for one row or `instances` for several")
        elif "features" in document:
            yield from self._faults_of_row(document["features"], "features")
        elif not isinstance(document["instances"], list):
            yield Fault("instances", "type", f"instances must be a list of rows, not {_kind(document['instances'])}")
        elif not 1 <= len(document["instances"]) <= self.max_rows:
            yield self._count(len(document["instances"]), "instances")
        else:
            yield from self._faults_of_rows(document["instances"], "instances")

    def _faults_of_rows(self, rows: list[Any], place: str) -> Iterator[Fault]:
        for index, row in enumerate(rows):
            yield from self._faults_of_row(row, f"{place}[{index}]")

    def _faults_of_row(self, row: Any, place: str) -> Iterator[Fault]:
        width = len(self._names)
        if isinstance(row, dict):
            unknown = [key for key in row if key not in self._names]
            yield from (self._unknown(key, f"{place}.", self._names) for key in unknown)
            yield from self._faults_by(self._named, {key: row[key] for key in self._names if key in row}, place)
        elif isinstance(row, list) and len(row) == width:
            yield from self._faults_by(self._listed, tuple(row), place)
        elif isinstance(row, list):
            order = ", ".join(self._names)
            yield Fault(place, "length", f"{place} must have {width} numbers, not {len(row)}, in this order: {order}")
        else:
            yield Fault(place, "type", f"{place} must be an object or a list of {width} numbers, not {_kind(row)}")

    def _faults_by(self, adapter: TypeAdapter[Any], row: Any, place: str) -> Iterator[Fault]:
        try:
            adapter.validate_python(row)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                key = fault["loc"][-1]
                index, field = (
                    (key, f"{place}[{key}]") if isinstance(key, int) else (self._names.index(key), f"{place}.{key}")
                )
                yield _fault(self._features[index], field, fault["type"], fault["input"])

    def _unknown(self, key: str, place: str, known: list[str]) -> Fault:
        nearest = difflib.get_close_matches(key[:100], known, n=1, cutoff=0)[0]
        key = strict_json.shown(key)
        return Fault(f"{place}{key}", "unknown", f"{key} is not known here: did you mean {nearest}?")


def _fault(feature: Feature, place: str, kind: str, value: Any) -> Fault:
    name, unit = feature.name, f" {feature.unit}" if feature.unit else ""
    allowed = f"{feature.minimum:g} to {feature.maximum:g}{unit}"
    match kind:
        case "missing":
            return Fault(place, "missing", f"{name} is missing: a number from {allowed}", name)
        case "finite_number":
            return Fault(place, "not_finite", f"{name} must be a finite number from {allowed}", name)
        case "greater_than_equal" | "less_than_equal":
            return Fault(place, OUT_OF_BOUNDS, f"{name} must lie within {allowed}", name)
        case _:
            return Fault(place, "type", f"{name} must be a number from {allowed}, not {_kind(value)}", name)


def _kind(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "a number")

"""From a request's bytes to rows of numbers: the native request, as strict as the model's schema."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Annotated, Any, Union

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.bundle import Feature
from service import strictjson
from service.errors import Fault, NotJsonError, UnacceptableError

_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks about: ``rows`` is float32 of shape [rows, features], in schema order."""

    rows: NDArray[np.float32]
    single: bool


def _object(name: str, fields: dict[str, Any]) -> Any:
    """The type of an object that has exactly these keys."""
    return with_config(ConfigDict(extra="forbid", strict=True))(TypedDict(name, fields))  # type: ignore[operator]


def _either(*forms: Any) -> Any:
    """One of two types that have no value in common, so that the first that fits is the one that was meant."""
    return Annotated[Union[forms], Field(union_mode="left_to_right")]  # noqa: UP007 (made at run time)


def _number(feature: Feature) -> Any:
    """The type of one feature's values."""
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=feature.minimum, le=feature.maximum)]


class Validator:
    """The native request model of one schema: pydantic types built from the manifest's features."""

    def __init__(self, features: Sequence[Feature], *, max_rows: int, max_errors: int) -> None:
        self._features = features
        self._names = [feature.name for feature in features]
        self._quotes = sum(2 + name.count('"') for name in self._names)
        self._max_rows = max_rows
        self._max_errors = max_errors
        named = _object("Features", {feature.name: _number(feature) for feature in features})
        listed: Any = tuple[*(_number(feature) for feature in features)]  # type: ignore[misc]
        row = _either(named, listed)
        # One fault is enough to refuse: collecting a million of them, to be told in other words, took 600 MB.
        rows = Annotated[list[row], Field(min_length=1, max_length=max_rows, fail_fast=True)]  # type: ignore[valid-type]
        self._named: TypeAdapter[Any] = TypeAdapter(named)
        self._listed: TypeAdapter[Any] = TypeAdapter(listed)
        self._request: TypeAdapter[dict[str, Any]] = TypeAdapter(
            _either(_object("One", {"features": row}), _object("Many", {"instances": rows}))
        )

    def read(self, body: bytes) -> Submission:
        """The rows that a request body asks about.

        Raises:
            NotJsonError: the body is not strict JSON.
            UnacceptableError: it is, but not what the schema allows.
        """
        if self._outsized(body):
            raise self._refusal(body)
        try:
            request = self._request.validate_json(body)
        except ValidationError as error:
            raise self._refusal(body, str(error.errors(include_input=False)[0]["msg"])) from None
        single = "features" in request
        rows = [request["features"]] if single else request["instances"]
        # pydantic keeps the last of two equal keys. A valid body has quotes around its keys only, so counting them
        # shows for 0.1 us whether one stands twice; only then is the body read again to say which.
        if body.count(b'"') != 2 + self._quotes * sum(type(row) is dict for row in rows):
            strictjson.loads(body)
        # pydantic gives a TypedDict back in the order of its fields, which is the schema's.
        numbers = chain.from_iterable(row.values() if type(row) is dict else row for row in rows)
        count = len(rows) * len(self._names)
        return Submission(np.fromiter(numbers, np.float32, count).reshape(len(rows), -1), single)

    def _outsized(self, body: bytes) -> bool:
        """Whether a body has more keys, numbers, lists or objects than any valid one.

        pydantic keeps an object of its own for the input of every fault: a gigabyte for 4 MB of empty lists.
        """
        return (
            body.count(b'"') > 2 + self._quotes * self._max_rows
            or body.count(b",") > len(self._names) * self._max_rows
            or body.count(b"[") + body.count(b"{") > 2 + self._max_rows
        )

    def _refusal(self, body: bytes, reason: str = "it is too long") -> NotJsonError | UnacceptableError:
        """Why a body was refused, told in the words of the schema rather than in those of two failed unions."""
        document = strictjson.loads(body)
        faults = list(islice(self._faults(document), self._max_errors + 1))
        if not faults:  # pydantic's parser takes fewer levels
            return NotJsonError(f"the body cannot be read: {reason}")
        return UnacceptableError(faults[: self._max_errors], more=len(faults) > self._max_errors)

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
        elif not 1 <= len(document["instances"]) <= self._max_rows:
            count = len(document["instances"])
            yield Fault("instances", "count", f"instances must hold 1 to {self._max_rows} rows, not {count}")
        else:
            for index, row in enumerate(document["instances"]):
                yield from self._faults_of_row(row, f"instances[{index}]")

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
        key = strictjson.shown(key)
        return Fault(f"{place}{key}", "unknown", f"{key} is not known here: did you mean {nearest}?")


def _fault(feature: Feature, place: str, kind: str, value: Any) -> Fault:
    name, unit = feature.name, f" {feature.unit}" if feature.unit else ""
    allowed = f"{feature.minimum:g} to {feature.maximum:g}{unit}"
    match kind:
        case "missing":
            return Fault(place, "missing", f"{name} is missing: a number from {allowed}")
        case "finite_number":
            return Fault(place, "not_finite", f"{name} must be a finite number from {allowed}")
        case "greater_than_equal" | "less_than_equal":
            return Fault(place, "out_of_bounds", f"{name} must lie within {allowed}")
        case _:
            return Fault(place, "type", f"{name} must be a number from {allowed}, not {_kind(value)}")


def _kind(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "a number")

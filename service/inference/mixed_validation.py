"""The request schema of a model whose features are not all numbers: raw values to codes.

Pydantic calls a function for each value that is not a plain number, which takes about 1 us.
"""

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, WrapValidator
from pydantic_core import PydanticCustomError

from models.feature import MISSING, Feature, UnknownCategoryError, describe_category
from service.arrays import Array
from service.http import strict_json
from service.http.errors import UNKNOWN_CATEGORY, Fault
from service.inference.validation import Validator, find_similar, json_type, number_type

_MAX_LISTED = 20  # categories that a message lists
_MAX_COMPARED = 200  # categories of a vocabulary in which the most similar one is looked for: 0.6 ms for each fault


def make_validator(features: Sequence[Feature], *, max_rows: int, max_errors: int) -> Validator:
    """The validator of rows with these features."""
    is_plain = all(feature.is_plain for feature in features)
    return (Validator if is_plain else MixedValidator)(features, max_rows=max_rows, max_errors=max_errors)


class MixedValidator(Validator):
    """Validates rows of raw values; what it returns are their codes, as `models.feature` has them."""

    def __init__(self, features: Sequence[Feature], *, max_rows: int, max_errors: int) -> None:
        self._nulls = {feature.name: None for feature in features if not feature.is_required}
        super().__init__(features, max_rows=max_rows, max_errors=max_errors)

    def validate_array(self, rows: NDArray[Any], location: str) -> Array:
        """As `Validator.validate_array`, for an array of any type; NaN and null are missing values."""
        self._require_count(len(rows), location)
        return self.validate_rows([_without_nan(row) for row in rows.tolist()], location)

    def part(self, columns: slice) -> Validator:
        key = columns.start, columns.stop
        if key not in self._parts:
            features = self._features[columns]
            self._parts[key] = make_validator(features, max_rows=self.max_rows, max_errors=self._max_errors)
        return self._parts[key]

    def count_names(self, rows: list[Any]) -> int:
        """How many strings there are in valid rows from JSON: names, and values that are texts."""
        return strict_json.count_strings(rows)

    def _value_type(self, feature: Feature) -> Any:
        if feature.is_plain:
            return super()._value_type(feature)
        if feature.is_category:
            return Annotated[Any, PlainValidator(_category_reader(feature))]
        number = number_type(feature)
        return number if feature.is_required else Annotated[number, WrapValidator(_null_reader(feature))]

    def _validate_one(self, values: Any) -> tuple[Array, int]:
        if type(values) is list:
            return np.array([self._listed.validate_python(values)], np.float32), strict_json.count_strings(values)
        row = self._named.validate_python(self._complete(values)).values()
        return np.array([list(row)], np.float32), strict_json.count_strings(values)

    def _is_within_bounds(self, rows: NDArray[Any]) -> bool:
        """Not known of an array as a whole: its values are read one by one, in the pipeline."""
        del rows
        return False

    def _validate_numbers(self, rows: list[Any]) -> Array:
        return self._validate(rows)

    def _validate_chunk(self, rows: list[Any]) -> Array:
        return super()._validate_chunk([self._complete(row) for row in rows])

    def _faults_in_row(self, row: Any, location: str) -> Iterator[Fault]:
        return super()._faults_in_row(self._complete(row), location)

    def _complete(self, row: Any) -> Any:
        """A row by name with a null for each value that may be absent and is."""
        return {**self._nulls, **row} if self._nulls and type(row) is dict else row

    def _value_fault(self, feature: Feature, location: str, error_type: str, value: Any) -> Fault:
        if feature.is_plain:
            return super()._value_fault(feature, location, error_type, value)
        if error_type == "missing" or (value is None and error_type == "type"):
            what = "is missing" if error_type == "missing" else "must not be null"
            return Fault(
                location, "missing", f"{feature.name} {what}: it must be {describe_values(feature)}", feature.name
            )
        if error_type == UNKNOWN_CATEGORY:
            return Fault(location, UNKNOWN_CATEGORY, _unknown_message(feature, value), feature.name)
        if feature.is_category or error_type == "multiple_of":
            shown = f"{value:g}" if isinstance(value, float) else json_type(value)
            message = f"{feature.name} must be {describe_values(feature)}, not {shown}"
            return Fault(location, "type", message, feature.name)
        return super()._value_fault(feature, location, error_type, value)


def describe_values(feature: Feature) -> str:
    """The valid values of a feature that is not a plain number, as a message names them."""
    null = " or null" if not feature.is_required else ""
    if feature.hashing or (feature.allow_other and feature.category_type is not bool):
        return f"{'a text' if feature.category_type is str else 'a whole number'}{null}"
    if feature.is_category:
        return f"{_list_categories(feature)}{null}"
    return f"{'a whole number' if feature.kind == 'integer' else 'a number'}{null}"


def _list_categories(feature: Feature) -> str:
    if feature.category_type is bool:
        return " or ".join(describe_category(each) for each in feature.categories)
    names = [_quote(each) for each in feature.categories]
    if len(names) == 1:
        return names[0]
    if len(names) > _MAX_LISTED:
        return f"one of {len(names)} categories, such as {', '.join(names[:3])}"
    return f"one of {', '.join(names)}"


def _unknown_message(feature: Feature, value: Any) -> str:
    shown = _quote(strict_json.truncated(value) if isinstance(value, str) else value)
    message = f"{feature.name} must be {_list_categories(feature)}, not {shown}"
    if not isinstance(value, str) or len(feature.categories) > _MAX_COMPARED:
        return message
    nearest = find_similar(strict_json.truncated(value), [str(each) for each in feature.categories])
    return f"{message}: did you mean {_quote(nearest)}?" if nearest else message


def _quote(category: Any) -> str:
    return f'"{category}"' if isinstance(category, str) else describe_category(category)


def _category_reader(feature: Feature) -> Any:
    """What turns a category into its code for pydantic."""
    to_code = feature.to_code

    def read(value: Any) -> float:
        try:
            return to_code(value)
        except TypeError:
            raise PydanticCustomError("type", "another type") from None
        except UnknownCategoryError:
            raise PydanticCustomError(UNKNOWN_CATEGORY, "not in the vocabulary") from None

    return read


def _null_reader(feature: Feature) -> Any:
    """What turns null into the code of a missing value, or into the default."""
    code = MISSING if feature.default is None else feature.to_code(None)
    return lambda value, validate: code if value is None else validate(value)


def _without_nan(row: list[Any]) -> list[Any]:
    return [None if type(value) is float and isnan(value) else value for value in row]

"""Reads the raw values of one feature: a value, or a column of many, to the codes that `models.feature` defines.

A reader raises ValueError, TypeError or KeyError if a value is not valid; `mixed_validation` then says what is wrong.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.feature import Feature
from service.arrays import Doubles

_INVALID = (ValueError, TypeError, KeyError)
_MAX_KNOWN, _MAX_LENGTH = 4096, 100  # hashed texts, and their characters: half a megabyte


class ValueReader:
    """``read`` gives the code of a value from JSON; its types are those of valid values, null if one may be missing."""

    read: Callable[[Any], float]

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.missing = None if feature.is_required else feature.to_code(None)
        kinds = {int, float} if not feature.is_category or feature.category_type is int else {feature.category_type}
        self._types: set[type] = kinds | ({type(None)} if self.missing is not None else set())

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        try:
            self.read(value)
        except _INVALID:
            return False
        return True

    def read_column(self, values: Sequence[Any]) -> Doubles:
        """The codes of values from JSON, [rows]."""
        if not {*map(type, values)} <= self._types:
            raise TypeError
        return self._read_typed(values)

    def read_array(self, values: NDArray[Any]) -> Doubles:
        """The codes of an array of numbers, booleans or objects, [rows]; NaN is a missing value."""
        return self.read_column([None if value != value else value for value in values.tolist()])  # noqa: PLR0124 (NaN)

    def _read_typed(self, values: Sequence[Any]) -> Doubles:
        """The codes of values that have the types of valid ones."""
        raise NotImplementedError


class NumberReader(ValueReader):
    """Of a number or an integer."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(feature)
        self.read = _number_function(feature, self.missing)
        self._bounds = np.array([feature.lowest, feature.highest])

    def read_array(self, values: NDArray[Any]) -> Doubles:
        if values.dtype.kind not in "fiu":
            return super().read_array(values)
        # A bound counts in the precision of the values: the float32 nearest to a maximum is not beyond it.
        bounds = self._bounds.astype(np.float32) if values.dtype == np.float32 else self._bounds
        codes = values.astype(np.float64)
        is_missing = np.isnan(codes)
        self._require_valid(codes, is_missing, bounds)
        if is_missing.any():
            if self.missing is None:
                raise ValueError
            codes[is_missing] = self.missing
        return codes

    def _read_typed(self, values: Sequence[Any]) -> Doubles:
        has_nulls = type(None) in self._types and None in values
        given = [self.missing if value is None else value for value in values] if has_nulls else values
        codes = np.array(given, np.float64)
        self._require_valid(codes, np.isnan(codes), self._bounds)
        return codes

    def _require_valid(self, codes: Doubles, is_missing: NDArray[np.bool_], bounds: NDArray[Any]) -> None:
        is_valid = (codes >= bounds[0]) & (codes <= bounds[1])
        if self.feature.kind == "integer":
            is_valid &= codes == np.floor(codes)
        if not (is_valid | is_missing).all():
            raise ValueError


def _number_function(feature: Feature, missing: float | None) -> Callable[[Any], float]:
    """What gives the code of a number; local names take half of the time that attributes take."""
    lowest, highest, is_integer = feature.lowest, feature.highest, feature.kind == "integer"

    def read(value: Any) -> float:
        number = float(value) if type(value) is int else value
        if type(number) is float and lowest <= number <= highest:
            if is_integer and not number.is_integer():
                raise ValueError
            return number
        if value is None and missing is not None:
            return missing
        raise ValueError

    return read


class CategoryReader(ValueReader):
    """Of a category with a vocabulary."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(feature)
        self._codes: dict[Any, float] = {category: float(code) for code, category in enumerate(feature.categories)}
        if self.missing is not None:
            self._codes[None] = self.missing
        if feature.allow_other:
            self.read = self._read_open
        else:  # nothing is equal to a text but a text; to Python, however, true is 1
            self.read = self._codes.__getitem__ if feature.category_type is str else self._read_closed

    def _read_closed(self, value: Any) -> float:
        if type(value) not in self._types:
            raise TypeError
        return self._codes[value]

    def _read_open(self, value: Any) -> float:
        if type(value) not in self._types or (type(value) is float and not value.is_integer()):
            raise TypeError
        return self._codes.get(value, self.feature.other_code)

    def _read_typed(self, values: Sequence[Any]) -> Doubles:
        if self.feature.allow_other:
            return np.array([*map(self._read_open, values)], np.float64)
        return np.array([*map(self._codes.__getitem__, values)], np.float64)


class HashReader(ValueReader):
    """Of a category whose code is a hash, which takes longer than all else that is done with a row."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(feature)
        self.read = _remember(feature.to_code)

    def _read_typed(self, values: Sequence[Any]) -> Doubles:
        codes = {value: self.read(value) for value in {*values}}
        return np.array([*map(codes.__getitem__, values)], np.float64)


def _remember(to_code: Callable[[Any], float]) -> Callable[[Any], float]:
    """The same function, which knows the codes of the last few thousand short texts."""
    of_text = lru_cache(_MAX_KNOWN)(to_code)
    return lambda value: (of_text if type(value) is str and len(value) <= _MAX_LENGTH else to_code)(value)


def make_reader(feature: Feature) -> ValueReader:
    """The reader of a feature's values."""
    if not feature.is_category:
        return NumberReader(feature)
    return HashReader(feature) if feature.hashing else CategoryReader(feature)

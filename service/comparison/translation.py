"""Rows that are encoded for one version, encoded for another: versions may have other vocabularies and bounds."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.feature import MISSING, Feature, UnknownCategoryError
from service.arrays import Array

Flags = NDArray[np.bool_]
Column = NDArray[np.float32]

_UNKNOWN = -1.0  # in place of a code: the other version does not take the value, or it is not known which one it is


class RowTranslation:
    """From the rows of a version with these ``features`` to those of another, with ``others`` of the same names."""

    def __init__(self, features: Sequence[Feature], others: Sequence[Feature]) -> None:
        self._columns: dict[int, Callable[[Column], tuple[Column, Flags]]] = {}
        for index, (feature, other) in enumerate(zip(features, others, strict=True)):
            ignored = {"how": "", "unit": ""}
            if feature.model_copy(update=ignored) == other.model_copy(update=ignored):
                continue
            if feature.is_category:
                self._columns[index] = partial(_translate_codes, np.array(_code_table(feature, other), np.float32))
            else:
                self._columns[index] = partial(_translate_numbers, other, _encode_missing(other))

    def translate(self, rows: Array) -> tuple[Array, Flags]:
        """The rows [rows, features] as the other version has them, and which of them [rows] it takes.

        It does not take a row with a value out of its bounds, or with a category that it does not know. Nor is a row
        taken if the value is not in the first version's vocabulary, but may be in that of the other.
        """
        taken = np.ones(len(rows), np.bool_)
        if not self._columns:
            return rows, taken
        translated = rows.copy()
        for index, translate in self._columns.items():
            translated[:, index], is_taken = translate(rows[:, index])
            taken &= is_taken
        return translated, taken


def _translate_codes(table: Column, codes: Column) -> tuple[Column, Flags]:
    """``table`` has a code for each code, and the last for a missing value."""
    translated = table[np.where(np.isnan(codes), len(table) - 1, codes).astype(np.intp)]
    return translated, translated != _UNKNOWN


def _translate_numbers(other: Feature, missing: float | None, values: Column) -> tuple[Column, Flags]:
    is_missing = np.isnan(values)
    taken = (values >= np.float32(other.lowest)) & (values <= np.float32(other.highest))
    taken = np.where(is_missing, missing is not None, taken)
    return np.where(is_missing, np.float32(MISSING if missing is None else missing), values), taken


def _code_table(feature: Feature, other: Feature) -> list[float]:
    missing = _encode_missing(other)
    codes = (_encode(feature, other, code) for code in range(feature.code_count))
    return [_UNKNOWN if code is None else code for code in (*codes, missing)]


def _encode(feature: Feature, other: Feature, code: int) -> float | None:
    """The code in another version; None if there is none, or if it may be any of several."""
    value = feature.from_code(code)
    if value is not None:
        try:
            return other.to_code(value)
        except (UnknownCategoryError, TypeError):
            return None
    if feature.hashing:
        return code if feature.hashing == other.hashing else None
    is_other_in_both = other.allow_other and set(other.categories) <= set(feature.categories)
    return other.other_code if is_other_in_both else None


def _encode_missing(other: Feature) -> float | None:
    try:
        return other.to_code(None)
    except TypeError:
        return None

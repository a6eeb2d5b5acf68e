"""Rows that one version of a model has encoded, as another version encodes the same values.

Versions may list their categories in another order, or know more of them, and may replace missing values by a default:
the same number in a row then stands for another value.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.feature import MISSING, Feature, UnknownCategoryError
from service.arrays import Array

_UNKNOWN = -1.0  # no code: the value cannot be told from its code


class CodeTranslation:
    """From the codes of ``features`` to those of ``others``, which are of the same names and kinds.

    ``is_needed`` is false if all codes are the same.
    """

    def __init__(self, features: Sequence[Feature], others: Sequence[Feature]) -> None:
        tables = [_table(feature, other) for feature, other in zip(features, others, strict=True)]
        self._tables = {column: table for column, table in enumerate(tables) if table is not None}

    @property
    def is_needed(self) -> bool:
        """Whether any code differs."""
        return bool(self._tables)

    def translate(self, rows: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The rows [rows, features] in the other codes, and for which of them all values are known, [rows].

        A value is unknown if its code stands for several that have different codes in the other version: one that the
        first version counts as "other", or one that is hashed.
        """
        is_known = np.ones(len(rows), np.bool_)
        rows = rows.copy()
        for column, (codes, missing) in self._tables.items():
            own = rows[:, column]
            is_missing = np.isnan(own)
            if codes is not None:
                own = codes[np.where(is_missing, 0, own).astype(np.intp)]
                is_known &= is_missing | (own != _UNKNOWN)
            rows[:, column] = np.where(is_missing, np.float32(missing), own)
        return rows, is_known


def _table(feature: Feature, other: Feature) -> tuple[Array | None, float] | None:
    """The other code of each code of a category, and of a missing value; None if they are the same."""
    missing = other.to_code(None) if feature.allow_missing else MISSING
    codes = None
    if feature.is_category and not _has_same_codes(feature, other):
        codes = np.array([_other_code(feature, other, code) for code in range(feature.code_count)], np.float32)
        if (codes == np.arange(len(codes))).all():
            codes = None
    return None if codes is None and np.isnan(missing) else (codes, missing)


def _has_same_codes(feature: Feature, other: Feature) -> bool:
    vocabularies = [(each.categories, each.hashing, each.allow_other) for each in (feature, other)]
    return vocabularies[0] == vocabularies[1]


def _other_code(feature: Feature, other: Feature, code: int) -> float:
    if code < len(feature.categories):
        try:
            return other.to_code(feature.categories[code])
        except UnknownCategoryError:
            return _UNKNOWN
    if feature.hashing or other.hashing or not other.allow_other or set(other.categories) - set(feature.categories):
        return _UNKNOWN
    return other.other_code

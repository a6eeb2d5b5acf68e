"""Raw values for rows of codes: what a client would send."""

from collections.abc import Sequence
from itertools import chain, count
from math import isnan

from models.dataset import Floats
from models.feature import Category, Feature, RawValue
from models.manifest import RawRow

UNKNOWN = "other"


def to_raw(features: Sequence[Feature], rows: Floats) -> list[RawRow]:
    """The raw rows that have these codes, [n, features]; of "other", some value that is not in the vocabulary."""
    columns = zip(features, rows.T.tolist(), strict=True)
    return list(zip(*([_to_value(feature, code) for code in codes] for feature, codes in columns), strict=True))


def find_unknown(feature: Feature) -> Category:
    """A value that is none of the categories: a text, or for whole numbers and truth values a whole number."""
    if feature.category_type is not str:
        return max(map(int, feature.categories)) + 1
    taken = set(feature.categories)
    return next(text for text in chain([UNKNOWN], (f"{UNKNOWN} {number}" for number in count(2))) if text not in taken)


def _to_value(feature: Feature, code: float) -> RawValue:
    if feature.is_category and not isnan(code) and code == feature.other_code:
        return find_unknown(feature)
    value: RawValue = feature.from_code(code)
    return value

"""Training ranges: the values of each feature among the training rows, by label if known.

Of a number that is the smallest and the largest value, of a category those that occur, and whether any are missing.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import SchemaValidator, core_schema

from models.feature import FLOAT32_MAX, Feature
from models.manifest import Manifest
from models.reference_statistics import ALL_ROWS, Reference
from service.arrays import Array, Indices
from service.significant_digits import format_distinct

_UNRELIABLE = "the prediction may be unreliable"


def make_ranges(manifest: Manifest) -> "Ranges":
    """The training ranges of a model."""
    is_plain = all(feature.is_plain for feature in manifest.features)
    return Ranges(manifest) if is_plain else MixedRanges(manifest)


class Ranges:
    """``lower`` and ``upper`` are lists [labels, features]; there is one label if the model has none.

    Where the ranges are not known by label, all labels have the same; where none are known, nothing is outside.
    """

    def __init__(self, manifest: Manifest) -> None:
        by_label = manifest.reference.ranges if manifest.reference else {}
        self.differ_by_label = bool(by_label) and ALL_ROWS not in by_label
        self._features = manifest.features
        self._labels = manifest.class_labels or (ALL_ROWS,)
        overall = by_label.get(ALL_ROWS, {})
        ranges = [by_label.get(label, overall) for label in self._labels]
        every = (-FLOAT32_MAX, FLOAT32_MAX)
        bounds = np.array([[each.get(name, every) for name in manifest.feature_names] for each in ranges], np.float32)
        self._lower, self._upper = np.ascontiguousarray(bounds[:, :, 0]), np.ascontiguousarray(bounds[:, :, 1])
        self.lower, self.upper = self._lower.tolist(), self._upper.tolist()
        self._is_inside = [
            _row_validator(lower, upper).isinstance_python for lower, upper in zip(self.lower, self.upper, strict=True)
        ]

    def outside(self, rows: Array, labels: Indices) -> Indices:
        """Positions in the flattened ``rows`` of values outside the range of their row's label."""
        # take() costs a tenth of what indexing costs.
        lower, upper = self._lower.take(labels, axis=0), self._upper.take(labels, axis=0)
        return np.flatnonzero((rows < lower) | (rows > upper))

    def outside_in_row(self, rows: Array, label: int) -> Sequence[int]:
        """The same for one row, [1, features]: pydantic compares it in a fifth of the time of NumPy's calls."""
        row = rows.tolist()[0]
        if self._is_inside[label](row):  # nearly always
            return ()
        lower, upper = self.lower[label], self.upper[label]
        return [index for index, value in enumerate(row) if value < lower[index] or value > upper[index]]

    def describe(self, value: float, feature_index: int, label_index: int) -> str:
        """The sentence for a value of a feature outside the training range of a label."""
        feature = self._features[feature_index]
        lower, upper = self.lower[label_index][feature_index], self.upper[label_index][feature_index]
        unit = f" {feature.unit}".rstrip()
        shown, lowest, highest = format_distinct((value, lower, upper))
        of_label = f" of {self._labels[label_index]}" if self.differ_by_label else ""
        return (
            f"{feature.name} is {shown}{unit}, outside the training range{of_label}, {lowest} to {highest}{unit}: "
            f"{_UNRELIABLE}"
        )


class MixedRanges(Ranges):
    """As `Ranges`, for rows of codes, [rows, features].

    A category is outside if no training row of the label has it, and always if it is "other". A missing value is
    outside if no training row lacks it.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._occurring = _OccurringCodes(manifest)
        self._categories = {
            index: np.array([self._occurring.is_unusual(feature, label) for label in self._labels])
            for index, feature in enumerate(manifest.features)
            if feature.is_category
        }
        self._is_missing_unusual = np.array([self._occurring.is_never_missing(each) for each in manifest.features])
        self._is_outside = [
            [self._value_check(index, label) for index in range(len(manifest.features))]
            for label in range(len(self._labels))
        ]

    def outside(self, rows: Array, labels: Indices) -> Indices:
        is_missing = np.isnan(rows)
        lower, upper = self._lower.take(labels, axis=0), self._upper.take(labels, axis=0)
        is_outside = (rows < lower) | (rows > upper) | (is_missing & self._is_missing_unusual)
        for index, is_unusual in self._categories.items():
            codes = np.where(is_missing[:, index], 0, rows[:, index]).astype(np.intp)
            is_outside[:, index] |= is_unusual[labels, codes] & ~is_missing[:, index]
        return np.flatnonzero(is_outside)

    def outside_in_row(self, rows: Array, label: int) -> Sequence[int]:
        checks = zip(rows.tolist()[0], self._is_outside[label], strict=True)
        return [index for index, (value, is_outside) in enumerate(checks) if is_outside(value)]

    def describe(self, value: float, feature_index: int, label_index: int) -> str:
        feature = self._features[feature_index]
        if isnan(value):
            return f"{feature.name} is missing, which it is in no training row: {_UNRELIABLE}"
        if not feature.is_category:
            return super().describe(value, feature_index, label_index)
        code = int(value)
        if code == feature.other_code:
            return f"{feature.name} is none of the known categories: {_UNRELIABLE}"
        label = self._labels[label_index]
        of_label = f" of {label}" if label and self._occurring.is_known(feature, label) else ""
        what = f"in hash bin {code}" if feature.hashing else feature.describe_code(code)
        return f"{feature.name} is {what}, which no training row{of_label} has: {_UNRELIABLE}"

    def _value_check(self, index: int, label: int) -> Callable[[float], bool]:
        """Whether one value of a feature is outside; in Python, because NumPy's calls would take longer for one."""
        is_missing_unusual = bool(self._is_missing_unusual[index])
        if index in self._categories:
            flags = self._categories[index][label].tobytes()  # a byte for each code
            return lambda code: is_missing_unusual if isnan(code) else bool(flags[int(code)])
        lower, upper = self.lower[label][index], self.upper[label][index]
        return lambda value: is_missing_unusual if isnan(value) else value < lower or value > upper


class _OccurringCodes:
    """Which codes of a category the training rows have."""

    def __init__(self, manifest: Manifest) -> None:
        self._reference: Reference | None = manifest.reference

    def is_known(self, feature: Feature, label: str) -> bool:
        """Whether the shares of a label's own training rows are known; a label without any has none."""
        shares = self._reference.categories.get(label, {}) if self._reference else {}
        return any(shares.get(feature.name, ()))

    def is_unusual(self, feature: Feature, label: str) -> NDArray[np.bool_]:
        """Of each code whether it is to be warned of, for a predicted label."""
        is_unusual = np.zeros(feature.code_count, bool)
        if self._reference:
            key = label if self.is_known(feature, label) else ALL_ROWS
            is_unusual = np.array(self._reference.categories[key][feature.name][: feature.code_count]) == 0
        if feature.allow_other:
            is_unusual[feature.other_code] = True
        return is_unusual

    def is_never_missing(self, feature: Feature) -> bool:
        """Whether a value may be missing, but none of the training rows' is."""
        if not self._reference or not feature.allow_missing:
            return False
        if feature.is_category:
            return self._reference.categories[ALL_ROWS][feature.name][-1] == 0
        return self._reference.missing[feature.name] == 0


def _row_validator(lower: Sequence[float], upper: Sequence[float]) -> SchemaValidator:
    """Validates the rows within some ranges."""
    values: list[Mapping[str, Any]] = [
        core_schema.float_schema(ge=low, le=high) for low, high in zip(lower, upper, strict=True)
    ]
    return SchemaValidator(core_schema.tuple_schema(values))

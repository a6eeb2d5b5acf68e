"""Encoders that suit a training set: numbers as they are, few categories one-hot, many as vectors that are learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dataset import Floats, Integers, Normalization
from models.encoding import NO_COLUMN, Encoder, NumberEncoder, OneHotEncoder, TableEncoder, encode
from models.feature import Feature

MAX_ONE_HOT = 20  # entries of a category: with more, each gets a vector that is narrower than one-hot columns


@dataclass(frozen=True)
class Encoding:
    """How the codes of a training set become the columns that a network learns from.

    ``fixed`` are the encoders that need no training; without categories, integers and missing values there are none.
    ``embedded`` are the features whose tables are learned. Their columns come after all others.
    """

    features: tuple[Feature, ...]
    fixed: tuple[NumberEncoder | OneHotEncoder, ...]
    embedded: tuple[Feature, ...]

    @classmethod
    def fit(cls, features: Sequence[Feature], rows: Floats) -> "Encoding":
        """Fit the encoders to rows of codes [n, features]."""
        fixed: list[NumberEncoder | OneHotEncoder] = []
        embedded = []
        for feature, codes in zip(features, rows.T, strict=True):
            if not feature.is_category:
                fixed.append(fit_number_encoder(feature, codes))
            elif count_entries(feature) <= MAX_ONE_HOT:
                fixed.append(fit_one_hot_encoder(feature, codes))
            else:
                embedded.append(feature)
        if all(feature.is_plain for feature in features):
            fixed = []
        return cls(tuple(features), tuple(fixed), tuple(embedded))

    def encode(self, rows: Floats) -> Floats:
        """The columns [n, columns] of the fixed encoders for rows of codes; without encoders, the codes."""
        if self.embedded and not self.fixed:
            return np.empty((len(rows), 0), np.float32)
        return encode(self.fixed, self.features, rows)

    def find_entries(self, rows: Floats) -> Integers:
        """The entry of each embedded feature for rows of codes: [n, embedded]."""
        positions = [self.features.index(feature) for feature in self.embedded]
        columns = [find_entries(feature, rows[:, at]) for feature, at in zip(self.embedded, positions, strict=True)]
        return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0), np.intp)

    def fit_normalization(self, columns: Floats) -> Normalization:
        """As `Normalization.fit` for encoded columns [n, columns]; those of categories and of gaps stay as they are."""
        normalization = Normalization.fit(columns)
        if not self.fixed:
            return normalization
        is_number = self.are_numbers
        return Normalization(
            np.where(is_number, normalization.mean, np.float32(0)),
            np.where(is_number, normalization.standard_deviation, 1.0),
        )

    @property
    def are_numbers(self) -> NDArray[np.bool_]:
        """Which columns of the fixed encoders are numbers, [columns]; the others are 0 or 1."""
        columns = [
            isinstance(each, NumberEncoder) and not column for each in self.fixed for column in range(each.width)
        ]
        return np.array(columns, bool)

    def complete(self, tables: Sequence[Floats]) -> tuple[Encoder, ...]:
        """All encoders, with the learned tables [entries, width] of the embedded features."""
        learned = zip(self.embedded, tables, strict=True)
        return (*self.fixed, *(TableEncoder(feature=each.name, table=table.tolist()) for each, table in learned))


def fit_number_encoder(feature: Feature, codes: Floats) -> NumberEncoder:
    """A missing number becomes the mean, and a column marks it if the network can learn from rows what that means."""
    if not feature.allow_missing:
        return NumberEncoder(feature=feature.name)
    is_missing = np.isnan(codes)
    present = codes[~is_missing].astype(np.float64)
    fill = float(np.float32(present.mean())) if len(present) else 0.0
    return NumberEncoder(feature=feature.name, fill=fill, indicator=bool(is_missing.any()))


def fit_one_hot_encoder(feature: Feature, codes: Floats) -> OneHotEncoder:
    """A column for each entry that occurs; the others have none."""
    occurs = np.bincount(find_entries(feature, codes), minlength=count_entries(feature)) > 0
    columns = np.where(occurs, occurs.cumsum() - 1, NO_COLUMN)
    return OneHotEncoder(feature=feature.name, width=max(1, int(occurs.sum())), columns=columns.tolist())


def count_entries(feature: Feature) -> int:
    """How many values of a category have columns of their own: those with a code, and a missing one if allowed."""
    return feature.code_count + feature.allow_missing


def find_entries(feature: Feature, codes: Floats) -> Integers:
    """The entry of each code of a category, [n]: the code, or the last one for a missing value."""
    entries: Integers = np.where(np.isnan(codes), count_entries(feature) - 1, codes).astype(np.intp)
    return entries

"""The interface between training and its data, be it sampled from published facts or read from a user's table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from models.feature import Feature

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.intp]

HOLDOUT_SHARE = 0.1


@dataclass(frozen=True)
class Sample:
    """Individuals: ``rows`` [n, features] of codes, ``labels`` [n] and ``groups`` [n] as indices.

    A code is a number in raw units, or stands for a category; NaN for a missing value (`models.feature`).
    """

    rows: Floats
    labels: Integers
    groups: Integers


@dataclass(frozen=True)
class Normalization:
    """The mean and the standard deviation of each feature, [features], computed in double precision."""

    mean: Floats
    standard_deviation: Doubles

    @classmethod
    def fit(cls, rows: Floats) -> "Normalization":
        """Compute them for rows [n, features]; the deviation of a constant feature is 1."""
        doubles = rows.astype(np.float64)
        deviation = doubles.std(axis=0)
        is_constant = rows.min(axis=0) == rows.max(axis=0)
        return cls(doubles.mean(axis=0).astype(np.float32), np.where(is_constant, 1, deviation))

    def apply(self, rows: Floats) -> Doubles:
        """Normalize rows [n, features]."""
        normalized: Doubles = (rows.astype(np.float64) - self.mean) / self.standard_deviation
        return normalized

    def extend(self, columns: int) -> "Normalization":
        """Append columns that stay as they are."""
        mean = np.concatenate([self.mean, np.zeros(columns, np.float32)])
        return Normalization(mean, np.concatenate([self.standard_deviation, np.ones(columns)]))


class Dataset(Protocol):
    """Individuals in groups (breeds, for example), each of which a split keeps whole, and how to sample them."""

    @property
    def description(self) -> str:
        """One sentence on where the individuals come from."""

    @property
    def features(self) -> tuple[Feature, ...]: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names."""

    @property
    def is_grouped(self) -> bool:
        """Whether a group holds more than a single individual."""

    @property
    def is_sampled(self) -> bool:
        """Whether individuals are drawn from distributions, so that there are as many as one wants."""

    @property
    def group_labels(self) -> Integers:
        """The label of each group, [groups]."""

    @property
    def label_weights(self) -> tuple[float, ...]:
        """The weight in the loss of an individual of each label."""

    @property
    def source_hashes(self) -> Mapping[str, str]:
        """The SHA-256 of each source file, in hex."""

    def sample(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """About ``count`` individuals of these groups, as they occur."""

    def sample_augmented(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """As `sample`, but for training: augmented, so that the network generalizes to unseen groups."""

    def sample_stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample | None:
        """As `sample`, but with errors in the facts themselves; None if the data does not rest on such facts."""

    def split_extremes(self) -> tuple[Integers, Integers] | None:
        """Split groups into (training groups, the groups of extreme size or proportions); None if these are unknown."""


def split_holdout(dataset: Dataset, groups: Integers, seed: int) -> tuple[Integers, Integers]:
    """Split groups at random, stratified by label, into (training groups, holdout groups)."""
    labels = dataset.group_labels[groups]
    test_size = max(len(dataset.labels), round(HOLDOUT_SHARE * len(groups)))
    train, holdout = next(StratifiedShuffleSplit(1, test_size=test_size, random_state=seed).split(groups, labels))
    return groups[train], groups[holdout]


def split_folds(dataset: Dataset, groups: Integers, count: int, seed: int) -> list[tuple[Integers, Integers]]:
    """Stratified k-fold over groups: (training groups, test groups) of each fold; each group is tested once."""
    folds = StratifiedKFold(count, shuffle=True, random_state=seed).split(groups, dataset.group_labels[groups])
    return [(groups[train], groups[test]) for train, test in folds]

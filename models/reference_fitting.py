"""Statistics of a sample for its manifest: quantiles, ranges, shares, typical rows and background rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.dataset import Doubles, Floats, Integers
from models.encoder_fitting import count_entries, find_entries
from models.feature import Feature
from models.reference_statistics import ALL_ROWS

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BACKGROUND_ROWS = 100
Flags = NDArray[np.bool_]
_Value = TypeVar("_Value")


def describe_features(features: Sequence[Feature], rows: Floats, groups: Mapping[str, Flags]) -> dict[str, Any]:
    """The fields of `Reference` that are about features, for rows of codes [n, features] and each group [n] of them."""
    numbers = list(list_numbers(features, rows))
    return {
        "probabilities": QUANTILES,
        "features": merge(compute_quantiles([name], values) for name, values in numbers),
        "ranges": {group: compute_number_ranges(features, rows, chosen) for group, chosen in groups.items()},
        "shares": merge(compute_shares([name], values) for name, values in numbers),
        "categories": compute_category_shares(features, rows, groups),
        "missing": compute_missing_shares(features, rows),
    }


def compute_quantiles(names: Sequence[str], rows: NDArray[np.floating]) -> dict[str, tuple[float, ...]]:
    """The quantiles at `QUANTILES` of each column of rows [n, columns], by name."""
    quantiles = np.quantile(rows, QUANTILES, axis=0).astype(np.float32)
    return {name: tuple(quantiles[:, i].tolist()) for i, name in enumerate(names)}


def compute_shares(names: Sequence[str], rows: Floats) -> dict[str, tuple[float, ...]]:
    """The share of rows that is at most each quantile of `compute_quantiles`, by column."""
    quantiles = np.quantile(rows, QUANTILES, axis=0).astype(np.float32)
    return {
        name: tuple(float(np.mean(rows[:, i] <= quantile)) for quantile in quantiles[:, i])
        for i, name in enumerate(names)
    }


def compute_ranges(names: Sequence[str], rows: Floats) -> dict[str, tuple[float, float]]:
    """The minimum and maximum of each feature in rows [n, features]."""
    ranges = zip(rows.min(axis=0).tolist(), rows.max(axis=0).tolist(), strict=True)
    return dict(zip(names, ranges, strict=True))


def list_numbers(features: Sequence[Feature], rows: Floats) -> Iterator[tuple[str, Floats]]:
    """The name of each number and integer, and its values [n, 1] in rows of codes where they are not missing."""
    for feature, codes in zip(features, rows.T, strict=True):
        if not feature.is_category:
            yield feature.name, codes[~np.isnan(codes), np.newaxis]


def merge(parts: Iterable[Mapping[str, _Value]]) -> dict[str, _Value]:
    """One mapping of all parts."""
    return {name: value for part in parts for name, value in part.items()}


def compute_number_ranges(features: Sequence[Feature], rows: Floats, chosen: Flags) -> dict[str, tuple[float, float]]:
    """As `compute_ranges`, of numbers and integers in the chosen rows of codes; where all are missing, in all rows."""
    own = dict(list_numbers(features, rows[chosen]))
    if not all(map(len, own.values())):
        own = {name: own[name] if len(own[name]) else values for name, values in list_numbers(features, rows)}
    return merge(compute_ranges([name], values) for name, values in own.items())


def compute_category_shares(
    features: Sequence[Feature], rows: Floats, groups: Mapping[str, Flags]
) -> dict[str, dict[str, tuple[float, ...]]]:
    """The share of each category, then of missing values, in all rows of codes and in each group [n] of them."""
    if not any(feature.is_category for feature in features):
        return {}
    return {
        group: {
            feature.name: _share_entries(feature, codes)
            for feature, codes in zip(features, rows[chosen].T, strict=True)
            if feature.is_category
        }
        for group, chosen in {ALL_ROWS: np.ones(len(rows), bool), **groups}.items()
    }


def _share_entries(feature: Feature, codes: Floats) -> tuple[float, ...]:
    counts = np.bincount(find_entries(feature, codes), minlength=count_entries(feature))
    return tuple((counts / max(len(codes), 1)).tolist())


def compute_missing_shares(features: Sequence[Feature], rows: Floats) -> dict[str, float]:
    """The share of rows of codes in which a number is missing, of those that may be."""
    return {
        feature.name: float(np.isnan(codes).mean())
        for feature, codes in zip(features, rows.T, strict=True)
        if feature.allow_missing and not feature.is_category
    }


def find_typical(rows: Floats, scale: Doubles) -> Floats:
    """Find the row of [n, features] that is nearest to the median, in standard deviations."""
    typical: Floats = rows[find_typical_index(rows, scale)]
    return typical


def find_typical_index(rows: Floats, scale: Doubles) -> int:
    """As `find_typical`, but its index."""
    return int((((rows - np.median(rows, axis=0)) / scale) ** 2).sum(axis=1).argmin())


def select_background(rows: Floats, labels: Integers) -> Floats:
    """Select the first of the rows [n, features] of each label in turn, so that the labels are balanced."""
    rank = np.empty(len(labels), int)  # of each row within its label
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    background: Floats = rows[np.argsort(rank, kind="stable")[:BACKGROUND_ROWS]]
    return background

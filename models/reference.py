"""Statistics of a sample for its manifest: quantiles, ranges, typical rows and background rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.dataset import Doubles, Floats, Integers

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BACKGROUND_ROWS = 100


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


def find_typical(rows: Floats, scale: Doubles) -> Floats:
    """Find the row of [n, features] that is nearest to the median, in standard deviations."""
    typical: Floats = rows[(((rows - np.median(rows, axis=0)) / scale) ** 2).sum(axis=1).argmin()]
    return typical


def select_background(rows: Floats, labels: Integers) -> Floats:
    """Select the first of the rows [n, features] of each label in turn, so that the labels are balanced."""
    rank = np.empty(len(labels), int)  # of each row within its label
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    background: Floats = rows[np.argsort(rank, kind="stable")[:BACKGROUND_ROWS]]
    return background

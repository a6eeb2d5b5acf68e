"""Comparison of outputs that predict numbers: how the differences of each target are distributed.

Sums are of whole steps, in each bucket of a histogram of a size of its own: so they are exact, and do not depend on how
rows are batched, whatever the scale of the target.
"""

from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest
from models.signature import Target
from service.arrays import Array, Doubles
from service.comparison.confidence import row_share
from service.comparison.differences import Cells, Differences
from service.comparison.document import Bucket, TargetReport
from service.inference.heads import HeadColumns

TOLERANCE = 0.01  # of the spread, or of the value
_SPREAD = (0.05, 0.95)  # quantiles
_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of differences, in spreads
_UNKNOWN_BOUNDS = tuple(10.0**exponent for exponent in range(-6, 10))  # where there is no spread, in the target's unit
_STEPS = 2**14  # of a bucket's bound: the unit of its sums, so that each has four digits, and squares fit 64 bits
_LARGEST = 100.0  # times the last bound; greater differences count as this in the mean


class RegressionComparison:
    """Compares the targets of one output; each may be lower or higher than the tolerance allows."""

    omitted: list[str] = []  # noqa: RUF012 (nobody changes it)

    def __init__(self, head: HeadColumns, manifest: Manifest) -> None:
        self.name = head.head.name
        self._targets = [
            _TargetCells(target, spread_of(manifest, name))
            for target, name in zip(head.head.targets, manifest.column_names[head.columns], strict=True)
        ]
        self.change_count = 2 * len(self._targets)
        self.is_change = np.ones(self.change_count, np.bool_)
        self.size = sum(target.size for target in self._targets)

    def compare(self, serving: Array, shadow: Array) -> Differences:
        """The differences of values, both [rows, targets]."""
        before = serving.astype(np.float64)
        differences = shadow - before
        columns = list(zip(self._targets, before.T, differences.T, strict=True))
        beyond = np.column_stack([target.is_beyond_tolerance(*values) for target, *values in columns])
        rows, targets = np.nonzero(beyond)
        cells = np.concatenate([target.count(values) for target, _, values in columns])
        return Differences(cells, np.any(beyond, axis=1), rows, 2 * targets + (differences[rows, targets] > 0))

    def describe_change(self, change: int) -> dict[str, str]:
        """The target, and whether it is lower or higher."""
        target, is_higher = divmod(change, 2)
        return {"target": self._targets[target].target.name, "change": "higher" if is_higher else "lower"}

    def alternatives(self, change: int) -> slice | None:  # noqa: ARG002
        """A target may be lower or higher in any row."""
        return None

    def report(self, cells: Cells, changes: Cells, rows: int) -> dict[str, Any]:
        """The differences of each target."""
        parts = np.split(cells, np.cumsum([target.size for target in self._targets])[:-1])
        beyond = changes.reshape(-1, 2).sum(axis=1).tolist()
        targets = {
            each.target.name: each.report(own, rows - changed, rows)
            for each, own, changed in zip(self._targets, parts, beyond, strict=True)
        }
        return {"kind": "regression", "targets": targets}


class _TargetCells:
    """The cells of one target: for each bucket the number of differences, their sum, and the sum of their squares."""

    def __init__(self, target: Target, spread: float | None) -> None:
        self.target = target
        self._spread, self._scale = spread, spread or 1.0
        bounds = _BOUNDS if spread else _UNKNOWN_BOUNDS
        self._edges = np.array([-bound for bound in reversed(bounds)] + list(bounds))
        widest = [bounds[-1] * _LARGEST, *reversed(bounds[1:]), bounds[0], *bounds[1:], bounds[-1] * _LARGEST]
        self._units = np.array(widest) / _STEPS
        self._largest = widest[0]
        self._buckets = len(widest)
        self.size = 3 * self._buckets

    def is_beyond_tolerance(self, values: Doubles, differences: Doubles) -> NDArray[np.bool_]:
        """Where the ``differences`` from ``values``, both [rows], are greater than the tolerance."""
        tolerated = TOLERANCE * (self._spread or np.abs(values))
        beyond: NDArray[np.bool_] = np.abs(differences) > tolerated
        return beyond

    def count(self, differences: Doubles) -> Cells:
        """The cells of differences [rows]."""
        scaled = np.clip(differences / self._scale, -self._largest, self._largest)
        buckets = np.searchsorted(self._edges, scaled)
        steps = np.rint(scaled / self._units[buckets])
        sums = [np.bincount(buckets, weights, self._buckets) for weights in (None, steps, steps * steps)]
        return np.concatenate(sums).astype(np.int64)

    def report(self, cells: Cells, agreeing: int, rows: int) -> TargetReport:
        """The distribution of the differences, in the target's unit."""
        counts, sums, squares = cells.reshape(3, self._buckets)
        units = self._units * self._scale
        edges: list[float | None] = [None, *map(_rounded, self._edges * self._scale), None]
        return TargetReport(
            unit=self.target.unit,
            spread=self._spread,
            tolerance=TOLERANCE * self._spread if self._spread else None,
            agree=row_share(agreeing, rows),
            mean=float(sums @ units) / rows if rows else None,
            root_mean_square=sqrt(float(squares @ units**2) / rows) if rows else None,
            histogram=[
                Bucket(above=low, upto=high, rows=count)
                for (low, high), count in zip(pairwise(edges), counts.tolist(), strict=True)
            ],
        )


def spread_of(manifest: Manifest, target: str) -> float | None:
    """From the 5 % to the 95 % quantile of a target in the sample; None without a sample, or if they are the same."""
    if not manifest.reference:
        return None
    low, high = np.interp(_SPREAD, manifest.reference.probabilities, manifest.reference.targets[target]).tolist()
    return high - low or None


def _rounded(bound: float) -> float:
    return float(f"{bound:.6g}")

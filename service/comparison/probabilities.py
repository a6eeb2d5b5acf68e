"""How far the probabilities of an output's labels move.

Sums are of whole numbers, which a float64 holds exactly up to 2^53, so that they do not depend on how rows are batched.
"""

from itertools import pairwise

import numpy as np

from service.arrays import Array
from service.comparison.differences import Cells
from service.comparison.document import Bucket, Movement

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_BUCKETS = len(BOUNDS) + 1
_UNITS = 10**6  # probabilities are counted in millionths
_BOUNDS = np.rint(np.array(BOUNDS) * _UNITS)


class ProbabilityMovement:
    """The cells of ``labels`` probabilities: a sum and a histogram of each row's largest move, and each one's shift."""

    def __init__(self, labels: int) -> None:
        self.size = 1 + _BUCKETS + labels

    def count(self, serving: Array, shadow: Array) -> Cells:
        """The cells of two versions' probabilities, both [rows, labels]."""
        cells = np.empty(self.size, np.int64)
        moves = np.rint(np.clip(np.subtract(shadow, serving, dtype=np.float64), -1, 1) * _UNITS)
        largest = np.abs(moves).max(axis=1)
        cells[0] = largest.sum()
        cells[1 : 1 + _BUCKETS] = np.bincount(np.searchsorted(_BOUNDS, largest), minlength=_BUCKETS)
        cells[1 + _BUCKETS :] = moves.sum(axis=0)
        return cells

    @staticmethod
    def report(cells: Cells, rows: int) -> tuple[Movement, list[float | None]]:
        """The movement, and the mean shift of each label's probability."""
        total, *counts = cells[: 1 + _BUCKETS].tolist()
        edges = pairwise([0.0, *BOUNDS, 1.0])
        histogram = [Bucket(above=low, upto=high, rows=n) for (low, high), n in zip(edges, counts, strict=True)]
        histogram[0]["above"] = None  # rows that did not move are in it
        means = [_mean(shift, rows) for shift in cells[1 + _BUCKETS :].tolist()]
        return Movement(mean=_mean(total, rows), histogram=histogram), means


def _mean(total: int, rows: int) -> float | None:
    return total / _UNITS / rows if rows else None

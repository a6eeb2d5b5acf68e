"""Training ranges: the smallest and largest value of each feature among the training rows of each label."""

from collections.abc import Sequence
from operator import le

import numpy as np

from models.manifest import Manifest
from service.arrays import Array, Indices


class Ranges:
    """``lower`` and ``upper`` are lists [labels, features]."""

    def __init__(self, manifest: Manifest) -> None:
        ranges = manifest.reference.ranges
        bounds = np.array(
            [[ranges[label][name] for name in manifest.feature_names] for label in manifest.labels], np.float32
        )
        self._lower, self._upper = np.ascontiguousarray(bounds[:, :, 0]), np.ascontiguousarray(bounds[:, :, 1])
        self.lower, self.upper = self._lower.tolist(), self._upper.tolist()

    def outside(self, rows: Array, labels: Indices) -> Indices:
        """Positions in the flattened ``rows`` of values outside the range of their row's label."""
        # take() costs a tenth of what indexing costs.
        lower, upper = self._lower.take(labels, axis=0), self._upper.take(labels, axis=0)
        return np.flatnonzero((rows < lower) | (rows > upper))

    def outside_in_row(self, row: Sequence[float], label: int) -> Sequence[int]:
        """The same for one row, which costs less this way than NumPy's calls."""
        lower, upper = self.lower[label], self.upper[label]
        if all(map(le, lower, row)) and all(map(le, row, upper)):  # nearly always
            return ()
        return [index for index, value in enumerate(row) if not lower[index] <= value <= upper[index]]

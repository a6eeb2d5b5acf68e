"""What the training rows of each label covered, and which values of a row none of them had."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bundle import Manifest
from service.record import Array


class Ranges:
    """For each label the least and the most of each feature."""

    def __init__(self, manifest: Manifest) -> None:
        ranges = manifest.reference.ranges
        seen = np.array([[ranges[label][name] for name in manifest.names] for label in manifest.labels], np.float32)
        self._least, self._most = seen[:, :, 0], seen[:, :, 1]
        self.of = seen.tolist()  # by label and feature, as plain numbers

    def outside(self, rows: Array, answers: Sequence[int] | NDArray[np.intp]) -> NDArray[np.bool_]:
        """Where a value lies outside what its row's answer covers, [rows, features]; answers are labels' indices."""
        return (rows < self._least[answers]) | (rows > self._most[answers])

    def outside_one(self, row: Sequence[float], answer: int) -> list[int]:
        """The same of one row, features by index: this costs less than NumPy's calls."""
        told = enumerate(zip(row, self.of[answer], strict=True))
        return [index for index, (value, (least, most)) in told if not least <= value <= most]

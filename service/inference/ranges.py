"""What the training rows of each label covered, and which values of a row none of them had."""

from collections.abc import Sequence
from operator import le

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest
from service.http.context import Array, Places


class Ranges:
    """For each label the ``least`` and the ``most`` of each feature."""

    def __init__(self, manifest: Manifest) -> None:
        ranges = manifest.reference.ranges
        seen = np.array(
            [[ranges[label][name] for name in manifest.feature_names] for label in manifest.labels], np.float32
        )
        self._least, self._most = np.ascontiguousarray(seen[:, :, 0]), np.ascontiguousarray(seen[:, :, 1])
        self.least, self.most = self._least.tolist(), self._most.tolist()

    def outside(self, rows: Array, answers: NDArray[np.intp]) -> Places:
        """Where a value of ``rows`` lies outside what its row's answer, a label's index, covers."""
        least, most = self._least.take(answers, axis=0), self._most.take(answers, axis=0)  # a tenth of what [] takes
        return np.flatnonzero((rows < least) | (rows > most))

    def outside_one(self, row: Sequence[float], answer: int) -> Places:
        """The same of one row: this costs less than NumPy's calls."""
        least, most = self.least[answer], self.most[answer]
        if all(map(le, least, row)) and all(map(le, row, most)):  # nearly always
            return []
        return [index for index, value in enumerate(row) if not least[index] <= value <= most[index]]

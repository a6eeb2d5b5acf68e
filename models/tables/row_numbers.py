"""Columns that number the rows: they say where a row stands in the file, which often gives its label away."""

import numpy as np
from numpy.typing import NDArray

_MIN_ROWS_PER_COUNT = 10  # if the count starts again


def numbers_rows(values: NDArray[np.float64]) -> bool:
    """Whether whole numbers count the rows: each number of a range once, in any order, or from the first one again."""
    if len(values) < 2 or not np.isfinite(values).all():  # noqa: PLR2004 (two make a range)
        return False
    low, high = values.min(), values.max()
    if high - low == len(values) - 1 and (np.sort(values) == low + np.arange(len(values))).all():
        return True
    continues = np.diff(values) == 1
    restarts = values[1:] == values[0]
    return bool((continues | restarts).all() and (restarts.sum() + 1) * _MIN_ROWS_PER_COUNT <= len(values))

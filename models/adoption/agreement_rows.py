"""Rows on which models are compared: they differ in every column, so that swapped inputs cannot pass."""

import numpy as np

from models.adoption.loaded_model import Floats, LoadedModel

_COUNT = 64


def random_rows(loaded: LoadedModel, sample: Floats) -> Floats:
    """Rows [64, features] that a model can take.

    Where there is a ``sample`` [n, features], half of them have each column's values from it, shuffled for each column;
    all others are random numbers of the columns' size, and small whole numbers for an input of integers.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_COUNT, loaded.feature_count))
    is_integer = np.concatenate([np.full(t.width, not t.dtype.startswith(("float", "bfloat"))) for t in loaded.tensors])
    rows[:, is_integer] = rng.integers(0, 2, (_COUNT, int(is_integer.sum())))
    if len(sample):
        center, spread = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
        shuffled = np.column_stack([rng.choice(column, _COUNT) for column in sample.T])
        scaled = center + np.where(spread > 0, spread, 1 + np.abs(center)) * rows
        rows = np.where(is_integer, shuffled, scaled)
        rows[::2] = shuffled[::2]
    return rows.astype(np.float32)

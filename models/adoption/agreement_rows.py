"""Rows on which models are compared: they differ in every column, so that swapped inputs cannot pass."""

import numpy as np

from models.adoption.loaded_model import Floats, LoadedModel

_COUNT = 64


def random_rows(loaded: LoadedModel, sample: Floats) -> Floats:
    """Rows [64, features] of random numbers that have the size of the ``sample``'s [n, features], if there is one.

    For an input of integers they are from the sample, or else 0 and 1.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_COUNT, loaded.feature_count))
    if len(sample):
        center, spread = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
        rows = center + np.where(spread > 0, spread, 1 + np.abs(center)) * rows
    is_integer = np.concatenate([np.full(t.width, not t.dtype.startswith(("float", "bfloat"))) for t in loaded.tensors])
    return np.where(is_integer, plausible_rows(loaded, sample), rows).astype(np.float32)


def plausible_rows(loaded: LoadedModel, sample: Floats) -> Floats:
    """Rows [64, features] with each column's values from the ``sample``, shuffled for each column, or else 0 and 1."""
    rng = np.random.default_rng(1)
    if len(sample):
        return np.column_stack([rng.choice(column, _COUNT) for column in sample.T]).astype(np.float32)
    return rng.integers(0, 2, (_COUNT, loaded.feature_count)).astype(np.float32)

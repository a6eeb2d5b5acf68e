"""Rows on which models are compared: they differ in every column, so that swapped inputs cannot pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.adoption.loaded_model import Floats, LoadedModel
from models.adoption.raw_columns import step_from
from models.feature import Feature, to_codes

_COUNT = 64


def random_rows(loaded: LoadedModel, sample: Floats) -> Floats:
    """Rows [64, features] of random numbers that have the size of the ``sample``'s [n, features], if there is one.

    For an input of integers they are from the sample, or else 0 and 1.
    """
    if loaded.features:
        return random_codes(loaded, sample)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_COUNT, loaded.feature_count))
    if len(sample):
        center, spread = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
        rows = center + np.where(spread > 0, spread, 1 + np.abs(center)) * rows
    is_integer = np.concatenate([np.full(t.width, not t.dtype.startswith(("float", "bfloat"))) for t in loaded.tensors])
    return np.where(is_integer, plausible_rows(loaded, sample), rows).astype(np.float32)


def plausible_rows(loaded: LoadedModel, sample: Floats) -> Floats:
    """Rows [64, features] with each column's values from the ``sample``, shuffled for each column, or else 0 and 1."""
    if loaded.features:
        return random_codes(loaded, sample, seed=1)
    rng = np.random.default_rng(1)
    if len(sample):
        return np.column_stack([rng.choice(column, _COUNT) for column in sample.T]).astype(np.float32)
    return rng.integers(0, 2, (_COUNT, loaded.feature_count)).astype(np.float32)


def random_codes(loaded: LoadedModel, sample: Floats, seed: int = 0) -> Floats:
    """The codes of `random_raw`, [64, features]."""
    raw = random_raw(loaded, sample, _COUNT, seed)
    return np.array(to_codes(loaded.features, [*zip(*raw, strict=True)]), np.float32)


def random_raw(loaded: LoadedModel, sample: Floats, count: int, seed: int = 0) -> list[list[Any]]:
    """Values [count] of each feature of a model that looks categories up: all of its categories as often as another.

    Unknown and missing values, where these are allowed, and the boundaries of bins are among them. ``sample``
    [rows, features] are codes, if there is a sample.
    """
    rng = np.random.default_rng(seed)
    return [
        _random_category(feature, count, rng)
        if feature.is_category
        else _random_number(feature, column.boundaries, sample[:, index], count, rng)
        for index, (feature, column) in enumerate(zip(loaded.features, loaded.cut.columns, strict=True))
    ]


def _random_category(feature: Feature, count: int, rng: np.random.Generator) -> list[Any]:
    is_text = feature.category_type is str
    unknown = [f"{number:x} ünknown" if is_text else int(number) for number in rng.integers(0, 10**6, count)]
    if not feature.hashing:
        unknown = [each for each in unknown if each not in feature.categories][: feature.allow_other and count // 4]
    choices: list[Any] = [*feature.categories, *unknown, *[None] * (feature.allow_missing * max(1, count // 8))]
    return [choices[index] for index in rng.integers(0, len(choices), count)]


def _random_number(
    feature: Feature, boundaries: Sequence[float], sample: Floats, count: int, rng: np.random.Generator
) -> list[Any]:
    present = sample[~np.isnan(sample)]
    scale = present if len(present) else np.array(boundaries or [0.0], np.float32)
    values = scale.mean(dtype=np.float64) + (scale.std(dtype=np.float64) or 1.0) * rng.standard_normal(count)
    if boundaries:
        edges = np.array(boundaries, np.float32)
        near = np.concatenate([edges, step_from(edges, -np.inf), step_from(edges, np.inf)])
        values = np.where(rng.random(count) < 0.5, values, rng.choice(near, count))  # noqa: PLR2004 (half of them)
    if feature.kind == "integer":
        values = np.floor(values)
        values = np.clip(values, feature.lowest, feature.highest)
    listed: list[Any] = values.astype(np.float32).astype(float).tolist()
    is_missing = rng.random(count) < (0.125 if feature.allow_missing else 0)
    return [None if missing else value for value, missing in zip(listed, is_missing.tolist(), strict=True)]

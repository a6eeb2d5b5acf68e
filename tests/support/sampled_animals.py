"""Rows sampled as for training, with other seeds, and the same with a shifted distribution."""

import numpy as np

from models import animals
from models.animals import Animals
from models.dataset import Sample
from service.arrays import Array


def unshifted(count: int, seed: int) -> Sample:
    """Sample ``count`` individuals of all breeds and species; training uses seed 0."""
    facts = Animals.read()
    return facts.sample(np.arange(len(facts.groups)), count, np.random.default_rng(seed))


def llamas(count: int, seed: int) -> Array:
    """Sample only llamas."""
    sample = unshifted(4 * count, seed)
    rows: Array = sample.rows[sample.labels == animals.LABELS.index("llama")]
    return rows


def heavier(count: int, seed: int) -> Array:
    """Sample individuals of twice their mass, as far as that is within the bounds."""
    rows = unshifted(2 * count, seed).rows
    rows[:, animals.MASS] *= 2
    return rows[rows[:, animals.MASS] <= animals.FEATURES[animals.MASS].highest][:count]


def in_fahrenheit(count: int, seed: int) -> Array:
    """Sample individuals whose temperature is in degrees Fahrenheit, beyond the bounds."""
    rows = unshifted(count, seed).rows
    rows[:, animals.TEMPERATURE] = rows[:, animals.TEMPERATURE] * 1.8 + 32
    return rows

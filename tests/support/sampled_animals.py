"""Animals in numbers, as the training rows were drawn but by other seeds, and the same in other worlds."""

import numpy as np

from models import animals
from models.dataset import Sample
from service.inference.validation import Array


def unshifted(count: int, seed: int) -> Sample:
    """As many individuals of all breeds and species; ``seed`` is not training's, which is 0."""
    population = animals.read()
    return population.individuals(np.arange(len(population.groups)), count, np.random.default_rng(seed))


def llamas(count: int, seed: int) -> Array:
    """Nothing but llamas."""
    sample = unshifted(4 * count, seed)
    rows: Array = sample.rows[sample.labels == animals.LABELS.index("llama")]
    return rows


def heavier(count: int, seed: int) -> Array:
    """All of twice their mass, where that is within the bounds."""
    rows = unshifted(2 * count, seed).rows
    rows[:, animals.MASS] *= 2
    return rows[rows[:, animals.MASS] <= animals.FEATURES[animals.MASS].maximum][:count]


def in_fahrenheit(count: int, seed: int) -> Array:
    """All measured with another thermometer, which shows more than the bounds allow."""
    rows = unshifted(count, seed).rows
    rows[:, animals.TEMPERATURE] = rows[:, animals.TEMPERATURE] * 1.8 + 32
    return rows

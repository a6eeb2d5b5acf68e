"""What training asks of its data, whether it is sampled from published facts or read from a user's table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from models.manifest import Feature

Floats = NDArray[np.float32]
Integers = NDArray[np.intp]

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Sample:
    """Individuals: ``rows`` [n, features] in raw units, ``labels`` [n] and ``groups`` [n] as indices."""

    rows: Floats
    labels: Integers
    groups: Integers


class Population(Protocol):
    """Individuals in groups (breeds, say) that a split must not tear apart, and how to draw from them."""

    @property
    def about(self) -> str:
        """One sentence on where the individuals come from."""

    @property
    def features(self) -> tuple[Feature, ...]: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names."""

    @property
    def grouped(self) -> bool:
        """Whether a group is more than a single individual."""

    @property
    def group_labels(self) -> Integers:
        """The label of each group, [groups]."""

    @property
    def label_weights(self) -> tuple[float, ...]:
        """How much an individual of each label weighs in the loss."""

    @property
    def facts(self) -> Mapping[str, str]:
        """The SHA-256 of each file that the population comes from, in hex."""

    def individuals(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """About ``count`` individuals of some groups, as they are met."""

    def varied(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """The like to train on: with whatever variety helps the network on groups that it has not seen."""

    def stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample | None:
        """The like with the facts themselves in error; None where there are no facts to be in error."""


def hold_apart(population: Population, groups: Integers, seed: int) -> tuple[Integers, Integers]:
    """Split groups at random, by label, into those to train on and those to choose by (a tenth of them)."""
    labels = population.group_labels[groups]
    held = max(len(population.labels), round(VALIDATION_SHARE * len(groups)))
    train, validation = next(StratifiedShuffleSplit(1, test_size=held, random_state=seed).split(groups, labels))
    return groups[train], groups[validation]


def folds(population: Population, count: int, seed: int) -> list[tuple[Integers, Integers]]:
    """Grouped, stratified k-fold: (groups to train on, groups to test on), each group tested once."""
    every = np.arange(len(population.groups))
    split = StratifiedKFold(count, shuffle=True, random_state=seed).split(every, population.group_labels)
    return [(every[train], every[test]) for train, test in split]

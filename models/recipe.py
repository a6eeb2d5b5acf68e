"""How a network comes about: several candidates, a choice by groups that none of them saw, and a last round on all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import network
from models.dataset import Integers, Population, Sample, hold_apart
from models.evaluate import Scores, score

JUDGED = 4000  # individuals to choose a candidate by


@dataclass(frozen=True)
class Settings:
    """What the command line decides: individuals a network is shown an epoch, epochs, candidates."""

    rows: int
    epochs: int
    candidates: int


@dataclass(frozen=True)
class Trained:
    """The network, what it was last fitted to, and how it was chosen."""

    network: Any
    sample: Sample
    chosen: int
    choices: tuple[Scores, ...]  # of each candidate, on the groups held apart
    losses: tuple[tuple[float, ...], ...]  # of each candidate an epoch, then of the last round
    held_apart: Integers


def train(
    population: Population,
    groups: Integers,
    settings: Settings,
    seed: int,
    advance: Callable[[str], None],
) -> Trained:
    """Train candidates on nine tenths of the groups, keep the best by the rest, train that one on with all groups.

    Best is the least mean of the negative log likelihoods on plain and on stressed individuals. The last round is
    there because every group counts: some are the only ones of their kind. ``advance`` hears of every epoch.
    """
    network.start(seed)

    def fit(candidate: Any, sample: Sample, what: str) -> tuple[float, ...]:
        weights = population.label_weights
        return tuple(network.fit(candidate, sample, settings.epochs, weights, lambda: advance(what)))

    rng = np.random.default_rng(seed)
    kept, held = hold_apart(population, groups, seed)
    plain, stressed = population.individuals(held, JUDGED, rng), population.stressed(held, JUDGED, rng)
    candidates, choices, losses = [], [], []
    for number in range(1, settings.candidates + 1):
        sample = population.varied(kept, settings.rows, rng)
        candidate = network.build(len(population.labels), sample.rows)
        losses.append(fit(candidate, sample, f"candidate {number}"))
        choices.append((score(candidate, plain), score(candidate, stressed) if stressed else None))
        candidates.append(candidate)
    chosen = int(np.argmin([p.log_loss + (s.log_loss if s else 0) for p, s in choices]))
    sample = population.varied(groups, settings.rows, rng)
    losses.append(fit(candidates[chosen], sample, "last round"))
    return Trained(candidates[chosen], sample, chosen, tuple(p for p, _ in choices), tuple(losses), held)


def rounds(settings: Settings) -> int:
    """How often `train` calls ``advance``."""
    return (settings.candidates + 1) * settings.epochs

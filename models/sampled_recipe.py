"""The recipe for sampled individuals, of which there are as many as training wants."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models import network
from models.dataset import Dataset, Integers, Sample, split_holdout
from models.evaluate import score
from models.options import TrainingOptions
from models.training_result import RoundLosses, TrainingResult

SELECTION_ROWS = 4000  # individuals that the candidates are compared on


def count_steps(options: TrainingOptions) -> int:
    """Count the calls of ``on_step`` in `train`: one for each epoch, the last round included."""
    return (options.candidates + 1) * options.epochs


def train(
    dataset: Dataset, groups: Integers, options: TrainingOptions, on_step: Callable[[str], None]
) -> TrainingResult:
    """Train candidates on nine tenths of the groups, select the best on the rest, train that one on with all groups.

    The best has the lowest sum of its mean negative log likelihoods on plain and on stressed individuals. The last
    round uses every group, because some are the only ones of their kind. ``on_step`` gets the name of the phase.
    """
    network.set_random_seed(options.seed)

    def fit(candidate: Any, sample: Sample, phase: str) -> tuple[float, ...]:
        weights = dataset.label_weights
        return tuple(network.fit(candidate, sample, options.epochs, weights, lambda: on_step(phase)))

    rng = np.random.default_rng(options.seed)
    training, holdout = split_holdout(dataset, groups, options.seed)
    plain = dataset.sample(holdout, SELECTION_ROWS, rng)
    stressed = dataset.sample_stressed(holdout, SELECTION_ROWS, rng)
    candidates, scores, log_losses, losses = [], [], [], []
    for number in range(1, options.candidates + 1):
        sample = dataset.sample_augmented(training, options.rows, rng)
        candidate = network.build(len(dataset.labels), sample.rows, options.hidden)
        losses.append(fit(candidate, sample, f"candidate {number}"))
        candidates.append(candidate)
        scores.append(score(candidate, plain))
        log_losses.append(scores[-1].log_loss + (score(candidate, stressed).log_loss if stressed else 0))
    selected = int(np.argmin(log_losses))
    sample = dataset.sample_augmented(groups, options.rows, rng)
    last_round = fit(candidates[selected], sample, "last round")
    settings = {
        "epochs": options.epochs,
        "candidates": options.candidates,
        "chosen": selected + 1,
        "groups": len(dataset.groups),
        "held_apart_to_choose": len(holdout),
    }
    return TrainingResult(
        candidates[selected],
        sample,
        scores[selected],
        holdout,
        RoundLosses(tuple(losses), selected, last_round),
        settings,
    )

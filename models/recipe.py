"""The training recipe: train several candidates, select the best on held-out groups, train that one on with all."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import network
from models.dataset import Dataset, Integers, Sample, split_folds, split_holdout
from models.evaluate import NETWORK, CrossValidation, Scores, fit_baselines, score
from models.options import TrainingOptions

SELECTION_ROWS = 4000  # individuals that the candidates are compared on
TEST_ROWS = 8000  # individuals in each fold's test sample


@dataclass(frozen=True)
class TrainingResult:
    """The selected network, the sample it was last fitted to, and how it was selected."""

    network: Any
    sample: Sample
    selected: int  # index of the candidate
    candidate_scores: tuple[Scores, ...]  # of each candidate, on the holdout groups
    losses: tuple[tuple[float, ...], ...]  # per epoch: of each candidate, then of the last round
    holdout_groups: Integers


def train(
    dataset: Dataset, groups: Integers, options: TrainingOptions, on_epoch_end: Callable[[str], None]
) -> TrainingResult:
    """Train candidates on nine tenths of the groups, select the best on the rest, train that one on with all groups.

    The best has the lowest sum of its mean negative log likelihoods on plain and on stressed individuals. The last
    round uses every group, because some are the only ones of their kind. ``on_epoch_end`` gets the name of the phase.
    """
    network.set_random_seed(options.seed)

    def fit(candidate: Any, sample: Sample, phase: str) -> tuple[float, ...]:
        weights = dataset.label_weights
        return tuple(network.fit(candidate, sample, options.epochs, weights, lambda: on_epoch_end(phase)))

    rng = np.random.default_rng(options.seed)
    training, holdout = split_holdout(dataset, groups, options.seed)
    plain = dataset.sample(holdout, SELECTION_ROWS, rng)
    stressed = dataset.sample_stressed(holdout, SELECTION_ROWS, rng)
    candidates, scores, log_losses, losses = [], [], [], []
    for number in range(1, options.candidates + 1):
        sample = dataset.sample_augmented(training, options.rows, rng)
        candidate = network.build(len(dataset.labels), sample.rows)
        losses.append(fit(candidate, sample, f"candidate {number}"))
        candidates.append(candidate)
        scores.append(score(candidate, plain))
        log_losses.append(scores[-1].log_loss + (score(candidate, stressed).log_loss if stressed else 0))
    selected = int(np.argmin(log_losses))
    sample = dataset.sample_augmented(groups, options.rows, rng)
    losses.append(fit(candidates[selected], sample, "last round"))
    return TrainingResult(candidates[selected], sample, selected, tuple(scores), tuple(losses), holdout)


def cross_validate(dataset: Dataset, options: TrainingOptions, on_epoch_end: Callable[[str], None]) -> CrossValidation:
    """Repeat the whole recipe in each fold, selection of a candidate included; compare it with the baselines.

    If the dataset has extreme groups, the recipe is repeated once more without them and scored on them.
    """

    def fit_classifiers(groups: Integers, phase: str) -> dict[str, Any]:
        trained = train(dataset, groups, options, lambda _: on_epoch_end(phase)).network
        return {NETWORK: trained, **fit_baselines(dataset, groups, options.rows, options.seed)}

    plain: dict[str, list[Scores]] = defaultdict(list)
    stressed: dict[str, list[Scores]] = defaultdict(list)
    for fold, (training, test) in enumerate(split_folds(dataset, options.folds, options.seed)):
        rng = np.random.default_rng([options.seed, fold])
        plain_sample = dataset.sample(test, TEST_ROWS, rng)
        stressed_sample = dataset.sample_stressed(test, TEST_ROWS, rng)
        for name, classifier in fit_classifiers(training, f"fold {fold + 1}").items():
            plain[name].append(score(classifier, plain_sample))
            if stressed_sample:
                stressed[name].append(score(classifier, stressed_sample))
    extremes: dict[str, Scores] = {}
    if split := dataset.split_extremes():
        training, test = split
        sample = dataset.sample(test, TEST_ROWS, np.random.default_rng(options.seed))
        extremes = {name: score(fitted, sample) for name, fitted in fit_classifiers(training, "extremes").items()}
    return CrossValidation(plain, stressed, extremes)

"""Training and cross-validation, by the recipe that suits the dataset."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from models import measured_recipe, sampled_recipe
from models.dataset import Dataset, Integers, split_folds
from models.evaluate import NETWORK, CrossValidation, Scores, fit_baselines, score
from models.options import TrainingOptions
from models.training_result import TrainingResult

TEST_ROWS = 8000  # individuals in each fold's test sample, if they are sampled


def train(
    dataset: Dataset, groups: Integers, options: TrainingOptions, on_step: Callable[[str], None]
) -> TrainingResult:
    """Train a network on these groups; ``on_step`` gets the name of the phase at each of `count_steps`."""
    train_groups = sampled_recipe.train if dataset.is_sampled else measured_recipe.train
    return train_groups(dataset, groups, options, on_step)


def count_steps(dataset: Dataset, options: TrainingOptions) -> int:
    """Count the calls of ``on_step`` in `train`."""
    return sampled_recipe.count_steps(options) if dataset.is_sampled else measured_recipe.count_steps()


def cross_validate(dataset: Dataset, options: TrainingOptions, on_step: Callable[[str], None]) -> CrossValidation:
    """Repeat the whole recipe in each fold, selection of a candidate included; compare it with the baselines.

    If the dataset has extreme groups, the recipe is repeated once more without them and scored on them.
    """

    def fit_classifiers(groups: Integers, phase: str) -> dict[str, Any]:
        trained = train(dataset, groups, options, lambda _: on_step(phase)).classify
        return {NETWORK: trained, **fit_baselines(dataset, groups, options.rows, options.seed)}

    all_groups = np.arange(len(dataset.groups))
    plain: dict[str, list[Scores]] = defaultdict(list)
    stressed: dict[str, list[Scores]] = defaultdict(list)
    for fold, (training, test) in enumerate(split_folds(dataset, all_groups, options.folds, options.seed), start=1):
        rng = np.random.default_rng([options.seed, fold - 1])
        plain_sample = dataset.sample(test, TEST_ROWS, rng)
        stressed_sample = dataset.sample_stressed(test, TEST_ROWS, rng)
        for name, classifier in fit_classifiers(training, f"fold {fold}").items():
            plain[name].append(score(classifier, plain_sample))
            if stressed_sample:
                stressed[name].append(score(classifier, stressed_sample))
    extremes: dict[str, Scores] = {}
    if split := dataset.split_extremes():
        training, test = split
        sample = dataset.sample(test, TEST_ROWS, np.random.default_rng(options.seed))
        extremes = {name: score(fitted, sample) for name, fitted in fit_classifiers(training, "extremes").items()}
    return CrossValidation(plain, stressed, extremes)

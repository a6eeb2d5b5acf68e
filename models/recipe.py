"""Training and cross-validation, by the recipe that suits the dataset."""

from collections import defaultdict
from collections.abc import Callable

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
    """Repeat the whole recipe in each fold, selection of a candidate included; compare it with the baselines."""
    all_groups = np.arange(len(dataset.groups))
    plain: dict[str, list[Scores]] = defaultdict(list)
    stressed: dict[str, list[Scores]] = defaultdict(list)
    for fold, (training, test) in enumerate(split_folds(dataset, all_groups, options.folds, options.seed), start=1):
        rng = np.random.default_rng([options.seed, fold - 1])
        plain_sample = dataset.sample(test, TEST_ROWS, rng)
        stressed_sample = dataset.sample_stressed(test, TEST_ROWS, rng)
        baselines = fit_baselines(dataset, training, options.rows, options.seed)
        phase = f"fold {fold}"
        trained = train(dataset, training, options, lambda _, phase=phase: on_step(phase)).network  # type: ignore[misc]
        for name, classifier in {NETWORK: trained, **baselines}.items():
            plain[name].append(score(classifier, plain_sample))
            if stressed_sample:
                stressed[name].append(score(classifier, stressed_sample))
    return CrossValidation(plain, stressed)

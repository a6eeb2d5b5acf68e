"""What a network can and cannot do, in numbers, judged on groups that it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.dataset import Floats, Integers, Population, Sample

BINS = 15
JUDGED = 8000  # individuals a fold
LOGISTIC, BOOSTING = "logistic regression", "gradient boosting"


@dataclass(frozen=True)
class Scores:
    """A classifier's probabilities [n, labels] for a sample, and what follows from them."""

    probabilities: Floats
    labels: Integers
    groups: Integers

    @property
    def hits(self) -> NDArray[np.bool_]:
        hits: NDArray[np.bool_] = self.probabilities.argmax(axis=1) == self.labels
        return hits

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())

    @property
    def log_loss(self) -> float:
        """Mean negative log likelihood, in nats."""
        right = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(right, 1e-9)).mean())

    @property
    def recall(self) -> list[float]:
        """Of each label, the share that is recognised; NaN for a label that the sample does not have."""
        confusion = self.confusion
        return [float(row[i] / row.sum()) if row.sum() else float("nan") for i, row in enumerate(confusion)]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many of each label (row) were taken for each (column), [labels, labels]."""
        width = self.probabilities.shape[1]
        pairs = np.bincount(self.labels * width + self.probabilities.argmax(axis=1), minlength=width**2)
        return pairs.reshape(width, width).astype(np.int64)

    @property
    def reliability(self) -> list[tuple[int, float, float]]:
        """(individuals, mean confidence, accuracy) of each of 15 equal bins of confidence that is not empty."""
        confidence = self.probabilities.max(axis=1)
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        members = [bins == i for i in range(BINS)]
        return [(int(m.sum()), float(confidence[m].mean()), float(self.hits[m].mean())) for m in members if m.any()]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017) over 15 equal bins of the top label's probability."""
        return sum(n * abs(hit - confidence) for n, confidence, hit in self.reliability) / len(self.labels)

    def group_recall(self) -> dict[int, float]:
        """Of each group in the sample, the share that is recognised."""
        return {int(group): float(self.hits[self.groups == group].mean()) for group in np.unique(self.groups)}


def score(classifier: Any, sample: Sample) -> Scores:
    """Scores of anything that gives probabilities: a Keras network or a scikit-learn classifier."""
    probabilities = (
        classifier.predict_proba(sample.rows)
        if hasattr(classifier, "predict_proba")
        else np.asarray(classifier(sample.rows, training=False))
    )
    return Scores(probabilities, sample.labels, sample.groups)


def together(scores: list[Scores]) -> Scores:
    """The scores of several folds as if of one sample."""
    parts = zip(*((s.probabilities, s.labels, s.groups) for s in scores), strict=True)
    return Scores(*map(np.concatenate, parts))


def baselines(population: Population, groups: Integers, count: int, seed: int) -> dict[str, Any]:
    """Logistic regression and gradient boosting at scikit-learn's own settings, on plain individuals of the groups."""
    sample = population.individuals(groups, count, np.random.default_rng(seed))
    classifiers = {
        LOGISTIC: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        BOOSTING: HistGradientBoostingClassifier(random_state=seed, early_stopping=False),
    }
    return {name: classifier.fit(sample.rows, sample.labels) for name, classifier in classifiers.items()}


@dataclass(frozen=True)
class CrossValidation:
    """The scores of every fold, by classifier; ``stressed`` is empty where there is no stress test."""

    plain: dict[str, list[Scores]]
    stressed: dict[str, list[Scores]]


NETWORK = "network"


def cross_validate(
    population: Population,
    splits: list[tuple[Integers, Integers]],
    train: Callable[[Integers, int], Any],
    count: int,
    seed: int,
) -> CrossValidation:
    """Train anew for every fold, choice of candidates and all, and judge by the fold's groups.

    ``train(groups, fold)`` returns a network; ``count`` is how many individuals the baselines are fitted to.
    """
    plain: dict[str, list[Scores]] = {NETWORK: [], LOGISTIC: [], BOOSTING: []}
    stressed: dict[str, list[Scores]] = {name: [] for name in plain}
    for fold, (known, unseen) in enumerate(splits):
        rng = np.random.default_rng([seed, fold])
        judged, harder = population.individuals(unseen, JUDGED, rng), population.stressed(unseen, JUDGED, rng)
        classifiers = {NETWORK: train(known, fold), **baselines(population, known, count, seed)}
        for name, classifier in classifiers.items():
            plain[name].append(score(classifier, judged))
            if harder:
                stressed[name].append(score(classifier, harder))
    return CrossValidation(plain, {name: scores for name, scores in stressed.items() if scores})


def summary(scores: Scores, labels: tuple[str, ...]) -> dict[str, Any]:
    """The figures that are quoted."""
    return {
        "individuals": len(scores.labels),
        "accuracy": round(scores.accuracy, 4),
        "recall": {
            label: round(recall, 4) for label, recall in zip(labels, scores.recall, strict=True) if not np.isnan(recall)
        },
        "expected_calibration_error": round(scores.calibration_error, 4),
        "log_loss": round(scores.log_loss, 4),
    }
